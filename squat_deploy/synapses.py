"""Synapse layers: exact integer sums, and the range of every sum and partial sum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import ConfigError

IntArray = NDArray[np.int64]
Pair = tuple[int, int]
Bound = int | IntArray  # of every input, or (inputs,)


def conv_sizes(
    sizes: Sequence[int], kernel: Sequence[int], stride: Pair, padding: Pair, dilation: Pair
) -> tuple[int, ...]:
    """Height and width of what a convolution gives, by those of its input."""
    axes = zip(sizes, kernel, stride, padding, dilation, strict=True)
    return tuple((size + 2 * pad - gap * (reach - 1) - 1) // step + 1 for size, reach, step, pad, gap in axes)


def freeze(layer: object) -> None:
    """Replaces every array of a frozen dataclass by a read-only view of itself."""
    for name, value in vars(layer).items():
        if isinstance(value, np.ndarray):
            view = value.view()
            view.setflags(write=False)
            object.__setattr__(layer, name, view)


@dataclass(frozen=True, eq=False)
class Dense:
    """Fully connected synapses: `synaptic sum = weight @ input + bias`, exact integers.

    Attributes:
        weight: (out, in).
        bias: (out,), in units of the synaptic sum.
    """

    name: str
    weight: IntArray
    bias: IntArray

    def __post_init__(self) -> None:
        freeze(self)

    @property
    def inputs(self) -> int:
        return int(self.weight.shape[1])

    @property
    def outputs(self) -> int:
        return int(self.weight.shape[0])

    def sum_range(self, low: Bound, high: Bound) -> tuple[IntArray, IntArray]:
        """Lowest and highest synaptic sum of every neuron (out,) for inputs in low..high: reached, not a bound."""
        bottom, top = self._ends(low, high)
        return bottom + self.bias, top + self.bias

    def partial_range(self, low: Bound, high: Bound) -> Pair:
        """Range of every partial sum in any order, the start (0 or the bias) included: the accumulator's range."""
        bottom, top = self._ends(np.minimum(low, 0), np.maximum(high, 0))
        return int((bottom + np.minimum(self.bias, 0)).min()), int((top + np.maximum(self.bias, 0)).max())

    def _ends(self, low: Bound, high: Bound) -> tuple[IntArray, IntArray]:
        """Lowest and highest sums without the bias, (out,)."""
        positive, negative = np.maximum(self.weight, 0), np.minimum(self.weight, 0)
        lows, highs = np.broadcast_to(low, self.inputs), np.broadcast_to(high, self.inputs)
        return positive @ lows + negative @ highs, positive @ highs + negative @ lows

    def arrays(self) -> dict[str, IntArray]:
        """What decides a sum, by field name."""
        return {"weight": self.weight, "bias": self.bias}

    def unrolled(self) -> Dense:
        """Itself; see `Conv2d.unrolled`."""
        return self


