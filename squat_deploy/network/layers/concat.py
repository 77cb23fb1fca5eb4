"""Branches one after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import ConfigError
from squat_deploy.network.layers.base import BaseLayer, IntArray, Range, Stateless, joined


@dataclass(frozen=True, eq=False)
class Concat(BaseLayer):
    """All inputs one after another, as channels are in (C, H, W) flattened."""

    name: str
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise ConfigError(f"{self.name}: nothing to concatenate in {self.sizes}")

    @classmethod
    def of(cls, name: str, arrays: dict[str, IntArray]) -> Self:
        return cls(name, tuple(arrays["sizes"].tolist()))

    @property
    def outputs(self) -> int:
        return sum(self.sizes)

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return self.sizes

    def apply(self, *values: NDArray[Any]) -> NDArray[Any]:
        """(B, size) integers each to (B, outputs)."""
        return np.concatenate(values, axis=-1)

    def range(self, *taken: Range) -> Range:
        return self.apply(*(low for low, _ in taken)), self.apply(*(high for _, high in taken))

    def stage(self, *taken: Range) -> Stateless:
        return joined(self, self.apply, *taken)

    def arrays(self) -> dict[str, IntArray]:
        return {"sizes": np.array(self.sizes, dtype=np.int64)}

    def about(self) -> tuple[str, str]:
        return f"{self.outputs}", ""
