"""Neuron units of one state and of two, and which of those in a core differ from each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from squat_deploy.errors import ExportError
from squat_deploy.hardware.graph import Graph
from squat_deploy.network import IntArray, Network, Neuron, TwoStateNeuron
from squat_deploy.network.layers import NeuronLayer
from squat_deploy.network.transition import (
    OffsetForm,
    check_offset_form,
    key_form,
    reachable_states,
    threshold_level,
)
from squat_deploy.proofs.core import Found, check_parts
from squat_deploy.proofs.units import Unit, bracketed

_AT_ONCE = 2  # bits of a level, up to which thresholds are compared in one cycle


@dataclass(frozen=True, eq=False)
class SingleUnit(Unit):
    """`squat_neuron`."""

    layer: Neuron
    harness: ClassVar[str] = "unit_neuron"

    @property
    def latency(self) -> int:
        level = self.number("LEVEL")
        searches = self.number("SHIFT") < 0 and (self.number("KEYS") or level > _AT_ONCE)
        return level + 2 if searches else 2

    @cached_property
    def form(self) -> OffsetForm | None:
        """The offset form, where the unit has it. Raises: ExportError where there is none."""
        if not self.number("KEYS"):
            return None
        found = key_form(self.layer, self.low, self.high)
        if found is None:
            raise ExportError(f"{self.layer.name}: the core searches an offset form, but none exists; write it anew")
        return found

    @cached_property
    def live(self) -> list[IntArray]:
        """States that can be reached, a table each."""
        return [reachable_states(self.layer, table, self.low, self.high) for table in self.tables]

    @property
    def states(self) -> str:
        of = "" if len(self.tables) == 1 else f" of {len(self.tables)} tables"
        return f"all {sum(map(len, self.live))} states{of} that can be reached"

    @property
    def checked(self) -> str:
        if self.form is None:
            return ""
        cases = check_offset_form(self.form, self.layer, self.low, self.high)
        return f"; the offset form is the table in all {cases} cases"

    @property
    def facts(self) -> dict[str, int]:
        return {"LEVELS": self.layer.level_count, "CARRIES": int(self.layer.carries_level)}

    @property
    def wanted(self) -> dict[str, IntArray]:
        neuron, tables, form = self.layer, np.array(self.tables), self.form
        searched = neuron.thresholds[tables] if form is None else form.boundaries[tables]
        offset = np.zeros((1, 1), dtype=np.int64) if form is None else form.offset[tables]
        bits = 0 if form is None else form.fraction_bits
        ends = max(abs(self.low), abs(self.high)) << bits
        lower, upper = bracketed(searched, ends + int(np.abs(offset).max()) + int(np.abs(searched).max()) + 1)
        reachable = np.zeros((len(tables), neuron.states), dtype=np.int64)
        for owner, states in enumerate(self.live):
            reachable[owner, states] = 1
        own = {"successor": neuron.successor[tables], "fire": neuron.fire_level[tables], "live": reachable}
        return {"lower": lower, "upper": upper, "offset": offset, **own}

    def expected(self, table: int, state: int, total: int) -> tuple[int, int]:
        level = int(threshold_level(self.layer.thresholds[table], state, np.array(total)))
        return int(self.layer.successor[table, state, level]), int(level >= self.layer.fire_level[table])


@dataclass(frozen=True, eq=False)
class PairUnit(Unit):
    """`squat_pair`, whose state has the current above the membrane."""

    layer: TwoStateNeuron
    harness: ClassVar[str] = "unit_pair"

    @property
    def latency(self) -> int:
        return max(self.number("LEVEL"), self.number("NEXT_LEVEL")) + 2

    @property
    def states(self) -> str:
        return f"all {self.layer.states} pairs of states"

    @property
    def facts(self) -> dict[str, int]:
        layer = self.layer
        levels = {"LEVELS": layer.boundaries.shape[1] + 1, "NEXT_LEVELS": layer.next_boundaries.shape[1] + 1}
        bits = {"WANT_FRACTION": layer.fraction_bits, "WANT_NEXT_FRACTION": layer.next_fraction_bits}
        return {**levels, **bits, "CARRIES": int((layer.successor == np.arange(levels["LEVELS"])).all())}

    @property
    def wanted(self) -> dict[str, IntArray]:
        layer, tables = self.layer, np.array(self.tables)
        ends = layer.key_ranges(self.low, self.high)
        reached, after = layer.boundaries[tables], layer.next_boundaries[tables]
        lower, upper = bracketed(reached, _beyond(*ends[0], reached))
        next_lower, next_upper = bracketed(after, _beyond(*ends[1], after))
        offsets = {"membranes": layer.membrane_offset, "currents": layer.current_offset, "nexts": layer.next_offset}
        others = {"sees": layer.follows, "successor": layer.successor, "fire": layer.fire_level}
        searched = {"lower": lower, "upper": upper, "next_lower": next_lower, "next_upper": next_upper}
        return {**searched, **{name: array[tables] for name, array in (offsets | others).items()}}

    def code(self, state: int) -> int:
        current, membrane = divmod(state, 2 ** self.number("MEMBRANE"))
        return current * self.layer.membrane_state_count + membrane

    def shown(self, state: int) -> str:
        current, membrane = divmod(state, self.layer.membrane_state_count)
        return f"current {current} and membrane {membrane}"

    def expected(self, table: int, state: int, total: int) -> tuple[int, int]:
        layer = self.layer
        current, membrane = divmod(state, layer.membrane_state_count)
        met = layer.current_offset[table, current] + (total << layer.fraction_bits)
        key = layer.membrane_offset[table, membrane] + layer.follows[table, membrane] * met
        level = int((layer.boundaries[table] <= key).sum())
        next_key = layer.next_offset[table, current] + (total << layer.next_fraction_bits)
        after = int((layer.next_boundaries[table] <= next_key).sum())
        follower = int(layer.successor[table, membrane, level])
        return after * layer.membrane_state_count + follower, int(level >= layer.fire_level[table])


def _beyond(low: int, high: int, searched: IntArray) -> int:
    """More than any key or boundary."""
    return max(abs(low), abs(high), int(np.abs(searched).max())) + 1


_KINDS = {"squat_neuron": (SingleUnit, Neuron), "squat_pair": (PairUnit, TwoStateNeuron)}


def distinct(found: Sequence[Found], network: Network, graph: Graph, project: Path) -> list[Unit]:
    """The units that differ from each other. Raises: ExportError where the core is not one of this network."""
    planned = {f"neurons{node.number}" for node in graph.nodes if node.blueprint.fires}
    check_parts({f"neurons{one.layer}" for one in found}, planned, project)
    units = dict[object, Unit]()
    for one in found:
        kind, wanted = _KINDS[one.kind]
        node = graph.nodes[one.layer - 1]
        layer = None if node.position is None else network.layers[node.position]
        if not isinstance(layer, wanted):
            raise ExportError(f"{project}: the core has neurons{one.layer} of another kind; write it anew")
        memories = dict(_memories(project, one))
        tables = _tables(one, layer, node.signal.channels, node.signal.positions)
        numbers = tuple(value for value in one.parameters.values() if isinstance(value, int))
        key = (one.layer, numbers, tables, *memories.values(), one.restless)
        lanes = (*units[key].lanes, one.lane) if key in units else (one.lane,)
        units[key] = kind(one, lanes, layer, tables, *node.reach, memories)  # type: ignore[arg-type]
    return list(units.values())


def _tables(found: Found, neuron: NeuronLayer, channels: int, positions: int) -> tuple[int, ...]:
    """Which table each owner of a lane has: lanes hold every PE-th channel, row by row."""
    pe, owners = int(found.around["PE"]), int(found.parameters["OWNERS"])
    groups = -(-channels // pe)
    rows = np.arange(owners)
    channel = np.minimum(rows % groups * pe + found.lane, channels - 1)
    position = rows // groups if owners == groups * positions else 0 * rows
    return tuple(neuron.table[channel * positions + position].tolist())


def _memories(project: Path, one: Found) -> Iterator[tuple[str, str]]:
    """(name, text) of each memory of a unit as its harness names them; a search has a file for each comparison."""
    for name, path in one.memories.items():
        start = (project / path).with_suffix("")
        for found in sorted([*start.parent.glob(f"{start.name}.hex"), *start.parent.glob(f"{start.name}_*.hex")]):
            yield name.lower() + found.name.removeprefix(start.name), found.read_text()
        if path.endswith(".hex") and not (project / path).is_file():
            yield f"{name.lower()}.hex", ""  # the unit has none
