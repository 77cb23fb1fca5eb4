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
