"""The form `finn`: QONNX's convention, integers in float32 tensors with exact datatypes, and MultiThreshold.

The thresholds of each neuron are gathered by its state, so the batch is 1: MultiThreshold has one row of thresholds a
channel, not one a sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from squat_deploy.backends.qonnx.builder import FLOAT, INT64, GraphBuilder, Range, Shape, datatype
from squat_deploy.backends.qonnx.integer import (
    SPIKES,
    added,
    carried_inputs,
    concatenated,
    conv_attributes,
    flat,
    mark_outputs,
    partial_range,
    planes,
    spec_range,
    state_range,
    walk,
    weight_range,
)
from squat_deploy.backends.qonnx.plan import ConvPlan, JoinPlan, NeuronPlan, Plan, SynapsePlan
from squat_deploy.errors import ExportError
from squat_deploy.network import INPUT, InputSpec
from squat_deploy.network.layers import Add, Pool2d

FLOAT_LIMIT = 2**24  # integers up to here are exact in float32


def finn_step(spec: InputSpec, plans: Sequence[Plan], trace: bool) -> GraphBuilder:
    """One time step of one sample; inputs and outputs as in the form `step`, all float32 with batch 1.

    Raises: ExportError where float32 cannot hold a layer's integers.
    """
    for plan in plans:
        check_float(plan)
    b = GraphBuilder("step")
    x = b.input("input", FLOAT, (1, *spec.shape), spec_range(spec))
    states, before = carried_inputs(b, plans, 1, FLOAT, FLOAT)
    mark_outputs(b, plans, walk(b, plans, FinnForm(), {INPUT: x}, states, before), trace)
    return b


def check_float(plan: Plan) -> None:
    """Raises: ExportError where some integer of the layer is above 2**24."""
    if isinstance(plan, SynapsePlan):
        largest = max(-plan.partial_low, plan.partial_high, *(abs(v) for v in plan.bias or (0,)))
    else:
        largest = plan.largest if isinstance(plan, JoinPlan) else 0
    if largest >= FLOAT_LIMIT:
        raise ExportError(
            f"{plan.layer}: the form finn holds integers in float32, exact below 2**24; its partial sums reach "
            f"{largest}; use the form step or sequence"
        )


class FinnForm:
    """Operators that qonnx and FINN know: MatMul, Conv, MaxPool, MultiThreshold."""

    def synapses(self, b: GraphBuilder, x: str, plan: SynapsePlan) -> str:
        """Synaptic sums (1, outputs)."""
        if plan.conv is not None:
            return _convolved(b, x, plan, plan.conv)
        shape, name, x = (1, plan.outputs), plan.name, flat(b, x)
        weight = b.parameter(f"{name}.weight", FLOAT, (plan.inputs, plan.outputs), weight_range(plan))
        if plan.bias is None:
            return b.node("MatMul", [x, weight], f"{name}.synaptic_sum", FLOAT, shape, plan.given)
        product = b.node("MatMul", [x, weight], f"{name}.product", FLOAT, shape, partial_range(plan))
        bias = b.parameter(f"{name}.bias", FLOAT, (plan.outputs,), plan.bias)
        return b.node("Add", [product, bias], f"{name}.synaptic_sum", FLOAT, shape, plan.given)

    def join(self, b: GraphBuilder, taken: Sequence[str], plan: JoinPlan) -> str:
        """Sums of windows are a depthwise Conv with weights of one."""
        layer = plan.join()
        if isinstance(layer, Pool2d):
            return _pooled(b, taken[0], plan, layer)
        values = [flat(b, x) for x in taken]
        return added(b, values, plan, layer) if isinstance(layer, Add) else concatenated(b, values, plan, layer)

    def neurons(self, b: GraphBuilder, total: str, state: str, plan: NeuronPlan) -> tuple[str, str, str]:
        """The finite-state machines: thresholds gathered by state, two MultiThresholds, next state looked up."""
        n, name, total = plan, plan.name, flat(b, total)
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
        return total, level if n.carries_level else _successor(b, row, level, n), spikes


def _convolved(b: GraphBuilder, x: str, plan: SynapsePlan, conv: ConvPlan) -> str:
    name, shape = plan.name, (1, *conv.output_shape)
    x = planes(b, x, conv.input_shape)
    weight = b.parameter(f"{name}.weight", FLOAT, conv.weight_shape, weight_range(plan))
    sizes = conv_attributes(conv)
    total = b.node("Conv", [x, weight], f"{name}.product", FLOAT, shape, partial_range(plan), **sizes)
    if plan.bias is not None:
        bias = b.parameter(f"{name}.bias", FLOAT, (conv.weight_shape[0], 1, 1), plan.bias)
        total = b.node("Add", [total, bias], f"{name}.synaptic_planes", FLOAT, shape, plan.given)
    return b.node("Flatten", [total], f"{name}.synaptic_sum", FLOAT, (1, plan.outputs), plan.given, axis=1)


def _pooled(b: GraphBuilder, x: str, plan: JoinPlan, pool: Pool2d) -> str:
    name, shape = plan.name, (1, *pool.output_shape)
    x = planes(b, x, pool.input_shape)
    sizes: dict[str, object] = {
        "kernel_shape": pool.kernel,
        "strides": pool.stride,
        "pads": (*pool.padding, *pool.padding),
    }
    if pool.kind == "max":
        total = b.node("MaxPool", [x], f"{name}.planes", FLOAT, shape, plan.given, **sizes)
    else:
        channels = pool.input_shape[0]
        ones = b.constant(f"{name}.ones", np.ones((channels, 1, *pool.kernel), dtype=np.float32))
        sizes |= {"dilations": (1, 1), "group": channels}
        total = b.node("Conv", [x, ones], f"{name}.planes", FLOAT, shape, plan.given, **sizes)
    return b.node("Flatten", [total], f"{name}.pooled", FLOAT, (1, pool.outputs), plan.given, axis=1)


def _multi_threshold(b: GraphBuilder, x: str, thresholds: str, name: str, shape: Shape, bounds: Range) -> str:
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


def _successor(b: GraphBuilder, row: str, level: str, n: NeuronPlan) -> str:
    entries, shape = n.tables * n.states * n.levels, (1, n.neurons)
    width = b.constant(f"{n.name}.levels", np.array(n.levels, dtype=np.int64))
    start = b.node("Mul", [row, width], f"{n.name}.successor_row", INT64, (n.neurons,), (0, entries - n.levels))
    place = b.node("Cast", [level], f"{n.name}.level_index", INT64, shape, (0, n.levels - 1), to=INT64)
    index = b.node("Add", [place, start], f"{n.name}.successor_index", INT64, shape, (0, entries - 1))
    table = b.parameter(f"{n.name}.successor", FLOAT, (entries,), state_range(n))
    return b.node("Gather", [table, index], f"{n.name}.state_next", FLOAT, shape, state_range(n), axis=0)
