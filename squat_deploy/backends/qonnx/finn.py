"""The form `finn`: QONNX's convention, integers in float32 tensors with exact datatypes, and MultiThreshold.

The thresholds of each neuron are gathered by its state, so the batch is 1: MultiThreshold has one row of thresholds a
channel, not one a sample.
"""

from __future__ import annotations

import numpy as np

from squat_deploy.backends.qonnx.builder import FLOAT, INT64, GraphBuilder, Range, datatype
from squat_deploy.backends.qonnx.integer import (
    SPIKES,
    LayerTensors,
    conv_attributes,
    flat,
    input_range,
    mark_outputs,
    partial_range,
    planes,
    spec_range,
    state_range,
    sum_range,
    weight_range,
)
from squat_deploy.backends.qonnx.plan import ConvPlan, LayerPlan, NeuronPlan, SynapsePlan
from squat_deploy.errors import ExportError
from squat_deploy.network import InputSpec

FLOAT_LIMIT = 2**24  # integers up to here are exact in float32


def finn_step(spec: InputSpec, plans: tuple[LayerPlan, ...], trace: bool) -> GraphBuilder:
    """One time step of one sample; inputs and outputs as in the form `step`, all float32 with batch 1.

    Raises: ExportError where float32 cannot hold a layer's integers.
    """
    for plan in plans:
        check_float(plan)
    b = GraphBuilder("step")
    x = b.input("input", FLOAT, (1, *spec.shape), spec_range(spec))
    states = [b.input(f"{p.neurons.name}.state", FLOAT, (1, p.neurons.neurons), state_range(p)) for p in plans]
    layers = []
    for plan, state in zip(plans, states, strict=True):
        layers.append(_neurons(b, _synapses(b, x, plan.synapses), state, plan))
        x = layers[-1].spikes
    mark_outputs(b, layers, trace)
    return b


def check_float(plan: LayerPlan) -> None:
    """Raises: ExportError where some integer of the layer is above 2**24."""
    s = plan.synapses
    largest = max(-s.partial_low, s.partial_high, *(abs(v) for v in s.bias or (0,)))
    if largest >= FLOAT_LIMIT:
        raise ExportError(
            f"{plan.synapse_name}: the form finn holds integers in float32, exact below 2**24; its partial sums reach "
            f"{largest}; use the form step or sequence"
        )


def _synapses(b: GraphBuilder, x: str, plan: SynapsePlan) -> str:
    if plan.conv is not None:
        return _convolved(b, x, plan, plan.conv)
    shape, name = (1, plan.outputs), plan.name
    x = flat(b, x, FLOAT, input_range(plan))
    weight = b.parameter(f"{name}.weight", FLOAT, (plan.inputs, plan.outputs), weight_range(plan))
    if plan.bias is None:
        return b.node("MatMul", [x, weight], f"{name}.synaptic_sum", FLOAT, shape, sum_range(plan))
    product = b.node("MatMul", [x, weight], f"{name}.product", FLOAT, shape, partial_range(plan))
    bias = b.parameter(f"{name}.bias", FLOAT, (plan.outputs,), plan.bias)
    return b.node("Add", [product, bias], f"{name}.synaptic_sum", FLOAT, shape, sum_range(plan))


def _convolved(b: GraphBuilder, x: str, plan: SynapsePlan, conv: ConvPlan) -> str:
    name, shape = plan.name, (1, *conv.output_shape)
    x = planes(b, x, conv.input_shape, FLOAT, input_range(plan))
    weight = b.parameter(f"{name}.weight", FLOAT, conv.weight_shape, weight_range(plan))
    sizes = conv_attributes(conv)
    total = b.node("Conv", [x, weight], f"{name}.product", FLOAT, shape, partial_range(plan), **sizes)
    if plan.bias is not None:
        bias = b.parameter(f"{name}.bias", FLOAT, (conv.weight_shape[0], 1, 1), plan.bias)
        total = b.node("Add", [total, bias], f"{name}.synaptic_planes", FLOAT, shape, sum_range(plan))
    return b.node("Flatten", [total], f"{name}.synaptic_sum", FLOAT, (1, plan.outputs), sum_range(plan), axis=1)


def _neurons(b: GraphBuilder, total: str, state: str, plan: LayerPlan) -> LayerTensors:
    n, name = plan.neurons, plan.neurons.name
    shape, bounds = (1, n.neurons), (n.threshold_low, n.threshold_high)
    row = _row(b, state, n)
    table = b.parameter(f"{name}.thresholds", FLOAT, (n.tables * n.states, n.levels - 1), bounds)
    chosen = b.node(
        "Gather", [table, row], f"{name}.thresholds_of_state", FLOAT, (n.neurons, n.levels - 1), bounds, axis=0
    )
    level = f"{name}.state_next" if n.carries_level else f"{name}.level"
    _multi_threshold(b, total, chosen, level, shape, (0, n.levels - 1))
    fire = b.parameter(f"{name}.fire_level", FLOAT, (n.fire_levels, 1), (min(n.fire_level), max(n.fire_level)))
    spikes = _multi_threshold(b, level, fire, f"{name}.spikes", shape, SPIKES)
    following = level if n.carries_level else _successor(b, row, level, plan)
    return LayerTensors(total, following, spikes)


def _multi_threshold(b: GraphBuilder, x: str, thresholds: str, name: str, shape: tuple[int, int], bounds: Range) -> str:
    return b.node("MultiThreshold", [x, thresholds], name, FLOAT, shape, bounds, out_dtype=datatype(bounds))


def _row(b: GraphBuilder, state: str, n: NeuronPlan) -> str:
    """(neurons,) row of each neuron's thresholds, int64 as Gather wants it."""
    bounds: Range = (0, n.states - 1)
    axis = b.constant(f"{n.name}.batch_axis", np.array([0], dtype=np.int64))
    flat = b.node("Squeeze", [state, axis], f"{n.name}.state_flat", FLOAT, (n.neurons,), bounds)
    index = b.node("Cast", [flat], f"{n.name}.state_index", INT64, (n.neurons,), bounds, to=INT64)
    if n.tables == 1:
        return index
    first = b.parameter(f"{n.name}.first_row", INT64, (n.neurons,), (0, (n.tables - 1) * n.states))
    bounds = (0, n.tables * n.states - 1)
    return b.node("Add", [index, first], f"{n.name}.row", INT64, (n.neurons,), bounds)


def _successor(b: GraphBuilder, row: str, level: str, plan: LayerPlan) -> str:
    n = plan.neurons
    entries, shape = n.tables * n.states * n.levels, (1, n.neurons)
    width = b.constant(f"{n.name}.levels", np.array(n.levels, dtype=np.int64))
    start = b.node("Mul", [row, width], f"{n.name}.successor_row", INT64, (n.neurons,), (0, entries - n.levels))
    place = b.node("Cast", [level], f"{n.name}.level_index", INT64, shape, (0, n.levels - 1), to=INT64)
    index = b.node("Add", [place, start], f"{n.name}.successor_index", INT64, shape, (0, entries - 1))
    table = b.parameter(f"{n.name}.successor", FLOAT, (entries,), state_range(plan))
    return b.node("Gather", [table, index], f"{n.name}.state_next", FLOAT, shape, state_range(plan), axis=0)
