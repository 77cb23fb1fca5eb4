"""What synapse layers share: exact integer sums, and the range of every sum and partial sum."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network.layers.base import BaseLayer, Ends, IntArray, Range, Stateless, integers, within
from squat_deploy.network.limits import MAX_VALUES

Bound = int | IntArray  # of every input, or (inputs,)


class Synapses(BaseLayer):
    """`synaptic sum = weight * input + bias`.

    Attributes:
        weight: output neurons or channels first.
        bias: one an output neuron or channel, in units of the synaptic sum.
    """

    weight: IntArray
    bias: IntArray
    axes: ClassVar[int]  # of `weight`

    @property
    @abstractmethod
    def inputs(self) -> int:
        """Number of presynaptic values."""

    @property
    @abstractmethod
    def neuron_bias(self) -> IntArray:
        """(outputs,)."""

    @abstractmethod
    def matrix(self, weight: NDArray[Any]) -> NDArray[Any]:
        """Weights as the factor of `multiply`."""

    @abstractmethod
    def multiply(self, values: NDArray[Any], matrix: NDArray[Any]) -> NDArray[Any]:
        """(B, inputs) to sums without the bias (B, outputs)."""

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return (self.inputs,) if self.weight.size and self.weight.ndim >= 2 else (-1,)

    def sum_range(self, low: Bound, high: Bound) -> Range:
        """Lowest and highest synaptic sum of every neuron (outputs,) for inputs in low..high: reached, not a bound."""
        bottom, top = self._ends(low, high)
        return bottom + self.neuron_bias, top + self.neuron_bias

    def range(self, *taken: Range) -> Range:
        return self.sum_range(*taken[0])

    def partial_range(self, *taken: Range) -> Ends:
        """Of every partial sum in any order, the start (0 or the bias) included: the accumulator's range."""
        ((low, high),) = taken
        bottom, top = self._ends(np.minimum(low, 0), np.maximum(high, 0))
        bias = self.neuron_bias
        return int((bottom + np.minimum(bias, 0)).min()), int((top + np.maximum(bias, 0)).max())

    def _ends(self, low: Bound, high: Bound) -> Range:
        """Lowest and highest sums without the bias, (outputs,)."""
        positive, negative = self.matrix(np.maximum(self.weight, 0)), self.matrix(np.minimum(self.weight, 0))
        lows, highs = (np.broadcast_to(end, self.inputs)[None] for end in (low, high))
        bottom = self.multiply(lows, positive) + self.multiply(highs, negative)
        return bottom[0], (self.multiply(highs, positive) + self.multiply(lows, negative))[0]

    def stage(self, *taken: Range) -> Stateless:
        """A matrix product in the narrowest float type that holds every partial sum exactly."""
        bottom, top = self.partial_range(*taken)
        largest = max(-bottom, top, 1)
        number: type[np.generic] = np.float32 if largest < 2**24 else np.float64 if largest < 2**53 else np.int64
        weight = np.ascontiguousarray(self.matrix(self.weight)).astype(number)
        bias, result = self.neuron_bias.astype(number), integers(largest)
        return Stateless(lambda *values: (self.multiply(values[0].astype(number), weight) + bias).astype(result))

    def rules(self, taken: Sequence[Range]) -> list[str]:
        if rules := self._shape_rules():
            return rules
        if not 1 <= self.outputs <= MAX_VALUES:
            return [f"gives {self.outputs} values; at most {MAX_VALUES}"]
        if not (within(self.weight, -(2**15), 2**15) and within(self.bias, -(2**40), 2**40)):
            return ["weights exceed 16 bits or the bias 40"]
        return super().rules(taken)

    def _shape_rules(self) -> list[str]:
        if self.weight.ndim == self.axes and self.bias.shape == self.weight.shape[:1]:
            return []
        return [f"weights {self.weight.shape} and bias {self.bias.shape} do not take {self.inputs} inputs"]

    def arrays(self) -> dict[str, IntArray]:
        return {"weight": self.weight, "bias": self.bias}

    def _weights_told(self) -> str:
        return f"weights {self.weight.min()}..{self.weight.max()}"
