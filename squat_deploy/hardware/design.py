"""A whole core: every node of the graph as a unit, folded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from squat_deploy.errors import ConfigError, ExportError
from squat_deploy.hardware.graph import ENTRY, Graph, Node, Process, graph_of, streamed
from squat_deploy.hardware.grid import Grid
from squat_deploy.hardware.lanes import Lanes
from squat_deploy.hardware.options import HlsConfig
from squat_deploy.hardware.signals import Signal
from squat_deploy.hardware.units import Firing, Port, Ports, ReadInput, ReadOut, Settings, Unit
from squat_deploy.network import Network
from squat_deploy.network.encoders import EventEncoder, check_encoder
from squat_deploy.network.readout import OF_MEMBRANES

STREAM = -1  # number of the address events that arrive, as a source
MAX_INPUTS = 2**16
MAX_EVENTS = 2**20  # in one list


@dataclass(frozen=True, eq=False)
class Design:
    """A whole core.

    Attributes:
        parts: the units between both ends, in running order.
    """

    network: Network
    graph: Graph
    entry: ReadInput
    parts: tuple[Unit, ...]
    readout: ReadOut

    @cached_property
    def neurons(self) -> tuple[Firing, ...]:
        """The neuron layers, first to last: those that are traced."""
        return tuple(part for part in self.parts if isinstance(part, Firing))

    def parts_of(self, process: Process | Sequence[Node]) -> tuple[Unit, ...]:
        """The units of one process, or of these nodes, in running order."""
        nodes = process.nodes if isinstance(process, Process) else process
        return tuple(self.parts[node.number - 1] for node in nodes)


@dataclass(frozen=True, eq=False)
class Outline:
    """A core before it is folded: what all foldings of it have in common, and the units of each process at any PE."""

    network: Network
    config: HlsConfig
    graph: Graph
    entry: ReadInput
    readout: ReadOut

    def widest(self, process: Process) -> int:
        """The highest PE of a process: channels of its sums; 1 where it has none."""
        return max((node.signal.channels for node in process.nodes if not node.signal.events), default=1)

    def asked(self, process: Process) -> int | None:
        """The PE that the options give a process, if they do. Raises: ExportError, ConfigError."""
        return _asked(process, self.config, self.widest(process))

    def most_events(self, process: Process) -> int:
        """The most events that its synapses can take a cycle."""
        return max(node.blueprint.most_events for node in process.nodes)

    def asked_events(self, process: Process) -> int | None:
        """The events a cycle that the options give a process, if they do. Raises: ConfigError."""
        return _asked_events(process, self.config, self.most_events(process))

    def units(self, process: Process, pe: int, events: int) -> tuple[Unit, ...]:
        """The units of one process, with its sums in so many lanes. Raises: ExportError."""
        return tuple(self._unit(node, pe, events) for node in process.nodes)

    def design(self, units: Mapping[int, Sequence[Unit]]) -> Design:
        """The core with these units, by the number of their process."""
        parts = sorted((unit for of_one in units.values() for unit in of_one), key=lambda unit: unit.number)
        return Design(self.network, self.graph, self.entry, tuple(parts), self.readout)

    def _unit(self, node: Node, pe: int, events: int) -> Unit:
        network, last = self.network, len(self.network.layers) - 1
        hands_over = network.readout in OF_MEMBRANES and node.position == last
        ports = _ports(
            network, node, {number: _given(self.graph, number, pe) for number in (node.number, *node.sources)}
        )
        return node.blueprint.unit(ports, Settings(node.reach, self.config.form, events, hands_over))


def outline_of(network: Network, config: HlsConfig) -> Outline:
    """What is known before a core is folded. Raises: ExportError, ConfigError naming the layer and the rule."""
    if network.input.size >= MAX_INPUTS:
        raise ExportError(f"inputs: at most {MAX_INPUTS - 1} a time step; got {network.input.size}")
    if config.encoder is not None:
        check_encoder(config.encoder, network.input, network.steps)
    layers, neurons = ({layer.name for layer in some} for some in (network.layers, network.neurons))
    for option, given_by_name, names in (("pe", config.pe, layers), ("events", config.events, neurons)):
        if isinstance(given_by_name, dict) and (unknown := sorted(set(given_by_name) - names)):
            known = ", ".join(sorted(names))
            raise ConfigError(f"{option}: no layer is called {', '.join(unknown)}; the layers are {known}")
    graph = graph_of(network)
    if not isinstance(config.encoder, EventEncoder):  # whose loops over a step's words end by their times
        graph = streamed(graph, encoded=config.encoder is not None)
    for node in graph.nodes:
        if node.signal.capacity > MAX_EVENTS:
            raise ExportError(
                f"{node.name}: up to {node.signal.capacity} events a time step, the limit is {MAX_EVENTS}; "
                "use windows that overlap less"
            )
    ports = Ports("input", _stream(network, config), _given(graph, ENTRY, 1))
    entry = ReadInput(ports, network.input, config.encoder, network.steps, graph.repeats)
    return Outline(network, config, graph, entry, _read_out(network, _given(graph, len(graph.nodes), 1)))


def design_of(network: Network, config: HlsConfig) -> Design:
    """A core as its options fold it, where they leave it open with PE 1 and all the events. Raises: as `outline_of`."""
    outline = outline_of(network, config)
    folded = {
        process.number: outline.units(
            process, outline.asked(process) or 1, outline.asked_events(process) or outline.most_events(process)
        )
        for process in outline.graph.processes
    }
    return outline.design(folded)


def _stream(network: Network, config: HlsConfig) -> tuple[Port, ...]:
    """Address events, where they are what arrives."""
    if not isinstance(config.encoder, EventEncoder):
        return ()
    size, high = network.input.size, network.input.high
    low, top = (np.full(size, end, dtype=np.int64) for end in (0, high))
    return (Port(STREAM, Signal(True, Grid(size), low, top, unit=True, capacity=size * high)),)


def _read_out(network: Network, spikes: Port) -> ReadOut:
    low, high = (np.full(network.outputs, end, dtype=np.int64) for end in (0, 2**32 - 1))
    scores = Port(spikes.number + 1, Signal(False, Grid(network.outputs), low, high), streamed=spikes.streamed)
    taken = () if network.readout in OF_MEMBRANES else (spikes,)  # membranes: states alone
    return ReadOut(Ports("readout", taken, scores), network.readout, network.steps, network.worth)


def _given(graph: Graph, number: int, pe: int) -> Port:
    """What a node gives."""
    signal = graph.signal(number)
    if not signal.events:
        lanes = Lanes(signal.channels, signal.positions, pe)
        handed, restored = graph.hands(number), graph.restored(number)
        return Port(number, signal, lanes, handed=handed, restored=restored, streamed=graph.streamed)
    takers = graph.handed_to(number)
    kept = int(graph.repeats if number == ENTRY else graph.kept(number))
    buffers = sum(graph.depth(number, taker) for taker in takers)
    return Port(number, signal, copies=len(takers) + kept, lists=buffers + kept, streamed=graph.streamed)


def _ports(network: Network, node: Node, given: Mapping[int, Port]) -> Ports:
    taken = (given[source] for source in node.sources)
    ports = tuple(
        Port(port.number, port.signal, port.lanes, node.is_late(port.number), restored=port.restored) for port in taken
    )
    remembers = node.position is not None and network.layers[node.position].remembers
    return Ports(node.name, ports, given[node.number], remembers)


def _asked(process: Process, config: HlsConfig, most: int) -> int | None:
    """PE of a process by the options: all its sums are updated in the same lanes."""
    if config.pe is None:
        return None
    if isinstance(config.pe, int):
        first = next((node for node in process.nodes if node.blueprint.fires), process.nodes[0])
        wanted = {first.name: min(config.pe, most)}
    else:
        layers = [node.name for node in process.nodes if node.position is not None]
        wanted = {name: config.pe[name] for name in layers if name in config.pe}
    for name, pe in wanted.items():
        if not 1 <= pe <= most:
            raise ExportError(f"{name}: PE must be 1 to {most}; got {pe}")
    if len(set(wanted.values())) > 1:
        raise ConfigError(f"pe: {' and '.join(wanted)} run in one process and share their lanes; give them one PE")
    return next(iter(wanted.values()), None)


def _asked_events(process: Process, config: HlsConfig, most: int) -> int | None:
    """Events a cycle that the fully connected synapses of a process take, by the options. Raises: ConfigError."""
    if config.events is None or isinstance(config.events, int):
        return config.events
    neurons = [node.name for node in process.nodes if node.blueprint.fires]
    wanted = {name: config.events[name] for name in neurons if name in config.events}
    for name, events in wanted.items():
        if events > most:
            raise ConfigError(f"events: {name} is not behind fully connected synapses, which take {events}; give it 1")
    if len(set(wanted.values())) > 1:
        raise ConfigError(f"events: {' and '.join(wanted)} run in one process; give them one number")
    return next(iter(wanted.values()), None)
