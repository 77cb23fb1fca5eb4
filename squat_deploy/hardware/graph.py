"""A Network as hardware runs it: who hands over lists of events, who shares an array of sums, who runs beside whom.

Neurons and inputs give *events*: a list of (index, value) for what is not zero. Synapses give *sums*: one number an
element. Layers without weights take whichever form is there; where the forms do not meet, a `Place` writes events into
sums, a `Listing` lists sums as events. An index may stand in a list more than once, for all that takes lists adds up;
only the maximum does not, so it runs on lists of single spikes, or on sums.

A chain of fully connected layers is streamed: its stages are loops over all time steps, which hand each other pairs of
events, rows of sums and words of spikes while they are made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from graphlib import TopologicalSorter

import numpy as np

from squat_deploy.hardware.grid import Grid
from squat_deploy.hardware.pipeline import DOUBLE, Link, linked
from squat_deploy.hardware.signals import Signal, spikes
from squat_deploy.hardware.units import Blueprint, FormBlueprint, blueprint_of
from squat_deploy.hardware.units.base import LOOP_OVERHEAD_CYCLES
from squat_deploy.network import INPUT, Network
from squat_deploy.network.layers import Range
from squat_deploy.network.readout import OF_MEMBRANES

ENTRY = 0  # number of what enters, as a source


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
    blueprint: Blueprint
    sources: tuple[int, ...]
    signal: Signal
    reach: tuple[int, int]

    @property
    def name(self) -> str:
        return self.blueprint.name

    def is_late(self, source: int) -> bool:
        """Whether it takes a source's events of the step before."""
        return source >= self.number


@dataclass(frozen=True, eq=False)
class Process:
    """Nodes that share their lanes; processes overlap, each a time step behind the one before.

    Attributes:
        number: from 1, in the order in which they are called.
        takes: nodes of other processes whose events it is handed.
        hands: the node whose sums its neurons are handed, which then run beside the rest, a time step behind; or None,
            and all nodes run one after another.
        lists: of a streamed chain, whose neurons' spikes are listed beside them.
    """

    number: int
    nodes: tuple[Node, ...]
    takes: tuple[int, ...]
    hands: int | None
    lists: bool = False

    @property
    def stages(self) -> tuple[tuple[Node, ...], ...]:
        """Nodes that run one after another, beside those of the other stages if there are any."""
        listed = (self.nodes[-1:],) * self.lists
        return (self.nodes,) if self.hands is None else (self.nodes[:-1], self.nodes[-1:], *listed)

    @property
    def name(self) -> str:
        """What it is known by: its last neuron layer, else its last layer."""
        return next((node.name for node in reversed(self.nodes) if node.blueprint.fires), self.nodes[-1].name)


@dataclass(frozen=True, eq=False)
class Graph:
    """All nodes and processes of a network.

    Attributes:
        entry: what enters.
        repeats: a direct input is handed over in every step, not only in the first.
        counts: the readout takes the spikes of the last node, not its states.
        streamed: its stages are loops over all time steps.
        entry_stages: of what enters: words are read, and listed beside that where it is streamed.
    """

    entry: Signal
    nodes: tuple[Node, ...]
    processes: tuple[Process, ...]
    repeats: bool
    counts: bool
    streamed: bool = False
    entry_stages: int = 1

    def signal(self, number: int) -> Signal:
        """What a node gives; 0 for what enters."""
        return self.entry if number == ENTRY else self.nodes[number - 1].signal

    @cached_property
    def process_of(self) -> dict[int, int]:
        """Process number of every node."""
        return {node.number: process.number for process in self.processes for node in process.nodes}

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """What the stages hand over, the input first, the readout last."""
        stages = [stage for process in self.processes for stage in process.stages]
        if self.streamed:
            givers = [ENTRY] * self.entry_stages + [nodes[0].number for nodes in stages]
            return tuple(Link(at, at + 1, giver, DOUBLE, LOOP_OVERHEAD_CYCLES) for at, giver in enumerate(givers))
        place = {ENTRY: 0, **{node.number: at for at, nodes in enumerate(stages, start=1) for node in nodes}}
        taken = {(place[source], place[node.number], source) for node in self.nodes for source in node.sources}
        last = len(self.nodes) if self.counts else max(self.nodes, key=lambda node: node.position or 0).number
        return linked({link for link in taken if link[0] < link[1]} | {(place[last], len(stages) + 1, last)})

    def depth(self, number: int, taker: int) -> int:
        """Buffers of a node's list on its way to a process, the readout being the last."""
        if self.streamed:
            return DOUBLE
        first = 1 + sum(len(process.stages) for process in self.processes[: taker - 1])
        return max(link.depth for link in self.links if link.source == number and link.taker == first)

    def handed_to(self, number: int) -> tuple[int, ...]:
        """Other processes that take a node's events; a readout of spikes comes after the last process."""
        home = self.process_of.get(number)
        found = [p.number for p in self.processes if number in p.takes and p.number != home]
        return (*found, len(self.processes) + 1) if self.counts and number == len(self.nodes) else tuple(found)

    def hands(self, number: int) -> bool:
        """Whether a node's sums are handed to neurons that run beside it."""
        return any(process.hands == number for process in self.processes)

    def restored(self, number: int) -> bool | None:
        """Whether neurons alone take a node's sums, and what they write back (`Port.restored`)."""
        node, takers = self.nodes[number - 1], [taker for taker in self.nodes if number in taker.sources]
        alone = len(takers) == 1 and takers[0].blueprint.fires and not node.signal.constant
        return node.blueprint.biased if alone else None

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
    return Graph(entry, nodes, _processes(nodes), repeats, network.readout not in OF_MEMBRANES)


