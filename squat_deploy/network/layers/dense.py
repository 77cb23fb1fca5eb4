"""Fully connected synapses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from numpy.typing import NDArray

from squat_deploy.network.layers.base import IntArray, freeze
from squat_deploy.network.layers.synapses import Synapses


@dataclass(frozen=True, eq=False)
class Dense(Synapses):
    """Fully connected synapses: `synaptic sum = weight @ input + bias`, exact integers.

    Attributes:
        weight: (out, in).
        bias: (out,), in units of the synaptic sum.
    """

    name: str
    weight: IntArray
    bias: IntArray
    axes: ClassVar[int] = 2

    def __post_init__(self) -> None:
        freeze(self)

    @classmethod
    def of(cls, name: str, arrays: dict[str, IntArray]) -> Self:
        return cls(name, arrays["weight"], arrays["bias"])

    @property
    def inputs(self) -> int:
        return int(self.weight.shape[1])

    @property
    def outputs(self) -> int:
        return int(self.weight.shape[0])

    @property
    def neuron_bias(self) -> IntArray:
        return self.bias

    def matrix(self, weight: NDArray[Any]) -> NDArray[Any]:
        """(in, out)."""
        return weight.T

    def multiply(self, values: NDArray[Any], matrix: NDArray[Any]) -> NDArray[Any]:
        return values @ matrix

    def about(self) -> tuple[str, str]:
        return f"{self.inputs} x {self.outputs}", self._weights_told()
