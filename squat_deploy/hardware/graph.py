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

import numpy as np

from squat_deploy.network import INPUT, IntArray, Layer, Network, Neuron
from squat_deploy.network.layers import Add, Concat, Conv2d, Dense, Join, Pool2d, Range, Synapses

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


@dataclass(frozen=True, eq=False)
class Node:
    """One layer, or a change of form between two.

    Attributes:
        number: from 1, in the order in which they run.
        sources: numbers of the nodes that it takes, 0 for what enters; one not below `number` comes a step late.
        reach: (lowest, highest) whole sum of each source, for tables.
    """

    number: int
    layer: Layer | Place | Listing
    sources: tuple[int, ...]
    signal: Signal
    reach: tuple[int, int]

    @property
    def name(self) -> str:
        return self.layer.name

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

    @property
    def neurons(self) -> tuple[Node, ...]:
        """The neuron layers, first to last: those that are traced."""
        return tuple(node for node in self.nodes if isinstance(node.layer, Neuron))

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
        return tuple(
            Node(numbers[key], layer, tuple(numbers[source] for source in sources), signal, reach)
            for key, (layer, sources, signal, reach) in self.made.items()
        )

    def _append(self, index: int, layer: Layer) -> None:
        wire = self.network.wires[index]
        taken = [self.signals[source] for source in wire]
        as_events = _takes_events(layer, taken)
        sources = [self._in_form(index, source, as_events) for source in wire]
        constant = all(
            self.signals[source].constant and not (isinstance(source, int) and source >= index) for source in sources
        )
        signal = _given(layer, [self.signals[source] for source in sources], as_events)
        constant = constant and not isinstance(layer, Neuron)
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
    if isinstance(layer, Neuron):
        return False
    if isinstance(layer, Dense | Conv2d):
        return True
    listed = all(signal.events for signal in taken)
    if isinstance(layer, Pool2d) and layer.kind == "max":
        return listed and taken[0].unit and taken[0].single
    return listed


def _given(layer: Layer, taken: Sequence[Signal], as_events: bool) -> Signal:
    """What a layer gives."""
    if isinstance(layer, Neuron):
        return _spikes(layer.neurons, taken[0].channels, taken[0].positions)
    channels, positions = _shape(layer, taken)
    if isinstance(layer, Dense | Conv2d):
        bottom, top = _partial_sums(layer, taken[0])
        return Signal(False, channels, positions, bottom, top)
    low, high = layer.range(*((signal.low, signal.high) for signal in taken))
    if not as_events:
        return Signal(False, channels, positions, low, high)
    unit = all(signal.unit for signal in taken) and not (isinstance(layer, Add) and max(layer.factors) > 1)
    single = isinstance(layer, Pool2d) and (layer.kind == "max" or fanout(layer) is None)
    single = single or (isinstance(layer, Concat) and all(signal.single for signal in taken))
    return Signal(True, channels, positions, low, high, unit, single, _capacity(layer, taken))


def _spikes(size: int, channels: int, positions: int) -> Signal:
    ends = np.zeros(size, dtype=np.int64), np.ones(size, dtype=np.int64)
    return Signal(True, channels, positions, *ends, unit=True, single=True, capacity=size)


def _partial_sums(layer: Synapses, signal: Signal) -> Range:
    """Bounds of all sums on the way: they are stored in one array, so one pair does for all."""
    low, high = layer.partial_range((signal.low, signal.high))
    return np.full(layer.outputs, low, dtype=np.int64), np.full(layer.outputs, high, dtype=np.int64)


def _shape(layer: Dense | Conv2d | Join, taken: Sequence[Signal]) -> tuple[int, int]:
    """(channels, positions) of what a layer gives."""
    if isinstance(layer, Dense):
        return layer.outputs, 1
    if isinstance(layer, Conv2d | Pool2d):
        channels = layer.output_shape[0]
        return channels, layer.outputs // channels
    if isinstance(layer, Concat) and len({signal.positions for signal in taken}) == 1:
        return sum(signal.channels for signal in taken), taken[0].positions
    return (layer.outputs, 1) if isinstance(layer, Concat) else (taken[0].channels, taken[0].positions)


def fanout(pool: Pool2d) -> IntArray | None:
    """How many windows each input lies in, or None where it is at most one."""
    if all(size <= step for size, step in zip(pool.kernel, pool.stride, strict=True)):
        return None
    counts = np.zeros(pool.input_sizes[0] + 1, dtype=np.int64)
    places = np.arange(1, pool.input_sizes[0] + 1, dtype=np.int64)[None]
    np.add.at(counts, pool.windows(places, 0).reshape(-1), 1)
    return counts[1:]


def _capacity(layer: Join, taken: Sequence[Signal]) -> int:
    if not isinstance(layer, Pool2d):
        return sum(signal.capacity for signal in taken)
    if layer.kind == "max":
        return layer.outputs
    windows = fanout(layer)
    if windows is None:
        return taken[0].capacity
    return int(windows.sum()) if taken[0].single else int(windows.max()) * taken[0].capacity


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
