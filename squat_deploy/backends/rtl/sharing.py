"""Neuron units that several lanes share: a layer's sums are added up PE at a time, and read fewer at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from squat_deploy.backends.rtl.streams import Rows
from squat_deploy.errors import ExportError
from squat_deploy.hardware.design import Design
from squat_deploy.hardware.lanes import Lanes
from squat_deploy.hardware.units import Fire, Unit
from squat_deploy.hardware.units.scatter import Scatter
from squat_deploy.network import IntArray

_FILL = 4  # cycles of a step besides its rows, and those of a search
_SEARCH = 0.5  # of the cycles of a step, that a search for events may take
_HASTE = 0.85  # of the cycles of a step, that neurons may take: some steps have fewer events than others


def pace_of(design: Design, simd: int, events: Mapping[int, float]) -> float:
    """Cycles of an average step, as its slowest synapses take them.

    Args:
        simd: events that fully connected synapses take a cycle.
        events: of every list of events in such a step, by the number of the unit that gives it.
    """
    synapses = [unit for unit in design.parts if isinstance(unit, Scatter)]
    return max((_cycles(unit, events) / (1 if unit.walks else simd) for unit in synapses), default=0.0)


def shared(design: Design, share: int, pace: float) -> Design:
    """The design with narrower neuron layers.

    Args:
        share: lanes of a neuron unit; 0 for as many as keep up.
        pace: cycles of a step.

    Raises: ExportError naming the layer that cannot be shared so.
    """
    parts = list[Unit]()
    for part in design.parts:
        chosen = _chosen(design, part, share, pace * _HASTE) if isinstance(part, Fire) else 1
        parts.append(_narrowed(part, chosen) if isinstance(part, Fire) and chosen > 1 else part)
    return replace(design, parts=tuple(parts))


def parts_of(rows: Rows, simd: int, groups: int, pace: float) -> int:
    """Beats that a row is cut into, before it is searched for events: all that fit easily into a step."""
    if groups == 1:
        return 1  # no time is left
    can = [
        2**power
        for power in range(rows.fields.bit_length())
        if rows.fields % 2**power == 0 and rows.fields // 2**power % simd == 0
    ]
    return max((parts for parts in can if parts * rows.words <= pace * _SEARCH), default=1)


def _cycles(unit: Scatter, events: Mapping[int, float]) -> float:
    """Of a step, one event after another, with as many taps as an event meets on average."""
    return 0.0 if unit.held else unit.rom.span * float(unit.plane.visits.mean()) * events[unit.sources[0]]


def _chosen(design: Design, part: Fire, share: int, cycles: float) -> int:
    """Lanes of a unit."""
    lanes = part.lanes
    can = [number for number in range(1, lanes.pe + 1) if _can(design, part, number)]
    if share == 0:
        fill = _FILL + part.tables.searches * part.tables.search_bits
        rows = {number: lanes.positions * -(-lanes.channels * number // lanes.pe) for number in can}
        return max((number for number in can if rows[number] + fill <= cycles), default=1)
    if share > lanes.pe:
        share = lanes.pe
    if share not in can:
        works = max(number for number in can if number <= share)
        raise ExportError(f"{part.name}: PE {lanes.pe} cannot be shared by {share} lanes; use share={works}, or pe")
    return share


def _can(design: Design, part: Fire, share: int) -> bool:
    """Whether so many lanes can share a unit: of sums that synapses give to these neurons alone, in parts of a row."""
    lanes, source = part.lanes, part.sources[0]
    takers = sum(node.sources.count(source) for node in design.graph.nodes)
    alone = source > 0 and isinstance(design.parts[source - 1], Scatter) and takers == 1
    parts = lanes.pe % share == 0 and (lanes.rows == 1 or share & (share - 1) == 0)
    whole = lanes.positions == 1 or -(-lanes.channels * share // lanes.pe) == lanes.groups * share
    return share == 1 or (alone and parts and whole)


def _narrowed(part: Fire, share: int) -> Fire:
    """The same neurons in their order, in fewer lanes and more rows."""
    before, (take, *_) = part.lanes, part.ports.takes
    lanes = Lanes(before.channels, before.positions, before.pe // share)

    def narrow(array: IntArray) -> IntArray:
        if part.tables.spread == "shared":
            return array
        rows: IntArray = np.reshape(array, (len(array) * share, lanes.pe, *array.shape[2:]))
        return rows[: lanes.rows if len(array) == before.rows else lanes.groups]

    old = part.tables
    tables = replace(
        old,
        pe=lanes.pe,
        keys=None if old.keys is None else narrow(old.keys),
        searched=narrow(old.searched),
        successor=None if old.successor is None else narrow(old.successor),
        fire_level=narrow(old.fire_level),
    )
    return replace(part, ports=replace(part.ports, takes=(replace(take, lanes=lanes),)), tables=tables)