def streamed(graph: Graph, *, encoded: bool) -> Graph:
    """The same graph as a streamed one, where it is a chain of fully connected layers; else as it is.

    Args:
        encoded: what enters is no words of spikes, but what an encoder makes of them.
    """
    nodes = graph.nodes
    pairs = list(zip(nodes[::2], nodes[1::2], strict=False))
    chained = all(node.sources == (number,) for number, node in enumerate(nodes))
    dense = all(a.blueprint.most_events == 2 and a.signal.positions == 1 and b.blueprint.fires for a, b in pairs)
    if not (chained and dense and len(nodes) % 2 == 0):
        return graph
    processes = tuple(
        Process(number, pair, (pair[0].sources[0],), pair[0].number, graph.counts or number < len(pairs))
        for number, pair in enumerate(pairs, start=1)
    )
    listed = graph.entry.unit and not encoded
    flat = replace(graph.entry, grid=Grid(graph.entry.size))  # words of spikes are listed in their order
    return replace(graph, entry=flat, processes=processes, streamed=True, entry_stages=1 + listed)


def _constant_events(entry: Signal, nodes: Sequence[Node], source: int) -> bool:
    signal = entry if source == ENTRY else nodes[source - 1].signal
    return signal.events and signal.constant


def _entry(network: Network) -> Signal:
    spec = network.input
    grid = Grid(*spec.shape) if len(spec.shape) == 3 else Grid(spec.size)
    low, high = (np.full(spec.size, end, dtype=np.int64) for end in (min(spec.low, 0), max(spec.high, 0)))
    spikes = (spec.low, spec.high) == (0, 1)
    return Signal(True, grid, low, high, spikes, True, spec.size, spec.encoding == "direct")


class _Nodes:
    """Nodes in running order, with sources by key until all have numbers: a layer's position, or a change of form."""

    def __init__(self, network: Network, entry: Signal) -> None:
        self.network = network
        self.made: dict[object, tuple[Blueprint, tuple[object, ...], Signal, tuple[int, int]]] = {}
        self.signals: dict[object, Signal] = {INPUT: entry}
        for index, layer in enumerate(network.layers):
            if layer.late:  # known before it runs: late spikes
                self.signals[index] = spikes(Grid(layer.outputs))
        for index, layer in enumerate(network.layers):
            self._append(index, blueprint_of(layer))

    def numbered(self) -> tuple[Node, ...]:
        numbers = {INPUT: ENTRY, **{key: number for number, key in enumerate(self.made, start=1)}}
        positions: dict[object, int] = {key: key for key in self.made if isinstance(key, int)}
        return tuple(
            Node(numbers[key], positions.get(key), blueprint, tuple(map(numbers.__getitem__, sources)), signal, reach)
            for key, (blueprint, sources, signal, reach) in self.made.items()
        )

    def _append(self, index: int, blueprint: Blueprint) -> None:
        wire = self.network.wires[index]
        as_events = blueprint.takes_events([self.signals[source] for source in wire])
        sources = [self._in_form(index, source, as_events) for source in wire]
        signal = blueprint.gives([self.signals[source] for source in sources], as_events=as_events)
        constant = self.network.input.encoding == "direct" and self.network.still[index]
        self._add(index, blueprint, sources, replace(signal, constant=constant), self.network.taken(index))

    def _in_form(self, index: int, source: int, as_events: bool) -> object:
        """The source in the form that is wanted, changed where it has the other."""
        signal = self.signals[source]
        if signal.events == as_events:
            return source
        late = source >= index
        key = ("listing", source) if as_events else ("place", index, source)
        if key not in self.made:
            form = FormBlueprint("input" if source == INPUT else self.network.layers[source].name)
            made = replace(form.gives([signal], as_events=as_events), constant=signal.constant and not late)
            self._add(key, form, [source], made, [self.network.range_at(source)])
        return key

    def _add(
        self, key: object, blueprint: Blueprint, sources: Sequence[object], signal: Signal, taken: Sequence[Range]
    ) -> None:
        lows, highs = zip(*taken, strict=True)
        reach = min(int(low.min()) for low in lows), max(int(high.max()) for high in highs)
        self.made[key] = (blueprint, tuple(sources), signal, reach)
        self.signals[key] = signal


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
    return tuple(
        Process(number, group, _handed(group), _handed_sums(group)) for number, group in enumerate(groups, start=1)
    )


def _handed(group: Sequence[Node]) -> tuple[int, ...]:
    own = {node.number for node in group}
    return tuple(sorted({source for node in group for source in node.sources} - own))


def _handed_sums(group: Sequence[Node]) -> int | None:
    """The node whose sums, of one position and made anew in every step, go to the group's only neurons alone.

    Those of planes are too many to have three times, and their neurons take little time beside their events.
    """
    *before, last = group
    source = next((node for node in before if node.number == last.sources[0]), None)
    if source is None or not last.blueprint.fires or any(node.blueprint.fires for node in before):
        return None
    taken_once = [number for node in group for number in node.sources].count(source.number) == 1
    late = any(last.number in node.sources for node in before)
    single = source.signal.positions == 1 and not source.signal.constant
    return source.number if single and taken_once and not late and source.blueprint.hands else None
