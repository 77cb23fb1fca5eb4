"""A Network as hardware runs it: who hands over lists of events, who shares an array of sums, who runs beside whom.

Neurons and inputs give *events*: a list of (index, value) for what is not zero. Synapses give *sums*: one number an
element. Layers without weights take whichever form is there; where the forms do not meet, a `Place` writes events into
sums, a `Listing` lists sums as events. An index may stand in a list more than once, for all that takes lists adds up;
only the maximum does not, so it runs on lists of single spikes, or on sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from graphlib import TopologicalSorter
from typing import assert_never

import numpy as np

from squat_deploy.network import INPUT, IntArray, Layer, Network, Neuron, int_bits
from squat_deploy.network.layers import (
    Add,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Delay,
    Dense,
    Join,
    Pool2d,
    Range,
    Synapses,
)

ENTRY = 0  # number of what enters, as a source


@dataclass(frozen=True)
class Place:
    """Events written into an array of sums, as they are."""

    name: str
    outputs: int


@dataclass(frozen=True)
class Listing:
    """The numbers of an array of sums that are not zero, as events."""

    name: str
    outputs: int


def index_bits(size: int) -> int:
    """Width of an index as it is stored, for lists of so many elements."""
    return 16 if size <= 2**16 else 32


@dataclass(frozen=True)
class Signal:
    """What one node gives.

    Attributes:
        events: a list of events; else an array of sums.
        channels, positions: element `channel * positions + position`.
        low, high: bounds (elements,) of every partial sum of an element, 0 included.
        unit: every event is worth 1, so that the list has indices only.
        single: no index stands in the list twice.
        capacity: most events of one time step.
        constant: depends on a direct input only.
    """

    events: bool
    channels: int
    positions: int
    low: IntArray
    high: IntArray
    unit: bool = False
    single: bool = False
    capacity: int = 0
    constant: bool = False

    @property
    def size(self) -> int:
        return self.channels * self.positions

    @property
    def bounds(self) -> tuple[int, int]:
        """Lowest and highest partial sum of all elements."""
        return int(self.low.min()), int(self.high.max())

    @property
    def bits(self) -> int:
        """Width of a sum, or of an event's value, signed."""
        low, high = self.bounds
        return int_bits(min(low, -1), high)

    @property
    def stored(self) -> tuple[int, int]:
        """(lowest, highest) number of that width."""
        return -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1

    @property
    def index_bits(self) -> int:
        """Width of an index as it is stored."""
        return index_bits(self.size)


@dataclass(frozen=True, eq=False)
class Node:
    """One layer, or a change of form between two.

    Attributes:
        number: from 1, in the order in which they run.
        position: of the layer in the network, None for a change of form.
        sources: numbers of the nodes that it takes, 0 for what enters; one not below `number` comes a step late.
        reach: (lowest, highest) whole sum of each source, for tables.
    """

    number: int
    position: int | None
    layer: Layer | Place | Listing
    sources: tuple[int, ...]
    signal: Signal
    reach: tuple[int, int]

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def fires(self) -> bool:
        """Whether it is a layer of neurons."""
        return isinstance(self.layer, Neuron)

    def is_late(self, source: int) -> bool:
        """Whether it takes a source's events of the step before."""
        return source >= self.number


@dataclass(frozen=True, eq=False)
class Process:
    """Nodes that run one after another; processes overlap, each a time step behind the one before.

    Attributes:
        number: from 1, in the order in which they are called.
        takes: nodes of other processes whose events it is handed.
    """

    number: int
    nodes: tuple[Node, ...]
    takes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Graph:
    """All nodes and processes of a network.

    Attributes:
        entry: what enters.
        repeats: a direct input is handed over in every step, not only in the first.
    """

    entry: Signal
    nodes: tuple[Node, ...]
    processes: tuple[Process, ...]
    repeats: bool

    def signal(self, number: int) -> Signal:
        """What a node gives; 0 for what enters."""
        return self.entry if number == ENTRY else self.nodes[number - 1].signal

    @cached_property
    def process_of(self) -> dict[int, int]:
        """Process number of every node."""
        return {node.number: process.number for process in self.processes for node in process.nodes}

    def handed_to(self, number: int) -> tuple[int, ...]:
        """Other processes that take a node's events; the readout comes after the last process."""
        home = self.process_of.get(number)
        found = [p.number for p in self.processes if number in p.takes and p.number != home]
        return (*found, len(self.processes) + 1) if number == len(self.nodes) else tuple(found)

    def kept(self, number: int) -> bool:
        """Whether a node's events are taken in its own process."""
        home = self.process_of[number]
        takers = (n for n in self.nodes if number in n.sources)
        return self.signal(number).events and any(self.process_of[n.number] == home for n in takers)


