"""The form `step`: standard ONNX integer operators only, so that any runtime gives the same bits.

`walk` runs the layers of a step in any form; a form is a class with one method a kind of layer.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from squat_deploy.backends.qonnx.builder import BOOL, INT8, INT32, INT64, UINT8, GraphBuilder, Range, Shape, container
from squat_deploy.backends.qonnx.plan import (
    INT32_MAX,
    ConvPlan,
    JoinPlan,
    NeuronPlan,
    Plan,
    SynapsePlan,
    late_plans,
    neuron_plans,
)
from squat_deploy.network import INPUT, InputSpec
from squat_deploy.network.layers import Add, Concat, Pool2d

Batch = int | str
SPIKES: Range = (0, 1)
Role = tuple[str, NeuronPlan]


@dataclass(frozen=True)
class StepTensors:
    """Names of the tensors of one step, by layer.

    Attributes:
        values: what each layer gives, -1 for the input; (N, ...).
        sums, states: what each neuron layer takes, and its next state.
    """

    values: dict[int, str]
    sums: dict[int, str] = field(default_factory=dict)
    states: dict[int, str] = field(default_factory=dict)

    def of(self, index: int, role: str) -> str:
        """The tensor of a neuron layer in a role: "spikes", "state" or "sum"."""
        return {"spikes": self.values, "state": self.states, "sum": self.sums}[role][index]


class Form(Protocol):
    """How the layers of one step are written."""

    def synapses(self, b: GraphBuilder, x: str, plan: SynapsePlan) -> str:
        """Synaptic sums (N, outputs)."""
        ...

    def join(self, b: GraphBuilder, taken: Sequence[str], plan: JoinPlan) -> str:
        """What a layer without weights gives, (N, outputs)."""
        ...

    def neurons(self, b: GraphBuilder, total: str, state: str, plan: NeuronPlan) -> tuple[str, str, str]:
        """(sums as they are compared, next states, spikes), (N, neurons) each."""
        ...


def walk(
    b: GraphBuilder,
    plans: Sequence[Plan],
    form: Form,
    known: Mapping[int, str],
    states: Mapping[int, str],
    before: Mapping[int, str],
    run: Collection[int] | None = None,
) -> StepTensors:
    """One step through the layers `run` (all by default); `known` tensors are there already, `before`: late spikes."""
    found = StepTensors(dict(known))
    for index, plan in enumerate(plans):
        if run is not None and index not in run:
            continue
        taken = [before[source] if source >= index else found.values[source] for source in plan.takes]
        if isinstance(plan, NeuronPlan):
            total, following, spikes = form.neurons(b, taken[0], states[index], plan)
            found.sums[index], found.states[index], found.values[index] = total, following, spikes
        elif isinstance(plan, SynapsePlan):
            found.values[index] = form.synapses(b, taken[0], plan)
        else:
            found.values[index] = form.join(b, taken, plan)
    return found


def roles(plans: Sequence[Plan], trace: bool) -> list[Role]:
    """What the outputs of one step are, in order: last spikes, next states, spikes that are taken late, traces."""
    neurons = neuron_plans(plans)
    found: list[Role] = [("spikes", neurons[-1])]
    found += [("state", plan) for plan in neurons]
    found += [("spikes", plan) for plan in late_plans(plans) if plan is not neurons[-1]]
    for plan in neurons if trace else ():
        found += [("sum", plan), *([("spikes", plan)] if ("spikes", plan) not in found else [])]
    return found


def step(spec: InputSpec, plans: Sequence[Plan], batch: Batch, trace: bool) -> GraphBuilder:
    """One time step of a batch.

    Inputs: `input` (N, *shape), `<neurons>.state` (N, neurons) of every neuron layer, and `<neurons>.spikes_before` of
    those whose spikes of the step before are taken (zeros in the first).
    Outputs: `<last neurons>.spikes`, `<neurons>.state_next` of every neuron layer, spikes that are taken late; with
    `trace` also the synaptic sums and spikes of every neuron layer.
    """
    b = GraphBuilder("step")
    x = b.input("input", container(spec_range(spec)), (batch, *spec.shape), spec_range(spec))
    kinds = INT32, UINT8
    states, before = carried_inputs(b, plans, batch, *kinds)
    mark_outputs(b, plans, walk(b, plans, IntegerForm(), {INPUT: x}, states, before), trace)
    return b


def carried_inputs(
    b: GraphBuilder, plans: Sequence[Plan], batch: Batch, state: int, spike: int
) -> tuple[dict[int, str], dict[int, str]]:
    """(states, late spikes) as inputs, by layer."""
    place = {plan.name: index for index, plan in enumerate(plans)}
    states = {
        place[plan.name]: b.input(f"{plan.name}.state", state, (batch, plan.neurons), state_range(plan))
        for plan in neuron_plans(plans)
    }
    before = {
        place[plan.name]: b.input(f"{plan.name}.spikes_before", spike, (batch, plan.neurons), SPIKES)
        for plan in late_plans(plans)
    }
    return states, before


def mark_outputs(b: GraphBuilder, plans: Sequence[Plan], found: StepTensors, trace: bool) -> None:
    """Outputs of one step, in the order of `roles`."""
    place = {plan.name: index for index, plan in enumerate(plans)}
    for role, plan in roles(plans, trace):
        name = found.of(place[plan.name], role)
        if not b.is_made(name):  # an input of the graph, or an output already
            bounds = sums_of(plan) if role == "sum" else SPIKES
            name = b.node("Identity", [name], f"{plan.name}.{role}_taken", b.element(name), b.shape(name), bounds)
        b.output(name)


def spec_range(spec: InputSpec) -> Range:
    """Range of the input integers."""
    return spec.low, spec.high


def state_range(plan: NeuronPlan) -> Range:
    """Range of a state index."""
    return 0, plan.states - 1


def sums_of(plan: NeuronPlan) -> Range:
    """Range of the sums that neurons take."""
    return plan.sum_low, plan.sum_high


def partial_range(plan: SynapsePlan) -> Range:
    """Range of every partial sum."""
    return plan.partial_low, plan.partial_high


def input_range(plan: SynapsePlan) -> Range:
    """Range of the integers that enter."""
    return plan.input_low, plan.input_high


def weight_range(plan: SynapsePlan) -> Range:
    """Range of the weights."""
    return plan.weight_low, plan.weight_high


def sum_type(plan: SynapsePlan) -> int:
    """Container of a synaptic sum."""
    return INT32 if plan.sum_bits == 32 else INT64


def flat(b: GraphBuilder, x: str) -> str:
    """(N, ...) to (N, size)."""
    batch, *sizes = b.shape(x)
    if len(sizes) == 1:
        return x
    name = f"{x}.flat"
    if b.has(name):
        return name
    size = math.prod(int(size) for size in sizes)
    return b.node("Flatten", [x], name, b.element(x), (batch, size), b.bounds(x), axis=1)


def planes(b: GraphBuilder, x: str, shape: tuple[int, int, int]) -> str:
    """(N, ...) to (N, C, H, W)."""
    batch, *sizes = b.shape(x)
    if tuple(sizes) == shape:
        return x
    name = f"{x}.planes"
    if b.has(name) and tuple(b.shape(name))[1:] != shape:
        name += "x".join(map(str, shape))
    if b.has(name):
        return name
    target = b.constant(f"{name}_shape", np.array([-1, *shape], dtype=np.int64))
    return b.node("Reshape", [x, target], name, b.element(x), (batch, *shape), b.bounds(x))


def cast(b: GraphBuilder, x: str, name: str, element: int) -> str:
    """The same integers in another container."""
    if b.element(x) == element:
        return x
    return b.node("Cast", [x], name, element, b.shape(x), b.bounds(x), to=element)


class IntegerForm:
    """Sums in int32 (int64 where they need it), spikes in uint8, 8-bit products where every CPU has them exact."""

    def synapses(self, b: GraphBuilder, x: str, plan: SynapsePlan) -> str:
        """Synaptic sums (N, outputs) of integers (N, inputs), or of planes (N, C, H, W)."""
        if plan.conv is not None:
            return _convolved(b, x, plan, plan.conv)
        x = cast(b, flat(b, x), f"{plan.name}.input", _operand_type(plan))
        name, shape, element = plan.name, (b.shape(x)[0], plan.outputs), sum_type(plan)
        weight_type = element if plan.operator == "MatMul" else INT8
        weight = b.parameter(f"{name}.weight", weight_type, (plan.inputs, plan.outputs), weight_range(plan))
        if plan.bias is None:
            return b.node(plan.operator, [x, weight], f"{name}.synaptic_sum", element, shape, plan.given)
        product = b.node(plan.operator, [x, weight], f"{name}.product", element, shape, partial_range(plan))
        bias = b.parameter(f"{name}.bias", element, (plan.outputs,), plan.bias)
        return b.node("Add", [product, bias], f"{name}.synaptic_sum", element, shape, plan.given)

    def join(self, b: GraphBuilder, taken: Sequence[str], plan: JoinPlan) -> str:
        """Windows are gathered and reduced, branches multiplied by their factors and added."""
        layer, element = plan.join(), INT32 if plan.largest < INT32_MAX else INT64
        values = [cast(b, flat(b, x), f"{plan.name}.input{i}", element) for i, x in enumerate(taken)]
        if isinstance(layer, Pool2d):
            return _pooled(b, values[0], plan, layer)
        return added(b, values, plan, layer) if isinstance(layer, Add) else concatenated(b, values, plan, layer)

    def neurons(self, b: GraphBuilder, total: str, state: str, plan: NeuronPlan) -> tuple[str, str, str]:
        """The finite-state machines: thresholds gathered by state, reached ones counted, next state looked up."""
        total = flat(b, total)
        kind = INT64 if b.element(total) == INT64 else INT32
        total = cast(b, total, f"{plan.name}.sums", kind)
        n, name, shape, last = plan, plan.name, b.shape(state), plan.levels - 1
        bounds = (n.threshold_low, n.threshold_high)
        row = _table_row(b, state, n)
        thresholds = b.parameter(f"{name}.thresholds", kind, (n.tables * n.states, last), bounds)
        chosen = b.node(
            "Gather", [thresholds, row], f"{name}.thresholds_of_state", kind, (*shape, last), bounds, axis=0
        )
        axis = b.constant(f"{name}.level_axis", np.array([-1], dtype=np.int64))
        column = b.node("Unsqueeze", [total, axis], f"{name}.synaptic_sum_column", kind, (*shape, 1), sums_of(n))
        reached = b.node("GreaterOrEqual", [column, chosen], f"{name}.reached", BOOL, (*shape, last), SPIKES)
        ones = b.node("Cast", [reached], f"{name}.reached_int", INT32, (*shape, last), SPIKES, to=INT32)
        level = f"{name}.state_next" if n.carries_level else f"{name}.level"
        b.node("ReduceSum", [ones, axis], level, INT32, shape, (0, last), keepdims=0)
        fire = b.parameter(f"{name}.fire_level", INT32, (n.fire_levels,), (min(n.fire_level), max(n.fire_level)))
        fires = b.node("GreaterOrEqual", [level, fire], f"{name}.fires", BOOL, shape, SPIKES)
        spikes = b.node("Cast", [fires], f"{name}.spikes", UINT8, shape, SPIKES, to=UINT8)
        return total, level if n.carries_level else _successor(b, row, level, n), spikes


def _operand_type(plan: SynapsePlan) -> int:
    """Container of what a product takes."""
    return sum_type(plan) if plan.operator == "MatMul" else container(input_range(plan))


def _convolved(b: GraphBuilder, x: str, plan: SynapsePlan, conv: ConvPlan) -> str:
    name, element, shape = plan.name, sum_type(plan), (b.shape(x)[0], *conv.output_shape)
    if plan.operator == "ConvInteger":
        x = planes(b, cast(b, x, f"{name}.input", _operand_type(plan)), conv.input_shape)
        weight = b.parameter(f"{name}.weight", INT8, conv.weight_shape, weight_range(plan))
        sizes = conv_attributes(conv)
        total = b.node("ConvInteger", [x, weight], f"{name}.product", element, shape, partial_range(plan), **sizes)
    else:
        total = _gathered(b, x, plan, conv)
    if plan.bias is not None:
        bias = b.parameter(f"{name}.bias", element, (conv.weight_shape[0], 1, 1), plan.bias)
        total = b.node("Add", [total, bias], f"{name}.synaptic_planes", element, shape, plan.given)
    return b.node("Flatten", [total], f"{name}.synaptic_sum", element, (shape[0], plan.outputs), plan.given, axis=1)


def conv_attributes(conv: ConvPlan) -> dict[str, object]:
    """Attributes of ConvInteger and Conv."""
    return {
        "kernel_shape": conv.weight_shape[2:],
        "strides": conv.stride,
        "pads": (*conv.padding, *conv.padding),
        "dilations": conv.dilation,
        "group": conv.groups,
    }


def _padded(b: GraphBuilder, x: str, name: str) -> str:
    """A zero before the first value of (N, size), for whatever lies outside."""
    batch, size = b.shape(x)
    low, high = b.bounds(x)
    front = b.constant(f"{name}.padding", np.array([0, 1, 0, 0], dtype=np.int64))
    shape, wide = (batch, int(size) + 1), (min(low, 0), max(high, 0))
    return b.node("Pad", [x, front], f"{name}.padded", b.element(x), shape, wide)


def _gathered(b: GraphBuilder, x: str, plan: SynapsePlan, conv: ConvPlan) -> str:
    """A convolution as a matrix product of wide integers, which ConvInteger does not take."""
    name, element = plan.name, sum_type(plan)
    padded = _padded(b, cast(b, flat(b, x), f"{name}.input", element), name)
    batch = b.shape(padded)[0]
    places = b.constant(f"{name}.places", conv.places())
    wide = b.bounds(padded)
    seen = b.node("Gather", [padded, places], f"{name}.patches", element, (batch, *b.shape(places)), wide, axis=1)
    weight = b.parameter(f"{name}.weight", element, conv.matrix_shape, weight_range(plan))
    shape: Shape = (batch, *conv.matrix_shape[:2], conv.output_shape[1] * conv.output_shape[2])
    total = b.node("MatMul", [weight, seen], f"{name}.sums_by_group", element, shape, partial_range(plan))
    target = b.constant(f"{name}.product_shape", np.array([-1, *conv.output_shape], dtype=np.int64))
    return b.node(
        "Reshape", [total, target], f"{name}.product", element, (batch, *conv.output_shape), partial_range(plan)
    )


def _pooled(b: GraphBuilder, x: str, plan: JoinPlan, pool: Pool2d) -> str:
    name, batch = plan.name, b.shape(x)[0]
    inside = np.arange(1, pool.input_sizes[0] + 1, dtype=np.int64)[None]
    places = pool.windows(inside, 0).reshape(pool.outputs, -1)  # 0 lies outside
    if pool.kind == "max":  # one of its own values in place of each that lies outside
        places = np.where(places == 0, pool.first_inputs()[:, None] + 1, places)
    if (places == 0).any():
        x = _padded(b, x, name)
    else:
        places = places - 1
    element, bounds = b.element(x), b.bounds(x)
    rows = b.constant(f"{name}.places", places)
    seen = b.node("Gather", [x, rows], f"{name}.windows", element, (batch, *places.shape), bounds, axis=1)
    axis = b.constant(f"{name}.window_axis", np.array([-1], dtype=np.int64))
    operator = "ReduceSum" if pool.kind == "sum" else "ReduceMax"
    return b.node(operator, [seen, axis], f"{name}.pooled", element, (batch, pool.outputs), plan.given, keepdims=0)


def added(b: GraphBuilder, values: Sequence[str], plan: JoinPlan, layer: Add) -> str:
    """Sum of branches of one container, each times its factor."""
    terms = []
    for i, (x, factor) in enumerate(zip(values, layer.factors, strict=True)):
        if factor == 1:
            terms.append(x)
            continue
        by = b.constant(f"{plan.name}.factor{i}", np.array(factor, dtype=b.dtype(x)))
        low, high = b.bounds(x)
        scaled = (low * factor, high * factor)
        terms.append(b.node("Mul", [x, by], f"{plan.name}.term{i}", b.element(x), b.shape(x), scaled))
    total = terms[0]
    for i, term in enumerate(terms[1:], start=1):
        ends = [b.bounds(total), b.bounds(term)]
        bounds = plan.given if i == len(terms) - 1 else (sum(low for low, _ in ends), sum(high for _, high in ends))
        name = f"{plan.name}.{'added' if i == len(terms) - 1 else f'partial{i}'}"
        total = b.node("Add", [total, term], name, b.element(total), b.shape(total), bounds)
    return total


def concatenated(b: GraphBuilder, values: Sequence[str], plan: JoinPlan, layer: Concat) -> str:
    """Branches of one container one after another."""
    shape = (b.shape(values[0])[0], layer.outputs)
    return b.node("Concat", values, f"{plan.name}.joined", b.element(values[0]), shape, plan.given, axis=1)


def _table_row(b: GraphBuilder, state: str, n: NeuronPlan) -> str:
    """Row of the threshold table: the state, after the rows of the machines before this neuron's own."""
    if n.tables == 1:
        return state
    first = b.parameter(f"{n.name}.first_row", INT32, (n.neurons,), (0, (n.tables - 1) * n.states))
    return b.node("Add", [state, first], f"{n.name}.row", INT32, b.shape(state), (0, n.tables * n.states - 1))


def _successor(b: GraphBuilder, row: str, level: str, n: NeuronPlan) -> str:
    """Next state by (row, level)."""
    shape, entries = b.shape(level), n.tables * n.states * n.levels
    width = b.constant(f"{n.name}.levels", np.array(n.levels, dtype=np.int32))
    start = b.node("Mul", [row, width], f"{n.name}.successor_row", INT32, shape, (0, entries - n.levels))
    index = b.node("Add", [start, level], f"{n.name}.successor_index", INT32, shape, (0, entries - 1))
    table = b.parameter(f"{n.name}.successor", INT32, (entries,), state_range(n))
    return b.node("Gather", [table, index], f"{n.name}.state_next", INT32, shape, state_range(n), axis=0)
