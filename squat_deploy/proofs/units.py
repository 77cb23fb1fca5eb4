"""Every neuron unit of a core against the transition table of its layer, on all states and all sums."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from squat_deploy.errors import ExportError, printable
from squat_deploy.hardware.graph import Graph
from squat_deploy.network import IntArray, Network, Neuron, int_bits
from squat_deploy.network.transition import (
    OffsetForm,
    check_offset_form,
    offset_form,
    reachable_states,
    threshold_level,
)
from squat_deploy.proofs.core import UNIT, Found
from squat_deploy.proofs.library import text_of, with_parameters
from squat_deploy.proofs.solving import Claim, Failure
from squat_deploy.proofs.table import Row
from squat_deploy.proofs.waves import signed

_MEMORIES = ("TABLE", "OFFSET", "SUCCESSOR", "FIRE")
_AT_ONCE = 2  # bits of a level, up to which thresholds are compared in one cycle
_PASSED = ("SUM", "STATE", "STATES", "LEVEL", "KEY", "KEYS", "FRACTION", "CARRIED", "OWNERS", "OWNER")


@dataclass(frozen=True, eq=False)
class Unit:
    """One distinct unit.

    Attributes:
        lanes: that are it.
        tables: which of the layer's tables each of its owners has.
        low, high: range of the layer's sums.
        memories: text of its memories.
    """

    found: Found
    lanes: tuple[int, ...]
    neuron: Neuron
    tables: tuple[int, ...]
    low: int
    high: int
    memories: Mapping[str, str]

    @property
    def name(self) -> str:
        """Layer and lanes."""
        lanes = f"lanes 0 to {self.lanes[-1]}" if len(self.lanes) > 1 else f"lane {self.lanes[0]}"
        return f"{printable(self.neuron.name)}: neuron unit, {lanes}"

    def number(self, name: str) -> int:
        """A parameter."""
        return int(self.found.parameters[name])

    @property
    def offsets(self) -> bool:
        """Whether it is of the offset form."""
        return bool(self.number("KEYS"))

    @property
    def latency(self) -> int:
        """Cycles from a state and a sum to what becomes of them."""
        level = self.number("LEVEL")
        return level + 2 if self.offsets or level > _AT_ONCE else 2


def distinct(found: Sequence[Found], network: Network, graph: Graph, project: Path) -> list[Unit]:
    """The units that differ from each other. Raises: ExportError where the core is not one of this network."""
    units = dict[object, Unit]()
    for one in found:
        node = graph.nodes[one.layer - 1] if 0 < one.layer <= len(graph.nodes) else None
        layer = None if node is None or node.position is None else network.layers[node.position]
        if node is None or not isinstance(layer, Neuron):
            raise ExportError(f"{project}: the core has neurons {one.layer}, the network has not; write it anew")
        memories = {name.lower() + ".hex": _memory(project, one, name) for name in _MEMORIES}
        tables = _tables(one, layer, node.signal.channels, node.signal.positions)
        key = (one.layer, tuple(one.parameters[name] for name in _PASSED), tables, *memories.values())
        lanes = (*units[key].lanes, one.lane) if key in units else (one.lane,)
        units[key] = Unit(one, lanes, layer, tables, *node.reach, memories)
    return list(units.values())


def claim_of(unit: Unit, project: Path) -> Claim:
    """What the solver is asked about a unit."""
    form = offset_form(unit.neuron, unit.low, unit.high) if unit.offsets else None
    if unit.offsets and form is None:
        raise ExportError(f"{unit.neuron.name}: the core searches an offset form, but none exists; write it anew")
    live = [reachable_states(unit.neuron, table, unit.low, unit.high) for table in unit.tables]
    wanted = _wanted(unit, form, live)
    wide = max(32, int_bits(min(int(wanted["lower"].min()), -1), int(wanted["upper"].max())))
    numbers = {name: unit.number(name) for name in _PASSED}
    own = {"LOW": unit.low, "HIGH": unit.high, "LEVELS": unit.neuron.level_count, "WIDE": wide}
    values = {**numbers, **own, "CARRIES": int(unit.neuron.carries_level)}
    harness = text_of("unit_neuron.sv")
    files = {f"want_{name}.hex": _hex(array, wide) for name, array in wanted.items()}
    return Claim(
        unit=unit.name,
        text=f"next state and spike are those of the table, {_range(unit, live)}",
        top="unit_neuron",
        sources={
            "unit_neuron.sv": with_parameters("unit_neuron", harness, values),
            "squat_neuron.sv": _source(project),
        },
        files={**unit.memories, **files},
        cycles=unit.latency + 1,
        complete=f"a pipeline: {unit.latency + 1} cycles from anything that its registers may hold are all that it does"
        + _checked(unit, form),
    )


def _source(project: Path) -> str:
    return (project / "rtl/lib" / f"{UNIT}.sv").read_text()


def _checked(unit: Unit, form: OffsetForm | None) -> str:
    """The offset form itself, on all states that can be reached and all sums."""
    if form is None:
        return ""
    return f"; the offset form is the table in all {check_offset_form(form, unit.neuron, unit.low, unit.high)} cases"


def _range(unit: Unit, live: Sequence[IntArray]) -> str:
    states, tables = sum(map(len, live)), len(live)
    of = "" if tables == 1 else f" of {tables} tables"
    return f"for all {states} states{of} that can be reached and all sums from {unit.low} to {unit.high}"


def _wanted(unit: Unit, form: OffsetForm | None, live: Sequence[IntArray]) -> dict[str, IntArray]:
    """The tables that are told to the solver."""
    neuron, tables = unit.neuron, np.array(unit.tables)
    searched = neuron.thresholds[tables] if form is None else form.boundaries[tables]  # (owners, [states,] levels - 1)
    lowest, highest = _ends(unit, form)
    lead = [(0, 0)] * (searched.ndim - 1)
    reachable = np.zeros((len(tables), neuron.states), dtype=np.int64)
    for owner, states in enumerate(live):
        reachable[owner, states] = 1
    return {
        "lower": np.pad(searched, [*lead, (1, 0)], constant_values=lowest),
        "upper": np.pad(searched - 1, [*lead, (0, 1)], constant_values=highest),
        "offset": np.zeros((1, 1), dtype=np.int64) if form is None else form.offset[tables],
        "successor": neuron.successor[tables],
        "fire": neuron.fire_level[tables],
        "live": reachable,
    }


def _ends(unit: Unit, form: OffsetForm | None) -> tuple[int, int]:
    """Keys below and above all others."""
    bits = 0 if form is None else form.fraction_bits
    span = 0 if form is None else int(np.abs(form.offset).max()) + int(np.abs(form.boundaries).max())
    most = max(abs(unit.low), abs(unit.high), int(np.abs(unit.neuron.thresholds).max())) * 2**bits + span + 1
    return -most, most


def _hex(array: IntArray, bits: int) -> str:
    mask, digits = 2**bits - 1, -(-bits // 4)
    return "".join(f"{number & mask:0{digits}x}\n" for number in array.ravel().tolist())


def _tables(found: Found, neuron: Neuron, channels: int, positions: int) -> tuple[int, ...]:
    """Which table each owner of a lane has: lanes hold every PE-th channel, row by row."""
    pe, owners = int(found.around["PE"]), int(found.parameters["OWNERS"])
    groups = -(-channels // pe)
    rows = np.arange(owners)
    channel = np.minimum(rows % groups * pe + found.lane, channels - 1)
    position = rows // groups if owners == groups * positions else 0 * rows
    return tuple(neuron.table[channel * positions + position].tolist())


def _memory(project: Path, found: Found, name: str) -> str:
    """Text of a memory, empty where the unit has none."""
    path = project / str(found.parameters[name])
    return path.read_text() if path.is_file() else ""


def explained(unit: Unit, failure: Failure) -> Row:
    """A counterexample in the terms of the network."""
    first, last = failure.trace[0], failure.trace[-1]
    state, owner = first.get("state", 0), first.get("owner", 0)
    total = signed(first.get("sum", 0), unit.number("SUM"))
    table = unit.tables[min(owner, len(unit.tables) - 1)]
    level = int(threshold_level(unit.neuron.thresholds[table], state, np.array(total)))
    follower = int(unit.neuron.successor[table, state, level])
    spike = int(level >= unit.neuron.fire_level[table])
    how = (
        f"table {table}, state {state}, sum {total}: expected state {follower} and spike {spike}, "
        f"got state {last.get('next_state', 0)} and spike {last.get('spike', 0)}"
    )
    return Row(unit.name, "next state and spike are those of the table", "failed", None, how)


def rows_at_once(units: Sequence[Unit]) -> Iterator[Row]:
    """What is seen without a solver: where sequences start, and that nothing in a unit moves while it is held."""
    layers = {unit.found.layer: unit for unit in reversed(units)}
    for unit in reversed(layers.values()):
        rest, want = int(unit.found.around["REST"]), unit.neuron.initial_state
        how = f"state {want}" if rest == want else f"expected state {want}, got state {rest}"
        yield _row(printable(unit.neuron.name), "sequences start in the network's initial state", rest == want, how)
    for unit in units:
        loose = unit.found.restless
        how = f"registers without `move`: {', '.join(loose)}" if loose else "every register has `move` as its enable"
        yield _row(unit.name, "nothing changes while `move` is low", not loose, how)


def _row(unit: str, claim: str, holds: bool, how: str) -> Row:
    return Row(unit, claim, "proven" if holds else "failed", None, how)
