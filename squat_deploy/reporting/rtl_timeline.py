"""Cycles of a SystemVerilog project, exactly as its simulation counts them: when every instance works in every step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from squat_deploy.backends.rtl.options import RtlConfig
from squat_deploy.backends.rtl.project import usual_run
from squat_deploy.backends.rtl.timing import Span, ends_of, spans_of
from squat_deploy.backends.rtl.written import written_plan
from squat_deploy.errors import ExportError, printable
from squat_deploy.network import IntArray, Network
from squat_deploy.network.encoders import takes_intensities
from squat_deploy.network.simulator import simulate
from squat_deploy.reporting.bars import Bars, chart_of
from squat_deploy.reporting.blocks import Block, Cell, Paragraph, count, table
from squat_deploy.reporting.material import Run

_TOGETHER = 4  # sequences, close upon another


@dataclass(frozen=True, eq=False)
class RtlTiming:
    """One sequence of a core, alone, and how often one can follow.

    Attributes:
        spans: of the instances, (1, T) each.
        sequence: which one, in words.
        latency: cycles from its start to its last score.
        apart: mean cycles from one sequence to the next, where they follow as closely as they can.
    """

    spans: tuple[Span, ...]
    sequence: str
    latency: int
    apart: float

    @property
    def longest(self) -> int:
        """The instance that a step waits for longest."""
        return max((at for at, one in enumerate(self.spans) if one.works), key=lambda at: self.spans[at].cycles.mean())


def timing_of(network: Network, project: Path, config: RtlConfig, run: Run, sample: int) -> RtlTiming | str:
    """By the exact model of the core, or why it tells nothing."""
    try:
        plan = written_plan(network, project, config)
    except ExportError as error:
        return str(error)
    if plan is None:
        return "its core is not what this version would write; export it once more"
    frames, what = run.frames, f"sequence {sample}"
    if takes_intensities(config.encoder):
        frames, what, sample = usual_run(network, config)[0], "a random sequence, encoded", 0
    one, few = (_taken(network, frames, wanted) for wanted in (range(sample, sample + 1), range(_TOGETHER)))
    alone = one, simulate(network, one, trace=True)
    together = ends_of(plan, few, simulate(network, few, trace=True))
    latency = int(ends_of(plan, *alone, alone=True)[0])
    return RtlTiming(spans_of(plan, *alone), what, latency, float(together[-1]) / len(together))


def _taken(network: Network, frames: IntArray, wanted: range) -> IntArray:
    axis = 0 if network.input.encoding == "direct" else 1
    return frames.take([at for at in wanted if at < frames.shape[axis]], axis=axis)


def blocks_of(timing: RtlTiming | str, folder: str) -> Iterator[Block]:
    """A paragraph, a chart of one sequence, and an instance a row."""
    if isinstance(timing, str):
        yield Paragraph(f"SystemVerilog, {printable(folder)}: {timing}.", "doubt")
        return
    spans, longest = timing.spans, timing.spans[timing.longest]
    yield Paragraph(
        f"SystemVerilog, {printable(folder)}: exact, by the model of its streams, which is equal to a simulation. "
        f"{timing.sequence.capitalize()}: {count(timing.latency)} cycles from its start to its last score; one after "
        f"another, as close as they can, a sequence every {timing.apart:,.1f} cycles. Instances between two buffers "
        f"work at the same time: {_called(longest)} is that of which a step takes longest. squat-deploy explore shows "
        "what other foldings cost."
    )
    bars = Bars(
        tuple(map(_called, spans)),
        [one.ends[0] for one in spans],
        [one.cycles[0] for one in spans],
        timing.longest,
    )
    yield chart_of(bars, f"SystemVerilog, {timing.sequence}")
    rows: list[list[str | Cell]] = [
        [
            _called(one),
            Cell(f"{one.cycles.mean():,.1f}", "doubt" if one is longest else ""),
            f"{one.cycles.max():,}",
            f"{float(np.sum(one.cycles)) / timing.latency:.0%}",
        ]
        for one in spans
    ]
    yield table(("instance", "mean cycles a step", "most cycles a step", "of the sequence"), rows)


def _called(one: Span) -> str:
    """By the layer, and the name in the core, as waves show it."""
    layer = one.about.split(": ")[0]
    return printable(f"{layer} {one.name}".strip())
