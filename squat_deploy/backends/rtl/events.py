"""Instances that make events of rows, name them, deal them over banks and join them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from squat_deploy.backends.rtl.instance import Between, Instance, Parameters, file, flag
from squat_deploy.backends.rtl.memories import hex_lines
from squat_deploy.backends.rtl.streams import Beats, Bundle, Rows

_APART = 8  # parts of words that a bank may be behind: more gained nothing on 784 inputs, 11 % of them events


@dataclass(frozen=True, eq=False)
class Narrow(Between):
    """Rows as rows of fewer numbers."""

    source: Rows
    out: Rows
    module: ClassVar[str] = "narrow"

    @property
    def parts(self) -> int:
        """Beats of a row."""
        return self.source.fields // self.out.fields

    @property
    def parameters(self) -> Parameters:
        return {"FIELDS": self.source.fields, "VALUE": self.source.value, "PARTS": self.parts}


@dataclass(frozen=True, eq=False)
class Lister(Between):
    """Rows as beats of events."""

    source: Rows
    out: Beats
    module: ClassVar[str] = "lister"

    @property
    def parameters(self) -> Parameters:
        return {"FIELDS": self.source.fields, "VALUE": self.source.value, "INDEX": self.out.index}


@dataclass(frozen=True, eq=False)
class Dealer(Lister):
    """Rows as beats of events, one of each bank, which run ahead of one another within a step."""

    module: ClassVar[str] = "dealer"

    @property
    def depth(self) -> int:
        """Parts of rows that wait in a bank: none where a step is one row, which all banks come to the end of."""
        return 0 if self.source.words == 1 else min(_APART, 2 ** (self.source.words - 1).bit_length())

    @property
    def parameters(self) -> Parameters:
        return {**super().parameters, "SIMD": self.out.banks, "DEPTH": self.depth}

    @property
    def ports(self) -> Mapping[str, str]:
        return {**super().ports, "in_index": f"{self.out.index}'d0"}

    @property
    def modules(self) -> tuple[str, ...]:
        return (self.module, "fifo")


@dataclass(frozen=True, eq=False)
class Sorter(Between):
    """Events one a cycle, dealt over banks."""

    source: Beats
    out: Beats
    module: ClassVar[str] = "sorter"

    @property
    def depth(self) -> int:
        """Events that wait in a bank."""
        return _APART

    @property
    def parameters(self) -> Parameters:
        sizes = {"SIMD": self.out.banks, "VALUE": self.source.value, "DEPTH": self.depth}
        return {**sizes, "INDEX_IN": self.source.index, "INDEX": self.out.index}

    @property
    def modules(self) -> tuple[str, ...]:
        return (self.module, "dealer", "fifo")


@dataclass(frozen=True, eq=False)
class Recode(Between):
    """Events by the number of their element."""

    source: Beats
    out: Beats
    module: ClassVar[str] = "recode"

    @property
    def parameters(self) -> Parameters:
        sizes = {"ENTRIES": self.source.entries, "INDEX": self.source.index, "CODE": self.out.index}
        return {**sizes, "VALUE": self.out.value, "CODES": file(f"{self.name}.hex")}

    @property
    def memories(self) -> Mapping[str, str]:
        return {f"{self.name}.hex": hex_lines(np.maximum(self.source.elements.T, 0), self.out.index)}


@dataclass(frozen=True, eq=False)
class Join(Instance):
    """Events of two streams, one after the other.

    Attributes:
        firsts: of each, what is added to its indices.
        factors: of each, what its values are multiplied by.
    """

    sources: tuple[Beats, Beats]
    firsts: tuple[int, int]
    factors: tuple[int, int]
    out: Beats
    module: ClassVar[str] = "join"

    @property
    def parameters(self) -> Parameters:
        own: dict[str, int | str] = {"INDEX": self.out.index, "VALUE": self.out.value}
        for side, source, first, factor in zip("AB", self.sources, self.firsts, self.factors, strict=True):
            own |= {f"INDEX_{side}": source.index, f"VALUE_{side}": source.value, f"SIGNED_{side}": flag(source.signed)}
            own |= {f"FIRST_{side}": first, f"FACTOR_{side}": factor}
        return own

    @property
    def ports(self) -> Mapping[str, str]:
        first, second = self.sources
        return {**first.ports("a"), **second.ports("b"), **self.out.ports("out")}

    @property
    def gives(self) -> tuple[Bundle, ...]:
        return (self.out,)
