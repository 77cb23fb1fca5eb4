"""What the plan promises of every step, checked by simulation: sums in their range, streams of their length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from squat_deploy.backends.rtl.plan import RtlPlan
from squat_deploy.backends.rtl.streams import Stream


@dataclass(frozen=True)
class SumBounds:
    """Of the sums that neurons read: `name` begins the wires of their page."""

    name: str
    layer: str
    pe: int
    groups: int
    channels: int
    row: int
    bits: int
    low: int
    high: int
    reading: int


@dataclass(frozen=True)
class Bounds:
    """Of a core: all `streams` are (name, wire of its end, most beats of a step)."""

    sums: tuple[SumBounds, ...]
    streams: tuple[tuple[str, str, int], ...]


def bounds_of(plan: RtlPlan) -> Bounds:
    """All bounds of a plan; sums as tables of neurons were made for."""
    nodes = plan.design.graph.nodes
    sums = list[SumBounds]()
    for neurons in plan.neurons:
        page, (low, high) = neurons.source, nodes[neurons.layer.number - 1].reach
        lanes = page.lanes
        place = lanes.pe, lanes.groups, lanes.channels, page.row
        sums.append(SumBounds(page.name, f"neurons {neurons.layer.number}", *place, page.bits, low, high, page.reading))
    return Bounds(tuple(sums), tuple(_streams(plan)))


def _streams(plan: RtlPlan) -> Sequence[tuple[str, str, int]]:
    given = [bundle for instance in plan.instances for bundle in instance.gives]
    return [(stream.name, stream.end, stream.most) for stream in given if isinstance(stream, Stream)]
