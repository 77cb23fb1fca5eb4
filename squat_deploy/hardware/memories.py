"""Memories of a unit, and what they and the rest of it take of a device.

Rules of thumb, stated in the report: a memory of more than 1024 bits is block RAM of 18 Kbit in its best shape, a
smaller one distributed RAM; arrays that the source partitions completely are registers or, if constant, logic. A
multiplication takes a DSP where both factors have at least 5 bits. Nothing here replaces the report of a synthesis.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Literal

from squat_deploy.network import IntArray

_SHAPES = ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36))  # (depth, width) of 18 Kbit
_SMALL_BITS = 1024
LUT_WORDS = 64  # up to here a LUT holds a bit of a ROM
Style = Literal["block", "distributed", "registers", "logic"]


@dataclass(frozen=True)
class Usage:
    """Resources; block RAMs of 18 Kbit."""

    bram18: int = 0
    lut: int = 0
    ff: int = 0
    dsp: int = 0

    @classmethod
    def total(cls, usages: Iterable[Usage]) -> Usage:
        """All together."""
        return cls(*map(sum, zip(*map(astuple, usages), strict=True)))


@dataclass(frozen=True, eq=False)
class Memory:
    """Memories side by side, each of `depth` words: RAM, or ROM where it has contents.

    Attributes:
        widths: bits of a word, one a bank.
        contents: what it always holds, in the shape in which it is indexed; None for RAM. Words of 64 bits are stored
            as the signed numbers with these bits.
        style: "block" RAM (distributed where it is small), "distributed" RAM, "registers", or a table in "logic".
        reads: how often it is read in a cycle; a table in logic stands there as often.
        fields: numbers of `contents` in a word.
    """

    name: str
    depth: int
    widths: tuple[int, ...]
    contents: IntArray | None = None
    style: Style = "block"
    reads: int = 1
    fields: int = 1

    @property
    def usage(self) -> Usage:
        """Estimate."""
        depth, bits, rom = self.depth, sum(self.widths), self.contents is not None
        if self.style == "registers":
            return Usage(ff=depth * bits)
        if self.style == "logic":
            return Usage.total([_constants(depth, bits)] * self.reads)
        if self.style == "distributed":
            return Usage.total([_constants(depth, bits)] * self.reads) if rom else _distributed(depth, bits)
        return Usage.total(self._bank(width) for width in self.widths)

    def _bank(self, width: int) -> Usage:
        """One memory, which tools make of LUTs where it is small; the widest words have one port to read."""
        if self.depth * width > _SMALL_BITS:
            return _block(self.depth, width, _SHAPES if self.reads == 1 else _SHAPES[:-1])
        if self.contents is None:
            return _distributed(self.depth, width)
        return Usage.total([_constants(self.depth, width)] * self.reads)


def _distributed(depth: int, width: int) -> Usage:
    """Of RAM with one port to write and one to read: four LUTs are 32 words of 6 bits, or 64 of 3 (AMD UG474)."""
    return Usage(lut=4 * min(math.ceil(depth / deep) * math.ceil(width / wide) for deep, wide in ((32, 6), (64, 3))))


def _constants(depth: int, width: int) -> Usage:
    """A LUT a bit and 64 words; one word is wires."""
    return Usage(lut=math.ceil(depth / LUT_WORDS) * width if depth > 1 else 0)


def _block(depth: int, width: int, shapes: Iterable[tuple[int, int]]) -> Usage:
    return Usage(bram18=min(math.ceil(depth / deep) * math.ceil(width / wide) for deep, wide in shapes))
