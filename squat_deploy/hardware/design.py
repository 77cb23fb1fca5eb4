"""A whole core: every node of the graph as a unit, folded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from squat_deploy.errors import ConfigError, ExportError
from squat_deploy.hardware.graph import ENTRY, Graph, Node, Process, graph_of
from squat_deploy.hardware.lanes import Lanes
from squat_deploy.hardware.options import DEFAULT_PE, HlsConfig
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

    def parts_of(self, process: Process) -> tuple[Unit, ...]:
        """The units of one process in running order."""
        return tuple(self.parts[node.number - 1] for node in process.nodes)


def design_of(network: Network, config: HlsConfig) -> Design:
    """Folds a network. Raises: ExportError, ConfigError naming the layer and the rule."""
    if network.input.size >= MAX_INPUTS:
        raise ExportError(f"inputs: at most {MAX_INPUTS - 1} a time step; got {network.input.size}")
    if config.encoder is not None:
        check_encoder(config.encoder, network.input, network.steps)
    names = {neuron.name for neuron in network.neurons}
    for option, given_by_name in (("pe", config.pe), ("events", config.events)):
        if isinstance(given_by_name, dict) and (unknown := sorted(set(given_by_name) - names)):
            known = ", ".join(sorted(names))
            raise ConfigError(f"{option}: no layer is called {', '.join(unknown)}; the layers are {known}")
    graph = graph_of(network)
    for node in graph.nodes:
        if node.signal.capacity > MAX_EVENTS:
            raise ExportError(
                f"{node.name}: up to {node.signal.capacity} events a time step, the limit is {MAX_EVENTS}; "
                "use windows that overlap less"
            )
    pe = {node.number: _folding(process, config) for process in graph.processes for node in process.nodes}
    given = [_given(graph, number, pe.get(number, 1)) for number in range(len(graph.nodes) + 1)]
    ports = Ports("input", _stream(network, config), given[ENTRY])
    entry = ReadInput(ports, network.input, config.encoder, network.steps, graph.repeats)
    last = len(network.layers) - 1 if network.readout in OF_MEMBRANES else -1
    events = {node.number: _events(process, config) for process in graph.processes for node in process.nodes}
    parts = tuple(
        node.blueprint.unit(
            _ports(network, node, given),
            Settings(node.reach, config.form, events[node.number], node.position == last),
        )
        for node in graph.nodes
    )
    return Design(network, graph, entry, parts, _read_out(network, given[-1]))


def _stream(network: Network, config: HlsConfig) -> tuple[Port, ...]:
    """Address events, where they are what arrives."""
    if not isinstance(config.encoder, EventEncoder):
        return ()
    size, high = network.input.size, network.input.high
    low, top = (np.full(size, end, dtype=np.int64) for end in (0, high))
    return (Port(STREAM, Signal(True, size, 1, low, top, unit=True, capacity=size * high)),)


def _read_out(network: Network, spikes: Port) -> ReadOut:
    low, high = (np.full(network.outputs, end, dtype=np.int64) for end in (0, 2**32 - 1))
    scores = Port(spikes.number + 1, Signal(False, network.outputs, 1, low, high))
    taken = () if network.readout in OF_MEMBRANES else (spikes,)  # membranes: states alone
    return ReadOut(Ports("readout", taken, scores), network.readout, network.steps, network.worth)


def _given(graph: Graph, number: int, pe: int) -> Port:
    """What a node gives."""
    signal = graph.signal(number)
    if not signal.events:
        return Port(number, signal, Lanes(signal.channels, signal.positions, pe))
    handed = len(graph.handed_to(number))
    kept = int(graph.repeats if number == ENTRY else graph.kept(number))
    return Port(number, signal, copies=handed + kept, lists=2 * handed + kept)


def _ports(network: Network, node: Node, given: list[Port]) -> Ports:
    taken = (given[source] for source in node.sources)
    ports = tuple(Port(port.number, port.signal, port.lanes, node.is_late(port.number)) for port in taken)
    remembers = node.position is not None and network.layers[node.position].remembers
    return Ports(node.name, ports, given[node.number], remembers)


def _folding(process: Process, config: HlsConfig) -> int:
    """PE of a process: all its sums are updated in the same lanes."""
    most = max((node.signal.channels for node in process.nodes if not node.signal.events), default=1)
    neurons = [node for node in process.nodes if node.blueprint.fires]
    if isinstance(config.pe, int):
        name = neurons[0].name if neurons else process.nodes[0].name
        wanted = {name: min(config.pe, most)}
    else:
        wanted = {node.name: config.pe[node.name] for node in neurons if node.name in config.pe}
    for name, pe in wanted.items():
        if not 1 <= pe <= most:
            raise ExportError(f"{name}: PE must be 1 to {most}; got {pe}")
    if len(set(wanted.values())) > 1:
        raise ConfigError(f"pe: {' and '.join(wanted)} run in one process and share their lanes; give them one PE")
    return next(iter(wanted.values()), min(DEFAULT_PE, most))


def _events(process: Process, config: HlsConfig) -> int:
    """Events a cycle that the fully connected synapses of a process take. Raises: ConfigError."""
    if isinstance(config.events, int):
        return config.events
    most = max(node.blueprint.most_events for node in process.nodes)
    neurons = [node.name for node in process.nodes if node.blueprint.fires]
    wanted = {name: config.events[name] for name in neurons if name in config.events}
    for name, events in wanted.items():
        if events > most:
            raise ConfigError(f"events: {name} is not behind fully connected synapses, which take {events}; give it 1")
    if len(set(wanted.values())) > 1:
        raise ConfigError(f"events: {' and '.join(wanted)} run in one process; give them one number")
    return next(iter(wanted.values()), most)
