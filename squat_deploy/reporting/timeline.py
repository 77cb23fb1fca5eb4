"""Cycles as a timeline: when every stage runs in every step, and which one the others wait for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from bokeh.models import ColumnDataSource

from squat_deploy.errors import printable
from squat_deploy.hardware.pipeline import Times, ends
from squat_deploy.hardware.schedule import Schedule, stage_costs
from squat_deploy.reporting.blocks import Block, Cell, Chart, Paragraph, Section, count, table
from squat_deploy.reporting.charts import BLUE, RED, ROW, SKY, chart, hover, name_rows
from squat_deploy.reporting.material import Core, Material

_STEPS = 32  # that are drawn


@dataclass(frozen=True, eq=False)
class Stages:
    """All stages of a core, the input first, the readout last.

    Attributes:
        costs, ends: (sequences, T) cycles of each step, and the cycle at which it ends, a stage a row.
    """

    names: tuple[str, ...]
    costs: list[Times]
    ends: list[Times]

    @property
    def longest(self) -> int:
        """The stage with most cycles in the mean."""
        means = [float(cost.mean()) for cost in self.costs]
        return means.index(max(means))


def stages_of(core: Core) -> Stages:
    """By the schedule's own costs and the pipeline's own law."""
    design = core.folding.design
    costs = [cost for stages in stage_costs(design, core.events) for cost in stages]
    return Stages(tuple(_names(core)), costs, ends(design.graph.links, costs))


def _names(core: Core) -> Iterator[str]:
    graph = core.folding.design.graph
    yield from ("input", "input, listed")[: graph.entry_stages]
    for process in graph.processes:
        for stage in process.stages:
            yield printable(" + ".join(dict.fromkeys(node.name for node in stage)))
    yield "readout"


def timeline_section(material: Material) -> Section:
    """A chart of one sequence, and a process a row."""
    if material.core is None:
        return Section("cycles", "Cycles", (Paragraph(f"No HLS core: {material.no_core}", "doubt"),))
    return Section("cycles", "Cycles", tuple(_blocks(material, material.core)))


def _blocks(material: Material, core: Core) -> Iterator[Block]:
    stages, schedule, clock = stages_of(core), core.folding.schedule, core.config.clock_ns
    mean, worst = schedule.mean_cycles, schedule.worst_cycles
    whose = f"The folding of {core.project}" if core.project else "The folding that squat-deploy hls chooses"
    yield Paragraph(
        f"{whose}; estimated from the loops of the source, at {clock:g} ns. One sequence of "
        f"{material.network.steps} steps: mean {count(mean)} cycles = {mean * clock / 1000:,.1f} us over "
        f"{core.described}, worst {count(worst)} cycles = {worst * clock / 1000:,.1f} us."
    )
    yield Paragraph(f"{core.folding.bound.name} {core.folding.bound.why}.")
    yield _chart(stages, material.sample if len(stages.costs[0]) > material.sample else 0)
    yield _table(schedule)


def _table(schedule: Schedule) -> Block:
    most = max(row.mean for row in schedule.processes)
    rows: list[list[str | Cell]] = [
        [row.name, Cell(f"{row.mean:,.1f}", "doubt" if row.mean == most else ""), f"{row.worst:,}"]
        for row in schedule.processes
    ]
    return table(("process", "mean cycles a step", "worst cycles a step"), rows)


def _chart(stages: Stages, sample: int) -> Chart:
    """One sequence: a bar a stage and step, from where it starts to where it ends."""
    steps = min(_STEPS, stages.ends[0].shape[1])
    cells = [(row, step) for row in range(len(stages.names)) for step in range(steps)]
    end = np.array([stages.ends[row][sample, step] for row, step in cells])
    cycles = np.array([stages.costs[row][sample, step] for row, step in cells])
    colours = [RED if row == stages.longest else (BLUE, SKY)[step % 2] for row, step in cells]
    source = ColumnDataSource(
        {
            "row": [row for row, _ in cells],
            "step": [step for _, step in cells],
            "stage": [stages.names[row] for row, _ in cells],
            "start": end - cycles,
            "end": end,
            "cycles": cycles,
            "colour": colours,
            "alpha": [1.0 if step % 2 else 0.75 for _, step in cells],
        }
    )
    drawn = chart(ROW * len(stages.names), "cycle", tools="xbox_zoom,xpan,reset")
    name_rows(drawn, stages.names)
    bars = drawn.hbar(
        "row", height=0.7, left="start", right="end", source=source, color="colour", alpha="alpha", line_color=None
    )
    tips = [("stage", "@stage"), ("step", "@step"), ("starts", "@start{0,0}"), ("ends", "@end{0,0}")]
    hover(drawn, [*tips, ("cycles", "@cycles{0,0}")], bars)
    part = "" if steps == stages.ends[0].shape[1] else f", the first {steps} steps"
    title = f"Sequence {sample}{part}: one bar a time step; {stages.names[stages.longest]}, in orange, takes longest"
    return Chart(title, "timeline of all stages of one sequence", drawn)
