"""The form `finn`: QONNX's convention, integers in float32 tensors with exact datatypes, and MultiThreshold.

The thresholds of each neuron are gathered by its state, so the batch is 1: MultiThreshold has one row of thresholds a
channel, not one a sample.
"""

from __future__ import annotations

import numpy as np

from squat_deploy.backends.qonnx.builder import FLOAT, INT64, Bounds, GraphBuilder, Tensor, datatype
from squat_deploy.backends.qonnx.document import Document
from squat_deploy.backends.qonnx.integer import whole_step
from squat_deploy.backends.qonnx.layer_plans import DelayPlan, JoinPlan, NeuronPlan, SynapsePlan
from squat_deploy.backends.qonnx.nodes import (
    SPIKES,
    Product,
    flat,
    gathered_thresholds,
    level_name,
    looked_up,
    planes,
    successor_row,
    summed,
    table_row,
    window_attributes,
)
from squat_deploy.errors import ExportError
from squat_deploy.network.layers import Pool2d

FLOAT_LIMIT = 2**24  # integers up to here are exact in float32


def finn_step(document: Document) -> GraphBuilder:
    """One time step of one sample; inputs and outputs as in the form `step`, all float32 with batch 1.

    Raises: ExportError where float32 cannot hold a layer's integers.
    """
    for plan in document.layers:
        if plan.largest_sum >= FLOAT_LIMIT:
            raise ExportError(
                f"{plan.layer}: the form finn holds integers in float32, exact below 2**24; its partial sums reach "
                f"{plan.largest_sum}; use the form step or sequence"
            )
    return whole_step(document, FinnForm(), FLOAT, FLOAT, FLOAT)


class FinnForm:
    """Operators that qonnx and FINN know: MatMul, Conv, MaxPool, MultiThreshold."""

    def synapses(self, b: GraphBuilder, x: Tensor, plan: SynapsePlan) -> Tensor:
        return summed(b, x, plan, Product("MatMul" if plan.conv is None else "Conv", FLOAT, FLOAT, FLOAT))

    def branch_type(self, plan: JoinPlan | DelayPlan) -> int:
        return FLOAT

    def pooled(self, b: GraphBuilder, x: Tensor, plan: JoinPlan, pool: Pool2d) -> Tensor:
        """Sums of windows are a depthwise Conv with weights of one."""
        name, x, channels = plan.name, planes(b, x, pool.input_shape), pool.input_shape[0]
        operator, taken, sizes = "MaxPool", [x], window_attributes(pool.window)
        if pool.kind == "sum":
            operator, sizes = "Conv", {**sizes, "dilations": (1, 1), "group": channels}
            taken.append(b.constant(f"{name}.ones", np.ones((channels, 1, *pool.kernel), dtype=np.float32)))
        shape = (1, *pool.output_shape)
        total = b.node(operator, taken, f"{name}.planes", shape=shape, bounds=plan.given, **sizes)
        return b.node("Flatten", [total], f"{name}.pooled", shape=(1, pool.outputs), axis=1)

    def neurons(self, b: GraphBuilder, total: Tensor, state: Tensor, plan: NeuronPlan) -> tuple[Tensor, Tensor, Tensor]:
        """The finite-state machines: thresholds gathered by state, two MultiThresholds, next state looked up."""
        n, total = plan, flat(b, total)
        row = table_row(b, _state_index(b, state, n), n)
        chosen = gathered_thresholds(b, row, n, FLOAT)
        level = _multi_threshold(b, total, chosen, level_name(n), (0, n.levels - 1))
        fire = b.parameter(f"{n.name}.fire_level", FLOAT, (n.fire_levels, 1), n.fire_range)
        spikes = _multi_threshold(b, level, fire, f"{n.name}.spikes", SPIKES)
        if n.carries_level:
            return total, level, spikes
        start = successor_row(b, row, n)
        return total, looked_up(b, [b.cast(level, f"{n.name}.level_index", INT64), start], n, FLOAT), spikes


def _multi_threshold(b: GraphBuilder, x: Tensor, thresholds: Tensor, name: str, bounds: Bounds) -> Tensor:
    return b.node("MultiThreshold", [x, thresholds], name, bounds=bounds, out_dtype=datatype(bounds))


def _state_index(b: GraphBuilder, state: Tensor, n: NeuronPlan) -> Tensor:
    """(neurons,) int64 as Gather wants it."""
    axis = b.constant(f"{n.name}.batch_axis", np.array([0], dtype=np.int64))
    flat = b.node("Squeeze", [state, axis], f"{n.name}.state_flat", shape=(n.neurons,))
    return b.cast(flat, f"{n.name}.state_index", INT64)
