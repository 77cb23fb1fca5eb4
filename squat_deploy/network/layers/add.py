"""Sums of branches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import ConfigError
from squat_deploy.network.layers.base import BaseLayer, Ends, IntArray, Range, Stateless, joined


@dataclass(frozen=True, eq=False)
class Add(BaseLayer):
    """Element by element, `sum of factors[i] * input i`: a residual branch, or recurrent synapses.

    Attributes:
        size: values of each input, and of the result.
        factors: one positive integer an input, which puts the branches on one grid.
    """

    name: str
    size: int
    factors: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.size < 1 or len(self.factors) < 2 or not all(1 <= factor < 2**24 for factor in self.factors):
            raise ConfigError(f"{self.name}: {self.factors} times {self.size} values is no sum of branches")

    @classmethod
    def of(cls, name: str, arrays: dict[str, IntArray]) -> Self:
        return cls(name, arrays["size"].item(), tuple(arrays["factors"].tolist()))

    @property
    def outputs(self) -> int:
        return self.size

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return (self.size,) * len(self.factors)

    def apply(self, *values: NDArray[Any]) -> NDArray[Any]:
        """(B, size) integers each to (B, size)."""
        total = values[0] * self.factors[0]
        for factor, value in zip(self.factors[1:], values[1:], strict=True):
            total = total + value * factor
        return total

    def range(self, *taken: Range) -> Range:
        return self.apply(*(low for low, _ in taken)), self.apply(*(high for _, high in taken))

    def partial_range(self, *taken: Range) -> Ends:
        return super().partial_range(*((np.minimum(low, 0), np.maximum(high, 0)) for low, high in taken))

    def stage(self, *taken: Range) -> Stateless:
        return joined(self, self.apply, *taken)

    def arrays(self) -> dict[str, IntArray]:
        return {"size": np.array([self.size]), "factors": np.array(self.factors, dtype=np.int64)}

    def about(self) -> tuple[str, str]:
        return f"{self.outputs}", f"factors {self.factors}"
