"""Two-state neurons: two searches a lane, for the level of the membrane and for the next synaptic current."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import digits
from typing import Any, ClassVar

import numpy as np

from squat_deploy.hardware.logic import adders, searches
from squat_deploy.hardware.memories import Memory, Usage
from squat_deploy.hardware.pair_tables import PairTables, Search, pair_tables
from squat_deploy.hardware.signals import Signal, spikes
from squat_deploy.hardware.tables import Spread
from squat_deploy.hardware.units.base import Blueprint, Events, Flow, Kept, Ports, Settings, one_array
from squat_deploy.hardware.units.firing import Firing
from squat_deploy.network import IntArray, TwoStateNeuron


@dataclass(frozen=True, eq=False)
class FirePairs(Firing):
    """Neurons by offsets of two states, which are kept side by side, the membrane in the lowest bits."""

    tables: PairTables

    @property
    def spread(self) -> Spread:
        return self.tables.spread

    @property
    def membrane_bits(self) -> int:
        """Of a membrane's state."""
        return (self.tables.neuron.membrane_state_count - 1).bit_length()

    @property
    def current_bits(self) -> int:
        """Of a synaptic current's state."""
        return (self.tables.neuron.current_states - 1).bit_length()

    @property
    def rest_code(self) -> int:
        """Both states at the start of a sequence."""
        current, membrane = divmod(self.rest, self.tables.neuron.membrane_state_count)
        return current << self.membrane_bits | membrane

    @property
    def about(self) -> str:
        neuron = self.tables.neuron
        return f"{self.size} neurons, {neuron.current_states} x {neuron.membrane_state_count} states, two offsets"

    @property
    def facts(self) -> dict[str, Any]:
        tables, neuron = self.tables, self.tables.neuron
        keys = {"key_bits": tables.reached.key_bits, "next_key_bits": tables.following.key_bits}
        bits = {"fraction_bits": neuron.fraction_bits, "next_fraction_bits": neuron.next_fraction_bits}
        facts = {"state_bits": self.state_bits, **keys, "form": "two offsets", **bits, "tables": self.machines}
        return {**super().facts, **facts}

    @property
    def numbers(self) -> tuple[tuple[str, int, int], ...]:
        keys = (("key", self.tables.reached.key_bits), ("next", self.tables.following.key_bits))
        codes = (("state", self.current_bits + self.membrane_bits), ("membrane", self.membrane_bits))
        return (
            *self.mask_numbers,
            *((name, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for name, bits in keys),
            *((name, 0, 2**bits - 1) for name, bits in codes),
        )

    def run(self, kept: Kept, *taken: Flow) -> Events:
        """`kept["states"]` is (rows, pe), state indices."""
        tables, neuron, sums = self.tables, self.tables.neuron, one_array(taken[0])
        current, membrane = neuron.parts(kept.get("states", self.lanes.zeros + self.rest))
        here: tuple[Any, ...] = (*self._table, membrane)
        seen = tables.current_offset[(*self._table, current)] + sums * 2**neuron.fraction_bits
        if tables.follows is not None:
            seen = seen * tables.follows[here]
        level = self._found(tables.reached, tables.membrane_offset[here] + seen)
        key = tables.next_offset[(*self._table, current)] + sums * 2**neuron.next_fraction_bits
        after = self._found(tables.following, key)
        left = level if tables.successor is None else tables.successor[(*here, level)]
        kept["states"] = after * neuron.membrane_state_count + left
        return self.listed(level >= tables.fire_level[self._table])

    def _found(self, search: Search, keys: IntArray) -> IntArray:
        """How many boundaries every key reaches, one comparison a bit."""
        found = np.zeros_like(keys)
        for bit in reversed(range(search.bits)):
            found = found + 2**bit * (search.boundaries[(*self._table, found + 2**bit - 1)] <= keys)
        return found

    def told(self, states: IntArray) -> IntArray:
        return states % self.tables.neuron.membrane_state_count

    def _memories(self) -> Sequence[Memory]:
        tables = self.tables
        tabled = {search.name: search for search in (tables.reached, tables.following)}
        roms = (
            self._rom(
                name,
                table,
                tables.widths[name.rstrip(digits)],
                tabled[name].how if name in tabled else None,
            )
            for name, table in tables.arrays().items()
        )
        return *self._kept(self.current_bits + self.membrane_bits), *roms

    def _logic(self) -> Usage:
        """Comparisons of both searches, and three adders in front of them."""
        pe, both = self.lanes.pe, (self.tables.reached, self.tables.following)
        added = (adders(pe * number, one.key_bits) for number, one in zip((2, 1), both, strict=True))
        found = (searches(pe, one.key_bits, one.bits, one.how) for one in both)
        return Usage.total([*added, *found, self._list_logic])


@dataclass(frozen=True, eq=False)
class PairBlueprint(Blueprint):
    """Of a layer of two-state neurons."""

    layer: TwoStateNeuron
    fires: ClassVar[bool] = True

    def takes_events(self, taken: Sequence[Signal]) -> bool:
        return False

    def gives(self, taken: Sequence[Signal], *, as_events: bool) -> Signal:
        return spikes(taken[0].grid)

    def unit(self, ports: Ports, settings: Settings) -> FirePairs:
        neuron, lanes = self.layer, ports.takes[0].lanes
        assert lanes is not None
        tables = pair_tables(neuron, lanes, *settings.reach)
        return FirePairs(ports, neuron.states, neuron.initial_state, neuron.tables, settings.hands_over, tables)