@dataclass(frozen=True, eq=False)
class Conv2d:
    """Convolution of (C, H, W) integers, zero-padded; neurons are numbered as (O, H', W') flattened.

    Attributes:
        weight: (O, C / groups, kernel height, kernel width).
        bias: (O,), in units of the synaptic sum.
        input_shape: (C, H, W).
        stride, padding, dilation: (vertical, horizontal).
    """

    name: str
    weight: IntArray
    bias: IntArray
    input_shape: tuple[int, int, int]
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        freeze(self)
        channels, positive = self.input_shape[0], (*self.input_shape, *self.stride, *self.dilation, self.groups)
        if self.weight.ndim != 4 or min(positive) < 1 or min(self.padding) < 0:
            raise ConfigError(f"{self.name}: weights {self.weight.shape}, {self.geometry.tolist()} are no convolution")
        if self.weight.shape[1] * self.groups != channels or self.weight.shape[0] % self.groups:
            raise ConfigError(
                f"{self.name}: {self.groups} groups of {self.weight.shape} do not take {channels} channels"
            )
        if any(
            pad > dilation * (size - 1)
            for pad, dilation, size in zip(self.padding, self.dilation, self.kernel, strict=True)
        ):
            raise ConfigError(f"{self.name}: padding {self.padding} reaches beyond its kernel {self.kernel}")
        if min(self.output_shape) < 1:
            raise ConfigError(f"{self.name}: its kernel does not fit into inputs of shape {self.input_shape}")

    @property
    def kernel(self) -> Pair:
        return int(self.weight.shape[2]), int(self.weight.shape[3])

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """(O, H', W')."""
        sizes = conv_sizes(self.input_shape[1:], self.kernel, self.stride, self.padding, self.dilation)
        return int(self.weight.shape[0]), sizes[0], sizes[1]

    @property
    def inputs(self) -> int:
        return math.prod(self.input_shape)

    @property
    def outputs(self) -> int:
        return math.prod(self.output_shape)

    @property
    def positions(self) -> int:
        """H' W'."""
        return self.output_shape[1] * self.output_shape[2]

    @property
    def patch_values(self) -> int:
        """Size of `patches` for one sample."""
        return self.positions * self.groups * int(self.weight[0].size)

    @property
    def padded_values(self) -> int:
        """Size of one padded sample."""
        channels, *sizes = self.input_shape
        height, width = (size + 2 * pad for size, pad in zip(sizes, self.padding, strict=True))
        return channels * height * width

    @property
    def geometry(self) -> IntArray:
        """All sizes in one row: (C, H, W), stride, padding, dilation, groups."""
        return np.array([*self.input_shape, *self.stride, *self.padding, *self.dilation, self.groups], dtype=np.int64)

    def patches(self, values: NDArray[Any]) -> NDArray[Any]:
        """(B, inputs) to what each position sees: (B, groups, H' W', C / groups * kernel)."""
        (down, right), (below, beside) = self.dilation, self.stride
        planes = values.reshape(-1, *self.input_shape)
        padded = np.pad(planes, ((0, 0), (0, 0), *((pad, pad) for pad in self.padding)))
        reach = tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True))
        windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
        windows = windows[:, :, ::below, ::beside, ::down, ::right]  # (B, C, H', W', kh, kw)
        grouped = windows.reshape(len(planes), self.groups, -1, *windows.shape[2:]).transpose(0, 1, 3, 4, 2, 5, 6)
        return grouped.reshape(len(planes), self.groups, self.positions, -1)

    def matrix(self, weight: NDArray[Any]) -> NDArray[Any]:
        """Weights (O, ...) as the factor of `patches`: (groups, C / groups * kernel, O / groups)."""
        return weight.reshape(self.groups, len(weight) // self.groups, -1).transpose(0, 2, 1)

    def apply(self, patches: NDArray[Any], matrix: NDArray[Any]) -> NDArray[Any]:
        """`patches @ matrix` as (B, outputs), without the bias."""
        return (patches @ matrix).transpose(0, 1, 3, 2).reshape(len(patches), -1)

    def sum_range(self, low: Bound, high: Bound) -> tuple[IntArray, IntArray]:
        """As `Dense.sum_range`, (outputs,); padding is 0, so neurons at the border have narrower sums."""
        bottom, top = self._ends(low, high)
        return bottom + self.neuron_bias, top + self.neuron_bias

    def partial_range(self, low: Bound, high: Bound) -> Pair:
        """As `Dense.partial_range`."""
        bottom, top = self._ends(np.minimum(low, 0), np.maximum(high, 0))
        bias = self.neuron_bias
        return int((bottom + np.minimum(bias, 0)).min()), int((top + np.maximum(bias, 0)).max())

    @property
    def neuron_bias(self) -> IntArray:
        """(outputs,)."""
        return np.repeat(self.bias, self.positions)

    def _ends(self, low: Bound, high: Bound) -> tuple[IntArray, IntArray]:
        """Lowest and highest sums without the bias, (outputs,)."""
        positive, negative = self.matrix(np.maximum(self.weight, 0)), self.matrix(np.minimum(self.weight, 0))
        lows, highs = (self.patches(np.broadcast_to(end, self.inputs)[None]) for end in (low, high))
        bottom = self.apply(lows, positive) + self.apply(highs, negative)
        return bottom[0], (self.apply(highs, positive) + self.apply(lows, negative))[0]

    def arrays(self) -> dict[str, IntArray]:
        """What decides a sum, by field name."""
        return {"weight": self.weight, "bias": self.bias, "geometry": self.geometry}

    def unrolled(self) -> Dense:
        """The same sums as fully connected synapses (outputs, inputs), zeros where no synapse is."""
        places = self.patches(np.arange(1, self.inputs + 1)[None])[0]  # (groups, positions, K), 0 for padding
        matrix = self.matrix(self.weight)
        weight = np.zeros((self.groups, matrix.shape[2], self.positions, self.inputs + 1), dtype=np.int64)
        for group, position in np.ndindex(places.shape[:2]):
            weight[group, :, position, places[group, position]] = matrix[group]
        return Dense(self.name, weight.reshape(self.outputs, -1)[:, 1:], self.neuron_bias)


Synapses = Dense | Conv2d
