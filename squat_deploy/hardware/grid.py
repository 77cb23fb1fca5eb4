"""How a list of events names an element of a plane: its coordinates side by side in bits, so that nobody divides.

The laws here are written once, for numbers, for NumPy's arrays, and for the terms of a printer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from squat_deploy.network import IntArray

Number = Any  # an integer, an array of integers, or a term of a printer


@dataclass(frozen=True)
class Grid:
    """Elements (channels, height, width), and their codes; what has no plane is a channel of one point."""

    channels: int
    height: int = 1
    width: int = 1

    @property
    def positions(self) -> int:
        """Elements of a channel."""
        return self.height * self.width

    @property
    def size(self) -> int:
        """All elements."""
        return self.channels * self.positions

    @property
    def row(self) -> int:
        """From the code of an element to that of the one below."""
        return int(2 ** (self.width - 1).bit_length())

    @property
    def plane(self) -> int:
        """From the code of an element to that of the same one in the next channel."""
        return int(self.row * 2 ** (self.height - 1).bit_length())

    @property
    def one(self) -> Grid:
        """One channel of it."""
        return Grid(1, self.height, self.width)

    @property
    def codes(self) -> int:
        """One more than the highest code."""
        return int(self.code(self.channels - 1, self.height - 1, self.width - 1)) + 1

    @property
    def plain(self) -> bool:
        """Whether the codes are the elements' own numbers."""
        return self.codes == self.size

    def code(self, channel: Number, y: Number, x: Number) -> Number:
        """Of the element at these coordinates."""
        return self._at(channel, y, x, self.plane, self.row)

    def coordinates(self, code: Number) -> tuple[Number, Number, Number]:
        """(channel, y, x) of a code: fields of its bits."""
        return self._split(code, self.plane, self.row)

    def element(self, code: Number) -> Number:
        """The number of an element, by its code."""
        return code if self.plain else self.joined(*self.coordinates(code))

    def joined(self, channel: Number, y: Number, x: Number) -> Number:
        """The number of the element at these coordinates."""
        return self._at(channel, y, x, self.positions, self.width)

    def split(self, element: Number) -> tuple[Number, Number, Number]:
        """(channel, y, x) of an element's number."""
        return self._split(element, self.positions, self.width)

    def coded(self, element: Number) -> Number:
        """The code of an element's number."""
        return element if self.plain else self.code(*self.split(element))

    def of(self, taken: Grid, code: Number) -> tuple[Number, Number, Number]:
        """(channel, y, x) here of a code there: elements have the same numbers in both."""
        return self.coordinates(code) if taken == self else self.split(taken.element(code))

    def recoded(self, taken: Grid, code: Number, first: int = 0) -> Number:
        """The code here of a code there, where the elements there are those here from `first` on."""
        if (taken.height, taken.width) == (self.height, self.width):
            ahead = first // self.positions * self.plane
            return code + ahead if ahead else code
        element = taken.element(code)
        return self.coded(element + first if first else element)

    @property
    def jumps(self) -> tuple[tuple[int, int, int], ...]:
        """(mask, end, jump): a code whose masked bits are at an end comes before the one so far ahead, else + 1."""
        last = (self.codes - 1) % self.plane
        channel, line = (
            (self.plane - 1, last, self.plane - last),
            (self.row - 1, self.width - 1, self.row - self.width + 1),
        )
        wanted = (channel, self.channels > 1), (line, self.height > 1)
        return tuple(jump for jump, met in wanted if met and jump[2] > 1)

    @property
    def listed(self) -> IntArray:
        """(size,) codes of all elements in order."""
        return np.asarray(self.coded(np.arange(self.size)))

    def _at(self, channel: Number, y: Number, x: Number, plane: int, row: int) -> Number:
        sizes = self.channels, self.height, self.width
        scaled = zip(sizes, (channel, y, x), (plane, row, 1), strict=True)
        numbers = [number * pitch if pitch > 1 else number for size, number, pitch in scaled if size > 1]
        return reduce(add, numbers) if numbers else x * 0

    def _split(self, number: Number, plane: int, row: int) -> tuple[Number, Number, Number]:
        lines = number // row if row > 1 else number
        down = 0 if self.height == 1 else lines if self.channels == 1 else lines % (plane // row)
        right = 0 if self.width == 1 else number if self.channels * self.height == 1 else number % row
        channel = 0 if self.channels == 1 else number // plane if plane > 1 else number
        return channel, down, right
