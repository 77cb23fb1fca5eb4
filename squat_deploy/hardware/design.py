"""Every node of the graph as hardware: its folding, its constants, its widths. Numbers only, no text of C++."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from squat_deploy.errors import ConfigError, ExportError
from squat_deploy.hardware.graph import Graph, Listing, Node, Place, Process, Signal, graph_of
from squat_deploy.hardware.lanes import Lanes
from squat_deploy.hardware.options import DEFAULT_PE, MAX_PE, HlsConfig
from squat_deploy.hardware.tables import NeuronTables, neuron_tables
from squat_deploy.hardware.weights import Axis, WeightRom, axis_of, weight_rom
from squat_deploy.network import IntArray, Network, Neuron, int_bits
from squat_deploy.network.encoders import AnyEncoder, check_encoder
from squat_deploy.network.layers import Add, Concat, Conv2d, Dense, Pool2d

MAX_INPUTS = 2**16
MAX_EVENTS = 2**20  # in one list
Kind = Literal["synapses", "neurons", "pool", "add", "concat", "place", "listing"]


@dataclass(frozen=True, eq=False)
class Part:
    """One node as hardware.

    Attributes:
        takes: signals of its sources, in order.
        lanes: layout of its sums (of its states, for neurons), None for a layer that gives events.
        takes_lanes: layout of the sums of each source, None for events.
        copies: lists of events that it writes, all alike, one a taker.
    """

    node: Node
    kind: Kind
    takes: tuple[Signal, ...]
    lanes: Lanes | None
    takes_lanes: tuple[Lanes | None, ...]
    copies: int
    rom: WeightRom | None = None
    tables: NeuronTables | None = None
    axes: tuple[Axis, Axis] | None = None

    @property
    def number(self) -> int:
        return self.node.number

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def signal(self) -> Signal:
        return self.node.signal

    @property
    def size(self) -> int:
        return self.signal.size

    @property
    def template(self) -> str:
        """Where its function is written."""
        forms = {True: "_events", False: "_sums"}
        return self.kind + (forms[self.signal.events] if self.kind in ("pool", "add", "concat") else "")

    @property
    def held(self) -> bool:
        """Whether its sums are made once a sequence, from an input that does not change."""
        return self.signal.constant and not self.signal.events

    @property
    def parallel(self) -> bool:
        """Whether all its sums lie in the same lanes as those that it takes."""
        lanes = self.lanes
        if lanes is None:
            return False
        if isinstance(self.node.layer, Pool2d):
            shape = self.node.layer.input_shape
            return self.takes_lanes[0] == Lanes(shape[0], shape[1] * shape[2], lanes.pe)
        return all(taken == lanes for taken in self.takes_lanes)

    @property
    def number_bits(self) -> int:
        """Width of a sum, or of an event's value, signed."""
        low, high = self.signal.bounds
        return int_bits(min(low, -1), high)

    @property
    def trace_bits(self) -> int:
        """Width of one neuron in a trace word: state index and spike."""
        assert isinstance(self.node.layer, Neuron)
        return self.node.layer.state_bits + 1

    @property
    def constants(self) -> dict[str, IntArray]:
        """The constant arrays by their names in the source."""
        arrays: dict[str, IntArray | None] = {}
        if self.rom is not None:
            arrays = {"WEIGHTS": np.array(self.rom.words, dtype=np.uint64).view(np.int64), "BIAS": self.rom.bias}
        if self.tables is not None:
            tables = self.tables
            arrays = {
                "OFFSET": tables.keys,
                "BOUNDARIES" if tables.form == "offset" else "THRESHOLDS": tables.searched,
                "SUCCESSOR": tables.successor,
                "FIRE_LEVEL": None if tables.spread == "shared" else tables.fire_level,
            }
        return {name: array for name, array in arrays.items() if array is not None}


@dataclass(frozen=True, eq=False)
class Design:
    """A whole core."""

    network: Network
    graph: Graph
    parts: tuple[Part, ...]
    encoder: AnyEncoder | None = None

    @cached_property
    def neurons(self) -> tuple[Part, ...]:
        """The neuron layers, first to last: those that are traced."""
        return tuple(part for part in self.parts if part.kind == "neurons")

    def parts_of(self, process: Process) -> tuple[Part, ...]:
        """The parts of one process in running order."""
        return tuple(self.parts[node.number - 1] for node in process.nodes)


