"""What decides the structure of a graph: sizes, ranges and operators of every layer, and the arrays that fill it.

A graph is built from plans alone, its arrays named but absent; writing fills them in, reading finds them. So one
definition of the graphs serves both ways.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import FailFast, Field

from squat_deploy.backends.cpp import plain
from squat_deploy.names import unique_name
from squat_deploy.network import INPUT, IntArray, Layer, Network, Neuron
from squat_deploy.network.layers import Add, Concat, Conv2d, Dense, Join, Pool2d
from squat_deploy.network.layers import Range as ElementRange

Range = tuple[int, int]
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
        layer: its name in the Network.
        name: prefix of its tensors, unique in the graph.
        takes: as in `Network.wires`.
        input_low, input_high, weight_low, weight_high, sum_low, sum_high: ranges, inclusive.
        partial_low, partial_high: range of every partial sum in any order, the bias included.
        bias: range of the bias, or None without one.
        conv: the sizes of a convolution, or None for fully connected synapses.
    """

    layer: str
    name: str
    takes: tuple[int, ...]
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
    kind: Literal["synapses"] = "synapses"

    @property
    def given(self) -> Range:
        """Range of what it gives."""
        return self.sum_low, self.sum_high

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return (self.inputs,)

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
        layer, name, takes: as in `SynapsePlan`.
        sum_low, sum_high: range of the synaptic sums that it takes.
        tables, states, levels: sizes K, S, L of its finite-state machines.
        carries_level: whether the next state is the level itself.
        threshold_low, threshold_high: range of the thresholds.
        fire_level: (K,).
        membranes: (K, S) membrane of each state in model units, float32 values; the level table comes first.
    """

    layer: str
    name: str
    takes: tuple[int, ...]
    neurons: int
    sum_low: int
    sum_high: int
    tables: int
    states: int
    levels: int
    carries_level: bool
    threshold_low: int
    threshold_high: int
    initial_state: int
    fire_level: Annotated[tuple[int, ...], FailFast()]
    membranes: Annotated[tuple[Annotated[tuple[float, ...], FailFast()], ...], FailFast()]

    kind: Literal["neurons"] = "neurons"

    @property
    def outputs(self) -> int:
        return self.neurons

    @property
    def given(self) -> Range:
        """Range of what it gives."""
        return 0, 1

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return (self.neurons,)

    @property
    def fire_levels(self) -> int:
        """How many fire levels the graph holds: one, or one a neuron."""
        return 1 if len(set(self.fire_level)) == 1 else self.neurons


@dataclass(frozen=True)
class JoinPlan:
    """One layer without weights.

    Attributes:
        layer, name, takes: as in `SynapsePlan`.
        operation: "pool", "add" or "concat".
        sizes: `Pool2d.geometry`; the size and the factors of a sum; the sizes of what is concatenated.
        low, high: range of the results.
        largest: largest magnitude of all that it takes, gives or makes on its way.
    """

    layer: str
    name: str
    takes: tuple[int, ...]
    operation: Literal["pool", "add", "concat"]
    sizes: Annotated[tuple[int, ...], FailFast()]
    low: int
    high: int
    largest: int
    kind: Literal["join"] = "join"

    def join(self) -> Join:
        """The layer itself. Raises: ValueError, LookupError, ConfigError for sizes that do not fit."""
        if self.operation == "pool":
            return Pool2d.of(self.layer, {"geometry": np.array(self.sizes, dtype=np.int64)})
        if self.operation == "add":
            return Add(self.layer, self.sizes[0], self.sizes[1:])
        return Concat(self.layer, self.sizes)

    @property
    def outputs(self) -> int:
        return self.join().outputs

    @property
    def given(self) -> Range:
        """Range of what it gives."""
        return self.low, self.high

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return self.join().input_sizes


LayerPlan = Annotated[SynapsePlan | NeuronPlan | JoinPlan, Field(discriminator="kind")]
Plan = SynapsePlan | NeuronPlan | JoinPlan


def neuron_plans(plans: Sequence[Plan]) -> list[NeuronPlan]:
    """Those of neurons, first to last."""
    return [plan for plan in plans if isinstance(plan, NeuronPlan)]


def late_plans(plans: Sequence[Plan]) -> list[NeuronPlan]:
    """Neurons whose spikes of the step before are taken."""
    late = {source for index, plan in enumerate(plans) for source in plan.takes if source >= index}
    return [plan for index, plan in enumerate(plans) if index in late and isinstance(plan, NeuronPlan)]


def constant_layers(plans: Sequence[Plan]) -> list[bool]:
    """Which layers see nothing but the input of the network."""
    constant: list[bool] = []
    for index, plan in enumerate(plans):
        still = all(source == INPUT or (source < index and constant[source]) for source in plan.takes)
        constant.append(still and not isinstance(plan, NeuronPlan))
    return constant


def plan_layers(network: Network) -> tuple[Plan, ...]:
    """The plan of every layer; prefixes of tensors are plain and unique, whatever the layers are called."""
    taken: dict[str, int] = {}
    plans: list[Plan] = []
    for index, (layer, takes) in enumerate(zip(network.layers, network.wires, strict=True)):
        name, ranges = unique_name(plain(layer.name), taken), network.taken(index)
        if isinstance(layer, Neuron):
            plans.append(_neuron_plan(name, takes, layer, ranges[0]))
        elif isinstance(layer, Dense | Conv2d):
            plans.append(_synapse_plan(name, takes, layer, ranges[0]))
        else:
            plans.append(_join_plan(name, takes, layer, ranges, network.range_at(index)))
    return tuple(plans)


def _join_plan(
    name: str, takes: tuple[int, ...], layer: Join, ranges: Sequence[ElementRange], given: ElementRange
) -> JoinPlan:
    operation: Literal["pool", "add", "concat"]
    if isinstance(layer, Pool2d):
        operation, sizes = "pool", layer.geometry.tolist()
    elif isinstance(layer, Add):
        operation, sizes = "add", [layer.size, *layer.factors]
    else:
        operation, sizes = "concat", list(layer.sizes)
    factors = layer.factors if isinstance(layer, Add) else (1,) * len(ranges)
    ends = [np.abs(end).max() * factor for pair, factor in zip(ranges, factors, strict=True) for end in pair]
    windows = math.prod(layer.kernel) if isinstance(layer, Pool2d) and layer.kind == "sum" else 1
    largest = int(sum(ends[::2]) + sum(ends[1::2])) * windows  # a bound of every partial sum
    low, high = int(given[0].min()), int(given[1].max())
    return JoinPlan(layer.name, name, takes, operation, tuple(sizes), low, high, largest)


def _conv_plan(layer: Dense | Conv2d) -> ConvPlan | None:
    if isinstance(layer, Dense):
        return None
    o, c, height, width = layer.weight.shape
    sizes = layer.stride, layer.padding, layer.dilation, layer.groups
    return ConvPlan(layer.input_shape, (o, c, height, width), layer.output_shape, *sizes)


def _synapse_plan(prefix: str, takes: tuple[int, ...], dense: Dense | Conv2d, taken: ElementRange) -> SynapsePlan:
    lows, highs = dense.sum_range(*taken)
    partial = dense.partial_range(taken)
    bias = (int(dense.bias.min()), int(dense.bias.max())) if dense.bias.any() else None
    return SynapsePlan(
        layer=dense.name,
        name=prefix,
        takes=takes,
        inputs=dense.inputs,
        outputs=dense.outputs,
        input_low=int(taken[0].min()),
        input_high=int(taken[1].max()),
        weight_low=int(dense.weight.min()),
        weight_high=int(dense.weight.max()),
        sum_low=int(lows.min()),
        sum_high=int(highs.max()),
        partial_low=partial[0],
        partial_high=partial[1],
        bias=bias,
        conv=_conv_plan(dense),
    )


def _neuron_plan(prefix: str, takes: tuple[int, ...], neuron: Neuron, taken: ElementRange) -> NeuronPlan:
    return NeuronPlan(
        layer=neuron.name,
        name=prefix,
        takes=takes,
        neurons=neuron.neurons,
        sum_low=int(taken[0].min()),
        sum_high=int(taken[1].max()),
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


def arrays_of_layer(plan: Plan, layer: Layer) -> dict[str, IntArray]:
    """Every array of a layer by the name of its tensor, as the integer forms hold it."""
    n = plan.name
    if isinstance(plan, SynapsePlan) and isinstance(layer, Dense | Conv2d):
        arrays = {f"{n}.weight": layer.weight if isinstance(layer, Conv2d) else layer.weight.T}
        return arrays if plan.bias is None else arrays | {f"{n}.bias": layer.bias}
    if not (isinstance(plan, NeuronPlan) and isinstance(layer, Neuron)):
        return {}
    arrays = {
        f"{n}.thresholds": layer.thresholds.reshape(-1, plan.levels - 1),
        f"{n}.fire_level": layer.fire_level[layer.table[: plan.fire_levels]],
    }
    if plan.tables > 1:
        arrays[f"{n}.first_row"] = layer.table * plan.states
    if not plan.carries_level:
        arrays[f"{n}.successor"] = layer.successor.reshape(-1)
    return arrays


def layer_of_arrays(plan: Plan, arrays: dict[str, IntArray]) -> Layer:
    """The inverse of `arrays_of_layer`; what it cannot know (fire levels of unused tables) comes from the plan."""
    if isinstance(plan, JoinPlan):
        return plan.join()
    if isinstance(plan, SynapsePlan):
        return _synapses_of_arrays(plan, arrays)
    shape = (plan.tables, plan.states, plan.levels)
    carried = np.broadcast_to(np.arange(plan.levels), shape)
    return Neuron(
        name=plan.layer,
        thresholds=arrays[f"{plan.name}.thresholds"].reshape(plan.tables, plan.states, plan.levels - 1),
        successor=carried if plan.carries_level else arrays[f"{plan.name}.successor"].reshape(shape),
        fire_level=np.array(plan.fire_level, dtype=np.int64),
        table=arrays.get(f"{plan.name}.first_row", np.zeros(plan.neurons, dtype=np.int64)) // plan.states,
        initial_state=plan.initial_state,
        membranes=np.array(plan.membranes, dtype=np.float32),
    )


def _synapses_of_arrays(plan: SynapsePlan, arrays: dict[str, IntArray]) -> Dense | Conv2d:
    name, conv = plan.name, plan.conv
    weight = arrays[f"{name}.weight"]
    channels = plan.outputs if conv is None else conv.weight_shape[0]
    bias = arrays.get(f"{name}.bias", np.zeros(channels, dtype=np.int64)).reshape(-1)
    if conv is None:
        return Dense(plan.layer, np.ascontiguousarray(weight.T), bias)
    sizes = conv.stride, conv.padding, conv.dilation, conv.groups
    return Conv2d(plan.layer, weight.reshape(conv.weight_shape), bias, conv.input_shape, *sizes)
