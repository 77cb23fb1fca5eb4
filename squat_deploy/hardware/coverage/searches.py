"""The searches that a neuron makes in its tables: what they met in a run, and what they may meet."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.coverage.margins import FAR, Edges, Met, Reach
from squat_deploy.network import IntArray
from squat_deploy.network.layers import AnyNeuron, Neuron, Range, TwoStateNeuron
from squat_deploy.network.simulator import LayerTrace
from squat_deploy.network.transition import reachable_states
from squat_deploy.network.two_state_reach import reachable_parts


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