def graph_of(network: Network) -> Graph:
    """The nodes of a network, numbered, and the processes that they form."""
    entry = _entry(network)
    nodes = _Nodes(network, entry).numbered()
    repeats = any(
        not node.signal.constant and not node.is_late(source) and _constant_events(entry, nodes, source)
        for node in nodes
        for source in node.sources
    )
    return Graph(entry, nodes, _processes(nodes), repeats)


def _constant_events(entry: Signal, nodes: Sequence[Node], source: int) -> bool:
    signal = entry if source == ENTRY else nodes[source - 1].signal
    return signal.events and signal.constant


def _entry(network: Network) -> Signal:
    spec = network.input
    channels = spec.shape[0] if len(spec.shape) == 3 else spec.size
    low, high = (np.full(spec.size, end, dtype=np.int64) for end in (min(spec.low, 0), max(spec.high, 0)))
    spikes = (spec.low, spec.high) == (0, 1)
    return Signal(True, channels, spec.size // channels, low, high, spikes, True, spec.size, spec.encoding == "direct")


class _Nodes:
    """Nodes in running order, with sources by key until all have numbers: a layer's position, or a change of form."""

    def __init__(self, network: Network, entry: Signal) -> None:
        self.network = network
        self.made: dict[object, tuple[Layer | Place | Listing, tuple[object, ...], Signal, tuple[int, int]]] = {}
        self.signals: dict[object, Signal] = {INPUT: entry}
        for index, layer in enumerate(network.layers):
            if isinstance(layer, Neuron):  # known before it runs: late spikes
                self.signals[index] = _spikes(layer.neurons, layer.neurons, 1)
        for index, layer in enumerate(network.layers):
            self._append(index, layer)

    def numbered(self) -> tuple[Node, ...]:
        numbers = {INPUT: ENTRY, **{key: number for number, key in enumerate(self.made, start=1)}}
        positions: dict[object, int] = {key: key for key in self.made if isinstance(key, int)}
        return tuple(
            Node(numbers[key], positions.get(key), layer, tuple(numbers[source] for source in sources), signal, reach)
            for key, (layer, sources, signal, reach) in self.made.items()
        )

    def _append(self, index: int, layer: Layer) -> None:
        wire = self.network.wires[index]
        taken = [self.signals[source] for source in wire]
        as_events = _takes_events(layer, taken)
        sources = [self._in_form(index, source, as_events) for source in wire]
        signal = _given(layer, [self.signals[source] for source in sources], as_events)
        constant = self.network.input.encoding == "direct" and self.network.still[index]
        self._add(index, layer, sources, replace(signal, constant=constant), self.network.taken(index))

    def _in_form(self, index: int, source: int, as_events: bool) -> object:
        """The source in the form that is wanted, changed where it has the other."""
        signal = self.signals[source]
        if signal.events == as_events:
            return source
        late = source >= index
        key = ("listing", source) if as_events else ("place", index, source)
        if key not in self.made:
            name = "input" if source == INPUT else self.network.layers[source].name
            kind = Listing if as_events else Place
            made = replace(
                signal,
                events=as_events,
                unit=False,
                single=as_events,
                capacity=signal.size if as_events else 0,
                constant=signal.constant and not late,
            )
            self._add(key, kind(name, signal.size), [source], made, [self.network.range_at(source)])
        return key

    def _add(
        self,
        key: object,
        layer: Layer | Place | Listing,
        sources: Sequence[object],
        signal: Signal,
        taken: Sequence[Range],
    ) -> None:
        lows, highs = zip(*taken, strict=True)
        reach = min(int(low.min()) for low in lows), max(int(high.max()) for high in highs)
        self.made[key] = (layer, tuple(sources), signal, reach)
        self.signals[key] = signal


def _takes_events(layer: Layer, taken: Sequence[Signal]) -> bool:
    listed = all(signal.events for signal in taken)
    match layer:
        case Neuron():
            return False
        case Dense() | Conv2d() | ConvTranspose2d() | Delay():
            return True
        case Pool2d():
            return listed and (layer.kind == "sum" or (taken[0].unit and taken[0].single))
        case Add() | Concat():
            return listed
        case _:
            assert_never(layer)


def _given(layer: Layer, taken: Sequence[Signal], as_events: bool) -> Signal:
    """What a layer gives."""
    first, joined = taken[0], (layer.outputs, 1)
    match layer:
        case Neuron():
            return _spikes(layer.neurons, first.channels, first.positions)
        case Dense():
            return Signal(False, *joined, *_partial_sums(layer, first))
        case Conv2d() | ConvTranspose2d():
            return Signal(False, len(layer.weight), layer.positions, *_partial_sums(layer, first))
        case Pool2d():
            channels, *plane = layer.output_shape
            signal = Signal(as_events, channels, math.prod(plane), *_range(layer, taken))
            return _pooled_list(layer, signal, first) if as_events else signal
        case Add():
            signal = Signal(as_events, first.channels, first.positions, *_range(layer, taken))
            unit = max(layer.factors) == 1
        case Concat():
            if len({signal.positions for signal in taken}) == 1:
                joined = sum(signal.channels for signal in taken), first.positions
            signal = Signal(as_events, *joined, *_range(layer, taken), single=all(one.single for one in taken))
            unit = True
        case Delay():
            unit = first.unit and first.single
            low, high = layer.range((first.low, first.high))
            return Signal(True, first.channels, first.positions, low, high, unit, single=True, capacity=layer.outputs)
        case _:
            assert_never(layer)
    unit, capacity = unit and all(one.unit for one in taken), sum(one.capacity for one in taken)
    return replace(signal, unit=unit, capacity=capacity) if as_events else replace(signal, single=False)


def _pooled_list(pool: Pool2d, signal: Signal, taken: Signal) -> Signal:
    """A list of sums has an event for everything in a window, a list of maxima one for the window."""
    if pool.kind == "max":
        return replace(signal, unit=True, single=True, capacity=pool.outputs)
    windows, capacity = fanout(pool), taken.capacity
    if windows is not None:
        capacity = int(windows.sum()) if taken.single else int(windows.max()) * capacity
    single = taken.single and pool.kernel == (1, 1)  # else everything in a window is an event of that window
    return replace(signal, unit=taken.unit, single=single, capacity=capacity)


def _range(layer: Join, taken: Sequence[Signal]) -> Range:
    return layer.range(*((signal.low, signal.high) for signal in taken))


def _spikes(size: int, channels: int, positions: int) -> Signal:
    ends = np.zeros(size, dtype=np.int64), np.ones(size, dtype=np.int64)
    return Signal(True, channels, positions, *ends, unit=True, single=True, capacity=size)


def _partial_sums(layer: Synapses, signal: Signal) -> Range:
    """Bounds of all sums on the way: they are stored in one array, so one pair does for all."""
    low, high = layer.partial_range((signal.low, signal.high))
    return np.full(layer.outputs, low, dtype=np.int64), np.full(layer.outputs, high, dtype=np.int64)


def fanout(pool: Pool2d) -> IntArray | None:
    """How many windows each input lies in, or None where it is at most one."""
    if all(size <= step for size, step in zip(pool.kernel, pool.stride, strict=True)):
        return None
    counts = np.zeros(pool.input_sizes[0] + 1, dtype=np.int64)
    places = np.arange(1, pool.input_sizes[0] + 1, dtype=np.int64)[None]
    np.add.at(counts, pool.windows(places, 0).reshape(-1), 1)
    return counts[1:]


def _processes(nodes: Sequence[Node]) -> tuple[Process, ...]:
    """Nodes that share sums, or lie on a loop through late spikes, run in one process; the others overlap."""
    count = len(nodes)
    reach = np.eye(count, dtype=bool)
    for node in nodes:
        for source in node.sources:
            if source != ENTRY:
                reach[source - 1, node.number - 1] = True
                if not nodes[source - 1].signal.events:
                    reach[node.number - 1, source - 1] = True
    for _ in range(max(1, math.ceil(math.log2(count + 1)))):
        reach = (reach.astype(np.float32) @ reach.astype(np.float32)) > 0
    together = reach & reach.T
    first = together.argmax(axis=1)  # of the group that each node is in
    order = TopologicalSorter({int(head): set[int]() for head in first})
    for node in nodes:
        for source in node.sources:
            if source != ENTRY and first[source - 1] != first[node.number - 1]:
                order.add(int(first[node.number - 1]), int(first[source - 1]))
    groups = [tuple(node for node in nodes if first[node.number - 1] == head) for head in order.static_order()]
    return tuple(Process(number, group, _handed(group)) for number, group in enumerate(groups, start=1))


def _handed(group: Sequence[Node]) -> tuple[int, ...]:
    own = {node.number for node in group}
    return tuple(sorted({source for node in group for source in node.sources} - own))
