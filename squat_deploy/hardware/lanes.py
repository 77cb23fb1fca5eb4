"""How the numbers of a layer lie in memory: PE banks side by side, so that PE channels move in a cycle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from squat_deploy.hardware.grid import Number
from squat_deploy.network import IntArray

REGISTER_ROWS = 16  # up to here sums of planes are registers: a sum may be updated in two cycles running
_POINT_ROWS = 3  # of one position, each of which is met once in so many cycles: a memory needs 4 to read, add and write
_DISTRIBUTED_ROWS = 64  # up to here a memory is made of LUTs
_WORD_BITS = 4096  # of the widest word that tools make of an array


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
    def size(self) -> int:
        """Elements, idle lanes left out."""
        return self.channels * self.positions

    @property
    def idle(self) -> bool:
        """Whether the last group has lanes without a channel."""
        return self.channels % self.pe != 0

    @property
    def registers(self) -> bool:
        """Whether the sums are registers, not memories."""
        return self.rows <= (_POINT_ROWS if self.positions == 1 else REGISTER_ROWS)

    @property
    def distributed(self) -> bool:
        """Whether memories of sums are made of LUTs."""
        return not self.registers and self.rows <= _DISTRIBUTED_ROWS

    def in_words(self, bits: int) -> bool:
        """Whether all lanes of a row, of so many bits each and always written together, stand in one word."""
        return self.pe * bits <= _WORD_BITS

    def at(self, element: Number) -> tuple[Number, Number]:
        """(row, lane) of an element."""
        if self.positions == 1:
            return self.where(element, 0)
        return self.where(element // self.positions if self.channels > 1 else 0, element % self.positions)

    def where(self, channel: Number, position: Number) -> tuple[Number, Number]:
        """(row, lane) of an element, by its channel and its position."""
        if self.groups == 1:
            return position, channel
        group, lane = (channel, 0) if self.pe == 1 else (channel // self.pe, channel % self.pe)
        return (group if self.positions == 1 else position * self.groups + group), lane

    def element(self, row: Number, lane: Number) -> Number:
        """The inverse of `at`."""
        return (row % self.groups * self.pe + lane) * self.positions + row // self.groups

    @property
    def zeros(self) -> IntArray:
        """(rows, pe)."""
        return np.zeros((self.rows, self.pe), dtype=np.int64)

    @property
    def active(self) -> Any:
        """(rows, pe), whether a lane of a row has a channel."""
        return np.arange(self.rows)[:, None] % self.groups * self.pe + np.arange(self.pe) < self.channels

    def elements(self, numbers: IntArray) -> IntArray:
        """(rows, pe) to (size,), in the order of the network."""
        return numbers[self.at(np.arange(self.size))]

    def placed(self, values: IntArray) -> IntArray:
        """The inverse of `elements`; idle lanes are 0."""
        numbers = self.zeros
        numbers[self.at(np.arange(self.size))] = values
        return numbers

    def by_channel(self, values: IntArray) -> IntArray:
        """(channels, ...) to (groups, pe, ...); idle lanes repeat the last channel."""
        padding = [(0, self.groups * self.pe - self.channels)] + [(0, 0)] * (values.ndim - 1)
        return np.pad(values, padding, mode="edge").reshape(self.groups, self.pe, *values.shape[1:])

    def by_element(self, values: IntArray) -> IntArray:
        """(channels * positions, ...) to (rows, pe, ...)."""
        banked = self.by_channel(values.reshape(self.channels, self.positions, *values.shape[1:]))
        return np.moveaxis(banked, 2, 0).reshape(self.rows, self.pe, *values.shape[1:])


def widths(channels: int) -> tuple[int, ...]:
    """Lanes worth having for so many channels, ascending: powers of two and divisors, the fewest for their groups."""
    powers = {2**bits for bits in range(channels.bit_length())}
    divisors = {lanes for lanes in range(1, channels + 1) if channels % lanes == 0} if channels <= 4096 else {channels}
    return tuple(sorted({-(-channels // -(-channels // lanes)) for lanes in powers | divisors}))
