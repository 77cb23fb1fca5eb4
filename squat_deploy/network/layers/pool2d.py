"""Pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import ConfigError
from squat_deploy.network.layers.base import BaseLayer, Ends, IntArray, Range, Stateless, joined
from squat_deploy.network.layers.conv2d import planes
from squat_deploy.network.limits import MAX_PATCH_VALUES, MAX_VALUES
from squat_deploy.network.window import Pair, Window

PoolKind = Literal["sum", "max"]
_TAPS = 32
POOL_KINDS: tuple[PoolKind, ...] = ("sum", "max")


@dataclass(frozen=True, eq=False)
class Pool2d(BaseLayer):
    """Sum or maximum of every window of (C, H, W) integers; what lies outside counts for neither.

    An average is the sum, its divisor is part of what one integer is worth. Results are numbered (C, H', W') flattened.

    Attributes:
        input_shape: (C, H, W).
        kernel, stride, padding: (vertical, horizontal).
    """

    name: str
    kind: PoolKind
    input_shape: tuple[int, int, int]
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)

    def __post_init__(self) -> None:
        if self.kind not in POOL_KINDS or min(*self.input_shape, *self.kernel, *self.stride) < 1:
            raise ConfigError(f"{self.name}: {self.kind} of {self.geometry.tolist()} is no pooling")
        if min(self.padding) < 0 or any(2 * pad > size for pad, size in zip(self.padding, self.kernel, strict=True)):
            raise ConfigError(f"{self.name}: padding {self.padding} is more than half of its kernel {self.kernel}")
        if min(self.output_shape) < 1:
            raise ConfigError(f"{self.name}: its kernel does not fit into inputs of shape {self.input_shape}")

    @classmethod
    def of(cls, name: str, arrays: dict[str, IntArray]) -> Self:
        kind, c, h, w, *pairs = arrays["geometry"].reshape(-1).tolist()
        kernel, stride, padding = zip(pairs[::2], pairs[1::2], strict=True)
        return cls(name, POOL_KINDS[kind], (c, h, w), kernel, stride, padding)

    @cached_property
    def window(self) -> Window:
        """What each result sees."""
        return Window(self.input_shape, self.kernel, self.stride, self.padding)

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """(C, H', W')."""
        return self.input_shape[0], *self.window.output_sizes

    @property
    def outputs(self) -> int:
        return math.prod(self.output_shape)

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return (self.window.inputs,)

    @property
    def width(self) -> int:
        return self.outputs * math.prod(self.kernel)

    @property
    def geometry(self) -> IntArray:
        """All sizes in one row: kind, (C, H, W), kernel, stride, padding."""
        sizes = (*self.input_shape, *self.kernel, *self.stride, *self.padding)
        kind = POOL_KINDS.index(self.kind) if self.kind in POOL_KINDS else -1
        return np.array([kind, *sizes], dtype=np.int64)

    def windows(self, values: NDArray[Any], outside: Any) -> NDArray[Any]:
        """(B, inputs) to what each result sees: (B, C, H', W', kernel height, kernel width)."""
        return self.window.views(values, outside)

    def apply(self, *values: NDArray[Any]) -> NDArray[Any]:
        """(B, inputs) integers to (B, outputs), of the same type."""
        (taken,) = values
        if self.kind == "sum":
            return self._by_taps(np.add, self.windows(taken, 0))
        lowest = np.iinfo(taken.dtype).min if taken.dtype.kind in "iu" else -np.inf
        return self._by_taps(np.maximum, self.windows(taken, lowest))

    def _by_taps(self, join: np.ufunc, seen: NDArray[Any]) -> NDArray[Any]:
        """Tap by tap over whole planes, where taps are few: several times faster than a reduction over short axes."""
        if math.prod(self.kernel) > _TAPS:
            return join.reduce(seen, axis=(4, 5), dtype=seen.dtype).reshape(len(seen), -1)
        taps = [seen[..., row, column] for row, column in np.ndindex(*self.kernel)]
        return reduce(join, taps).reshape(len(seen), -1)

    def first_inputs(self) -> IntArray:
        """One input that each result sees, (outputs,)."""
        places = np.arange(self.input_sizes[0], dtype=np.int64)[None]
        return self.windows(places, -1).max(axis=(4, 5)).reshape(-1)

    def range(self, *taken: Range) -> Range:
        ((low, high),) = taken
        return self.apply(low[None])[0], self.apply(high[None])[0]

    def partial_range(self, *taken: Range) -> Ends:
        ((low, high),) = taken
        zero_in = np.minimum(low, 0), np.maximum(high, 0)
        return super().partial_range(zero_in)

    def stage(self, *taken: Range) -> Stateless:
        return joined(self, self.apply, *taken)

    def rules(self, taken: Sequence[Range]) -> list[str]:
        if self.outputs <= MAX_VALUES and self.width > MAX_PATCH_VALUES:
            return [f"a pooling of windows of more than {MAX_PATCH_VALUES} values in all"]
        return super().rules(taken)

    def arrays(self) -> dict[str, IntArray]:
        return {"geometry": self.geometry}

    def about(self) -> tuple[str, str]:
        return planes(self.input_shape, self.kernel, self.output_shape), self.kind
