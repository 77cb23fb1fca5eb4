"""Delays of whole time steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import ConfigError
from squat_deploy.network.layers.base import BaseLayer, IntArray, Range, freeze, integers, within
from squat_deploy.network.limits import MAX_PATCH_VALUES

MAX_DELAY = 255  # steps


@dataclass(frozen=True, eq=False)
class Delay(BaseLayer):
    """Every element as it was some steps before, 0 until then.

    Attributes:
        steps: (N,), 0 to 255 for each element.
    """

    name: str
    steps: IntArray
    remembers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.steps.ndim != 1 or not self.steps.size:
            raise ConfigError(f"{self.name}: delays are one an element; got an array {self.steps.shape}")
        if self.steps.dtype.kind not in "iu" or not within(self.steps, 0, MAX_DELAY):
            got = f"{self.steps.dtype}, {self.steps.min()} to {self.steps.max()}"
            raise ConfigError(f"{self.name}: delays must be 0 to {MAX_DELAY} steps; got {got}")
        steps = self.steps.astype(np.int64)  # times are counted back, where unsigned numbers would wrap
        object.__setattr__(self, "steps", steps)
        freeze(self)

    @classmethod
    def of(cls, name: str, arrays: dict[str, IntArray]) -> Self:
        return cls(name, arrays["steps"])

    @property
    def outputs(self) -> int:
        return int(self.steps.size)

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return (self.outputs,)

    @property
    def depth(self) -> int:
        """Steps that are kept, this one included."""
        return int(self.steps.max()) + 1

    @property
    def width(self) -> int:
        return self.outputs * self.depth

    def range(self, *taken: Range) -> Range:
        ((low, high),) = taken
        late = self.steps > 0
        return np.where(late, np.minimum(low, 0), low), np.where(late, np.maximum(high, 0), high)

    def stage(self, *taken: Range) -> DelayLine:
        low, high = self.partial_range(*taken)
        return DelayLine(self, integers(max(-low, high)))

    def rules(self, taken: Sequence[Range]) -> list[str]:
        if self.width > MAX_PATCH_VALUES:
            return [f"a delay that keeps more than {MAX_PATCH_VALUES} values"]
        return super().rules(taken)

    def arrays(self) -> dict[str, IntArray]:
        return {"steps": self.steps}

    def about(self) -> tuple[str, str]:
        return f"{self.outputs}", f"delays {self.steps.min()}..{self.steps.max()}"


class DelayLine:
    """The stage of a delay."""

    def __init__(self, layer: Delay, integer: type[np.generic]) -> None:
        self.layer, self.integer = layer, integer

    def start(self, samples: int) -> _Ring:
        """A sequence that nothing came before."""
        return _Ring(self.layer, samples, self.integer)


class _Ring:
    """The last values of a batch, (depth, B, N), written in turn."""

    def __init__(self, layer: Delay, samples: int, integer: type[np.generic]) -> None:
        self.steps, self.elements = layer.steps, np.arange(layer.outputs)
        self.ring = np.zeros((layer.depth, samples, layer.outputs), dtype=integer)
        self.now = 0

    def __call__(self, *values: NDArray[Any]) -> NDArray[Any]:
        (self.ring[self.now],) = values
        slots = (self.now - self.steps) % len(self.ring)
        self.now = (self.now + 1) % len(self.ring)
        return self.ring[slots, :, self.elements].T
