"""Cycles as a timeline: when every stage runs in every step, and which one the others wait for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from squat_deploy.errors import printable
from squat_deploy.hardware.pipeline import Times, ends
from squat_deploy.hardware.schedule import Schedule, stage_costs
from squat_deploy.reporting.bars import Bars, chart_of
from squat_deploy.reporting.blocks import Block, Cell, Paragraph, Section, count, table
from squat_deploy.reporting.material import Core, Material
from squat_deploy.reporting.rtl_timeline import blocks_of


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
    """A chart of one sequence, and a process a row; of an HLS core, and of a SystemVerilog project."""
    if material.core is None:
        blocks: list[Block] = [Paragraph(f"No HLS core: {material.no_core}", "doubt")]
    else:
        blocks = list(_blocks(material, material.core))
    if material.rtl is not None:
        blocks += blocks_of(material.timing or "", material.rtl.folder)
    return Section("cycles", "Cycles", tuple(blocks))


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
    sample = material.sample if len(stages.costs[0]) > material.sample else 0
    end, cycles = ([times[sample] for times in of_all] for of_all in (stages.ends, stages.costs))
    yield chart_of(Bars(stages.names, end, cycles, stages.longest), f"Sequence {sample}")
    yield _table(schedule)


def _table(schedule: Schedule) -> Block:
    most = max(row.mean for row in schedule.processes)
    rows: list[list[str | Cell]] = [
        [row.name, Cell(f"{row.mean:,.1f}", "doubt" if row.mean == most else ""), f"{row.worst:,}"]
        for row in schedule.processes
    ]
    return table(("process", "mean cycles a step", "worst cycles a step"), rows)