def design_of(network: Network, config: HlsConfig) -> Design:
    """Folds a network. Raises: ExportError, ConfigError naming the layer and the rule."""
    if network.input.size >= MAX_INPUTS:
        raise ExportError(f"inputs: at most {MAX_INPUTS - 1} a time step; got {network.input.size}")
    if config.encoder is not None:
        check_encoder(config.encoder, network.input, network.steps)
    names = {neuron.name for neuron in network.neurons}
    if isinstance(config.pe, dict) and (unknown := sorted(set(config.pe) - names)):
        raise ConfigError(f"pe: no layer is called {', '.join(unknown)}; the layers are {', '.join(sorted(names))}")
    graph = graph_of(network)
    for node in graph.nodes:
        if node.signal.capacity > MAX_EVENTS:
            raise ExportError(
                f"{node.name}: up to {node.signal.capacity} events a time step, the limit is {MAX_EVENTS}; "
                "use windows that overlap less"
            )
    lanes: dict[int, Lanes] = {}
    for process in graph.processes:
        pe = _folding(process, config)
        lanes.update({node.number: _lanes(graph, node, pe) for node in process.nodes if _has_lanes(node)})
    parts = tuple(_part(graph, node, lanes, config) for node in graph.nodes)
    return Design(network, graph, parts, config.encoder)


def _has_lanes(node: Node) -> bool:
    return isinstance(node.layer, Neuron) or not node.signal.events


def _lanes(graph: Graph, node: Node, pe: int) -> Lanes:
    """Neurons lie as the sums that they take."""
    signal = graph.signal(node.sources[0]) if isinstance(node.layer, Neuron) else node.signal
    return Lanes(signal.channels, signal.positions, pe)


def _folding(process: Process, config: HlsConfig) -> int:
    """PE of a process: all its sums are updated in the same lanes."""
    widest = max((node.signal.channels for node in process.nodes if not node.signal.events), default=1)
    neurons = [node for node in process.nodes if isinstance(node.layer, Neuron)]
    most = min(MAX_PE, widest)
    if isinstance(config.pe, int):
        name = neurons[0].name if neurons else process.nodes[0].name
        wanted = {name: min(config.pe, widest) if 1 <= config.pe <= MAX_PE else config.pe}
    else:
        wanted = {node.name: config.pe[node.name] for node in neurons if node.name in config.pe}
    for name, pe in wanted.items():
        if not 1 <= pe <= most:
            raise ExportError(f"{name}: PE must be 1 to {most}; got {pe}")
    if len(set(wanted.values())) > 1:
        raise ConfigError(f"pe: {' and '.join(wanted)} run in one process and share their lanes; give them one PE")
    return next(iter(wanted.values()), min(DEFAULT_PE, widest))


def _part(graph: Graph, node: Node, lanes: dict[int, Lanes], config: HlsConfig) -> Part:
    layer, own = node.layer, lanes.get(node.number)
    takes = tuple(graph.signal(source) for source in node.sources)
    takes_lanes = tuple(
        None if signal.events else lanes[source] for source, signal in zip(node.sources, takes, strict=True)
    )
    copies = len(graph.handed_to(node.number)) + graph.kept(node.number) if node.signal.events else 0
    part = Part(node, _kind(node), takes, own, takes_lanes, copies)
    if own is not None and isinstance(layer, Dense | Conv2d):
        return replace(part, rom=weight_rom(layer, own))
    if own is not None and isinstance(layer, Neuron):
        return replace(part, tables=neuron_tables(layer, own, *node.reach, config.form))
    if isinstance(layer, Pool2d):
        return replace(part, axes=_window_axes(layer))
    return part


def _kind(node: Node) -> Kind:
    kinds: Sequence[tuple[type, Kind]] = (
        (Neuron, "neurons"),
        (Pool2d, "pool"),
        (Add, "add"),
        (Concat, "concat"),
        (Place, "place"),
        (Listing, "listing"),
    )
    return next((kind for type_, kind in kinds if isinstance(node.layer, type_)), "synapses")


def _window_axes(pool: Pool2d) -> tuple[Axis, Axis]:
    """An event of a pooled layer meets the windows around it as that of a convolution meets its taps."""
    y, x = (
        axis_of(size, outputs, kernel, stride, pad, 1)
        for size, outputs, kernel, stride, pad in zip(
            pool.input_shape[1:], pool.output_shape[1:], pool.kernel, pool.stride, pool.padding, strict=True
        )
    )
    return y, x
