"""Offsets and boundaries of two-state neurons as they stand in hardware."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from squat_deploy.hardware.lanes import Lanes
from squat_deploy.hardware.searches import How, copied, how, searched
from squat_deploy.hardware.tables import Spread, check_entries, padded_successor, spread_of, spread_out
from squat_deploy.network import IntArray, TwoStateNeuron, int_bits


@dataclass(frozen=True, eq=False)
class Search:
    """What a binary search runs over, padded to 2**bits - 1 entries with one more than any key in low..high."""

    name: str
    boundaries: IntArray
    bits: int
    low: int
    high: int
    shared: bool

    @property
    def how(self) -> How:
        """How it is searched."""
        return how(self.boundaries, self.bits, shared=self.shared)

    @property
    def arrays(self) -> dict[str, IntArray]:
        """What stands in memory."""
        return searched(self.name, self.boundaries, self.bits, shared=self.shared)

    @property
    def key_bits(self) -> int:
        """Width of the number that is searched for, signed."""
        return int_bits(min(self.low, -1), self.high)


@dataclass(frozen=True, eq=False)
class PairTables:
    """Constant arrays of one layer of two-state neurons, each with the leading dimensions of `spread`.

    Attributes:
        follows: whether each membrane state sees the sum, None where all do.
        membrane_offset: [membrane state]; current_offset, next_offset: [current state].
        reached, following: searches for the level, and for the next current.
        successor: [membrane state][2**reached.bits], or None where it is the level.
        fire_level: alone.
    """

    neuron: TwoStateNeuron
    spread: Spread
    pe: int
    follows: IntArray | None
    membrane_offset: IntArray
    current_offset: IntArray
    next_offset: IntArray
    reached: Search
    following: Search
    successor: IntArray | None
    fire_level: IntArray

    @cached_property
    def widths(self) -> dict[str, int]:
        """Bits of an entry of every array."""
        key, after = self.reached.key_bits, self.following.key_bits
        keys = dict.fromkeys(("MEMBRANE_OFFSET", "CURRENT_OFFSET", "BOUNDARIES"), key)
        own = (self.neuron.membrane_state_count - 1).bit_length()
        others = {"NEXT_OFFSET": after, "NEXT_BOUNDS": after, "SUCCESSOR": own, "FIRE_LEVEL": 16, "FOLLOWS": 1}
        return keys | others

    def arrays(self) -> dict[str, IntArray]:
        """The constant arrays by name; one first firing level for all is no array."""
        arrays = {
            "MEMBRANE_OFFSET": self.membrane_offset,
            "CURRENT_OFFSET": self.current_offset,
            **self.reached.arrays,
            "NEXT_OFFSET": self.next_offset,
            **self.following.arrays,
        }
        if self.follows is not None:
            arrays["FOLLOWS"] = self.follows
        if self.successor is not None:
            arrays["SUCCESSOR"] = self.successor
        return (
            copied(arrays, self.pe, shared=True)
            if self.spread == "shared"
            else {**arrays, "FIRE_LEVEL": self.fire_level}
        )


def pair_tables(neuron: TwoStateNeuron, lanes: Lanes, low: int, high: int) -> PairTables:
    """Tables for synaptic sums in low..high. Raises: ExportError naming the layer and the rule."""
    spread = spread_of(neuron, lanes)
    check_entries(neuron, lanes, spread, sum(array[0].size for array in (neuron.successor, neuron.boundaries)))

    def placed(tables: IntArray) -> IntArray:
        return spread_out(tables, neuron, lanes, spread)

    def search(name: str, boundaries: IntArray, ends: tuple[int, int]) -> Search:
        bits = boundaries.shape[1].bit_length()
        padding = [(0, 0), (0, 2**bits - 1 - boundaries.shape[1])]
        most = ends[1] + 1
        table = placed(np.pad(boundaries, padding, constant_values=most))
        return Search(name, table, bits, ends[0], most, spread == "shared")

    keys, next_keys = neuron.key_ranges(low, high)
    reached = search("BOUNDARIES", neuron.boundaries, keys)
    return PairTables(
        neuron=neuron,
        spread=spread,
        pe=lanes.pe,
        follows=None if neuron.follows.all() else placed(neuron.follows),
        membrane_offset=placed(neuron.membrane_offset),
        current_offset=placed(neuron.current_offset),
        next_offset=placed(neuron.next_offset),
        reached=reached,
        following=search("NEXT_BOUNDS", neuron.next_boundaries, next_keys),
        successor=None if neuron.carries_level else placed(padded_successor(neuron.successor, reached.bits)),
        fire_level=placed(neuron.fire_level),
    )
