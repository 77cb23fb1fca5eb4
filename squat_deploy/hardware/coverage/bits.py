"""Which bits of weights show in a run: those that make another state or spike if they are changed, each by itself.

A changed bit of a weight adds `2**bit * value`, or takes it away, wherever an input of that value meets it. All is as
it was until the first sum that gets past a threshold, so a bit shows if any sum of the run lies that near to one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.coverage.margins import Mask
from squat_deploy.network.layers import Dense, IntArray, Weighted

_FEW = 8  # rows of inputs up to which all weights are compared at once
_MOST_VALUES = 16  # different values of an input that are told apart


@dataclass(frozen=True, eq=False)
class WeightBits:
    """The bits of the weights of a layer as they are stored.

    Attributes:
        bits: of a weight, two's complement; 1 for weights -1 and +1.
    """

    layer: Weighted
    bits: int
    bipolar: bool

    @cached_property
    def kernels(self) -> IntArray:
        """(groups, O / groups, weights an output) as `patches` are."""
        layer = self.layer
        groups = 1 if isinstance(layer, Dense) else layer.groups
        return layer.weight.reshape(groups, len(layer.weight) // groups, -1)

    @cached_property
    def rises(self) -> Mask:
        """(bits, groups, O / groups, weights) whether a weight is more with a bit changed."""
        places = np.arange(self.bits).reshape(-1, 1, 1, 1)
        if self.bipolar:
            return (self.kernels < 0)[None]
        clear = (self.kernels >> places & 1) == 0
        return clear ^ (places == self.bits - 1)

    @property
    def changes(self) -> tuple[int, ...]:
        """By how much a weight changes, by bit."""
        return (2,) if self.bipolar else tuple(2**bit for bit in range(self.bits))

    def patches(self, values: NDArray[Any]) -> NDArray[Any]:
        """(R, inputs) to (groups, R * positions, weights an output): the inputs that each weight of each sum meets."""
        if isinstance(self.layer, Dense):
            return values[None]
        seen = self.layer.patches(values)
        return seen.transpose(1, 0, 2, 3).reshape(seen.shape[1], -1, seen.shape[3])

    def met(self, values: NDArray[Any]) -> Mask:
        """(groups, weights an output) whether any of the inputs (R, inputs) meets them."""
        return np.any(self.patches(values != 0), axis=1)

    def banked(self, sums: NDArray[Any]) -> NDArray[Any]:
        """(R, outputs) to (groups, R * positions, O / groups)."""
        groups, channels = self.kernels.shape[:2]
        shaped = sums.reshape(len(sums), groups, channels, -1).transpose(1, 0, 3, 2)
        return shaped.reshape(groups, -1, channels)

    def shown(self, values: NDArray[Any], up: IntArray, down: IntArray) -> tuple[IntArray, IntArray]:
        """What inputs (R, inputs) meet, with the margins (R, outputs) of the sums.

        Returns: numbers of (groups, weights an output) that any input meets, and of (bits, groups, O / groups, weights)
        that show.
        """
        most = int(np.abs(values).max(initial=0)) * self.changes[-1]
        met, shown = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        near = tuple(self.banked(margin) for margin in (up, down))
        groups, channels, weights = self.kernels.shape
        for group, patch in enumerate(self.patches(values) if most else ()):
            columns = np.flatnonzero(patch.any(axis=0))
            met.append(group * weights + columns)
            rows = (np.minimum(near[0][group], near[1][group]) <= most).any(axis=1) & patch.any(axis=1)
            moved = self._moved(patch[rows][:, columns], near[0][group][rows], near[1][group][rows])
            marks = np.where(self.rises[:, group][..., columns], *moved)
            bit, channel, column = np.nonzero(marks)
            shown.append(((bit * groups + group) * channels + channel) * weights + columns[column])
        return np.concatenate(met), np.concatenate(shown)

    def _moved(self, patch: NDArray[Any], up: IntArray, down: IntArray) -> Mask:
        """[0]: bits that show if the weight rises, [1]: if it falls; (bits, O / groups, weights) each."""
        changes, found = np.array(self.changes), np.zeros((2, self.bits, up.shape[1], patch.shape[1]), dtype=bool)
        if len(patch) <= _FEW:
            for row, above, below in zip(patch, up, down, strict=True):
                moved, above, below = (changes[:, None] * row)[:, None], above[:, None], below[:, None]
                found[0] |= (moved >= above) | (-moved >= below)
                found[1] |= (moved >= below) | (-moved >= above)
            return found
        for value in _values(patch):
            meets = (patch >= value if value > 0 else patch <= value).astype(np.float32)
            size = abs(value) * changes[:, None]
            for side, margin in enumerate((up, down) if value > 0 else (down, up)):
                near = (margin[:, None] <= size).reshape(len(patch), -1)  # (rows, bits * O / groups)
                found[side] |= (near.astype(np.float32).T @ meets).reshape(found[side].shape) > 0
        return found


def _values(patch: NDArray[Any]) -> list[int]:
    """Values that are told apart, all where they are few; what lies between counts as the nearer to 0."""
    found = np.unique(patch)
    found = found[found != 0]
    if found.size > _MOST_VALUES:
        found = found[np.linspace(0, found.size - 1, _MOST_VALUES).astype(np.int64)]
    return [int(value) for value in found]
