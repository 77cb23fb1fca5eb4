"""Level tables on the membrane axis, and how often the membranes were at each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from bokeh.models import ColumnDataSource
from numpy.typing import NDArray

from squat_deploy.errors import printable
from squat_deploy.network.layers import AnyNeuron
from squat_deploy.network.simulator import LayerTrace
from squat_deploy.reporting.blocks import Block, Chart, Key, Paragraph, Section, share
from squat_deploy.reporting.charts import BLUE, GREY, RED, ROW, Plot, chart, hover, name_rows
from squat_deploy.reporting.material import Material

_LEGEND = (
    Key("between these lies the threshold", RED + "40"),
    Key("level", BLUE, "ring"),
    Key("level that fires", RED, "dot"),
    Key("other state", GREY, "diamond"),
)
_TABLES = 4  # different level tables of a layer that are drawn
_LARGE = 32  # levels that are drawn large
_STEMS = 128  # membranes that are drawn one by one


@dataclass(frozen=True, eq=False)
class LevelTable:
    """The levels of one table of a layer.

    Attributes:
        levels: membranes, ascending by index; those from `fire` on fire.
        others: membranes of the states that are no level: at rest, and what a reset leaves.
    """

    levels: NDArray[np.float32]
    fire: int
    others: NDArray[np.float32]

    @property
    def threshold(self) -> tuple[float, float] | None:
        """Between which levels the threshold lies; None where all or none of them fire."""
        if not 0 < self.fire < len(self.levels):
            return None
        return float(self.levels[self.fire - 1]), float(self.levels[self.fire])


def level_tables(neuron: AnyNeuron) -> list[LevelTable]:
    """The different ones of a layer, in the order of its tables."""
    found: dict[bytes, LevelTable] = {}
    for membranes, fire in zip(neuron.membranes, neuron.fire_level.tolist(), strict=True):
        levels, others = membranes[: neuron.level_count], membranes[neuron.level_count :]
        found.setdefault(membranes.tobytes() + bytes([fire % 256]), LevelTable(levels, fire, others))
    return list(found.values())


def visited(neuron: AnyNeuron, layer: LayerTrace) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Membranes of all states that a layer can be in, ascending, and how often one of its neurons was at each."""
    own, width = neuron.membrane_states(layer.states), neuron.membranes.shape[1]
    counts = np.bincount((neuron.table * width + own).reshape(-1), minlength=neuron.membranes.size)
    membranes, where = np.unique(neuron.membranes.reshape(-1), return_inverse=True)
    return membranes, np.bincount(where.reshape(-1), counts, len(membranes)).astype(np.int64)


def levels_section(material: Material) -> Section:
    """All level tables in one chart, then a histogram a layer."""
    text = (
        "A membrane is at one of these levels after every step. Filled ones fire; the threshold lies in the shaded "
        "gap. Diamonds are other states: at rest, and after a reset."
    )
    histograms = [
        _histogram(neuron, layer) for neuron, layer in zip(material.network.neurons, material.run.trace, strict=True)
    ]
    told = Paragraph(
        f"How often the membranes were at each level, as a share of all neurons and steps, on {material.run.described}."
    )
    return Section("levels", "Levels and membranes", (Paragraph(text), *_drawn(material), told, *histograms))


def _drawn(material: Material) -> Iterator[Block]:
    rows: list[tuple[str, LevelTable]] = []
    left_out = []
    for neuron in material.network.neurons:
        found = level_tables(neuron)
        rows += [(printable(neuron.name), one) for one in found[:_TABLES]]
        if len(found) > _TABLES:
            left_out.append(f"{neuron.name} has {len(found):,} different level tables; the first {_TABLES} are drawn.")
    drawn = chart(ROW * len(rows), "membrane")
    name_rows(drawn, [name for name, _ in rows])
    gaps = [(row, *one.threshold) for row, (_, one) in enumerate(rows) if one.threshold]
    if gaps:
        at, low, high = zip(*gaps, strict=True)
        drawn.hbar(at, height=0.7, left=low, right=high, color=RED, alpha=0.2)
    for fires in (False, True):
        _dots(drawn, rows, fires)
    others = [(row, float(value)) for row, (_, one) in enumerate(rows) for value in np.unique(one.others)]
    if others:
        at, values = zip(*others, strict=True)
        drawn.scatter(values, at, marker="diamond", size=7, color=GREY)
    yield Chart("Level tables", "levels of every layer on the membrane axis", drawn, _LEGEND)
    if left_out:
        yield Paragraph(" ".join(left_out))


