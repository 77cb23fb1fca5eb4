"""What all neuron layers have in common: N neurons that run one of K machines each, and give spikes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network.layers.base import BaseLayer, Ends, IntArray, Range, constant_range


class NeuronLayer(BaseLayer):
    """State-quantized neurons as finite-state machines on the integer synaptic sum.

    Attributes:
        successor: (K, states of the membrane, levels), its next state.
        fire_level: (K,), first level that spikes.
        table: (N,), which of the K machines neuron n runs.
        initial_state: index of all states together at the start of a sequence (rest).
        membranes: (K, states of the membrane) float32, for readers and `verify`; no executor uses them.
    """

    successor: IntArray
    fire_level: IntArray
    table: IntArray
    initial_state: int
    membranes: NDArray[np.float32]
    remembers: ClassVar[bool] = True
    late: ClassVar[bool] = True

    @property
    def neurons(self) -> int:
        return int(self.table.size)

    @property
    def outputs(self) -> int:
        return self.neurons

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return (self.neurons,)

    @property
    def tables(self) -> int:
        return int(self.fire_level.size)

    @property
    @abstractmethod
    def states(self) -> int:
        """State indices, of all states together."""

    @property
    @abstractmethod
    def level_count(self) -> int:
        """Levels that the membrane can reach."""

    @property
    def state_bits(self) -> int:
        return max(1, (self.states - 1).bit_length())

    def range(self, *taken: Range) -> Range:
        """Spikes."""
        return constant_range(self.neurons, 0, 1)

    @abstractmethod
    def following(self, table: int, state: int, low: int, high: int) -> Iterator[tuple[int, Ends]]:
        """Every state one step later, and the lowest and the highest sum in low..high that leads there."""

    def membrane_states(self, states: NDArray[Any]) -> NDArray[Any]:
        """The membrane's own states of state indices, which readouts look at."""
        return states

    def membranes_of(self, states: NDArray[Any]) -> NDArray[np.float32]:
        """(..., N) membranes of state indices (..., N)."""
        return self.membranes[self.table, self.membrane_states(states)]
