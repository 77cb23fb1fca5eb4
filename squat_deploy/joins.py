"""Layers without weights, between synapses and neurons: pooling, sums of branches, concatenation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import ConfigError
from squat_deploy.synapses import IntArray, Pair, conv_sizes

PoolKind = Literal["sum", "max"]
POOL_KINDS: tuple[PoolKind, ...] = ("sum", "max")
Range = tuple[IntArray, IntArray]


@dataclass(frozen=True, eq=False)
class Pool2d:
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

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """(C, H', W')."""
        height, width = conv_sizes(self.input_shape[1:], self.kernel, self.stride, self.padding, (1, 1))
        return self.input_shape[0], height, width

    @property
    def outputs(self) -> int:
        return math.prod(self.output_shape)

    @property
    def input_sizes(self) -> tuple[int, ...]:
        """Values that each input of the layer has."""
        return (math.prod(self.input_shape),)

    @property
    def geometry(self) -> IntArray:
        """All sizes in one row: kind, (C, H, W), kernel, stride, padding."""
        sizes = (*self.input_shape, *self.kernel, *self.stride, *self.padding)
        kind = POOL_KINDS.index(self.kind) if self.kind in POOL_KINDS else -1
        return np.array([kind, *sizes], dtype=np.int64)

    @classmethod
    def of(cls, name: str, geometry: IntArray) -> Pool2d:
        """The inverse of `geometry`. Raises: ValueError, LookupError, ConfigError for sizes that do not fit."""
        kind, c, h, w, *pairs = geometry.reshape(-1).tolist()
        kernel, stride, padding = zip(pairs[::2], pairs[1::2], strict=True)
        return cls(name, POOL_KINDS[kind], (c, h, w), kernel, stride, padding)

    def windows(self, values: NDArray[Any], outside: Any) -> NDArray[Any]:
        """(B, inputs) to what each result sees: (B, C, H', W', kernel height, kernel width)."""
        planes = values.reshape(-1, *self.input_shape)
        margins = ((0, 0), (0, 0), *((pad, pad) for pad in self.padding))
        padded = np.pad(planes, margins, constant_values=outside)
        seen = np.lib.stride_tricks.sliding_window_view(padded, self.kernel, axis=(2, 3))
        return seen[:, :, :: self.stride[0], :: self.stride[1]]

    def apply(self, values: NDArray[Any]) -> NDArray[Any]:
        """(B, inputs) integers to (B, outputs), of the same type."""
        if self.kind == "sum":
            return self.windows(values, 0).sum(axis=(4, 5), dtype=values.dtype).reshape(len(values), -1)
        lowest = np.iinfo(values.dtype).min if values.dtype.kind in "iu" else -np.inf
        return self.windows(values, lowest).max(axis=(4, 5)).reshape(len(values), -1)

    def first_inputs(self) -> IntArray:
        """One input that each result sees, (outputs,)."""
        places = np.arange(self.input_sizes[0], dtype=np.int64)[None]
        return self.windows(places, -1).max(axis=(4, 5)).reshape(-1)

    def range(self, low: IntArray, high: IntArray) -> Range:
        """Bounds (outputs,) for inputs within low..high, (inputs,)."""
        return self.apply(low[None])[0], self.apply(high[None])[0]

    def arrays(self) -> dict[str, IntArray]:
        """What decides a result, by field name."""
        return {"geometry": self.geometry}


@dataclass(frozen=True, eq=False)
class Add:
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

    def range(self, *ends: IntArray) -> Range:
        """Bounds (outputs,) for inputs within low, high, low, high ..., (inputs,) each."""
        return self.apply(*ends[::2]), self.apply(*ends[1::2])

    def arrays(self) -> dict[str, IntArray]:
        """What decides a result, by field name."""
        return {"size": np.array([self.size]), "factors": np.array(self.factors, dtype=np.int64)}


@dataclass(frozen=True, eq=False)
class Concat:
    """All inputs one after another, as channels are in (C, H, W) flattened."""

    name: str
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise ConfigError(f"{self.name}: nothing to concatenate in {self.sizes}")

    @property
    def outputs(self) -> int:
        return sum(self.sizes)

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return self.sizes

    def apply(self, *values: NDArray[Any]) -> NDArray[Any]:
        """(B, size) integers each to (B, outputs)."""
        return np.concatenate(values, axis=-1)

    def range(self, *ends: IntArray) -> Range:
        """Bounds (outputs,) for inputs within low, high, low, high ..., (inputs,) each."""
        return self.apply(*ends[::2]), self.apply(*ends[1::2])

    def arrays(self) -> dict[str, IntArray]:
        """What decides a result, by field name."""
        return {"sizes": np.array(self.sizes, dtype=np.int64)}


Join = Pool2d | Add | Concat
