"""Instances that make, join and read pages of sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from squat_deploy.backends.rtl.instance import Between, Instance, Parameters, Summed, file, flag
from squat_deploy.backends.rtl.memories import DEEPEST, SMALL, bank_rows, column_of, hex_lines, in_blocks
from squat_deploy.backends.rtl.streams import Beats, Bundle, Page, Rows
from squat_deploy.hardware.lanes import Lanes
from squat_deploy.hardware.units import Unit
from squat_deploy.hardware.units.scatter import Scatter, ScatterRows
from squat_deploy.names import plain

_DEEP = 128  # rows of sums that lie in block RAM, where neurons alone read them
_BETWEEN = 3  # cycles between two additions to one of these
_PARTS = 4  # of a row, of which one is chosen at once


def multiplies(value: int, signed: bool) -> bool:
    """Whether events of so many bits are numbers, and not spikes."""
    return value > 1 or signed


def terms_of(value: int, signed: bool, events: int) -> int:
    """Products that a lane adds for so many events at once: numbers are taken two bits at a time, as by `squat_dot`."""
    return events * (-(-value // 2) if multiplies(value, signed) else 1)


def reading_of(unit: Unit, read: Lanes) -> int:
    """Cycles in which neurons read sums that a unit adds up, in lanes of their own."""
    if not isinstance(unit, ScatterRows):
        return 1
    rows = unit.rows.rows
    deep = rows * (1 if unit.held else 2) >= _DEEP and rows > _BETWEEN
    return 1 + deep + (unit.rows.pe // read.pe > _PARTS)


@dataclass(frozen=True, eq=False)
class Dense(Summed):
    """Fully connected synapses."""

    unit: Scatter
    source: Beats
    outs: tuple[Page, ...]
    module: ClassVar[str] = "scatter"

    @property
    def written(self) -> int:
        """Cycles from where a row of weights is asked for to where its sums are written."""
        return 3 + self.adding + self.apart

    @property
    def adding(self) -> int:
        """Cycles from weights to what a lane adds: those of `squat_dot`, which refuses any other number."""
        value, signed = self.source.value, self.source.signed
        terms = terms_of(value, signed, self.source.banks)
        return max(1, (terms - 1).bit_length() + multiplies(value, signed))

    @property
    def apart(self) -> int:
        """Cycles between two additions to a row."""
        parts = self.unit.rows.pe // self.outs[0].lanes.pe
        deep = self.outs[0].reading > 1 + (parts > _PARTS)
        return _BETWEEN if deep else int(self.rows > 1)

    @property
    def rows(self) -> int:
        """Of a page."""
        return self.unit.rows.rows

    @property
    def about(self) -> str:
        return f"{plain(self.unit.name)}: {self.unit.about}"

    @property
    def parameters(self) -> Parameters:
        lanes, source, rom = self.unit.rows, self.source, self.unit.rom
        return {
            "PE": lanes.pe,
            "GROUPS": lanes.groups,
            "SIMD": source.banks,
            "INDEX": source.index,
            "ENTRIES": source.entries,
            "VALUE": source.value,
            "VALUE_SIGNED": flag(source.signed),
            "WEIGHT": rom.bits,
            "BIPOLAR": flag(rom.bipolar),
            "SUM": self.unit.signal.bits,
            "ADDING": self.adding,
            "HELD": flag(self.unit.held),
            "READERS": len(self.outs),
            "VIEW": self.outs[0].lanes.pe,
            "VIEWS": self.outs[0].lanes.rows,
            "READ": self.outs[0].reading,
            "APART": self.apart,
            "COLUMN": self.column,
            "DEPTH": self.depth,
            "WEIGHTS": file(f"layer{self.unit.number}_weights_"),
            "START": file(f"layer{self.unit.number}_start.hex"),
        }

    @property
    def memories(self) -> Mapping[str, str]:
        unit, number = self.unit, self.unit.number
        weights = {
            f"layer{number}_weights_{bank:02}_{place}.hex": text
            for bank, codes in bank_rows(unit, self.source.elements)
            for place, text in in_blocks(codes, unit.rom.bits, self.column, self.depth)
        }
        start = unit.rows.zeros if unit.rom.bias is None else unit.rom.bias
        return {**weights, f"layer{number}_start.hex": hex_lines(start, unit.signal.bits)}

    @property
    def modules(self) -> tuple[str, ...]:
        return (self.module, "dot", "product", "weights", "rom", "sums")

    @property
    def depth(self) -> int:
        """Rows of one memory of weights."""
        return min(max(2, self.source.entries * self.unit.rows.groups), DEEPEST)

    @property
    def column(self) -> int:
        """Bits of one memory of weights: all where they are few, else as many as a block RAM of that depth has."""
        bits = self.unit.rows.pe * self.unit.rom.bits
        return bits if bits * self.depth < SMALL else min(bits, column_of(self.depth))


@dataclass(frozen=True, eq=False)
class Add(Instance):
    """Two pages as one, each times a factor."""

    sources: tuple[Page, Page]
    factors: tuple[int, int]
    out: Page
    module: ClassVar[str] = "add"

    @property
    def parameters(self) -> Parameters:
        own: dict[str, int | str] = {"PE": self.out.lanes.pe, "ROW": self.out.row, "SUM": self.out.bits}
        for side, source, factor in zip("AB", self.sources, self.factors, strict=True):
            own |= {f"SUM_{side}": source.bits, f"FACTOR_{side}": factor}
        return own

    @property
    def ports(self) -> Mapping[str, str]:
        first, second = self.sources
        return {**first.ports("a"), **second.ports("b"), **self.out.ports("out")}

    @property
    def gives(self) -> tuple[Bundle, ...]:
        return (self.out,)


@dataclass(frozen=True, eq=False)
class Place(Summed):
    """Events as sums."""

    source: Beats
    outs: tuple[Page, ...]
    module: ClassVar[str] = "place"

    @property
    def rows(self) -> int:
        """Of a page."""
        return self.outs[0].lanes.rows

    @property
    def parameters(self) -> Parameters:
        source, out = self.source, self.outs[0]
        return {
            "PE": out.lanes.pe,
            "ROWS": out.lanes.rows,
            "ENTRIES": source.entries,
            "INDEX": source.index,
            "VALUE": source.value,
            "VALUE_SIGNED": flag(source.signed),
            "SUM": out.bits,
            "HELD": flag(out.held),
            "READERS": len(self.outs),
            "PLACES": file(f"{self.name}_places.hex"),
            "START": file(f"{self.name}_start.hex"),
        }

    @property
    def memories(self) -> Mapping[str, str]:
        out = self.outs[0]
        lane_bits = max(1, (out.lanes.pe - 1).bit_length())
        row, lane = out.lanes.at(np.maximum(self.source.elements[0], 0))
        places = np.atleast_1d(row * 2**lane_bits + lane).reshape(-1, 1)
        places = np.pad(places, [(0, max(0, 2 - len(places))), (0, 0)])
        return {
            f"{self.name}_places.hex": hex_lines(places, out.row + lane_bits),
            f"{self.name}_start.hex": hex_lines(out.lanes.zeros, out.bits),
        }

    @property
    def modules(self) -> tuple[str, ...]:
        return (self.module, "rom", "sums")


@dataclass(frozen=True, eq=False)
class Unload(Between):
    """Sums as rows."""

    source: Page
    out: Rows
    module: ClassVar[str] = "unload"

    @property
    def parameters(self) -> Parameters:
        lanes = self.source.lanes
        sizes = {"PE": lanes.pe, "GROUPS": lanes.groups, "POSITIONS": lanes.positions, "CHANNELS": lanes.channels}
        return {**sizes, "SUM": self.source.bits, "HELD": flag(self.source.held)}
