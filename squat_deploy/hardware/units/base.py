"""The protocol of hardware units: ports, memories, cycles, resources, and what a unit does in one time step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.grid import Grid
from squat_deploy.hardware.lanes import Lanes
from squat_deploy.hardware.logic import CONTROL, adders
from squat_deploy.hardware.memories import Memory, Style, Usage
from squat_deploy.hardware.pipeline import DOUBLE
from squat_deploy.hardware.signals import Signal
from squat_deploy.network import IntArray

LOOP_OVERHEAD_CYCLES = 10  # entry, fill and drain of one pipelined loop: 8 to 12 in RTL of such loops that Vitis wrote
Cycles = NDArray[np.float64]  # (sequences, T), of cycles or of events


@dataclass(frozen=True, eq=False)
class Events:
    """A list of events of one time step; an index may come more than once: its values add up.

    Attributes:
        index: (events,) codes of elements.
        value: (events,).
    """

    index: IntArray
    value: IntArray

    @classmethod
    def none(cls) -> Events:
        """An empty list."""
        return cls(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))

    @classmethod
    def spikes(cls, index: IntArray) -> Events:
        """Events worth 1 each."""
        return cls(index, np.ones_like(index))

    @classmethod
    def joined(cls, lists: Sequence[Events]) -> Events:
        """One after another."""
        return cls(np.concatenate([one.index for one in lists]), np.concatenate([one.value for one in lists]))

    def dense(self, grid: Grid) -> IntArray:
        """(size,) value of every element."""
        values = np.zeros(grid.size, dtype=np.int64)
        np.add.at(values, grid.element(self.index), self.value)
        return values

    @classmethod
    def of(cls, values: IntArray, grid: Grid) -> Events:
        """All elements (size,) that are not zero."""
        element = np.flatnonzero(values)
        return cls(grid.coded(element), values[element])


Flow = Events | IntArray  # a list of events, or sums (rows, pe)
Kept = dict[str, Any]  # what a unit keeps from step to step, by name; empty at the start of a sequence


@dataclass(frozen=True, eq=False)
class Port:
    """A list of events, or an array of sums, that a unit takes or gives.

    Attributes:
        number: of the unit that gives it, 0 for what enters.
        lanes: how its sums lie, None for events.
        late: it is the list of the step before.
        copies: lists that the giver writes, all alike, one a taker.
        lists: lists that are kept in memory: the buffers on its way to each other process.
        handed: its sums go to neurons that run beside their giver.
        restored: whether the neurons that take its sums write back a bias (True) or 0 (False), where the next step
            starts; None where they do not.
        streamed: what it gives is taken while it is made, in loops over all time steps.
    """

    number: int
    signal: Signal
    lanes: Lanes | None = None
    late: bool = False
    copies: int = 0
    lists: int = 0
    handed: bool = False
    restored: bool | None = None
    streamed: bool = False

    @property
    def pairs(self) -> int:
        """Pairs of events in a step, at most."""
        return max(1, -(-self.signal.capacity // 2))

    @property
    def memories(self) -> tuple[Memory, ...]:
        """Of the lists that are given, or of a stream with room for those of two steps."""
        if not self.lists:
            return ()
        if self.streamed:  # two events, how many there are, whether they end a step
            bits = self.signal.index_bits + (0 if self.signal.unit else self.signal.bits)
            return (Memory("pairs", DOUBLE * self.pairs, (2 * bits + 3,)),)
        capacity, signal = self.signal.capacity, self.signal
        index = Memory("index", capacity, (signal.index_bits,) * self.lists)
        return (index,) if signal.unit else (index, Memory("value", capacity, (signal.bits,) * self.lists))


@dataclass(frozen=True, eq=False)
class Ports:
    """What a unit takes, in order, and what it gives; a layer that `remembers` has states of its own."""

    name: str
    takes: tuple[Port, ...]
    gives: Port
    remembers: bool = False


@dataclass(frozen=True, eq=False)
class Unit(ABC):
    """One node of the graph as hardware; the numbers that flow are integers, and nothing here is text of a language.

    Attributes:
        kind: what it is, for tables and manifests.
        lists_values: whether its list has each of its values that is not zero, once.
        fires: whether it is neurons, whose states and spikes a testbench traces.
        accumulates: whether its sums start anew before events are added to them.
    """

    ports: Ports
    kind: ClassVar[str]
    lists_values: ClassVar[bool] = False
    fires: ClassVar[bool] = False
    accumulates: ClassVar[bool] = False

    @property
    def number(self) -> int:
        """From 1, in running order."""
        return self.ports.gives.number

    @property
    def name(self) -> str:
        """Of the layer."""
        return self.ports.name

    @property
    def sources(self) -> tuple[int, ...]:
        """Numbers of the units that it takes from, 0 for what enters."""
        return tuple(port.number for port in self.ports.takes)

    @property
    def takes(self) -> tuple[Signal, ...]:
        """What it takes, in order."""
        return tuple(port.signal for port in self.ports.takes)

    @property
    def takes_lanes(self) -> tuple[Lanes, ...]:
        """How the sums that it takes lie."""
        return tuple(port.lanes for port in self.ports.takes if port.lanes is not None)

    @property
    def signal(self) -> Signal:
        """What it gives."""
        return self.ports.gives.signal

    @property
    def size(self) -> int:
        """Elements that it gives."""
        return self.signal.size

    @property
    def lanes(self) -> Lanes | None:
        """How its sums (its states, for neurons) lie."""
        return self.ports.gives.lanes

    @property
    def copies(self) -> int:
        """Lists that it writes in a step, all alike, one a taker."""
        return self.ports.gives.copies

    @property
    def streamed(self) -> bool:
        """Whether it runs in loops over all time steps."""
        return self.ports.gives.streamed

    @property
    def held(self) -> bool:
        """Whether its sums are made once a sequence, from an input that does not change."""
        return self.signal.constant and not self.signal.events

    @property
    def remembers(self) -> bool:
        """Whether it is told where a sequence starts."""
        return self.ports.remembers

    @property
    @abstractmethod
    def about(self) -> str:
        """One line for readers."""

    @property
    def facts(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {} if self.lanes is None else {"pe": self.lanes.pe}

    @property
    def numbers(self) -> tuple[tuple[str, int, int], ...]:
        """(name, lowest, highest) of every kind of number that it makes, as wide as stored."""
        if self.signal.unit:
            return ()
        return (("value" if self.signal.events else "sum", *self.signal.stored),)

    @cached_property
    def memories(self) -> tuple[Memory, ...]:
        """All memories, the lists that it gives first."""
        return (*(self.ports.gives.memories if self.signal.events else ()), *self._memories())

    @property
    def constants(self) -> dict[str, IntArray]:
        """What its ROMs hold, by their names."""
        return {memory.name: memory.contents for memory in self.memories if memory.contents is not None}

    @property
    def usage(self) -> Usage:
        """Estimate of its resources."""
        return Usage.total([CONTROL, *(memory.usage for memory in self.memories), self._logic()])

    def cycles(self, events: Mapping[int, Cycles]) -> Cycles:
        """(sequences, T) cycles of its loops, by the events of every list; those of its sums once, where held."""
        taken = [
            delayed(events[port.number].T).T if port.late else events[port.number]
            for port in self.ports.takes
            if port.signal.events
        ]
        given = events.get(self.number, np.zeros((1, 1)))
        found = np.asarray(self._cycles(taken, given), dtype=np.float64)
        if self.in_rounds:
            listed = events.get(listed_at(self.number))
            found = found + self._listing(given if listed is None else self.rounds(listed).T.astype(np.float64))
        if not self.held:
            return found
        steps = next(iter(events.values())).shape[1]
        return np.where(np.arange(steps) == 0, found, 0.0)

    def loops(self, events: Mapping[int, Cycles]) -> list[Cycles]:
        """(sequences, T) cycles of each of its loops, where these run beside each other: streamed."""
        return [self.cycles(events)]

    def listed_rounds(self, events: Mapping[int, Cycles]) -> Cycles:
        """(sequences, T) iterations of the loop that lists, by what it lists."""
        return self.rounds(events[listed_at(self.number)]).T.astype(np.float64)

    @property
    def in_rounds(self) -> bool:
        """Whether what it lists, and not only how much, says how long its loop takes."""
        return False

    def rounds(self, listed: NDArray[Any]) -> IntArray:
        """(T, B) iterations of that loop, by what it lists (T, B, size)."""
        raise NotImplementedError

    def _listing(self, rounds: Cycles) -> Cycles:
        """Cycles of that loop."""
        raise NotImplementedError

    @abstractmethod
    def run(self, kept: Kept, *taken: Flow) -> Flow:
        """One time step of one sequence, by the addresses that the hardware uses."""

    @abstractmethod
    def _cycles(self, taken: Sequence[Cycles], given: Cycles) -> Cycles | float:
        """Cycles by the events (sequences, T) of each list that it takes, and of its own."""

    def _memories(self) -> Sequence[Memory]:
        """All but the lists that it gives."""
        return ()

    def _logic(self) -> Usage:
        """All but memories and control."""
        return Usage()


@dataclass(frozen=True)
class Settings:
    """What a unit is told besides its ports.

    Attributes:
        reach: (lowest, highest) whole sum that it takes.
        form: of its tables.
        events: that fully connected synapses take a cycle.
        hands_over: the readout takes its states.
    """

    reach: tuple[int, int]
    form: str
    events: int
    hands_over: bool


@dataclass(frozen=True, eq=False)
class Blueprint(ABC):
    """How a layer becomes a unit."""

    name: str
    fires: ClassVar[bool] = False

    @property
    def most_events(self) -> int:
        """The most events that it can take a cycle."""
        return 1

    @property
    def biased(self) -> bool | None:
        """Whether its sums start at a bias or at 0 before events are added to them; None where they do neither."""
        return None

    @property
    def hands(self) -> bool:
        """Whether its sums can be handed to neurons that run beside it."""
        return True

    def takes_events(self, taken: Sequence[Signal]) -> bool:
        """Whether it takes lists, by what is there to take; else arrays of sums."""
        return all(signal.events for signal in taken)

    @abstractmethod
    def gives(self, taken: Sequence[Signal], *, as_events: bool) -> Signal:
        """What it gives, of signals in the form that it takes."""

    @abstractmethod
    def unit(self, ports: Ports, settings: Settings) -> Unit:
        """The unit between these ports."""


class Lister(Unit):
    """A unit without state that makes lists of lists."""

    @abstractmethod
    def multiplicity(self, *taken: NDArray[Any]) -> NDArray[Any]:
        """(T, B, size) how often each index stands in its list, by the same of what it takes."""


class Summer(Unit):
    """A unit that gives sums."""

    @property
    def rows(self) -> Lanes:
        """How its sums lie."""
        assert self.ports.gives.lanes is not None
        return self.ports.gives.lanes

    @property
    def parallel(self) -> bool:
        """Whether all sums that it takes lie in the same lanes as its own."""
        return all(lanes == self.rows for lanes in self.takes_lanes)

    @property
    def whole_rows(self) -> bool:
        """Whether all lanes of a row are written together."""
        return False

    @property
    def handed(self) -> bool:
        """Whether its sums go to neurons that run beside it: the tool doubles them."""
        return self.ports.gives.handed

    @property
    def gathers(self) -> bool:
        """Whether sums are read back while they are made, so that those which are handed over are a copy."""
        return False

    def _memories(self) -> Sequence[Memory]:
        rows, bits = self.rows, self.signal.bits
        own = lane_memory("sums", rows, bits, together=self.whole_rows)
        style: Style = "distributed" if own.style == "registers" else own.style  # else a channel an element
        handed = replace(own, name="handed", style=style)
        if self.streamed:
            return own, replace(handed, depth=DOUBLE * rows.rows, widths=(bits * rows.pe,))
        return (*(own,) * (self.gathers or not self.handed), *(handed, handed) * self.handed)

    def _logic(self) -> Usage:
        return adders(self.rows.pe, self.signal.bits)


def lane_memory(name: str, lanes: Lanes, bits: int, *, together: bool) -> Memory:
    """A number an element: a word a row, or one bank a lane where lanes are written apart; registers of few rows."""
    widths = (bits * lanes.pe,) if together and lanes.in_words(bits) else (bits,) * lanes.pe
    style: Style = "registers" if lanes.registers else "distributed" if lanes.distributed else "block"
    return Memory(name, lanes.rows, widths, style=style)


def one_list(flow: Flow) -> Events:
    """A port's list of events."""
    assert isinstance(flow, Events)
    return flow


def one_array(flow: Flow) -> IntArray:
    """A port's array of sums."""
    assert not isinstance(flow, Events)
    return flow


def at_start(cycles: float, like: Cycles) -> Cycles:
    """(T,) cycles of the first step of a sequence alone, for as many steps as `like` (sequences, T) has."""
    return np.where(np.arange(like.shape[1]) == 0, float(cycles), 0.0)


def loop(iterations: int) -> int:
    """Cycles of a loop of so many, pipelined where that is more than one."""
    return LOOP_OVERHEAD_CYCLES + (iterations if iterations > 1 else 0)


def listed_at(number: int) -> int:
    """Where what a unit lists in rounds (T, B, size) stands among the counts of events, by the number of the unit."""
    return -2 - number


def pairs(counts: NDArray[Any]) -> NDArray[Any]:
    """Iterations over words with so many spikes: two at a time, and one where there is none."""
    return np.asarray(np.maximum((counts + 1) // 2, 1))


def delayed(values: NDArray[Any]) -> NDArray[Any]:
    """(T, ...) of the step before."""
    return np.concatenate([np.zeros_like(values[:1]), values[:-1]])
