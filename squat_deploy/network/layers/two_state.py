"""Neurons with two quantized states, a synaptic current and a membrane, by offsets in place of a table of all pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network.layers.base import Ends, IntArray, Range, freeze, within
from squat_deploy.network.layers.neuron_layer import NeuronLayer
from squat_deploy.network.layers.two_state_machine import PairMachine
from squat_deploy.network.limits import MAX_FRACTION_BITS, MAX_KEY, MAX_NEURONS, MAX_STATES

_NUMBERS = ("fraction_bits", "next_fraction_bits", "initial_state")
_FLOATS = ("membranes", "currents")
_TABLES = ("follows", "membrane_offset", "current_offset", "boundaries", "next_offset", "next_boundaries")


@dataclass(frozen=True, eq=False)
class TwoStateNeuron(NeuronLayer):
    """Neurons whose next membrane depends on both states and the synaptic sum S at once.

    With `k = table[n]`, current state a and membrane state b:
    level = number of `boundaries[k]` that are <= `membrane_offset[k, b] + follows[k, b] * (current_offset[k, a] + (S <<
    fraction_bits))`; spike = level >= `fire_level[k]`; next b = `successor[k, b, level]`;
    next a = number of `next_boundaries[k]` that are <= `next_offset[k, a] + (S << next_fraction_bits)`.
    A state index is `a * membrane states + b`.

    Attributes:
        follows: (K, B), 0 where the next membrane depends on its state alone (it was reset to zero), else 1.
        membrane_offset: (K, B); current_offset, next_offset: (K, A).
        boundaries: (K, levels - 1); next_boundaries: (K, current levels - 1); both ascend.
        successor: (K, B, levels).
        initial_state: index of both states at rest.
        membranes: (K, B) float32; currents: (K, A) float32; for readers and `verify`, no executor uses them.
    """

    name: str
    follows: IntArray
    membrane_offset: IntArray
    current_offset: IntArray
    boundaries: IntArray
    fraction_bits: int
    next_offset: IntArray
    next_boundaries: IntArray
    next_fraction_bits: int
    successor: IntArray
    fire_level: IntArray
    table: IntArray
    initial_state: int
    membranes: NDArray[np.float32]
    currents: NDArray[np.float32]

    def __post_init__(self) -> None:
        wide = (*self.membrane_offset.shape, self.level_count)
        if self.successor.size and self.successor.shape == (1, 1, self.level_count):  # alike for all, as it is saved
            object.__setattr__(self, "successor", np.broadcast_to(self.successor, wide))
        freeze(self)

    @classmethod
    def of(cls, name: str, arrays: dict[str, IntArray]) -> Self:
        found: dict[str, Any] = {key: arrays[key] for key in (*_TABLES, "successor", "fire_level", "table")}
        found |= dict(zip(_NUMBERS, arrays["numbers"].reshape(len(_NUMBERS)).tolist(), strict=True))
        for key in _FLOATS:
            found[key] = arrays[f"{key[:-1]}_bits"].astype(np.int32).view(np.float32)
        return cls(name, **found)

    @property
    def current_states(self) -> int:
        """States of the synaptic current, A."""
        return int(self.current_offset.shape[1])

    @property
    def membrane_state_count(self) -> int:
        """States of the membrane, B."""
        return int(self.membrane_offset.shape[1])

    @property
    def states(self) -> int:
        return self.current_states * self.membrane_state_count

    @property
    def level_count(self) -> int:
        return int(self.boundaries.shape[1]) + 1

    @property
    def current_level_count(self) -> int:
        """Levels that the synaptic current can reach; the first states are these."""
        return int(self.next_boundaries.shape[1]) + 1

    @property
    def carries_level(self) -> bool:
        """Whether the next state of the membrane is simply its level (reset_delay=True)."""
        return bool((self.successor == np.arange(self.level_count)).all())

    def parts(self, states: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """(current states, membrane states) of state indices."""
        return np.divmod(states, self.membrane_state_count)

    def membrane_states(self, states: NDArray[Any]) -> NDArray[Any]:
        return states % self.membrane_state_count

    def currents_of(self, states: NDArray[Any]) -> NDArray[np.float32]:
        """(..., N) synaptic currents of state indices (..., N)."""
        return self.currents[self.table, self.parts(states)[0]]

    def key(self, table: int | IntArray, current: int | IntArray, membrane: int | IntArray, sums: IntArray) -> IntArray:
        """What is compared with `boundaries`, broadcast."""
        seen = self.current_offset[table, current] + (sums << self.fraction_bits)
        return self.membrane_offset[table, membrane] + self.follows[table, membrane] * seen

    def next_key(self, table: int | IntArray, current: int | IntArray, sums: IntArray) -> IntArray:
        """What is compared with `next_boundaries`, broadcast."""
        return self.next_offset[table, current] + (sums << self.next_fraction_bits)

    def key_ranges(self, low: int, high: int) -> tuple[Ends, Ends]:
        """Ranges, 0 included, of all numbers on the way to the membrane, and to the current, for sums in low..high."""
        ends = np.array([min(low, 0), max(high, 0)])
        seen = self.current_offset[..., None] + (ends << self.fraction_bits)
        keys = [seen, self.boundaries, *(self.membrane_offset + end for end in (seen.min(), seen.max(), 0))]
        following = [self.next_offset[..., None] + (ends << self.next_fraction_bits), self.next_boundaries]
        return _range_of([*keys, ends << self.fraction_bits]), _range_of([*following, ends << self.next_fraction_bits])

    def stage(self, *taken: Range) -> PairMachine:
        return PairMachine(self)

    def following(self, table: int, state: int, low: int, high: int) -> Iterator[tuple[int, Ends]]:
        """Sums between two steps of either state lead to one pair."""
        current, membrane = divmod(state, self.membrane_state_count)
        gap = self.boundaries[table] - self.key(table, current, membrane, np.zeros(1, dtype=np.int64))
        own = self.next_boundaries[table] - self.next_offset[table, current]
        steps = [-(-gap >> self.fraction_bits), -(-own >> self.next_fraction_bits)]
        edges = np.unique(np.concatenate([[low, high + 1], *steps]).clip(low, high + 1))
        first = edges[:-1]
        after = np.searchsorted(self.next_boundaries[table], self.next_key(table, current, first), side="right")
        level = np.searchsorted(self.boundaries[table], self.key(table, current, membrane, first), side="right")
        states = after * self.membrane_state_count + self.successor[table, membrane, level]
        yield from zip(states.tolist(), zip(first.tolist(), (edges[1:] - 1).tolist(), strict=True), strict=True)

    def arrays(self) -> dict[str, IntArray]:
        alike = self.tables and (self.successor == self.successor[:1, :1]).all()
        return {
            "numbers": np.array([getattr(self, key) for key in _NUMBERS], dtype=np.int64),
            **{key: getattr(self, key) for key in _TABLES},
            "successor": self.successor[:1, :1] if alike else self.successor,
            "fire_level": self.fire_level,
            "table": self.table,
        }

    def saved(self) -> dict[str, IntArray]:
        floats = {key: np.ascontiguousarray(getattr(self, key), dtype=np.float32) for key in _FLOATS}
        return {
            **self.arrays(),
            **{f"{key[:-1]}_bits": array.view(np.int32).astype(np.int64) for key, array in floats.items()},
        }

    def rules(self, taken: Sequence[Range]) -> list[str]:
        return self._shape_rules() or self._value_rules(*taken[0])

    def _shape_rules(self) -> list[str]:
        k, a, b, levels = self.tables, self.current_states, self.membrane_state_count, self.level_count
        if not 1 <= self.neurons <= MAX_NEURONS:
            return [f"{self.neurons} neurons; at most {MAX_NEURONS}"]
        wanted = {
            **dict.fromkeys(("follows", "membrane_offset", "membranes"), (k, b)),
            **dict.fromkeys(("current_offset", "next_offset", "currents"), (k, a)),
            "boundaries": (k, levels - 1),
            "next_boundaries": (k, self.current_level_count - 1),
            "successor": (k, b, levels),
            "fire_level": (k,),
        }
        if wrong := [key for key, shape in wanted.items() if getattr(self, key).shape != shape]:
            return [f"{wrong[0]} of another shape than the other arrays"]
        if not k or not 2 <= a <= MAX_STATES or not 2 <= b <= MAX_STATES:
            return [f"{k} tables of {a} and {b} states; at most {MAX_STATES} each"]
        if not 2 <= levels <= 256 or not 2 <= self.current_level_count <= min(a, 256):
            return [f"{levels} and {self.current_level_count} levels"]
        finite = np.isfinite(self.membranes).all() and np.isfinite(self.currents).all()
        return [] if finite else ["membranes and currents must be finite"]

    def _value_rules(self, lows: IntArray, highs: IntArray) -> list[str]:
        bits = self.fraction_bits, self.next_fraction_bits
        offsets = (self.membrane_offset, self.current_offset, self.boundaries, self.next_offset, self.next_boundaries)
        if not all(0 <= count <= MAX_FRACTION_BITS for count in bits):
            return [f"{bits} bits after the point; at most {MAX_FRACTION_BITS}"]
        sums = max(-int(lows.min()), int(highs.max()), 1) << max(bits)
        rules = {
            "keys exceed 44 bits": sums <= MAX_KEY and all(within(array, -MAX_KEY, MAX_KEY) for array in offsets),
            "boundaries must ascend": (np.diff(self.boundaries) >= 0).all()
            and (np.diff(self.next_boundaries) >= 0).all(),
            "what follows the sum must be 0 or 1": within(self.follows, 0, 1),
            "successors must be states": within(self.successor, 0, self.membrane_state_count - 1),
            "fire levels must be levels": within(self.fire_level, 0, self.level_count),
            "every neuron must have a table": within(self.table, 0, self.tables - 1),
            "the initial state must be a state": 0 <= self.initial_state < self.states,
        }
        return [rule for rule, holds in rules.items() if not holds]

    def about(self) -> tuple[str, str]:
        tables = "1 table" if self.tables == 1 else f"{self.tables} tables"
        states = f"{self.current_states} x {self.membrane_state_count} states"
        return f"{self.neurons} neurons", f"{states}, {self.level_count} levels, {tables}"


def _range_of(arrays: Sequence[IntArray]) -> Ends:
    return min(0, *(int(array.min()) for array in arrays)), max(0, *(int(array.max()) for array in arrays))
