"""The finite-state machines of a neuron layer, run in NumPy.

Neurons look their next state up in a table over (state, sum) where that is small, and search the sorted thresholds
where it is not. Both are made from the arrays of the layer and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network.layers.base import IntArray

if TYPE_CHECKING:
    from squat_deploy.network.layers.neuron import Neuron
    from squat_deploy.network.layers.neuron_layer import NeuronLayer

_LOOKUP_LIMIT = 2**22  # entries of a (table, state, sum) lookup: stays in the cache
_MOST_ROWS = 2**14  # of such a table, which are filled one by one


class MachineStep:
    """Neurons of one batch, from step to step."""

    @property
    def states(self) -> NDArray[Any]:
        """(B, N) state indices after the last step."""
        raise NotImplementedError

    def __call__(self, *values: NDArray[Any]) -> NDArray[Any]:
        """Synaptic sums (B, N) of one step to spikes (B, N), bool."""
        raise NotImplementedError


class Machine:
    """The neurons of one layer for synaptic sums in low..high."""

    def __init__(self, neuron: NeuronLayer, low: int, high: int, search: Callable[[int], MachineStep]) -> None:
        """Args: search: makes the step of so many samples where a table over all sums would be too large."""
        self.neuron, self.low, self.span, self.search = neuron, low, high - low + 1, search

    def start(self, samples: int) -> MachineStep:
        """A sequence from rest."""
        rows = self.neuron.tables * self.neuron.states
        small = rows <= _MOST_ROWS and rows * self.span <= _LOOKUP_LIMIT
        return _Lookup(self, samples) if small else self.search(samples)

    @cached_property
    def lookup(self) -> NDArray[np.int32]:
        """(K * states * span,) next row start, its lowest bit the spike: one gather an update."""
        neuron = self.neuron
        sums = np.arange(self.low, self.low + self.span)
        table = np.empty((neuron.tables, neuron.states, self.span), dtype=np.int32)
        for k, state in np.ndindex(*table.shape[:2]):
            following, fires = neuron.transition(k, state, sums)
            table[k, state] = (k * neuron.states + following) * self.span * 2 + fires
        return table.reshape(-1)


class _Lookup(MachineStep):
    def __init__(self, machine: Machine, samples: int) -> None:
        neuron = machine.neuron
        self.table, self.low, self.span = machine.lookup, machine.low, machine.span
        self.first = (neuron.table * neuron.states * self.span).astype(np.int32)
        start = self.first + np.int32(neuron.initial_state * self.span)
        self.row: NDArray[np.int32] = np.broadcast_to(start, (samples, neuron.neurons))

    @property
    def states(self) -> NDArray[Any]:
        return (self.row - self.first) // self.span

    def __call__(self, *values: NDArray[Any]) -> NDArray[Any]:
        (sums,) = values
        code = self.table.take(self.row + (sums - self.low).astype(np.int32, copy=False))
        self.row = code >> 1
        return (code & 1).astype(bool)


class TableSearch:
    """Binary search through the thresholds of the present state."""

    def __init__(self, neuron: Neuron) -> None:
        self.neuron = neuron

    def __call__(self, samples: int) -> MachineStep:
        return _Search(self.neuron, self.tree, samples)

    @cached_property
    def tree(self) -> IntArray:
        """(K * states, 2**bits - 1) thresholds padded to a full binary search tree."""
        thresholds = self.neuron.thresholds.reshape(-1, self.neuron.level_count - 1)
        size = 2 ** (self.neuron.level_count - 1).bit_length() - 1
        return np.pad(thresholds, ((0, 0), (0, size - thresholds.shape[1])), constant_values=2**62)


class _Search(MachineStep):
    def __init__(self, neuron: Neuron, tree: IntArray, samples: int) -> None:
        self.neuron, self.tree = neuron, tree
        self.state = np.full((samples, self.neuron.neurons), self.neuron.initial_state, dtype=np.int64)

    @property
    def states(self) -> NDArray[Any]:
        return self.state

    def __call__(self, *values: NDArray[Any]) -> NDArray[Any]:
        (sums,) = values
        neuron, table, width = self.neuron, self.tree.reshape(-1), self.tree.shape[1]
        start = (neuron.table * neuron.states + self.state) * width
        level = np.zeros(sums.shape, dtype=np.int64)
        half = (width + 1) // 2
        while half:
            level += half * (table.take(start + (level + (half - 1))) <= sums)
            half //= 2
        self.state = level if neuron.carries_level else neuron.successor[neuron.table, self.state, level]
        return level >= neuron.fire_level[neuron.table]
