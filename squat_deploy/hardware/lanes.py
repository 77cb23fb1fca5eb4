"""How the numbers of a layer lie in memory: PE banks side by side, so that PE channels move in a cycle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REGISTER_ROWS = 16  # up to here sums are registers: a sum may be updated in two cycles running


@dataclass(frozen=True)
class Lanes:
    """Layout [rows][pe] of numbers: row = position * groups + channel // pe, lane = channel % pe.

    Attributes:
        groups: rows of one position.
    """

    channels: int
    positions: int
    pe: int

    @property
    def groups(self) -> int:
        return -(-self.channels // self.pe)

    @property
    def rows(self) -> int:
        return self.positions * self.groups

    @property
    def idle(self) -> bool:
        """Whether the last group has lanes without a channel."""
        return self.channels % self.pe != 0

    @property
    def registers(self) -> bool:
        """Whether the sums are registers, not memories."""
        return self.rows <= REGISTER_ROWS

    def by_channel(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """(channels, ...) to (groups, pe, ...); idle lanes repeat the last channel."""
        padding = [(0, self.groups * self.pe - self.channels)] + [(0, 0)] * (values.ndim - 1)
        return np.pad(values, padding, mode="edge").reshape(self.groups, self.pe, *values.shape[1:])

    def by_element(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """(channels * positions, ...) to (rows, pe, ...)."""
        banked = self.by_channel(values.reshape(self.channels, self.positions, *values.shape[1:]))
        return np.moveaxis(banked, 2, 0).reshape(self.rows, self.pe, *values.shape[1:])
