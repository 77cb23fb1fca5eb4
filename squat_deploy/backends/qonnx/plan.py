"""What decides the structure of a graph: sizes, ranges and operators of every layer, and the arrays that fill it.

A graph is built from plans alone, its arrays named but absent; writing fills them in, reading finds them. So one
definition of the graphs serves both ways.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import FailFast

from squat_deploy.backends.cpp import plain
from squat_deploy.names import unique_name
from squat_deploy.network import IntArray, Network, Neuron
from squat_deploy.synapses import Conv2d, Dense, Synapses

Operator = Literal["MatMulInteger", "ConvInteger", "MatMul"]
INT16_MAX = 2**15 - 1
INT32_MAX = 2**31 - 1


@dataclass(frozen=True)
class ConvPlan:
    """Sizes of a convolution, as in `Conv2d`."""

    input_shape: tuple[int, int, int]
    weight_shape: tuple[int, int, int, int]
    output_shape: tuple[int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    def empty(self) -> Conv2d:
        """The convolution without its weights."""
        weight, bias = np.zeros(self.weight_shape, dtype=np.int64), np.zeros(self.weight_shape[0], dtype=np.int64)
        sizes = self.stride, self.padding, self.dilation, self.groups
        return Conv2d("convolution", weight, bias, self.input_shape, *sizes)

    @property
    def matrix_shape(self) -> tuple[int, int, int]:
        """(groups, O / groups, C / groups * kernel)."""
        return self.groups, self.weight_shape[0] // self.groups, math.prod(self.weight_shape[1:])

    def places(self) -> IntArray:
        """(groups, C / groups * kernel, H' W') which input each product takes; 0 is the padding, inputs follow."""
        layer = self.empty()
        return layer.patches(np.arange(1, layer.inputs + 1)[None])[0].transpose(0, 2, 1)


@dataclass(frozen=True)
class SynapsePlan:
    """One synapse layer.

    Attributes:
        name: prefix of its tensors, unique in the graph.
        input_low, input_high, weight_low, weight_high, sum_low, sum_high: ranges, inclusive.
        partial_low, partial_high: range of every partial sum in any order, the bias included.
        bias: range of the bias, or None without one.
        conv: the sizes of a convolution, or None for fully connected synapses.
    """

    name: str
    inputs: int
    outputs: int
    input_low: int
    input_high: int
    weight_low: int
    weight_high: int
    sum_low: int
    sum_high: int
    partial_low: int
    partial_high: int
    bias: tuple[int, int] | None
    conv: ConvPlan | None

    @property
    def operator(self) -> Operator:
        """MatMulInteger or ConvInteger where every CPU computes it exactly, else MatMul on int32 or int64.

        x86 CPUs without VNNI add two 8-bit products in a saturating 16-bit register, after moving signed inputs by
        128; so both have to fit together.
        """
        weight = max(-self.weight_low, self.weight_high)
        narrow = self.weight_low >= -128 and self.weight_high <= 127
        signed = self.input_low < 0
        fits = (self.input_low >= -128 and self.input_high <= 127) if signed else self.input_high <= 255
        largest = 255 if signed else self.input_high
        exact = narrow and fits and 2 * largest * weight <= INT16_MAX and self._in_int32
        if not exact:
            return "MatMul"
        return "MatMulInteger" if self.conv is None else "ConvInteger"

    @property
    def sum_bits(self) -> int:
        """Container of the synaptic sum: 32 or 64."""
        return 32 if self._in_int32 else 64

    @property
    def _in_int32(self) -> bool:
        return max(-self.partial_low, self.partial_high) < INT32_MAX  # a threshold may be one above the sums


@dataclass(frozen=True)
class NeuronPlan:
    """One neuron layer.

    Attributes:
        tables, states, levels: sizes K, S, L of its finite-state machines.
        carries_level: whether the next state is the level itself.
        threshold_low, threshold_high: range of the thresholds.
        fire_level: (K,).
        membranes: (K, S) membrane of each state in model units, float32 values; the level table comes first.
    """

    name: str
    neurons: int
    tables: int
    states: int
    levels: int
    carries_level: bool
    threshold_low: int
    threshold_high: int
    initial_state: int
    fire_level: Annotated[tuple[int, ...], FailFast()]
    membranes: Annotated[tuple[Annotated[tuple[float, ...], FailFast()], ...], FailFast()]

    @property
    def fire_levels(self) -> int:
        """How many fire levels the graph holds: one, or one a neuron."""
        return 1 if len(set(self.fire_level)) == 1 else self.neurons


@dataclass(frozen=True)
class LayerPlan:
    """Synapses and the neurons behind them; `synapse_name` and `neuron_name` are those of the Network."""

    synapse_name: str
    neuron_name: str
    synapses: SynapsePlan
    neurons: NeuronPlan


def plan_layers(network: Network) -> tuple[LayerPlan, ...]:
    """The plan of every layer pair; prefixes of tensors are plain and unique, whatever the layers are called."""
    taken: dict[str, int] = {}
    plans = []
    for dense, neuron, low, high in network.pairs():
        synapses = _synapse_plan(unique_name(plain(dense.name), taken), dense, low, high)
        neurons = _neuron_plan(unique_name(plain(neuron.name), taken), neuron)
        plans.append(LayerPlan(dense.name, neuron.name, synapses, neurons))
    return tuple(plans)


def _conv_plan(layer: Synapses) -> ConvPlan | None:
    if isinstance(layer, Dense):
        return None
    o, c, height, width = layer.weight.shape
    sizes = layer.stride, layer.padding, layer.dilation, layer.groups
    return ConvPlan(layer.input_shape, (o, c, height, width), layer.output_shape, *sizes)


def _synapse_plan(prefix: str, dense: Synapses, low: int, high: int) -> SynapsePlan:
    lows, highs = dense.sum_range(low, high)
    partial = dense.partial_range(low, high)
    bias = (int(dense.bias.min()), int(dense.bias.max())) if dense.bias.any() else None
    return SynapsePlan(
        name=prefix,
        inputs=dense.inputs,
        outputs=dense.outputs,
        input_low=low,
        input_high=high,
        weight_low=int(dense.weight.min()),
        weight_high=int(dense.weight.max()),
        sum_low=int(lows.min()),
        sum_high=int(highs.max()),
        partial_low=partial[0],
        partial_high=partial[1],
        bias=bias,
        conv=_conv_plan(dense),
    )


def _neuron_plan(prefix: str, neuron: Neuron) -> NeuronPlan:
    return NeuronPlan(
        name=prefix,
        neurons=neuron.neurons,
        tables=len(neuron.thresholds),
        states=neuron.states,
        levels=neuron.level_count,
        carries_level=neuron.carries_level,
        threshold_low=int(neuron.thresholds.min()),
        threshold_high=int(neuron.thresholds.max()),
        initial_state=int(neuron.initial_state),
        fire_level=tuple(neuron.fire_level.tolist()),
        membranes=tuple(tuple(float(str(value)) for value in row) for row in neuron.membranes),
    )


def arrays_of_layer(plan: LayerPlan, synapses: Synapses, neuron: Neuron) -> dict[str, IntArray]:
    """Every array of a layer by the name of its tensor, as the integer forms hold it."""
    s, n, kinds = plan.synapses.name, plan.neurons.name, plan.neurons
    arrays = {f"{s}.weight": synapses.weight if isinstance(synapses, Conv2d) else synapses.weight.T}
    if plan.synapses.bias is not None:
        arrays[f"{s}.bias"] = synapses.bias
    arrays[f"{n}.thresholds"] = neuron.thresholds.reshape(-1, kinds.levels - 1)
    arrays[f"{n}.fire_level"] = neuron.fire_level[neuron.table[: kinds.fire_levels]]
    if kinds.tables > 1:
        arrays[f"{n}.first_row"] = neuron.table * kinds.states
    if not kinds.carries_level:
        arrays[f"{n}.successor"] = neuron.successor.reshape(-1)
    return arrays


def layers_of_arrays(plan: LayerPlan, arrays: dict[str, IntArray]) -> tuple[Synapses, Neuron]:
    """The inverse of `arrays_of_layer`; what it cannot know (fire levels of unused tables) comes from the plan."""
    n, kinds = plan.neurons.name, plan.neurons
    shape = (kinds.tables, kinds.states, kinds.levels)
    carried = np.broadcast_to(np.arange(kinds.levels), shape)
    neuron = Neuron(
        name=plan.neuron_name,
        thresholds=arrays[f"{n}.thresholds"].reshape(kinds.tables, kinds.states, kinds.levels - 1),
        successor=carried if kinds.carries_level else arrays[f"{n}.successor"].reshape(shape),
        fire_level=np.array(kinds.fire_level, dtype=np.int64),
        table=arrays.get(f"{n}.first_row", np.zeros(kinds.neurons, dtype=np.int64)) // kinds.states,
        initial_state=kinds.initial_state,
        membranes=np.array(kinds.membranes, dtype=np.float32),
    )
    return _synapses_of_arrays(plan, arrays), neuron


def _synapses_of_arrays(plan: LayerPlan, arrays: dict[str, IntArray]) -> Synapses:
    name, conv = plan.synapses.name, plan.synapses.conv
    weight = arrays[f"{name}.weight"]
    channels = plan.synapses.outputs if conv is None else conv.weight_shape[0]
    bias = arrays.get(f"{name}.bias", np.zeros(channels, dtype=np.int64)).reshape(-1)
    if conv is None:
        return Dense(plan.synapse_name, np.ascontiguousarray(weight.T), bias)
    sizes = conv.stride, conv.padding, conv.dilation, conv.groups
    return Conv2d(plan.synapse_name, weight.reshape(conv.weight_shape), bias, conv.input_shape, *sizes)
