"""What is known while a program is drafted: the layers so far, the values that flow between them, all faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from torch import nn

from squat_deploy.errors import Fault
from squat_deploy.lowering.current import Current
from squat_deploy.lowering.rounding import powers_of_two
from squat_deploy.network import INPUT, InputSpec, IntArray
from squat_deploy.network.layers import Plain, Range, Synapses, constant_range
from squat_deploy.snn.neurons import kind_of
from squat_deploy.snn.quantizers import StateQuantizer

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Integers:
    """`unit` times the integers of a layer, shape (B, *shape): inputs, spikes, counts of spikes.

    Attributes:
        source: position of the layer in `Draft.layers`, -1 for the input.
        error: by how much the model's own float32 values can be off, in model units; 0 where they are exact.
        quantized: what Brevitas hands on with them (scale, bits), where they are a QuantTensor.
    """

    source: int
    shape: Shape
    unit: float
    error: float = 0.0
    quantized: Any = None


@dataclass(frozen=True, eq=False)
class Currents:
    """Input currents (B, *shape), each a function of one integer of the layer `source`."""

    source: int
    shape: Shape
    current: Current


Value = Integers | Currents


@dataclass(frozen=True, eq=False)
class Branches:
    """Input and recurrent currents, and the factors with which their integers make the synaptic sum.

    Attributes:
        ranges: (lowest, highest) integer of both, each (N,).
    """

    currents: tuple[Current, Current]
    factors: tuple[int, ...]
    ranges: tuple[Range, Range]

    @property
    def exact(self) -> bool:
        """Whether both currents are."""
        return not any(current.sum_error.any() for current in self.currents)


@dataclass(frozen=True, eq=False)
class PendingNeuron:
    """A neuron layer, ready for extraction.

    Attributes:
        lows, highs: (N,) reachable synaptic sums.
        partial: range of every partial sum, the accumulator's.
        parameter_index: (N,) which of a parameter's values each neuron has, by the parameter's name.
        gain: bound of how much membrane one unit of current makes.
        leak: bound of what a step keeps of a state.
        branches: of a recurrent neuron, the two currents that the trained model adds one after the other.
    """

    name: str
    lows: IntArray
    highs: IntArray
    partial: tuple[int, int]
    silent: bool
    current: Current
    module: nn.Module
    quantizer: StateQuantizer
    parameter_index: dict[str, IntArray]
    gain: float = 1.0
    leak: float = 1.0
    branches: Branches | None = None

    late: ClassVar[bool] = True

    @property
    def neurons(self) -> int:
        return int(self.lows.size)

    def range(self, *taken: Range) -> Range:
        """Spikes, as `Neuron.range`."""
        return constant_range(self.neurons, 0, 1)

    @property
    def state_count(self) -> int:
        """Quantized states a neuron."""
        return len(kind_of(self.module).states)


@dataclass
class Draft:
    """The network under construction.

    Attributes:
        late: neurons whose spikes were taken before they ran.
        apart: names of the synapses behind sums of branches that are on no common grid.
        entering: what enters each layer of synapses, by the module's name, one value a place where it stands.
        end: position of the output layer, once it is known.
    """

    spec: InputSpec
    layers: list[Plain | PendingNeuron] = field(default_factory=list)
    wires: list[tuple[int, ...]] = field(default_factory=list)
    late: list[nn.Module] = field(default_factory=list)
    late_sizes: list[int] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    entering: dict[str, list[Integers]] = field(default_factory=dict)
    apart: set[str] = field(default_factory=set)
    end: int | None = None
    _ranges: dict[int, Range] = field(default_factory=dict)

    @property
    def neurons(self) -> dict[int, PendingNeuron]:
        """The neuron layers by their positions."""
        return {index: layer for index, layer in enumerate(self.layers) if isinstance(layer, PendingNeuron)}

    def fault(self, name: str, rule: str, got: object, hint: str) -> None:
        self.faults.append(Fault(name, rule, str(got), hint))

    def add(self, layer: Plain | PendingNeuron, *sources: int) -> int:
        """Appends a layer and returns its position."""
        self.layers.append(layer)
        self.wires.append(sources)
        return len(self.layers) - 1

    def late_source(self, module: nn.Module, size: int) -> int:
        """A position (-2 and below) that stands for the last spikes of neurons, until they are known."""
        if module not in self.late:
            self.late.append(module)
            self.late_sizes.append(size)
        return -2 - self.late.index(module)

    def range_at(self, source: int) -> Range:
        """(lowest, highest) value of every element of a layer."""
        if source == INPUT:
            return constant_range(self.spec.size, self.spec.low, self.spec.high)
        if source < INPUT:
            return constant_range(self.late_sizes[-2 - source], 0, 1)
        if source not in self._ranges:
            layer = self.layers[source]
            wires = () if layer.late else self.wires[source]
            self._ranges[source] = layer.range(*[self.range_at(taken) for taken in wires])
        return self._ranges[source]

    def largest_at(self, source: int) -> int:
        """Largest magnitude of any element of a layer."""
        return max(int(np.abs(end).max()) for end in self.range_at(source))

    def partial_at(self, source: int) -> tuple[int, int]:
        """Range of every partial sum, in any order, of the values of a layer."""
        low, high = self.range_at(source)
        own = min(int(low.min()), 0), max(int(high.max()), 0)
        if source <= INPUT or isinstance(layer := self.layers[source], PendingNeuron):
            return own
        own = layer.partial_range(*(self.range_at(taken) for taken in self.wires[source]))
        if isinstance(layer, Synapses):
            return own
        parts = [self.partial_at(taken) for taken in self.wires[source]]
        return min(own[0], *(part[0] for part in parts)), max(own[1], *(part[1] for part in parts))

    def synapses_behind(self, source: int) -> set[str]:
        """Names of the synapses that a value comes from, with no neurons between."""
        if source <= INPUT or isinstance(layer := self.layers[source], PendingNeuron):
            return set()
        if isinstance(layer, Synapses):
            return {layer.name}
        return {name for taken in self.wires[source] for name in self.synapses_behind(taken)}

    def silent(self, source: int) -> bool:
        """Whether a layer is synapses without any weight."""
        layer = self.layers[source] if source > INPUT else None
        return isinstance(layer, Synapses) and not layer.weight.any()

    def odd_step(self, index: int) -> float | None:
        """The step of the inputs, if it is no power of two and the layer sees them without neurons between."""
        if powers_of_two(np.array([self.spec.step])):
            return None
        seen, open_ends = set[int](), [*self.wires[index]]
        while open_ends:
            source = open_ends.pop()
            if source == INPUT:
                return self.spec.step
            if source > INPUT and source not in seen and source not in self.neurons:
                seen.add(source)
                open_ends += self.wires[source]
        return None


def plain_name(label: str) -> str:
    """The module's own name, without its type."""
    return label.rsplit(" (", 1)[0]