def _dots(drawn: Plot, rows: list[tuple[str, LevelTable]], fires: bool) -> None:
    found = [
        (row, name, index, float(value))
        for row, (name, one) in enumerate(rows)
        for index, value in enumerate(one.levels)
        if (index >= one.fire) == fires
    ]
    if not found:
        return
    at, names, indices, values = zip(*found, strict=True)
    size = 9 if max(len(one.levels) for _, one in rows) <= _LARGE else 5
    data = ColumnDataSource({"row": at, "layer": names, "level": indices, "membrane": values})
    colour = RED if fires else BLUE
    dots = drawn.scatter(
        "membrane", "row", source=data, size=size, line_color=colour, fill_color=colour if fires else None
    )
    hover(drawn, [("layer", "@layer"), ("level", "@level"), ("membrane", "@membrane{0.000000}")], dots)


def levels_met(neuron: AnyNeuron, layer: LayerTrace) -> int | None:
    """How many levels some neuron was at; None where states are not the levels themselves, but what a reset leaves."""
    if not neuron.carries_level:
        return None
    own = neuron.membrane_states(layer.states)
    met = np.bincount(own.reshape(-1), minlength=neuron.level_count)[: neuron.level_count]
    return int((met > 0).sum())


def _histogram(neuron: AnyNeuron, layer: LayerTrace) -> Chart:
    membranes, counts = visited(neuron, layer)
    shares, met = 100 * counts / counts.sum(), levels_met(neuron, layer)
    title = f"{neuron.name}: {share(int((counts > 0).sum()), len(counts))} of {len(counts):,} membranes met"
    if met is not None:
        title = f"{neuron.name}: {met} of {neuron.level_count} levels met"
    drawn = chart(140, "membrane", "share, %")
    drawn.y_range.start = 0
    gaps = {one.threshold for one in level_tables(neuron) if one.threshold}
    if len(gaps) == 1:
        low, high = next(iter(gaps))
        drawn.quad(left=[low], right=[high], bottom=[0], top=[shares.max()], color=RED, alpha=0.15)
    if len(membranes) > _STEMS:
        _bins(drawn, membranes, shares)
    else:
        _stems(drawn, membranes, counts, min((high for _, high in gaps), default=np.inf))
    return Chart(title, f"histogram of membranes of {neuron.name}", drawn)


def _stems(drawn: Plot, membranes: NDArray[np.float32], counts: NDArray[np.int64], first: float) -> None:
    """One by one; from the first level that fires on in another colour."""
    shares, none = 100 * counts / counts.sum(), np.zeros(len(membranes))
    colours = [RED if value >= first else BLUE for value in membranes]
    source = ColumnDataSource(
        {"x": membranes, "y": shares, "colour": colours, "count": counts.astype(np.int32), "none": none}
    )
    drawn.segment("x", "none", "x", "y", source=source, line_width=3, color="colour")
    dots = drawn.scatter("x", "y", source=source, size=7, color="colour")
    hover(drawn, [("membrane", "@x{0.000000}"), ("share", "@y{0.00} %"), ("times", "@count{0,0}")], dots)


def _bins(drawn: Plot, membranes: NDArray[np.float32], shares: NDArray[np.float64]) -> None:
    """In bins of equal width, where there are too many to draw one by one."""
    heights, edges = np.histogram(membranes, bins=64, weights=shares)
    source = ColumnDataSource({"left": edges[:-1], "right": edges[1:], "top": heights})
    bars = drawn.quad(left="left", right="right", bottom=0, top="top", source=source, color=BLUE, line_color="white")
    hover(drawn, [("membranes", "@left{0.000} to @right{0.000}"), ("share", "@top{0.00} %")], bars)
