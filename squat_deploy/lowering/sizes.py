"""The size of a batch as a number that notes what becomes of it: a model must not decide by it.

A model is recorded with a few samples. `if x.size(0) == 255` would act in no recording, so each comparison of the batch
size is asked for the batches in which it comes out otherwise; those are recorded too. The number is none of Python's,
whose C code would take it as it is (`0.5 * n`, `range(n)`, `[0] * n`), but a symbolic one of torch's: its functions and
`torch.Size` take and hold those without asking for a value. What leaves arithmetic and comparisons (text, lengths,
keys, `math`) cannot be followed: then usual sizes are recorded, and those that stand beside it in the code.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from squat_deploy.lowering.asking import BATCH, MAX_DEPTH, Asked, Made, Plain, function_of

_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_BITWISE = ("lshift", "rshift", "and", "or", "xor")
_ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "divmod", *_BITWISE)
_UNARY = ("neg", "pos", "abs", "invert", "floor", "ceil", "trunc", "round")
_ESCAPES = ("int", "float", "hash", "str", "repr", "format", "reduce_ex")


class _Node:
    """What torch asks for the value of a symbolic number, where it gets one that nobody unwrapped."""

    def __init__(self, value: Plain) -> None:
        self.value = value

    def is_int(self) -> bool:
        return isinstance(self.value, int)

    def is_float(self) -> bool:
        return isinstance(self.value, float)

    def is_nested_int(self) -> bool:
        return False

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


def batch_size(asked: Asked, made: Made = BATCH) -> Any:
    """The size of the batch that is being recorded, or a number made of it."""
    return _followed(asked, made, made.at(asked.batch))


def _followed(asked: Asked, made: Made, value: Any) -> Any:
    if type(value) not in (int, float) or made.depth > MAX_DEPTH:
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


def has_sizes(value: Any) -> bool:
    """Whether some number in arguments was made of the size of a batch."""
    parts = value.values() if type(value) is dict else value if type(value) in (tuple, list, torch.Size) else ()
    return isinstance(value, Followed) or any(map(has_sizes, parts))


def _made(value: Any) -> Any:
    return value.made if isinstance(value, Followed) else value


def _compared(name: str) -> Callable[[Followed, Any], Any]:
    function = function_of(name)

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
    value = function_of(name)(*map(without_sizes, parts))
    if not all(isinstance(part, int | float) for part in parts):
        asked.escape()
        return value
    return _followed(asked, Made(name, tuple(map(_made, parts))), value)


def _escaping(name: str) -> Callable[..., Any]:
    def escaping(self: Followed, *args: Any) -> Any:
        self.asked.escape()
        return getattr(self.value, f"__{name}__")(*args)

    return escaping


def _attribute(name: str) -> property:
    return property(lambda self: Followed.__getattr__(self, name))


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
        setattr(Followed, _name, _attribute(_name))
