"""Expressions of unsigned integers as C++, which the laws of addresses make as they do numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import count

import numpy as np


@dataclass(frozen=True)
class Term:
    """An expression; `bound` is more than it ever is.

    A division by anything but a power of two becomes a multiplication and a shift: a divider takes a cycle a bit.
    """

    text: str
    bound: int
    binding: int = 3  # of its outermost operator: 3 none, 2 products, 1 sums

    def __str__(self) -> str:
        return self.text

    def __add__(self, other: Term | int) -> Term:
        return self._joined("+", other, 1, self.bound + (other.bound - 1 if isinstance(other, Term) else other))

    def __sub__(self, other: Term | int) -> Term:
        return self._joined("-", other, 1, self.bound)

    def __mul__(self, other: Term | int) -> Term:
        if other == 0:
            return Term("0", 1)
        most = other.bound - 1 if isinstance(other, Term) else other
        return self._joined("*", other, 2, (self.bound - 1) * most + 1)

    def __floordiv__(self, other: int) -> Term:
        bound = (self.bound - 1) // other + 1
        if other & (other - 1) == 0:
            return self._joined("/", other, 2, bound)
        if bound == 1:
            return Term("0", 1)
        factor, shift = reciprocal(other, self.bound)
        if (self.bound - 1) * factor < 2**32:
            return Term(f"({self._within(2)} * {factor}u >> {shift})", bound)
        product = f"static_cast<std::uint64_t>({self}) * {factor}u >> {shift}"
        return Term(f"static_cast<unsigned>({product})", bound)

    def __mod__(self, other: int) -> Term:
        if self.bound <= other:
            return self
        if other & (other - 1) == 0:
            return self._joined("%", other, 2, other)
        rest = self - self // other * other
        return Term(rest.text, other, rest.binding)

    def _joined(self, operator: str, other: Term | int, binding: int, bound: int) -> Term:
        right = other if isinstance(other, Term) else Term(str(other), other + 1)
        texts = (self._within(binding), right._within(binding + 1))
        return Term(f"{texts[0]} {operator} {texts[1]}", bound, binding)

    def _within(self, binding: int) -> str:
        return self.text if self.binding >= binding else f"({self})"


@cache
def reciprocal(divisor: int, bound: int) -> tuple[int, int]:
    """(factor, shift) such that `number * factor >> shift` is `number // divisor` of every number below `bound`."""
    numbers = np.arange(bound, dtype=np.uint64)
    for shift in count(divisor.bit_length() - 1):  # ends where 2 ** shift is above divisor * bound, or before
        factor = -(-(2**shift) // divisor)
        if np.array_equal(numbers * np.uint64(factor) >> np.uint64(shift), numbers // np.uint64(divisor)):
            return factor, shift
    raise AssertionError
