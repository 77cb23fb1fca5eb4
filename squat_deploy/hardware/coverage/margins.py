"""How near every sum of a run came to another outcome, by the searches that a neuron makes in its tables.

A search finds the level of a number that rises with the synaptic sum. Levels that lie side by side and have one outcome
(the same next state and spike) count as one here: no run can tell them apart. A level is known by a code,
`row * levels + level`, a row being a state of one of the tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network.layers import AnyNeuron, IntArray, Neuron, Range, TwoStateNeuron
from squat_deploy.network.simulator import LayerTrace
from squat_deploy.network.transition import reachable_states
from squat_deploy.network.two_state_reach import reachable_parts

FAR = 2**60  # of a sum that nothing lies beyond
_FEW, _SOME = 2**12, (0, 3, 6)  # codes up to which all powers of two are told apart as distances, else these
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Met:
    """What one search of a layer met in a run.

    Attributes:
        code: (T, B, N) level that was found.
        up, down: (T, B, N) least that the sum would have to be more, or less, for another outcome; FAR: there is none.
    """

    code: IntArray
    up: IntArray
    down: IntArray


@dataclass(frozen=True, eq=False)
class Reach:
    """Levels that were found, or may be, by code.

    Attributes:
        found: (rows * levels,).
        above, below: (rows * levels * distances,) by sums nearer than that to the threshold below the level, or above.
    """

    found: Mask
    above: Mask
    below: Mask

    @property
    def masks(self) -> tuple[Mask, Mask, Mask]:
        """All three."""
        return self.found, self.above, self.below


@dataclass(frozen=True, eq=False)
class Edges:
    """The numbers between which a level is found: lower <= number < upper.

    Attributes:
        cuts: (rows, levels + 1), the levels' own, without end at both ends.
        lower, upper: (rows * levels,), of all levels with the same outcome together.
        first: (rows * levels,), the code that stands for all of them.
        distances: of sums to thresholds that are told apart, 1 first.
    """

    cuts: IntArray
    lower: IntArray
    upper: IntArray
    first: IntArray
    distances: IntArray

    @classmethod
    def of(cls, thresholds: IntArray, outcome: IntArray, bits: int = 0) -> Edges:
        """Args: thresholds: (rows, levels - 1), ascending, in units of a sum / 2**bits; outcome: (rows, levels)."""
        rows, levels = outcome.shape
        ends = np.full((rows, 1), FAR, dtype=np.int64)
        cuts = np.concatenate([-ends, thresholds, ends], axis=1)
        lower, upper, outcome = cuts[:, :-1].copy(), cuts[:, 1:].copy(), outcome.copy()
        first = np.arange(rows * levels).reshape(rows, levels)
        for level in range(levels - 2, -1, -1):  # a level without numbers is that above it
            empty = cuts[:, level] >= cuts[:, level + 1]
            outcome[empty, level] = outcome[empty, level + 1]
        for level in range(levels - 2, -1, -1):
            same = outcome[:, level] == outcome[:, level + 1]
            upper[same, level] = upper[same, level + 1]
        for level in range(1, levels):
            same = outcome[:, level] == outcome[:, level - 1]
            lower[same, level], first[same, level] = lower[same, level - 1], first[same, level - 1]
        widest = int(np.ptp(thresholds)) >> bits
        powers = range(widest.bit_length() + 1) if outcome.size <= _FEW else _SOME
        distances = 2 ** np.array(powers, dtype=np.int64)
        return cls(cuts, lower.reshape(-1), upper.reshape(-1), first.reshape(-1), distances)

    def all_of(self, kind: str) -> int:
        """How many levels with outcomes of their own there are, or those of them with a threshold below, or above."""
        own = (self.first == np.arange(self.first.size)) & (self.lower < self.upper)
        bound = {"above": self.lower > -FAR, "below": self.upper < FAR}
        return int(np.count_nonzero(own & bound.get(kind, own)))

    def named(self, codes: IntArray) -> list[str]:
        """Those of codes that stand for levels of their own, as `row.level`."""
        own = codes[(self.first[codes] == codes) & (self.lower[codes] < self.upper[codes])]
        levels = self.cuts.shape[1] - 1
        return [f"{code // levels}.{code % levels}" for code in own.tolist()]

    def level(self, row: IntArray, number: IntArray) -> IntArray:
        """Level of numbers, by the rows of their states."""
        cuts, width = self.cuts.reshape(-1), self.cuts.shape[1]
        start, level = row * width + 1, np.zeros(row.shape, dtype=np.int64)
        most = width - 2
        for bit in reversed(range(most.bit_length())):
            further = level + 2**bit
            reached = (further <= most) & (cuts.take(start + np.minimum(further, most) - 1) <= number)
            level = np.where(reached, further, level)
        return level

    def reach(self, row: IntArray, low: IntArray, high: IntArray, bits: int = 0) -> Reach:
        """What numbers in low..high, sums times 2**bits, lead to from some rows, (rows,) each."""
        levels = self.cuts.shape[1] - 1
        codes = (row[:, None] * levels + np.arange(levels)).reshape(-1)
        codes, (low, high) = self.first[codes], (np.repeat(end, levels) for end in (low, high))
        lower, upper = self.lower[codes], self.upper[codes]
        alive = (lower <= high) & (upper > low) & (lower < upper)
        up, _ = self.margins(codes, np.minimum(upper - 1, high), bits)
        _, down = self.margins(codes, np.maximum(lower, low), bits)
        return self.seen(codes[alive], up[alive], down[alive])

    def margins(self, codes: IntArray, number: IntArray, bits: int) -> tuple[IntArray, IntArray]:
        """Least that a sum would have to be more, and less, for another outcome than that of these codes."""
        lower, upper = self.lower[codes], self.upper[codes]
        up = np.where(upper < FAR, -((number - upper) >> bits), FAR)
        return up, np.where(lower > -FAR, ((number - lower) >> bits) + 1, FAR)

    def seen(self, codes: IntArray, up: IntArray, down: IntArray) -> Reach:
        """What levels with these margins come to."""
        found = np.zeros(self.first.size, dtype=bool)
        found[codes] = True
        near = np.zeros((2, self.first.size, self.distances.size), dtype=bool)
        for side, margin in enumerate((down, up)):
            for place, distance in enumerate(self.distances.tolist()):
                near[side, codes[margin <= distance], place] = True
        return Reach(found, near[0].reshape(-1), near[1].reshape(-1))


class LevelSearch:
    """The search of a neuron of one state: its sum among the thresholds of its state."""

    what = "levels"

    def __init__(self, neuron: Neuron) -> None:
        self.neuron = neuron
        fires = np.arange(neuron.level_count) >= neuron.fire_level[:, None]
        outcome = neuron.successor * 2 + fires[:, None]
        rows = len(neuron.thresholds) * neuron.states
        self.edges = Edges.of(
            neuron.thresholds.reshape(rows, -1), np.broadcast_to(outcome, neuron.successor.shape).reshape(rows, -1)
        )

    def of(self, neuron: Any) -> LevelSearch:
        """The same search of other neurons with the same tables."""
        other = copy(self)
        other.neuron = neuron
        return other

    def met(self, trace: LayerTrace) -> Met:
        """What it met in a run."""
        neuron, sums, edges = self.neuron, trace.sums.astype(np.int64), self.edges
        row = neuron.table * neuron.states + before(neuron, trace.states)
        level = trace.states.astype(np.int64) if neuron.carries_level else edges.level(row, sums)
        code = edges.first[row * neuron.level_count + level]
        return Met(code, *edges.margins(code, sums, 0))

    def reach(self, sums: Range, steps: int) -> Reach:
        """What it may meet, with sums in these ranges (N,)."""
        neuron, parts = self.neuron, []
        for table, low, high in _spans(neuron, sums):
            states = table * neuron.states + reachable_states(neuron, table, low, high, steps=steps)
            parts.append(self.edges.reach(states, np.full(states.size, low), np.full(states.size, high)))
        return _any(parts)


class _PairSearch:
    """One of the two searches of a two-state neuron."""

    def __init__(self, neuron: TwoStateNeuron, boundaries: IntArray, outcome: IntArray, bits: int) -> None:
        rows = outcome.reshape(-1, outcome.shape[-1])
        self.neuron, self.bits, self.states, self.levels = neuron, bits, outcome.shape[1], outcome.shape[2]
        self.edges = Edges.of(np.repeat(boundaries, self.states, axis=0), rows, bits)

    def of(self, neuron: Any) -> Self:
        """The same search of other neurons with the same tables."""
        other = copy(self)
        other.neuron = neuron
        return other

    def _met(self, state: IntArray, key: IntArray, moves: NDArray[Any]) -> Met:
        row, edges = self.neuron.table * self.states + state, self.edges
        code = edges.first[row * self.levels + edges.level(row, key)]
        up, down = (np.where(moves, margin, FAR) for margin in edges.margins(code, key, self.bits))
        return Met(code, up, down)


class MembraneSearch(_PairSearch):
    """That of a two-state neuron for the level of its membrane."""

    what = "levels"

    def __init__(self, neuron: TwoStateNeuron) -> None:
        fires = np.arange(neuron.level_count) >= neuron.fire_level[:, None]
        super().__init__(neuron, neuron.boundaries, neuron.successor * 2 + fires[:, None], neuron.fraction_bits)

    def met(self, trace: LayerTrace) -> Met:
        """What it met in a run."""
        neuron = self.neuron
        current, membrane = neuron.parts(before(neuron, trace.states))
        key = neuron.key(neuron.table, current, membrane, trace.sums.astype(np.int64))
        return self._met(membrane, key, neuron.follows[neuron.table, membrane] != 0)

    def reach(self, sums: Range, steps: int) -> Reach:
        """What it may meet, with sums in these ranges (N,), perhaps less than that."""
        neuron, parts = self.neuron, []
        for table, low, high in _spans(neuron, sums):
            currents, membranes = reachable_parts(neuron, table, low, high, steps=steps)
            offset, own = neuron.current_offset[table, currents], np.flatnonzero(membranes)
            ends = (offset.min() + (low << self.bits), offset.max() + (high << self.bits))
            key = [neuron.membrane_offset[table, own] + neuron.follows[table, own] * end for end in ends]
            parts.append(self.edges.reach(table * self.states + own, key[0], key[1], self.bits))
        return _any(parts)


class CurrentSearch(_PairSearch):
    """That of a two-state neuron for its next synaptic current."""

    what = "currents"

    def __init__(self, neuron: TwoStateNeuron) -> None:
        shape = (*neuron.next_offset.shape, neuron.current_level_count)
        outcome = np.broadcast_to(np.arange(shape[-1]), shape)
        super().__init__(neuron, neuron.next_boundaries, outcome, neuron.next_fraction_bits)

    def met(self, trace: LayerTrace) -> Met:
        """What it met in a run."""
        neuron = self.neuron
        current = neuron.parts(before(neuron, trace.states))[0]
        key = neuron.next_key(neuron.table, current, trace.sums.astype(np.int64))
        return self._met(current, key, np.ones(1, dtype=bool))

    def reach(self, sums: Range, steps: int) -> Reach:
        """What it may meet, with sums in these ranges (N,), perhaps less than that."""
        neuron, parts = self.neuron, []
        for table, low, high in _spans(neuron, sums):
            own = np.flatnonzero(reachable_parts(neuron, table, low, high, steps=steps)[0])
            offset = neuron.next_offset[table, own]
            ends = offset + (low << self.bits), offset + (high << self.bits)
            parts.append(self.edges.reach(table * self.states + own, *ends, self.bits))
        return _any(parts)


Search = LevelSearch | MembraneSearch | CurrentSearch


def searches_of(neuron: AnyNeuron) -> tuple[Search, ...]:
    """All that a neuron makes in a step."""
    if isinstance(neuron, Neuron):
        return (LevelSearch(neuron),)
    return MembraneSearch(neuron), CurrentSearch(neuron)


def codes_of_levels(neuron: AnyNeuron) -> int:
    """How many levels of all states its searches tell apart."""
    if isinstance(neuron, Neuron):
        return neuron.tables * neuron.states * neuron.level_count
    currents = neuron.current_states * neuron.current_level_count
    return neuron.tables * (neuron.membrane_state_count * neuron.level_count + currents)


def before(neuron: AnyNeuron, states: NDArray[Any]) -> IntArray:
    """(T, B, N) states in which the steps of a run begin."""
    first = np.full((1, *states.shape[1:]), neuron.initial_state, dtype=np.int64)
    return np.concatenate([first, states[:-1].astype(np.int64)])


def _spans(neuron: AnyNeuron, sums: Range) -> list[tuple[int, int, int]]:
    """(table, lowest, highest sum) of every table that a neuron runs."""
    used = np.unique(neuron.table)
    lows, highs = np.full(neuron.tables, FAR), np.full(neuron.tables, -FAR)
    np.minimum.at(lows, neuron.table, sums[0])
    np.maximum.at(highs, neuron.table, sums[1])
    return [(int(table), int(lows[table]), int(highs[table])) for table in used]


def _any(parts: Sequence[Reach]) -> Reach:
    return Reach(*(np.logical_or.reduce(masks) for masks in zip(*(part.masks for part in parts), strict=True)))
