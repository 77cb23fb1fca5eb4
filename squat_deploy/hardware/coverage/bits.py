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

_WORTH = 2**16  # bits of weights a row of inputs, from which on each row is looked at by itself,
_MOST_AT_ONCE = 2**20  # and of all rows together, if all inputs that are on are 1; else a quarter of it
Ends = tuple[IntArray, IntArray]
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

    @cached_property
    def rising(self) -> NDArray[Any]:
        """(groups, O / groups, weights), in bit b: whether a weight is more with its bit b changed."""
        places = np.arange(self.bits).reshape(-1, 1, 1, 1)
        return np.asarray((self.rises.astype(np.int64) << places).sum(axis=0).astype(self.code))

    @cached_property
    def code(self) -> np.dtype[Any]:
        """Of numbers with a bit for each bit of a weight."""
        return np.min_scalar_type(2**self.bits - 1)

    def masks(self, group: int, channels: IntArray, columns: IntArray, row: IntArray, near: Ends) -> NDArray[Any]:
        """(channels, columns) which bits of these weights show with one row of inputs, as `rising`.

        Args: row: (columns,) inputs, not 0; near: (channels,) margins of the sums, up and down.
        """
        values, place = (row[:1], np.zeros(1, dtype=np.int64)) if (row == row[0]).all() else _told_apart(row)
        found = np.zeros((2, channels.size, values.size), dtype=self.code)
        for bit, change in enumerate(self.changes):
            moved = np.abs(values) * change
            for side, margin in enumerate(near):
                found[side] |= (moved >= margin[:, None]).astype(self.code) << self.code.type(bit)
        up, down = (np.where(values > 0, found[side], found[1 - side])[:, place] for side in range(2))
        rising = self.rising[group][np.ix_(channels, columns)]
        return np.asarray((rising & up) | (~rising & down))

    def shown(self, values: NDArray[Any], up: IntArray, down: IntArray) -> tuple[IntArray, IntArray]:
        """What inputs (R, inputs) meet, with the margins (R, outputs) of the sums.

        Returns: numbers of (groups, weights an output) that any input meets, and of (bits, groups, O / groups, weights)
        that show.
        """
        most = int(np.abs(values).max(initial=0)) * self.changes[-1]
        met, shown = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        near = tuple(self.banked(margin) for margin in (up, down))
        groups, channels, weights = self.kernels.shape
        size = self.bits * channels * weights
        for group, patch in enumerate(self.patches(values) if most else ()):
            columns = np.flatnonzero(patch.any(axis=0))
            met.append(group * weights + columns)
            rows = (np.minimum(near[0][group], near[1][group]) <= most).any(axis=1) & patch.any(axis=1)
            ends = near[0][group][rows], near[1][group][rows]
            at_once = _MOST_AT_ONCE if most == self.changes[-1] else _MOST_AT_ONCE // 4
            if len(ends[0]) * _WORTH < size or size > at_once:
                codes = self._by_row(group, patch[rows], ends, most)
                bits = [np.flatnonzero((codes & self.code.type(1 << bit)) != 0) for bit in range(self.bits)]
                shown += [(bit * groups + group) * codes.size + places for bit, places in enumerate(bits)]
            else:
                marks = np.flatnonzero(np.where(self.rises[:, group], *self._moved(patch[rows], *ends)))
                bit, place = divmod(marks, channels * weights)
                shown.append((bit * groups + group) * channels * weights + place)
        return np.concatenate(met), np.concatenate(shown)

    def _by_row(self, group: int, patch: NDArray[Any], near: Ends, most: int) -> NDArray[Any]:
        """(O / groups, weights) which bits show, one row of inputs after the other."""
        codes = np.zeros((near[0].shape[1], patch.shape[1]), dtype=self.code)
        for row, up, down in zip(patch, *near, strict=True):
            columns, channels = np.flatnonzero(row), np.flatnonzero(np.minimum(up, down) <= most)
            codes[np.ix_(channels, columns)] |= self.masks(
                group, channels, columns, row[columns], (up[channels], down[channels])
            )
        return codes

    def _moved(self, patch: NDArray[Any], up: IntArray, down: IntArray) -> Mask:
        """[0]: bits that show if the weight rises, [1]: if it falls; (bits, O / groups, weights) each."""
        changes, found = np.array(self.changes), np.zeros((2, self.bits, up.shape[1], patch.shape[1]), dtype=bool)
        for value in _values(patch):
            meets = (patch >= value if value > 0 else patch <= value).astype(np.float32)
            size = abs(value) * changes[:, None]
            for side, margin in enumerate((up, down) if value > 0 else (down, up)):
                near = (margin[:, None] <= size).reshape(len(patch), -1)  # (rows, bits * O / groups)
                found[side] |= (near.astype(np.float32).T @ meets).reshape(found[side].shape) > 0
        return found


def _told_apart(row: IntArray) -> tuple[IntArray, IntArray]:
    """Different values, and which of them each is."""
    values, place = np.unique(row, return_inverse=True)
    return values, place


def _values(patch: NDArray[Any]) -> list[int]:
    """Values that are told apart, all where they are few; what lies between counts as the nearer to 0."""
    found = np.unique(patch)
    found = found[found != 0]
    if found.size > _MOST_VALUES:
        found = found[np.linspace(0, found.size - 1, _MOST_VALUES).astype(np.int64)]
    return [int(value) for value in found]
