"""Lists of events as the C++ passes them on: an array of indices, one of values, and how many there are."""

from __future__ import annotations

from dataclasses import dataclass

from squat_deploy.backends import cpp
from squat_deploy.hardware.graph import Graph


@dataclass(frozen=True)
class EventList:
    """The C++ names of one list, and how they are declared.

    Attributes:
        number: of the node that gives it, 0 for what enters.
        suffix: of all its names: `_to3` on its way to process 3, none inside a process.
        unit: all events are worth 1, so that there are no values.
    """

    number: int
    suffix: str
    index_type: str
    capacity: int
    unit: bool

    @property
    def index(self) -> str:
        """The array of indices."""
        return f"index{self.number}{self.suffix}"

    @property
    def value(self) -> str | None:
        """The array of values, if there is one."""
        return None if self.unit else f"value{self.number}{self.suffix}"

    @property
    def count(self) -> str:
        """The number of events."""
        return f"count{self.number}{self.suffix}"

    @property
    def names(self) -> tuple[str, ...]:
        """The arrays."""
        return (self.index,) if self.value is None else (self.index, self.value)

    @property
    def arrays(self) -> tuple[str, ...]:
        """The arrays as they are declared."""
        types = (self.index_type, f"value{self.number}_t")
        return tuple(f"{type_} {name}[{self.capacity}]" for type_, name in zip(types, self.names, strict=False))

    @property
    def passed(self) -> str:
        """As arguments of a call."""
        return ", ".join([*self.names, self.count])

    @property
    def read(self) -> str:
        """As parameters of what takes it."""
        return ", ".join([*self.arrays, f"const unsigned {self.count}"])

    @property
    def written(self) -> str:
        """As parameters of what gives it."""
        return ", ".join([*self.arrays, f"unsigned& {self.count}"])


def list_of(graph: Graph, number: int, taker: int | None = None) -> EventList:
    """A node's events on their way to process `taker`, or inside a process."""
    signal = graph.signal(number)
    suffix = "" if taker is None else f"_to{taker}"
    return EventList(number, suffix, cpp.index_type(signal.grid.codes), signal.capacity, signal.unit)


def handed_lists(graph: Graph, number: int) -> tuple[EventList, ...]:
    """A node's events on their way to each process that takes them."""
    return tuple(list_of(graph, number, taker) for taker in graph.handed_to(number))
