"""How much every layer fires, and who never or always does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from bokeh.models import ColumnDataSource

from squat_deploy.errors import printable
from squat_deploy.network.activity import Activity, activity, fired, warnings_of, warnings_on
from squat_deploy.reporting.blocks import Block, Cell, Chart, Items, Key, Paragraph, Section, share, table
from squat_deploy.reporting.charts import BLUE, GREY, ORANGE, ROW, SKY, chart, hover, name_rows
from squat_deploy.reporting.material import Material


@dataclass(frozen=True)
class Life:
    """What the neurons of a layer did; every neuron is counted in one of the four.

    Attributes:
        dead: cannot fire on any input.
        silent: never fired here, but can.
        some: fired at some steps.
        always: fired at every step here.
        bound: fire at every step on every input.
        rate: spikes a neuron and step.
    """

    name: str
    dead: int
    silent: int
    some: int
    always: int
    bound: int
    rate: float

    @property
    def neurons(self) -> int:
        """All of them."""
        return self.dead + self.silent + self.some + self.always


def lives(material: Material, rows: tuple[Activity, ...]) -> list[Life]:
    """Of every neuron layer, by the trace, and by what can happen at all (`activity`)."""
    most = material.run.sequences * material.network.steps
    found = []
    for row, counts in zip(rows, fired(material.run.trace), strict=True):
        dead, always = row.never, counts == most
        silent = (counts == 0) & ~dead
        kinds = {"dead": dead, "silent": silent, "some": (counts > 0) & ~always, "always": always, "bound": row.always}
        numbers = {name: int(kind.sum()) for name, kind in kinds.items()}
        found.append(Life(row.name, rate=float(counts.sum() / (most * counts.size)), **numbers))
    return found


def life_section(material: Material) -> Section:
    """A chart of shares, numbers, and what is doubtful."""
    return Section("activity", "Activity", tuple(_blocks(material)))


def _blocks(material: Material) -> Iterator[Block]:
    found = lives(material, activity(material.network))
    yield Paragraph(f"On {material.run.described}; what can never fire is so on every input.")
    yield _chart(found)
    head = (
        "layer",
        "neurons",
        "spikes a neuron and step",
        "never fired here",
        "can never fire",
        "fired at every step",
        "on any input",
    )
    yield table(head, [_row(row) for row in found])
    network, run = material.network, material.run
    told = (*warnings_of(network), *warnings_on(network, fired(run.trace), run.sequences, f"the {run.described}"))
    if told:
        yield Items(told)


def _row(row: Life) -> list[str | Cell]:
    return [
        row.name,
        f"{row.neurons:,}",
        f"{row.rate:.2%}",
        f"{row.silent + row.dead:,}",
        Cell(f"{row.dead:,}", "bad" if row.dead == row.neurons else "doubt" if row.dead else ""),
        f"{row.always:,}",
        Cell(f"{row.bound:,}", "doubt" if row.bound else ""),
    ]


def _chart(rows: list[Life]) -> Chart:
    drawn = chart(ROW * len(rows), "neurons, %", x_range=(0, 100))
    name_rows(drawn, [row.name for row in rows])
    kinds = (
        ("fired at some steps", [row.some for row in rows], BLUE),
        ("at every step", [row.always for row in rows], ORANGE),
        ("never here", [row.silent for row in rows], SKY),
        ("can never", [row.dead for row in rows], GREY),
    )
    legend = tuple(Key(label, colour) for label, counts, colour in kinds if any(counts))
    start = np.zeros(len(rows))
    for label, counts, colour in kinds:
        if not any(counts):
            continue
        end = start + 100 * np.array(counts) / [row.neurons for row in rows]
        source = ColumnDataSource(
            {
                "row": np.arange(len(rows)),
                "left": start,
                "right": end,
                "layer": [printable(row.name) for row in rows],
                "neurons": counts,
                "share": [share(part, row.neurons) for part, row in zip(counts, rows, strict=True)],
            }
        )
        bars = drawn.hbar("row", height=0.7, left="left", right="right", source=source, color=colour)
        hover(drawn, [("layer", "@layer"), (label, "@neurons (@share)")], bars)
        start = end
    return Chart("Who fires", "shares of neurons that fire at some, all or no steps", drawn, legend)
