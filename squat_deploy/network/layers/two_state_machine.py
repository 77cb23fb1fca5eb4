"""Two-state neurons run in NumPy, from step to step: two binary searches an update."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network.layers.base import IntArray
from squat_deploy.network.layers.machine import MachineStep

if TYPE_CHECKING:
    from squat_deploy.network.layers.two_state import TwoStateNeuron

_STRIDE = 2**46  # between the keys of two tables: more than any key and boundary together


class PairMachine:
    """The neurons of one layer; the boundaries of all tables lie in one array, those of table k moved by k strides."""

    def __init__(self, neuron: TwoStateNeuron) -> None:
        self.neuron = neuron

    def start(self, samples: int) -> PairStep:
        """A sequence from rest."""
        return PairStep(self, samples)

    @cached_property
    def moved(self) -> IntArray:
        """(N,) by how much keys are moved."""
        return self.neuron.table * _STRIDE

    @cached_property
    def boundaries(self) -> IntArray:
        """(K * (levels - 1),), ascending."""
        return _in_a_row(self.neuron.boundaries)

    @cached_property
    def next_boundaries(self) -> IntArray:
        """(K * (current levels - 1),), ascending."""
        return _in_a_row(self.neuron.next_boundaries)


def _in_a_row(boundaries: IntArray) -> IntArray:
    return (boundaries + np.arange(len(boundaries))[:, None] * _STRIDE).reshape(-1)


class PairStep(MachineStep):
    """Neurons of one batch.

    Attributes:
        current, membrane: (B, N) states after the last step.
    """

    def __init__(self, machine: PairMachine, samples: int) -> None:
        self.machine, self.neuron = machine, machine.neuron
        self.by_level = self.neuron.carries_level
        shape = (samples, self.neuron.neurons)
        self.current, self.membrane = self.neuron.parts(np.full(shape, self.neuron.initial_state, dtype=np.int64))

    @property
    def states(self) -> NDArray[Any]:
        return self.current * self.neuron.membrane_state_count + self.membrane

    def __call__(self, *values: NDArray[Any]) -> NDArray[Any]:
        neuron, machine, table = self.neuron, self.machine, self.neuron.table
        sums = values[0].astype(np.int64, copy=False)
        key = neuron.key(table, self.current, self.membrane, sums) + machine.moved
        after = neuron.next_key(table, self.current, sums) + machine.moved
        level = np.searchsorted(machine.boundaries, key, side="right") - table * (neuron.level_count - 1)
        below = table * (neuron.current_level_count - 1)
        self.current = np.searchsorted(machine.next_boundaries, after, side="right") - below
        self.membrane = level if self.by_level else neuron.successor[table, self.membrane, level]
        return level >= neuron.fire_level[table]
