"""What is asked of the size of a batch: in which other batches a model could do something else than in this one."""

from __future__ import annotations

import math
import operator
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import CodeType, FrameType
from typing import Any, TypeAlias

from torch import nn

Plain: TypeAlias = int | float

MAX_BATCH = 2**24  # batches beyond it are not asked for
USUAL = frozenset([2, 10, 16, 32, 50, 64, 100, 128, 200, 255, 256, 500, 512])
LARGE = frozenset([1000, 1024, 2048, 4096, 10_000])
_EACH = 4096  # up to here every batch is asked for, beyond it those where something may happen
_STRAIGHT = frozenset(base**k + off for base in (2, 10) for k in range(4, 25) for off in (-1, 0, 1))
MAX_DEPTH = 100  # of numbers made of numbers
_NEAR, _MAX_NEAR = 12, 2**16  # how many numbers of the code, and up to which
_OFTEN = 3  # batches above this one that a comparison asks for
_HELD = 1000  # elements of a container in which they are looked for
_BITS = 2**16  # of a power: larger ones are not computed
_ELSEWHERE: dict[str, Callable[..., Any]] = {
    "and": operator.and_, "or": operator.or_, "pow": pow, "abs": abs, "bool": bool,
    "round": round, "floor": math.floor, "ceil": math.ceil, "trunc": math.trunc,
}  # fmt: skip


class _TooLargeError(ArithmeticError):
    """A number that nobody computes."""


def _power(base: Any, exponent: Any, *modulus: int) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and not modulus and base.bit_length() * exponent > _BITS:
        raise _TooLargeError
    return pow(base, exponent, *modulus)


def _shifted(number: int, bits: int) -> int:
    if bits > _BITS:
        raise _TooLargeError
    return number << bits


@cache
def function_of(name: str) -> Callable[..., Any]:
    """What computes with plain numbers, by the name of the method."""
    found: Callable[..., Any] = _ELSEWHERE.get(name) or getattr(operator, name)
    return found


_TRIED: dict[str, Callable[..., Any]] = {"pow": _power, "lshift": _shifted}


@dataclass(frozen=True)
class Made:
    """How a number is made: of the batch alone, or by a function of numbers."""

    function: str = ""
    parts: tuple[Made | Plain, ...] = ()

    def at(self, batch: int) -> Any:
        """The number in this batch."""
        if not self.function:
            return batch
        function = _TRIED.get(self.function) or function_of(self.function)
        return function(*(part.at(batch) if type(part) is Made else part for part in self.parts))

    def tried(self, batch: int, otherwise: Any = None) -> Any:
        """The same, or the kind of its error; `otherwise`: what stands for numbers that are too large."""
        try:
            return self.at(batch)
        except _TooLargeError:
            return otherwise
        except (ArithmeticError, ValueError, TypeError) as error:
            return type(error)

    @cached_property
    def depth(self) -> int:
        return 1 + max((part.depth for part in self.parts if isinstance(part, Made)), default=0)

    def constants(self) -> Iterator[int]:
        """The whole numbers next to those that it is made with."""
        for part in self.parts:
            if isinstance(part, Made):
                yield from part.constants()
            elif abs(part) <= MAX_BATCH:
                yield abs(int(part))


BATCH = Made()


@dataclass
class Asked:
    """Batch sizes in which this recording may come out otherwise.

    Attributes:
        frame: finds the innermost frame of the user's code.
        others: those in which some comparison does, with its line.
        tried: those for what cannot be followed.
        seen: comparisons of this recording, and places in the code; often: how many batches each comparison asked for,
            in all recordings of a model.
    """

    batch: int
    frame: Callable[[], FrameType | None] = lambda: None
    others: dict[int, str] = field(default_factory=dict)
    tried: set[int] = field(default_factory=set)
    seen: set[object] = field(default_factory=set)
    often: Counter[Made] = field(default_factory=Counter)

    def note(self, outcome: Made) -> None:
        """`outcome`: one comparison, made of the size of the batch.

        The next larger batch is asked again when that is recorded, so that comparisons are met in all their outcomes
        together; a few times only, since `n % 2` never ends.
        """
        if outcome in self.seen:
            return
        self.seen.add(outcome)
        now = outcome.tried(self.batch)
        below, above = _next(outcome, now, range(1, min(self.batch, _EACH))), None
        if self.often[outcome] < _OFTEN:
            above = next(
                (batch for batch in range(self.batch + 1, _EACH + 1) if outcome.tried(batch, now) != now), None
            )
            above = _beyond(outcome, now, max(self.batch, _EACH)) if above is None else above
        self.often[outcome] += above is not None
        for other in (below, above):
            if other is not None:
                self.others.setdefault(other, line_of(self.frame()))

    def escape(self) -> None:
        """For what cannot be followed: the sizes that people use, and the numbers in the code that uses this one."""
        frame = self.frame()
        place = None if frame is None else (frame.f_code, frame.f_lasti)
        if place not in self.seen:
            self.seen.add(place)
            near = set() if frame is None else set(numbers_near(frame))
            self.tried |= (USUAL | LARGE | set(sorted(near - {0, 1})[-_NEAR:])) - {self.batch}


def line_of(frame: FrameType | None) -> str:
    """File and line of a frame."""
    return "model" if frame is None else f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"  # noqa: PTH119 (ten times faster)


def _next(outcome: Made, now: Any, batches: Iterable[int]) -> int | None:
    """The first of some batches in which a comparison does not come out as now."""
    return next((batch for batch in batches if outcome.tried(batch, now) != now), None)


def _beyond(outcome: Made, now: Any, start: int) -> int | None:
    """The smallest batch found above `start` in which a comparison does not come out as now."""
    constants = sorted(set(outcome.constants()))[-_NEAR:]
    near = {one + other + off for one in constants for other in (0, *constants) for off in (-1, 0, 1)}
    if len(outcome.parts) == 2:
        order = Made("ge", outcome.parts)
        at = _first(order, order.tried(start), start, MAX_BATCH)
        near |= {at - 1, at, at + 1}
    other = _next(outcome, now, (batch for batch in sorted(near | _STRAIGHT) if start < batch <= MAX_BATCH))
    return None if other is None else _first(outcome, now, start, other)


def _first(outcome: Made, now: Any, same: int, other: int) -> int:
    """Where an outcome changes on the way from one batch to another, if it does so once."""
    while other - same > 1:
        between = (same + other) // 2
        if outcome.tried(between, now) == now:
            same = between
        else:
            other = between
    return other


def numbers_near(frame: FrameType) -> Iterator[int]:
    """Whole numbers in a function, in what it has and in what its modules and globals hold: keys of tables, say."""
    held = list(frame.f_locals.values())
    held += [part for value in held if isinstance(value, nn.Module) for part in vars(value).values()]
    held += [frame.f_globals[name] for name in frame.f_code.co_names if name in frame.f_globals]
    for value in (*frame.f_code.co_consts, *held):
        yield from _numbers_in(value, 2)


def _numbers_in(value: object, depth: int) -> Iterator[int]:
    if type(value) is int and 1 < value <= _MAX_NEAR:
        yield value
    elif type(value) is str:
        yield from (int(digits) for digits in re.findall(r"[0-9]+", value[:_HELD]) if 0 < len(digits) < 6)
    elif isinstance(value, CodeType) and depth:
        for part in value.co_consts:
            yield from _numbers_in(part, depth - 1)
    elif type(value) in (tuple, list, set, frozenset, dict) and depth:
        for part in list(value)[:_HELD]:  # type: ignore[call-overload]
            yield from _numbers_in(part, depth - 1)
