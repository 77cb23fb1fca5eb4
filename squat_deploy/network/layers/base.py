"""The protocol of layers: what storage, digest, rules, ranges, report and simulator ask of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network.limits import MAX_SUM, MAX_VALUES

IntArray = NDArray[np.int64]
Ends = tuple[int, int]
Range = tuple[IntArray, IntArray]  # lowest and highest value of every element, (N,) each


class Step(Protocol):
    """One time step of a layer, called in order; what the layer remembers is kept in here."""

    def __call__(self, *values: NDArray[Any]) -> NDArray[Any]:
        """(B, inputs) integers, one array an input, to (B, outputs)."""


class Stage(Protocol):
    """A layer made ready for inputs within known ranges."""

    def start(self, samples: int) -> Step:
        """A new sequence of a batch."""


class BaseLayer(ABC):
    """A layer of integers; a frozen dataclass with a name.

    Attributes:
        remembers: whether what it gives depends on the steps before.
        late: whether layers before it may take what it gave in the step before; its range depends on nothing then.
    """

    name: str
    remembers: ClassVar[bool] = False
    late: ClassVar[bool] = False

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Values that it gives a sample and step."""

    @property
    @abstractmethod
    def input_sizes(self) -> tuple[int, ...]:
        """Values that each of its inputs has; a size that nothing has where its arrays say none."""

    @property
    def width(self) -> int:
        """Values a sample that it makes on its way."""
        return self.outputs

    @abstractmethod
    def range(self, *taken: Range) -> Range:
        """Lowest and highest value of every element that it gives, by those of its inputs."""

    def partial_range(self, *taken: Range) -> Ends:
        """Range of every value and every partial result on its way, in any order; 0 is in it."""
        ends = [end for pair in (*taken, self.range(*taken)) for end in pair]
        return min(0, *(int(end.min()) for end in ends)), max(0, *(int(end.max()) for end in ends))

    @abstractmethod
    def stage(self, *taken: Range) -> Stage:
        """What runs it, for inputs in these ranges."""

    @abstractmethod
    def arrays(self) -> dict[str, IntArray]:
        """The integers that decide what it gives, by name, in the order of the digest."""

    def saved(self) -> dict[str, IntArray]:
        """The arrays of its file: also those that decide nothing."""
        return self.arrays()

    @classmethod
    @abstractmethod
    def of(cls, name: str, arrays: dict[str, IntArray]) -> Self:
        """The inverse of `saved`. Raises: ValueError, LookupError, ConfigError for arrays that make none."""

    def rules(self, taken: Sequence[Range]) -> list[str]:
        """Rules that it breaks with inputs of the right sizes, in these ranges; the first is told."""
        if self.outputs > MAX_VALUES:
            return [f"gives {self.outputs} values; at most {MAX_VALUES}"]
        low, high = self.range(*taken)
        return [] if within(low, -MAX_SUM, MAX_SUM) and within(high, -MAX_SUM, MAX_SUM) else ["sums exceed 48 bits"]

    @abstractmethod
    def about(self) -> tuple[str, str]:
        """Its sizes, and its values, for a table."""


class Stateless:
    """The stage of a layer that remembers nothing: one function for all steps."""

    def __init__(self, function: Step) -> None:
        self.function = function

    def start(self, samples: int) -> Step:
        """The same function for every sequence."""
        return self.function


def joined(layer: BaseLayer, function: Step, *taken: Range) -> Stateless:
    """The stage of a layer without weights, on integers wide enough for every partial result."""
    low, high = layer.partial_range(*taken)
    integer = integers(max(-low, high))
    return Stateless(lambda *values: function(*(value.astype(integer) for value in values)))


def integers(largest: int) -> type[np.generic]:
    """The integer type for values, and sums of two, up to this magnitude."""
    return np.int32 if largest < 2**30 else np.int64


def freeze(layer: object) -> None:
    """Replaces every array of a frozen dataclass by a read-only view of itself."""
    for name, value in vars(layer).items():
        if isinstance(value, np.ndarray):
            view = value.view()
            view.setflags(write=False)
            object.__setattr__(layer, name, view)


def within(array: IntArray, low: int, high: int) -> bool:
    """Whether all values lie in low..high."""
    return bool(array.min() >= low and array.max() <= high)


def constant_range(size: int, low: int, high: int) -> Range:
    """One range for every element, (size,) each."""
    return np.full(size, low, dtype=np.int64), np.full(size, high, dtype=np.int64)
