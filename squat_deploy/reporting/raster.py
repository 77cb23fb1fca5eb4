"""Who fired when, in one sequence: a raster a layer, to zoom into."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, Range1d
from numpy.typing import NDArray

from squat_deploy.hardware.grid import Grid
from squat_deploy.network import IntArray
from squat_deploy.network.layers import AnyNeuron
from squat_deploy.network.simulator import LayerTrace
from squat_deploy.reporting.blocks import Block, Chart, Paragraph, Section, count
from squat_deploy.reporting.charts import BLUE, RED, chart, hover
from squat_deploy.reporting.material import Material

_MOST_SPIKES = 60_000  # of all layers together, so that pages stay small
_TOOLS = "box_zoom,wheel_zoom,pan,reset"


def raster_section(material: Material) -> Section:
    """All layers of one sequence, over the same steps."""
    return Section("spikes", "Spikes", tuple(_blocks(material)))


def _blocks(material: Material) -> Iterator[Block]:
    usual = ", with the median number of spikes" if material.sample == material.run.usual else ""
    which = f"Sequence {material.sample} of {material.run.described}{usual}{_classes(material)}"
    yield Paragraph(f"{which}. {_HELP}")
    steps = Range1d(start=-0.6, end=material.network.steps - 0.4)
    layers = zip(material.network.neurons, material.run.trace, _grids(material), strict=True)
    left = _MOST_SPIKES
    for place, (neuron, layer, grid) in enumerate(layers):
        own = layer.part(slice(material.sample, material.sample + 1))
        block, used = _raster(neuron, own, grid, steps, left)
        left -= used
        if isinstance(block, Chart):
            block.figure.name = f"raster {place}"
        yield block


_HELP = (
    "Choose the box or the wheel above a raster to zoom; a spike below the pointer tells its neuron, step and state."
)


def _classes(material: Material) -> str:
    found = material.run.result.classes
    told = f"; class {found[material.sample]}"
    if material.run.labels is not None:
        told += f", labelled {material.run.labels[material.sample]}"
    return told


def _raster(neuron: AnyNeuron, layer: LayerTrace, grid: Grid | None, steps: Range1d, left: int) -> tuple[Block, int]:
    """The chart, and how many spikes it has; the first neurons alone where all have too many."""
    fired = layer.spikes[:, 0]
    by_neuron = fired.sum(axis=0).cumsum()
    whole = int(by_neuron[-1])
    if not whole:
        return Paragraph(f"{neuron.name}: none of its {count(neuron.neurons)} neurons fired.", "doubt"), 0
    shown = neuron.neurons if whole <= left else int(np.searchsorted(by_neuron, left, side="right"))
    if not shown:
        return Paragraph(f"{neuron.name}: {count(whole)} spikes are not drawn, for the size of the page."), 0
    step, who = np.nonzero(fired[:, :shown])
    drawn = chart(_height(shown), "time step", "neuron", tools=_TOOLS, x_range=steps, y_range=(-0.8, shown - 0.2))
    data = _columns(neuron, layer, step, who)
    tips = [("neuron", "@neuron"), ("step", "@step"), ("state", "@state"), ("membrane", "@membrane{0.000000}")]
    if grid is not None and grid.positions > 1:
        channel, place = np.divmod(who, grid.positions)
        data |= {"channel": channel, "y": place // grid.width, "x": place % grid.width}
        tips.insert(1, ("channel, y, x", "@channel, @y, @x"))
    source = ColumnDataSource({name: _compact(values) for name, values in data.items()})
    pixels, alpha = _ink(shown)
    dots = drawn.rect(
        "step", "neuron", 0.8, pixels, height_units="screen", source=source, color=BLUE, line_color=None, alpha=alpha,
        hover_color=RED, hover_alpha=1.0,
    )  # fmt: skip
    hover(drawn, [*tips, ("sum", "@sum")], dots)
    drawn.xaxis.ticker.min_interval = drawn.yaxis.ticker.min_interval = 1
    drawn.xaxis.ticker.num_minor_ticks = 0
    cut = ", darker where many lie close" if alpha < 1 else ""
    cut += "" if shown == neuron.neurons else f", of the first {count(shown)} neurons alone"
    title = f"{neuron.name}: {count(len(step))} spikes of {count(neuron.neurons)} neurons{cut}"
    return Chart(title, f"spike raster of {neuron.name}", drawn), len(step)


def _ink(neurons: int) -> tuple[float, float]:
    """Pixels of a spike, and how opaque it is: where many neurons share a pixel, some spikes must not look like all."""
    crowd = neurons / _height(neurons)
    return (3.0, 1.0) if crowd <= 1 else (1.5, max(0.12, min(1.0, 2.5 / crowd)))


def _height(neurons: int) -> int:
    return min(300, 40 + 2 * neurons)


def _grids(material: Material) -> list[Grid | None]:
    """How the neurons of every layer lie in planes, where hardware knows it."""
    if material.core is None:
        return [None] * len(material.network.neurons)
    return [part.signal.grid for part in material.core.folding.design.neurons]


def _columns(neuron: AnyNeuron, layer: LayerTrace, step: IntArray, who: IntArray) -> dict[str, NDArray[Any]]:
    """What is told of every spike."""
    membranes = neuron.membranes_of(layer.states)[:, 0]
    own = {"state": layer.states[:, 0][step, who], "sum": layer.sums[:, 0][step, who]}
    return {"step": step, "neuron": who, "membrane": membranes[step, who], **own}


def _compact(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers in the fewest bytes that a page can hold them in; sums beyond 32 bits as float64, which holds them."""
    if values.dtype.kind == "f":
        return values
    low, high = int(values.min()), int(values.max())
    fitting = (
        kind
        for kind in (np.uint8, np.int16, np.uint16, np.int32)
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max
    )
    return values.astype(next(fitting, np.float64))
