"""The Network: a trained spiking net as integers only, frozen, and everything later is derived from it.

Loading and running one needs NumPy, never torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from squat_deploy.errors import ConfigError
from squat_deploy.network.certificate import Certificate
from squat_deploy.network.inputs import InputSpec
from squat_deploy.network.layers import AnyNeuron, Layer, NeuronLayer, Range, constant_range
from squat_deploy.network.origin import Origin
from squat_deploy.network.readout import OF_MEMBRANES, Readout
from squat_deploy.network.tabled import of_network
from squat_deploy.network.values import Values, values_of

SCHEMA_VERSION = 2
INPUT = -1  # in `Network.wires`: what enters
Wires = tuple[tuple[int, ...], ...]


class Layers(tuple[Layer, ...]):
    """Layers by their positions; INPUT is the position of none, least of all of the last one."""

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int) and index < 0:
            raise IndexError(f"no layer has the position {index}")
        return super().__getitem__(index)


def still_layers(wires: Iterable[tuple[int, ...]], remembers: Iterable[bool]) -> tuple[bool, ...]:
    """Which layers see nothing but what enters, and do not remember."""
    found: list[bool] = []
    for index, (wire, remembering) in enumerate(zip(wires, remembers, strict=True)):
        seen = all(source == INPUT or (source < index and found[source]) for source in wire)
        found.append(seen and not remembering)
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Network:
    """Layers in the order in which they run, and what each of them takes; every value an integer.

    Attributes:
        steps: time steps of one sequence.
        certificate: what has been proven of each layer against the trained model.
        wires: for every layer the positions of the layers that it takes, -1 for the network's input. A neuron layer
            that comes later, or the layer itself, stands for its spikes of the step before (none in the first).
            By default each layer takes the one before it. The last layer is the output.
        readout: how the output neurons become a class.
        origin: where it comes from, as it says itself; no part of the digest.
    """

    input: InputSpec
    layers: tuple[Layer, ...]
    steps: int
    certificate: Certificate = field(default_factory=Certificate)
    name: str = "network"
    wires: Wires = ()
    readout: Readout = "count"
    origin: Origin = field(default_factory=Origin)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", Layers(self.layers))
        if not self.wires:
            object.__setattr__(self, "wires", tuple((index - 1,) for index in range(len(self.layers))))

    def __repr__(self) -> str:
        proven = "proven" if self.certificate.proven else "not proven"
        sizes = f"{self.input.size} -> {self.outputs}, {len(self.layers)} layers, {self.steps} steps"
        return f"<Network {self.name!r}: {sizes}, {proven}, {self.digest[:12]}>"

    def summary(self) -> str:
        """A layer a line, and the grid of the inputs; to be printed."""
        return of_network(self).text

    def _repr_html_(self) -> str:
        """In notebooks."""
        return of_network(self).html

    @property
    def neurons(self) -> tuple[AnyNeuron, ...]:
        """The neuron layers, first to last."""
        return tuple(layer for layer in self.layers if isinstance(layer, NeuronLayer))

    @property
    def state_bytes(self) -> int:
        """Of a state index in a trace."""
        return 2 if max(neuron.states for neuron in self.neurons) <= 2**16 else 4

    @property
    def output(self) -> Layer:
        """The last layer."""
        last: Layer = self.layers[len(self.layers) - 1]
        return last

    @property
    def outputs(self) -> int:
        """Number of output neurons (classes)."""
        return self.neurons[-1].neurons

    def taken(self, index: int) -> list[Range]:
        """(lowest, highest) value of every element of each input of a layer."""
        return [self.range_at(source) for source in self.wires[index]]

    def range_at(self, source: int) -> Range:
        """(lowest, highest) value of every element that a layer gives (-1: the input); spikes are 0 or 1."""
        if source not in self._ranges:
            if source == INPUT:
                found = constant_range(self.input.size, self.input.low, self.input.high)
            else:
                layer = self.layers[source]
                found = layer.range(*(() if layer.late else self.taken(source)))
            self._ranges[source] = found
        return self._ranges[source]

    @cached_property
    def _ranges(self) -> dict[int, Range]:
        return {}

    @property
    def values(self) -> Values | None:
        """What the scores of a readout of membranes are worth; None where `why_no_values` says why."""
        return self._valued if isinstance(self._valued, Values) else None

    @property
    def why_no_values(self) -> str:
        """The rule, what was met and what works, where the scores have no values; empty where they have some."""
        return "" if isinstance(self._valued, Values) else self._valued

    @cached_property
    def _valued(self) -> Values | str:
        if self.readout not in OF_MEMBRANES:
            return f'values are of membranes; got readout="{self.readout}"; use readout="last-membrane"'
        output = self.neurons[-1]
        table = int(output.table[0])
        used = np.unique(output.successor[np.unique(output.table)])
        return values_of(self.readout, output.membranes[table], used, self.steps)

    @property
    def worth(self) -> tuple[int, ...]:
        """What every state adds to a score, with the readout "mean-membrane"."""
        return () if self.values is None else self.values.worth

    @cached_property
    def still(self) -> tuple[bool, ...]:
        """Which layers see nothing but what enters: the same at every step where that is."""
        return still_layers(self.wires, [layer.remembers for layer in self.layers])

    @property
    def digest(self) -> str:
        """sha256 over everything that decides a spike or the class: input, steps, all integers; names do not count."""
        hasher = hashlib.sha256()
        spec = self.input
        head = [
            1,  # of this hash
            list(spec.shape),
            spec.low,
            spec.high,
            float(spec.step).hex(),
            spec.encoding,
            self.steps,
        ]
        if self.readout != "count":
            head.append(self.readout)
        if self.readout == "mean-membrane" and self.values is not None:  # no other readout decides by membranes
            head += [self.values.step.hex(), self.values.offset, *self.values.worth]
        hasher.update(json.dumps(head).encode())
        for index, (layer, wire) in enumerate(zip(self.layers, self.wires, strict=True)):
            if wire != (index - 1,):
                hasher.update(f"wire{wire}".encode())
            for key, array in layer.arrays().items():
                hasher.update(f"{type(layer).__name__}.{key}{array.shape}".encode())
                hasher.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
        return hasher.hexdigest()


def check_network(network: object) -> None:
    """What all that take a network ask first. Raises: ConfigError for anything else, with what makes one."""
    if not isinstance(network, Network):
        makes = "sd.load(path) reads one, sd.lower(model, spec, steps) makes one"
        raise ConfigError(f"the first argument is a Network: {makes}; got {type(network).__name__}")
