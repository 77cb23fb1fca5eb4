"""The finite-state machines of a neuron layer, run in NumPy.

Neurons look their next state up in a table over (state, sum) where that is small, and search the sorted thresholds
where it is not. Both are made from `Neuron.thresholds` and nothing else.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network.layers.base import IntArray

if TYPE_CHECKING:
    from squat_deploy.network.layers.neuron import Neuron

_LOOKUP_LIMIT = 2**22  # entries of a (table, state, sum) lookup: stays in the cache
_SMALL, _UPDATES = 2**18, 64  # entries that are soon made, and those that an update a step is worth


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

    def __init__(self, neuron: Neuron, low: int, high: int) -> None:
        self.neuron, self.low, self.span = neuron, low, high - low + 1
        self.fires = np.arange(neuron.level_count) >= neuron.fire_level[:, None]

    def start(self, samples: int) -> MachineStep:
        """A sequence from rest."""
        size = len(self.neuron.thresholds) * self.neuron.states * self.span
        worth = size <= max(_SMALL, _UPDATES * samples * self.neuron.neurons) or "lookup" in vars(self)
        return _Lookup(self, samples) if size <= _LOOKUP_LIMIT and worth else _Search(self, samples)

    @cached_property
    def lookup(self) -> NDArray[np.int32]:
        """(K * states * span,) next row start, its lowest bit the spike: one gather an update."""
        neuron = self.neuron
        rows = np.arange(len(neuron.thresholds) * neuron.states).reshape(-1, neuron.states, 1)
        following = (rows[:, :1] + neuron.successor) * self.span
        first = (neuron.thresholds - self.low).clip(0, self.span)
        runs = np.diff(first, axis=2, prepend=0, append=self.span)  # how many sums lead to each level
        codes = (following * 2 + self.fires[:, None]).astype(np.int32)
        return np.repeat(codes.reshape(-1), runs.reshape(-1))

    @cached_property
    def tree(self) -> IntArray:
        """(K * states, 2**bits - 1) thresholds padded to a full binary search tree."""
        thresholds = self.neuron.thresholds.reshape(-1, self.neuron.level_count - 1)
        padded = np.full((len(thresholds), 2 ** (self.neuron.level_count - 1).bit_length() - 1), 2**62)
        padded[:, : thresholds.shape[1]] = thresholds
        return padded

    @cached_property
    def by_level(self) -> bool:
        """As `Neuron.carries_level`."""
        return self.neuron.carries_level


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


class _Search(MachineStep):
    def __init__(self, machine: Machine, samples: int) -> None:
        self.neuron, self.tree = machine.neuron, machine.tree
        self.by_level = machine.by_level
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
        self.state = level if self.by_level else neuron.successor[neuron.table, self.state, level]
        return level >= neuron.fire_level[neuron.table]
