"""Transposed convolutions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import ConfigError
from squat_deploy.network.layers.conv2d import Convolution
from squat_deploy.network.window import Pair, Spread


@dataclass(frozen=True, eq=False)
class ConvTranspose2d(Convolution):
    """A transposed convolution: value (y, x) adds the kernel to the sums, its tap (v, u) to (y', x'):
    `y' = y * stride - padding + v * dilation`, and x' alike.

    Attributes:
        weight: (O, C / groups, kernel height, kernel width), as of a convolution; torch's has its first axes swapped.
        padding: rows and columns that are cut off on each side.
        output_padding: rows and columns more at the far ends.
    """

    output_padding: Pair = (0, 0)
    empty: ClassVar[str] = "its padding leaves nothing of"

    def __post_init__(self) -> None:
        if min(self.output_padding) < 0:
            raise ConfigError(f"{self.name}: output padding {self.output_padding} is less than none")
        super().__post_init__()

    @cached_property
    def window(self) -> Spread:
        """What each position sees."""
        sizes = self.kernel, self.stride, self.padding, self.dilation
        return Spread(self.input_shape, *sizes, self.output_padding)

    @property
    def _more(self) -> tuple[int, ...]:
        return self.output_padding

    @property
    def padded_values(self) -> int:
        """Sums of a sample before anything is cut off."""
        return int(self.weight.shape[0]) * math.prod(self.window.whole)

    @property
    def width(self) -> int:
        products = self.weight[:, 0].size * math.prod(self.input_shape[1:])
        return max(products, self.padded_values, self.inputs)

    def matrix(self, weight: NDArray[Any]) -> NDArray[Any]:
        """(groups, O / groups * kernel, C / groups)."""
        grouped = weight.reshape(self.groups, len(weight) // self.groups, weight.shape[1], -1)
        return grouped.swapaxes(2, 3).reshape(self.groups, -1, weight.shape[1])

    def multiply(self, values: NDArray[Any], matrix: NDArray[Any]) -> NDArray[Any]:
        """Every product, then tap by tap all of them to where they belong."""
        _, height, width = self.input_shape
        products = matrix @ values.reshape(len(values), self.groups, -1, height * width)
        products = products.reshape(len(values), -1, *self.kernel, height, width)
        sums = np.zeros((*products.shape[:2], *self.window.whole), dtype=products.dtype)
        (below, beside), (down, right) = self.stride, self.dilation
        for v, u in np.ndindex(self.kernel):
            sums[:, :, v * down :: below, u * right :: beside][..., :height, :width] += products[:, :, v, u]
        (top, left), (rows, columns) = self.padding, self.window.output_sizes
        return sums[:, :, top : top + rows, left : left + columns].reshape(len(values), -1)
