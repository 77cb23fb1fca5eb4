"""The claims of SQUAT (arXiv 2404.19668) and this project's goal, each decided by differences seed by seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product

from squat_deploy.lab.config import FLOAT_BITS
from squat_deploy.lab.study.config import Cell, Method
from squat_deploy.lab.study.estimates import Estimate, Result, Results, Verdict, difference, grouped

_ORDER: tuple[Method, ...] = ("QAT+SQUAT", "QAT", "SQUAT", "PTQ")
_SQUATS = ("uniform", "threshold-centred")  # the paper's own tables
_CLOSE, _BETTER = 0.01, 0.01  # accuracy


@dataclass(frozen=True)
class Claim:
    """What was said, and what the cells say.

    Attributes:
        measured: the difference that decides.
        least: what it must be greater than.
    """

    text: str
    where: str
    measured: Estimate
    least: float = 0.0

    @property
    def verdict(self) -> Verdict:
        return self.measured.above(self.least)


def claims(results: Results) -> list[Claim]:
    """All claims that the main cells of one study can decide."""
    groups = grouped([(cell, result) for cell, result in results if not cell.group], _key)
    return [*_order(groups), *_centred(groups), *_near_float(groups), *_goal(groups)]


Setting = tuple[Method, int, str]  # method, bits of the states, levels
Groups = dict[Setting, list[Result]]


def _key(cell: Cell) -> Setting:
    return (cell.method, cell.state_bits, "" if cell.method == "float" else cell.levels)


def _widths(groups: Groups) -> list[int]:
    return sorted({bits for method, bits, _ in groups if method != "float"})


def _compared(
    groups: Groups, text: str, where: str, first: Setting, second: Setting, least: float = 0.0
) -> Iterator[Claim]:
    found = difference(groups.get(first, []), groups.get(second, []))
    if found is not None:
        yield Claim(text, where, found, least)


def _order(groups: Groups) -> Iterator[Claim]:
    for better, worse in pairwise(_ORDER):
        for bits in _widths(groups):
            for levels in _SQUATS:
                first, second = (better, bits, levels), (worse, bits, levels)
                yield from _compared(groups, f"{better} above {worse}", f"{bits} bits, {levels}", first, second)


def _centred(groups: Groups) -> Iterator[Claim]:
    methods: tuple[Method, ...] = ("QAT+SQUAT", "SQUAT")
    for method, bits in product(methods, _widths(groups)):
        first, second = (method, bits, "threshold-centred"), (method, bits, "uniform")
        yield from _compared(groups, "threshold-centred above uniform", f"{method}, {bits} bits", first, second)


def _near_float(groups: Groups) -> Iterator[Claim]:
    for bits in _widths(groups):
        for levels in dict.fromkeys((*_SQUATS, "learned")):
            own: Setting = ("QAT+SQUAT", bits, levels)
            text = f"weights and states of {bits} bits within {_CLOSE:.0%} of float"
            yield from _compared(groups, text, levels, own, ("float", FLOAT_BITS, ""), -_CLOSE)


def _goal(groups: Groups) -> Iterator[Claim]:
    own: Setting = ("QAT+SQUAT", 2, "learned")
    other: Setting = ("QAT+SQUAT", 2, "threshold-centred")
    text = f"learned levels above threshold-centred by {_BETTER:.0%}"
    yield from _compared(groups, text, "QAT+SQUAT, 2 bits", own, other, _BETTER)
