"""Cycles of a SystemVerilog project, exactly as its simulation counts them: when every instance works in every step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from squat_deploy.backends.rtl.options import RtlConfig
from squat_deploy.backends.rtl.project import usual_run
from squat_deploy.backends.rtl.timing import Span, spans_of
from squat_deploy.backends.rtl.written import written_plan
from squat_deploy.errors import ExportError, printable
from squat_deploy.network import Network
from squat_deploy.network.encoders import takes_intensities
from squat_deploy.network.simulator import simulate
from squat_deploy.reporting.bars import Bars, chart_of
from squat_deploy.reporting.blocks import Block, Cell, Paragraph, count, table
from squat_deploy.reporting.material import Run


@dataclass(frozen=True, eq=False)
class RtlTiming:
    """One sequence of a core, and when it can follow itself.

    Attributes:
        spans: of the instances, (2, T) each: of both, but none waits for what comes later.
        sequence: which one, in words.
        latency: cycles from its start to its last score.
        apart: cycles from its last score to that of the next, which is the same and follows as closely as it can.
    """

    spans: tuple[Span, ...]
    sequence: str
    latency: int
    apart: int

    @property
    def longest(self) -> int:
        """The instance that a step waits for longest."""
        return max(
            (at for at, one in enumerate(self.spans) if one.works), key=lambda at: self.spans[at].cycles[0].mean()
        )


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
    axis = 0 if network.input.encoding == "direct" else 1
    twice = frames.take([sample, sample], axis=axis)
    found, ends = spans_of(plan, twice, simulate(network, twice, trace=True))
    return RtlTiming(found, what, int(ends[0]), int(ends[1] - ends[0]))


def blocks_of(timing: RtlTiming | str, folder: str) -> Iterator[Block]:
    """A paragraph, a chart of one sequence, and an instance a row."""
    if isinstance(timing, str):
        yield Paragraph(f"SystemVerilog, {printable(folder)}: {timing}.", "doubt")
        return
    spans, longest = timing.spans, timing.spans[timing.longest]
    yield Paragraph(
        f"SystemVerilog, {printable(folder)}: exact, by the model of its streams, which is equal to a simulation. "
        f"{timing.sequence.capitalize()}: {count(timing.latency)} cycles from its start to its last score; the next "
        f"one follows after {count(timing.apart)} cycles. Instances between two buffers work at the same time: "
        f"{_called(longest)} is that of which a step takes longest. squat-deploy explore says what other foldings cost."
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
            Cell(f"{one.cycles[0].mean():,.1f}", "doubt" if one is longest else ""),
            f"{one.cycles[0].max():,}",
            f"{float(one.cycles[0].sum()) / timing.latency:.0%}",
        ]
        for one in spans
    ]
    yield table(("instance", "mean cycles a step", "most cycles a step", "of the sequence"), rows)


def _called(one: Span) -> str:
    """By the layer, and the name in the core, as waves show it."""
    layer = one.about.split(": ")[0]
    return printable(f"{layer} {one.name}".strip())
