"""The size of a batch as a number that notes what it is compared with: a model must not decide by it.

A model is recorded with a few samples. `if x.size(0) == 255` would act in no recording, so each comparison of the batch
size is asked for the batches in which it comes out otherwise; those are recorded too. Only a float in front of it,
`0.5 * x.size(0)`, computes with it and asks nobody.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MAX_BATCH = 4096  # batches beyond it are not asked for
_USUAL = (2, 10, 16, 32, 50, 64, 100, 128, 200, 255, 256, 500, 512)
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_ARITHMETIC = ("add", "sub", "mul", "floordiv", "mod", "pow", "lshift", "rshift", "and", "or", "xor")
_UNARY = ("neg", "pos", "abs", "invert")
_OTHERS = frozenset(  # whose results note nothing: all that ints can do besides, but for how they are made and copied
    name
    for name, function in vars(int).items()
    if callable(function) and name not in ("__new__", "__getattribute__", "__getnewargs__", "__sizeof__", "from_bytes")
) - {f"__{part}{name}__" for name in (*_COMPARISONS, *_ARITHMETIC, *_UNARY, "bool") for part in ("", "r")}


@dataclass
class Asked:
    """Batch sizes in which some comparison comes out otherwise than in this recording."""

    batch: int
    others: set[int] = field(default_factory=set)

    def note(self, of: Callable[[int], Any]) -> None:
        """`of`: the result of one comparison by the size of the batch."""
        now = _tried(of, self.batch)
        other = next((batch for batch in range(1, MAX_BATCH + 1) if _tried(of, batch) != now), None)
        if other is not None:
            self.others.add(other)

    def try_usual(self) -> None:
        """For what cannot be followed: the sizes that people use."""
        self.others |= set(_USUAL) - {self.batch}


def _tried(of: Callable[[int], Any], batch: int) -> Any:
    try:
        return of(batch)
    except (ArithmeticError, ValueError) as error:
        return type(error)


class BatchSize(int):
    """An int that was made of the size of a batch by `of`."""

    asked: Asked
    of: Callable[[int], int]

    def __bool__(self) -> bool:
        self.asked.note(lambda batch: bool(self.of(batch)))
        return int.__bool__(self)


def batch_size(asked: Asked, of: Callable[[int], int] = lambda batch: batch) -> BatchSize:
    """The size of the batch that is being recorded, or a number made of it."""
    made = BatchSize(of(asked.batch))
    made.asked, made.of = asked, of
    return made


def _by_batch(value: Any) -> Callable[[int], Any]:
    return value.of if isinstance(value, BatchSize) else lambda batch: value


def _function(name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(operator, f"{name}_" if name in ("and", "or") else name)
    return found


def _comparison(name: str) -> Callable[[BatchSize, Any], Any]:
    function = _function(name)

    def compared(self: BatchSize, other: Any) -> Any:
        result = getattr(int, f"__{name}__")(self, other)
        if result is not NotImplemented or isinstance(other, float):  # a float compares itself then
            left, right = self.of, _by_batch(other)
            self.asked.note(lambda batch: function(left(batch), right(batch)))
        return result

    return compared


def _arithmetic(name: str, reflected: bool) -> Callable[[BatchSize, Any], Any]:
    function = _function(name)

    def computed(self: BatchSize, other: Any, *more: Any) -> Any:
        result = getattr(int, f"__{'r' if reflected else ''}{name}__")(self, other, *more)
        if type(result) is not int or more:  # a float, or one that computes itself then
            if result is not NotImplemented or isinstance(other, float):
                self.asked.try_usual()
            return result
        left, right = (_by_batch(other), self.of) if reflected else (self.of, _by_batch(other))
        return batch_size(self.asked, lambda batch: function(left(batch), right(batch)))

    return computed


def _unary(name: str) -> Callable[[BatchSize], BatchSize]:
    function = _function(name)
    return lambda self: batch_size(self.asked, lambda batch: function(self.of(batch)))


def _other(name: str) -> Callable[..., Any]:
    function = getattr(int, name)

    def tried(self: BatchSize, *args: Any) -> Any:
        self.asked.try_usual()
        return function(self, *args)

    return tried


for _name in _OTHERS:
    setattr(BatchSize, _name, _other(_name))
for _name in _COMPARISONS:
    setattr(BatchSize, f"__{_name}__", _comparison(_name))
for _name in _ARITHMETIC:
    setattr(BatchSize, f"__{_name}__", _arithmetic(_name, reflected=False))
    setattr(BatchSize, f"__r{_name}__", _arithmetic(_name, reflected=True))
for _name in _UNARY:
    setattr(BatchSize, f"__{_name}__", _unary(_name))
