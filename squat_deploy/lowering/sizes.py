"""The size of a batch as a number that notes what becomes of it: a model must not decide by it.

A model is recorded with a few samples. `if x.size(0) == 255` would act in no recording, so each comparison of the batch
size is asked for the batches in which it comes out otherwise; those are recorded too. The number is none of Python's,
whose C code would take it as it is (`0.5 * n`, `range(n)`, `[0] * n`), but a symbolic one of torch's, which its functions
and `torch.Size` take and hold without asking for a value. What leaves arithmetic and comparisons (text, lengths, keys,
`math`) cannot be followed: then the sizes that people use are recorded, and those that stand beside it in the code.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

Plain: TypeAlias = int | float

MAX_BATCH = 2**24  # batches beyond it are not asked for
USUAL = frozenset([2, 10, 16, 32, 50, 64, 100, 128, 200, 255, 256, 500, 512])
LARGE = frozenset([1000, 1024, 2048, 4096, 10_000])
_EACH = 4096  # up to here every batch is asked for, beyond it those where something may happen
_STRAIGHT = frozenset(base**k + off for base in (2, 10) for k in range(4, 25) for off in (-1, 0, 1))
_DEPTH = 100  # of numbers made of numbers
_NEAR, _MAX_NEAR = 12, 2**16  # how many numbers of the code, and up to which
_HELD = 1000  # elements of a container in which they are looked for
_BITS = 4096  # of a number of the largest batch of all that are tried one by one: beyond it, they are not computed
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_ARITHMETIC = "add sub mul truediv floordiv mod pow lshift rshift and or xor divmod".split()
_UNARY = ("neg", "pos", "abs", "invert", "floor", "ceil", "trunc", "round")
_ESCAPES = ("int", "float", "hash", "str", "repr", "format", "reduce_ex")
_ELSEWHERE: dict[str, Callable[..., Any]] = {
    "and": operator.and_, "or": operator.or_, "pow": pow, "abs": abs, "bool": bool,
    "round": round, "floor": math.floor, "ceil": math.ceil, "trunc": math.trunc,
}  # fmt: skip


@dataclass(frozen=True)
class Made:
    """How a number is made: of the batch alone, or by a function of numbers."""

    function: str = ""
    parts: tuple[Made | Plain, ...] = ()

    def at(self, batch: int) -> Any:
        """The number in this batch."""
        if not self.function:
            return batch
        return _function(self.function)(*(part.at(batch) if type(part) is Made else part for part in self.parts))

    def tried(self, batch: int) -> Any:
        """The same, or the kind of its error."""
        try:
            return self.at(batch)
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


_BATCH = Made()


@dataclass
class Asked:
    """Batch sizes in which this recording may come out otherwise.

    Attributes:
        frame: finds the innermost frame of the user's code.
        others: those in which some comparison does, with its line.
        tried: those for what cannot be followed.
    """

    batch: int
    frame: Callable[[], FrameType | None] = lambda: None
    others: dict[int, str] = field(default_factory=dict)
    tried: set[int] = field(default_factory=set)
    seen: set[object] = field(default_factory=set)

    def note(self, outcome: Made) -> None:
        """`outcome`: one comparison, made of the size of the batch."""
        if outcome in self.seen:
            return
        self.seen.add(outcome)
        now = outcome.tried(self.batch)
        other = next((batch for batch in range(1, _EACH + 1) if outcome.tried(batch) != now), None)
        if other is None:
            other = _beyond(outcome, now)
        if other is not None:
            self.others.setdefault(other, line_of(self.frame()))

    def escape(self) -> None:
        """For what cannot be followed: the sizes that people use, and the numbers in the code that uses this one."""
        frame = self.frame()
        place = None if frame is None else (frame.f_code, frame.f_lasti)
        if place not in self.seen:
            self.seen.add(place)
            near = set() if frame is None else set(_numbers_near(frame))
            self.tried |= (USUAL | LARGE | set(sorted(near)[-_NEAR:])) - {self.batch}


def line_of(frame: FrameType | None) -> str:
    """File and line of a frame."""
    return "model" if frame is None else f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def _beyond(outcome: Made, now: Any) -> int | None:
    """The smallest batch found above those tried one by one in which a comparison does not come out as now."""
    sides = [part.tried(_EACH) for part in outcome.parts if isinstance(part, Made)]
    if any(isinstance(side, int) and side.bit_length() > _BITS for side in sides):
        return None
    constants = sorted(set(outcome.constants()))[-_NEAR:]
    near = {one + other + off for one in constants for other in (0, *constants) for off in (-1, 0, 1)}
    if len(outcome.parts) == 2:
        order = Made("ge", outcome.parts)
        at = _first(order, order.tried(_EACH), MAX_BATCH)
        near |= {at - 1, at, at + 1}
    found = (batch for batch in sorted(near.union(_STRAIGHT)) if _EACH < batch <= MAX_BATCH)
    other = next((batch for batch in found if outcome.tried(batch) != now), None)
    return None if other is None else _first(outcome, now, other)


def _first(outcome: Made, now: Any, other: int) -> int:
    """Where an outcome changes on the way to another batch, if it does so once."""
    same = _EACH
    while other - same > 1:
        between = (same + other) // 2
        if outcome.tried(between) == now:
            same = between
        else:
            other = between
    return other


def _numbers_near(frame: FrameType) -> Iterator[int]:
    """Whole numbers in a function, in what it has and in what its modules and globals hold: keys of tables, say."""
    held = list(frame.f_locals.values())
    held += [part for value in held if isinstance(value, nn.Module) for part in vars(value).values()]
    held += [frame.f_globals[name] for name in frame.f_code.co_names if name in frame.f_globals]
    for value in (*frame.f_code.co_consts, *held):
        yield from _numbers_in(value, 2)


def _numbers_in(value: object, depth: int) -> Iterator[int]:
    if type(value) is int and 1 < value <= _MAX_NEAR:
        yield value
    elif isinstance(value, CodeType) and depth:
        for part in value.co_consts:
            yield from _numbers_in(part, depth - 1)
    elif type(value) in (tuple, list, set, frozenset, dict) and depth:
        for part in list(value)[:_HELD]:  # type: ignore[call-overload]
            yield from _numbers_in(part, depth - 1)


class _Node:
    """What torch asks for the value of a symbolic number, where it gets one that nobody unwrapped."""

    def __init__(self, value: Plain) -> None:
        self.value = value

    def is_int(self) -> bool:
        return isinstance(self.value, int)

    def is_float(self) -> bool:
        return isinstance(self.value, float)

    def maybe_as_int(self) -> Plain:
        return self.value

    def guard_int(self, *_: object) -> Plain:
        return self.value

    guard_float = guard_int


class Followed:
    """A number that was made of the size of a batch; it counts as an int or a float of Python.

    Attributes:
        value: in the batch that is being recorded.
    """

    asked: Asked
    made: Made
    value: Plain

    def __init__(self, asked: Asked, made: Made, value: Plain) -> None:
        super().__init__(_Node(value))  # type: ignore[call-arg]
        self.asked, self.made, self.value = asked, made, value

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self.value)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.value, name)
        self.asked.escape()
        return found

    def __bool__(self) -> bool:
        self.asked.note(Made("bool", (self.made,)))
        return bool(self.value)

    def __copy__(self) -> Followed:
        return self

    def __deepcopy__(self, memo: object) -> Followed:
        return self

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        self.asked.escape()
        return np.asarray(self.value, dtype)


class BatchSize(Followed, torch.SymInt):
    """A whole one."""

    def __index__(self) -> int:
        self.asked.escape()
        return int(self.value)


class BatchPart(Followed, torch.SymFloat):
    """One that is not whole."""


def batch_size(asked: Asked, made: Made = _BATCH) -> Any:
    """The size of the batch that is being recorded, or a number made of it."""
    return _followed(asked, made, made.at(asked.batch))


def _followed(asked: Asked, made: Made, value: Any) -> Any:
    if type(value) not in (int, float) or made.depth > _DEPTH:
        asked.escape()
        return value
    return (BatchSize if type(value) is int else BatchPart)(asked, made, value)


def without_sizes(value: Any) -> Any:
    """The same with plain numbers, as functions of torch take it."""
    if isinstance(value, Followed):
        return value.value
    if type(value) is slice:
        return slice(*map(without_sizes, (value.start, value.stop, value.step)))
    if type(value) is dict:
        return {key: without_sizes(part) for key, part in value.items()}
    return type(value)(map(without_sizes, value)) if type(value) in (tuple, list, torch.Size) else value


@cache
def _function(name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = _ELSEWHERE.get(name) or getattr(operator, name)
    return found


def _made(value: Any) -> Any:
    return value.made if isinstance(value, Followed) else value


def _compared(name: str) -> Callable[[Followed, Any], Any]:
    function = _function(name)

    def compared(self: Followed, other: Any) -> Any:
        plain = without_sizes(other)
        if not isinstance(plain, int | float):
            return NotImplemented
        self.asked.note(Made(name, (self.made, _made(other))))
        return function(self.value, plain)

    return compared


def _computed(name: str, reflected: bool) -> Callable[..., Any]:
    def computed(self: Followed, other: Any, *more: Any) -> Any:
        if isinstance(other, Tensor):
            return NotImplemented
        if name == "divmod":
            pair = (other, self) if reflected else (self, other)
            return operator.floordiv(*pair), operator.mod(*pair)
        order = (other, self, *more) if reflected else (self, other, *more)
        return _result(self.asked, name, order)

    return computed


def _unary(name: str) -> Callable[..., Any]:
    return lambda self, *more: _result(self.asked, name, (self, *more))


def _result(asked: Asked, name: str, parts: tuple[Any, ...]) -> Any:
    """Of a function of numbers; of others (lists, decimal numbers) it cannot be followed."""
    value = _function(name)(*map(without_sizes, parts))
    if not all(isinstance(part, int | float) for part in parts):
        asked.escape()
        return value
    return _followed(asked, Made(name, tuple(map(_made, parts))), value)


def _escaping(name: str) -> Callable[..., Any]:
    def escaping(self: Followed, *args: Any) -> Any:
        self.asked.escape()
        return getattr(self.value, f"__{name}__")(*args)

    return escaping


for _name in _ESCAPES:
    setattr(Followed, f"__{_name}__", _escaping(_name))
for _name in _COMPARISONS:
    setattr(Followed, f"__{_name}__", _compared(_name))
for _name in _ARITHMETIC:
    setattr(Followed, f"__{_name}__", _computed(_name, reflected=False))
    setattr(Followed, f"__r{_name}__", _computed(_name, reflected=True))
for _name in _UNARY:
    setattr(Followed, f"__{_name}__", _unary(_name))
for _name in set(vars(torch.SymInt)) | set(vars(torch.SymFloat)):
    if _name.isidentifier() and not _name.startswith("_") and (hasattr(int, _name) or hasattr(float, _name)):
        setattr(Followed, _name, property(lambda self, name=_name: self.__getattr__(name)))
