"""What decides the structure of a graph: sizes, ranges and operators of every layer, and the arrays that fill it.

A graph is built from plans alone, its arrays named but absent; writing fills them in, reading finds them. So one
definition of the graphs serves both ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from squat_deploy.network import Dense, IntArray, Network, Neuron

Operator = Literal["MatMulInteger", "MatMul"]
INT16_MAX = 2**15 - 1
INT32_MAX = 2**31 - 1


@dataclass(frozen=True)
class SynapsePlan:
    """One synapse layer.

    Attributes:
        name: prefix of its tensors, unique in the graph.
        input_low, input_high, weight_low, weight_high, sum_low, sum_high: ranges, inclusive.
        partial_low, partial_high: range of every partial sum in any order, the bias included.
        bias: range of the bias, or None without one.
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

    @property
    def operator(self) -> Operator:
        """MatMulInteger where every CPU computes it exactly, else MatMul on int32 or int64.

        x86 CPUs without VNNI add two 8-bit products in a saturating 16-bit register, after moving signed inputs by
        128; so both have to fit together.
        """
        weight = max(-self.weight_low, self.weight_high)
        narrow = self.weight_low >= -128 and self.weight_high <= 127
        signed = self.input_low < 0
        fits = (self.input_low >= -128 and self.input_high <= 127) if signed else self.input_high <= 255
        largest = 255 if signed else self.input_high
        exact = narrow and fits and 2 * largest * weight <= INT16_MAX and self._in_int32
        return "MatMulInteger" if exact else "MatMul"

    @property
    def sum_bits(self) -> int:
        """Container of the synaptic sum: 32 or 64."""
        return 32 if self._in_int32 else 64

    @property
    def _in_int32(self) -> bool:
        return max(-self.partial_low, self.partial_high) <= INT32_MAX


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
    fire_level: tuple[int, ...]
    membranes: tuple[tuple[float, ...], ...]

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
    """The plan of every layer pair."""
    taken: set[str] = set()
    plans = []
    for dense, neuron, low, high in network.pairs():
        synapses = _synapse_plan(_unique(dense.name, taken), dense, low, high)
        plans.append(LayerPlan(dense.name, neuron.name, synapses, _neuron_plan(_unique(neuron.name, taken), neuron)))
    return tuple(plans)


def _unique(name: str, taken: set[str]) -> str:
    """A tensor prefix of plain characters; layers may share a name, or have none."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "_.") else "_" for c in name) or "layer"
    prefix, count = plain, 1
    while prefix in taken:
        count += 1
        prefix = f"{plain}_{count}"
    taken.add(prefix)
    return prefix


def _synapse_plan(prefix: str, dense: Dense, low: int, high: int) -> SynapsePlan:
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
        initial_state=neuron.initial_state,
        fire_level=tuple(neuron.fire_level.tolist()),
        membranes=tuple(tuple(float(str(value)) for value in row) for row in neuron.membranes),
    )


def arrays_of_layer(plan: LayerPlan, dense: Dense, neuron: Neuron) -> dict[str, IntArray]:
    """Every array of a layer by the name of its tensor, as the graph holds it."""
    s, n, kinds = plan.synapses.name, plan.neurons.name, plan.neurons
    arrays = (
        {f"{s}.weight": dense.weight.T, f"{s}.bias": dense.bias}
        if plan.synapses.bias
        else {f"{s}.weight": dense.weight.T}
    )
    arrays[f"{n}.thresholds"] = neuron.thresholds.reshape(-1, kinds.levels - 1)
    arrays[f"{n}.fire_level"] = neuron.fire_level[neuron.table[: kinds.fire_levels]]
    if kinds.tables > 1:
        arrays[f"{n}.first_row"] = neuron.table * kinds.states
    if not kinds.carries_level:
        arrays[f"{n}.successor"] = neuron.successor.reshape(-1)
    return arrays


def layers_of_arrays(plan: LayerPlan, arrays: dict[str, IntArray]) -> tuple[Dense, Neuron]:
    """The inverse of `arrays_of_layer`; what it cannot know (fire levels of unused tables) comes from the plan."""
    s, n, kinds = plan.synapses.name, plan.neurons.name, plan.neurons
    shape = (kinds.tables, kinds.states, kinds.levels)
    bias = arrays.get(f"{s}.bias", np.zeros(plan.synapses.outputs, dtype=np.int64))
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
    return Dense(plan.synapse_name, np.ascontiguousarray(arrays[f"{s}.weight"].T), bias), neuron
