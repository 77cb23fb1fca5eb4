"""The geometry of kernels that move over planes: of convolutions and of pooling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """A kernel over (C, H, W); all pairs are (vertical, horizontal)."""

    input_shape: tuple[int, int, int]
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    @property
    def inputs(self) -> int:
        """C H W."""
        return math.prod(self.input_shape)

    @property
    def output_sizes(self) -> Pair:
        """(H', W')."""
        axes = zip(self.input_shape[1:], self.kernel, self.stride, self.padding, self.dilation, strict=True)
        height, width = ((size + 2 * pad - gap * (reach - 1) - 1) // step + 1 for size, reach, step, pad, gap in axes)
        return height, width

    @property
    def padded_values(self) -> int:
        """Size of one padded sample."""
        channels, *sizes = self.input_shape
        height, width = (size + 2 * pad for size, pad in zip(sizes, self.padding, strict=True))
        return channels * height * width

    def views(self, values: NDArray[Any], outside: Any = 0) -> NDArray[Any]:
        """(B, C H W) to what each position sees, (B, C, H', W', kernel height, kernel width); padding is `outside`."""
        margins = ((0, 0), (0, 0), *((pad, pad) for pad in self.padding))
        padded = np.pad(values.reshape(-1, *self.input_shape), margins, constant_values=outside)
        reach = tuple(gap * (size - 1) + 1 for gap, size in zip(self.dilation, self.kernel, strict=True))
        seen = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
        (below, beside), (down, right) = self.stride, self.dilation
        return seen[:, :, ::below, ::beside, ::down, ::right]


@dataclass(frozen=True)
class Spread(Window):
    """A kernel that every value of (C, H, W) lays over the sums, `stride` apart: a transposed convolution's window.

    Attributes:
        padding: rows and columns of the sums that are cut off on each side.
        output_padding: rows and columns more at the far ends.
    """

    output_padding: Pair = (0, 0)

    @property
    def whole(self) -> Pair:
        """Sizes before anything is cut off."""
        axes = zip(self.input_shape[1:], self.kernel, self.stride, self.dilation, self.output_padding, strict=True)
        height, width = ((size - 1) * step + gap * (reach - 1) + 1 + more for size, reach, step, gap, more in axes)
        return height, width

    @property
    def output_sizes(self) -> Pair:
        height, width = (size - 2 * pad for size, pad in zip(self.whole, self.padding, strict=True))
        return height, width

    @property
    def meets(self) -> Pair:
        """Most taps along each axis that bring something to one output, at least 1."""
        sizes = zip((0, 1), self.input_shape[1:], strict=True)
        down, right = (max(1, int((self._places(axis) < size).sum(axis=1).max())) for axis, size in sizes)
        return down, right

    def views(self, values: NDArray[Any], outside: Any = 0) -> NDArray[Any]:
        """As of any window, tap by tap; `outside` is where a tap brings nothing."""
        margins = ((0, 0), (0, 0), (0, 1), (0, 1))
        padded = np.pad(values.reshape(-1, *self.input_shape), margins, constant_values=outside)
        rows, columns = self._places(0), self._places(1)
        return padded[:, :, rows[:, None, :, None], columns[:, None, :]]

    def _places(self, axis: int) -> NDArray[np.int64]:
        """(outputs, kernel) which value along one axis brings what to each output; one past the last for none."""
        size, step = self.input_shape[1 + axis], self.stride[axis]
        output = np.arange(self.output_sizes[axis], dtype=np.int64)[:, None] + self.padding[axis]
        along = output - np.arange(self.kernel[axis], dtype=np.int64) * self.dilation[axis]
        return np.where((along >= 0) & (along % step == 0) & (along < size * step), along // step, size)
