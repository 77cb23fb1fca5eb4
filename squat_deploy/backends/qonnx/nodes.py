"""The nodes of one step in any form; a form is a class that says what differs."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, assert_never

import numpy as np

from squat_deploy.backends.qonnx.builder import Bounds, GraphBuilder, Shape, Tensor
from squat_deploy.backends.qonnx.layer_plans import ConvPlan, DelayPlan, JoinPlan, NeuronPlan, SynapsePlan
from squat_deploy.backends.qonnx.plan import Plan
from squat_deploy.network.layers import Add, Concat, Pool2d
from squat_deploy.network.window import Window

SPIKES: Bounds = (0, 1)


@dataclass(frozen=True)
class Carried:
    """What one step takes of the step before, by layer: states, spikes that come late, and what delays keep."""

    states: dict[int, Tensor] = field(default_factory=dict)
    late: dict[int, Tensor] = field(default_factory=dict)
    pasts: dict[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class StepTensors:
    """The tensors of one step, by layer.

    Attributes:
        values: what each layer gives, -1 for the input; (N, ...).
        sums, states: what each neuron layer takes, and its next state.
        pasts: what each delay keeps for the next step.
    """

    values: dict[int, Tensor]
    sums: dict[int, Tensor] = field(default_factory=dict)
    states: dict[int, Tensor] = field(default_factory=dict)
    pasts: dict[int, Tensor] = field(default_factory=dict)

    def of(self, index: int, role: str) -> Tensor:
        """The tensor of a layer in a role: "spikes", "state", "sum" or "past"."""
        return {"spikes": self.values, "state": self.states, "sum": self.sums, "past": self.pasts}[role][index]


class Form(Protocol):
    """What differs between the forms of one step."""

    def synapses(self, b: GraphBuilder, x: Tensor, plan: SynapsePlan) -> Tensor:
        """Synaptic sums (N, outputs)."""
        ...

    def pooled(self, b: GraphBuilder, x: Tensor, plan: JoinPlan, pool: Pool2d) -> Tensor:
        """Results of windows (N, outputs)."""
        ...

    def branch_type(self, plan: JoinPlan | DelayPlan) -> int:
        """Container of values that come together."""
        ...

    def neurons(self, b: GraphBuilder, total: Tensor, state: Tensor, plan: NeuronPlan) -> tuple[Tensor, Tensor, Tensor]:
        """(sums as they are compared, next states, spikes), (N, neurons) each."""
        ...


def write_layers(
    b: GraphBuilder,
    plans: Sequence[Plan],
    form: Form,
    known: Mapping[int, Tensor],
    carried: Carried,
    run: Collection[int] | None = None,
) -> StepTensors:
    """One step through the layers `run` (all by default); `known` tensors are there already."""
    found = StepTensors(dict(known))
    for index, plan in enumerate(plans):
        if run is not None and index not in run:
            continue
        taken = [carried.late[source] if source >= index else found.values[source] for source in plan.takes]
        match plan:
            case NeuronPlan():
                total, following, spikes = form.neurons(b, taken[0], carried.states[index], plan)
                found.sums[index], found.states[index], found.values[index] = total, following, spikes
            case SynapsePlan():
                found.values[index] = form.synapses(b, taken[0], plan)
            case JoinPlan():
                found.values[index] = _joined(b, taken, plan, form)
            case DelayPlan():
                x = b.cast(flat(b, taken[0]), f"{plan.name}.input", form.branch_type(plan))
                found.values[index], kept = _delayed(b, x, carried.pasts.get(index), plan)
                found.pasts.update({} if kept is None else {index: kept})
            case _:
                assert_never(plan)
    return found


def flat(b: GraphBuilder, x: Tensor) -> Tensor:
    """(N, ...) to (N, size)."""
    batch, *sizes = x.shape
    if len(sizes) == 1:
        return x
    name, size = f"{x.name}.flat", math.prod(int(size) for size in sizes)
    return b.tensors.get(name) or b.node("Flatten", [x], name, shape=(batch, size), axis=1)


def planes(b: GraphBuilder, x: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """(N, ...) to (N, C, H, W)."""
    wanted = (x.shape[0], *shape)
    if x.shape == wanted:
        return x
    name = f"{x.name}.planes"
    if name in b.tensors and b.tensors[name].shape != wanted:
        name += "x".join(map(str, shape))
    if name in b.tensors:
        return b.tensors[name]
    target = b.constant(f"{name}_shape", np.array([-1, *shape], dtype=np.int64))
    return b.node("Reshape", [x, target], name, shape=wanted)


@dataclass(frozen=True)
class Product:
    """A product of inputs and weights: its operator, and the containers of both and of the sums."""

    operator: str
    operand: int
    weight: int
    total: int


def summed(b: GraphBuilder, x: Tensor, plan: SynapsePlan, product: Product) -> Tensor:
    """Synaptic sums (N, outputs) of integers (N, inputs), or of planes (N, C, H, W)."""
    result, shape = f"{plan.name}.synaptic_sum", (x.shape[0], plan.outputs)
    if plan.conv is not None:
        total = _convolved(b, x, plan, plan.conv, product)
        total = _biased(b, total, plan, (plan.conv.weight_shape[0], 1, 1), f"{plan.name}.synaptic_planes")
        return b.node("Flatten", [total], result, shape=shape, bounds=plan.given, axis=1)
    x = b.cast(flat(b, x), f"{plan.name}.input", product.operand)
    weight = b.parameter(f"{plan.name}.weight", product.weight, (plan.inputs, plan.outputs), plan.weight_range)
    name, bounds = (result, plan.given) if plan.bias is None else (f"{plan.name}.product", plan.partial_range)
    total = b.node(product.operator, [x, weight], name, element=product.total, shape=shape, bounds=bounds)
    return _biased(b, total, plan, (plan.outputs,), result)


def _biased(b: GraphBuilder, total: Tensor, plan: SynapsePlan, shape: Shape, name: str) -> Tensor:
    """Sums and the bias, if there is one."""
    if plan.bias is None:
        return total
    bias = b.parameter(f"{plan.name}.bias", total.element, shape, plan.bias)
    return b.node("Add", [total, bias], name, bounds=plan.given)


def _convolved(b: GraphBuilder, x: Tensor, plan: SynapsePlan, conv: ConvPlan, product: Product) -> Tensor:
    """(N, O, H', W') without the bias."""
    name, bounds, shape = plan.name, plan.partial_range, (x.shape[0], *conv.output_shape)
    if product.operator != "MatMul":
        x = planes(b, b.cast(x, f"{name}.input", product.operand), conv.input_shape)
        weight = b.parameter(f"{name}.weight", product.weight, conv.weight_shape, plan.weight_range)
        sizes = {**window_attributes(conv.empty().window), "dilations": conv.dilation, "group": conv.groups}
        result, element = f"{name}.product", product.total
        return b.node(product.operator, [x, weight], result, element=element, shape=shape, bounds=bounds, **sizes)
    whole = padded(b, b.cast(flat(b, x), f"{name}.input", product.operand), name)
    places = b.constant(f"{name}.places", conv.places())
    seen = b.node("Gather", [whole, places], f"{name}.patches", shape=(x.shape[0], *places.shape), axis=1)
    weight = b.parameter(f"{name}.weight", product.weight, conv.matrix_shape, plan.weight_range)
    grouped = (x.shape[0], *conv.matrix_shape[:2], places.shape[2])
    total = b.node("MatMul", [weight, seen], f"{name}.sums_by_group", shape=grouped, bounds=bounds)
    target = b.constant(f"{name}.product_shape", np.array([-1, *conv.output_shape], dtype=np.int64))
    return b.node("Reshape", [total, target], f"{name}.product", shape=shape)


def window_attributes(window: Window) -> dict[str, Any]:
    """Attributes of all operators with a kernel that moves."""
    return {"kernel_shape": window.kernel, "strides": window.stride, "pads": (*window.padding, *window.padding)}


def padded(b: GraphBuilder, x: Tensor, name: str) -> Tensor:
    """A zero before the first value of (N, size), for whatever lies outside."""
    (batch, size), (low, high) = x.shape, x.bounds
    front = b.constant(f"{name}.padding", np.array([0, 1, 0, 0], dtype=np.int64))
    shape, wide = (batch, int(size) + 1), (min(low, 0), max(high, 0))
    return b.node("Pad", [x, front], f"{name}.padded", shape=shape, bounds=wide)


def _joined(b: GraphBuilder, taken: Sequence[Tensor], plan: JoinPlan, form: Form) -> Tensor:
    """What a layer without weights gives, (N, outputs)."""
    match plan.join():
        case Pool2d() as pool:
            return form.pooled(b, taken[0], plan, pool)
        case Add() as add:
            return _added(b, branches(b, taken, plan, form), plan, add)
        case Concat() as concat:
            values = branches(b, taken, plan, form)
            shape = (values[0].shape[0], concat.outputs)
            return b.node("Concat", values, f"{plan.name}.joined", shape=shape, bounds=plan.given, axis=1)
        case other:
            assert_never(other)


def _delayed(b: GraphBuilder, x: Tensor, past: Tensor | None, plan: DelayPlan) -> tuple[Tensor, Tensor | None]:
    """What comes out (N, size), and what is kept (N, past): values of the last steps, the newest first."""
    if past is None:
        return x, None
    name, batch = plan.name, x.shape[0]
    width = plan.size + plan.past
    wide = b.node("Concat", [x, past], f"{name}.history", shape=(batch, width), bounds=plan.given, axis=1)
    places = b.constant(f"{name}.places", plan.every_step() * plan.size + np.arange(plan.size))
    out = b.node("Gather", [wide, places], f"{name}.delayed", shape=(batch, plan.size), axis=1)
    kept = b.constant(f"{name}.kept", np.arange(plan.past))
    return out, b.node("Gather", [wide, kept], f"{name}.past_next", shape=(batch, plan.past), axis=1)


def branches(b: GraphBuilder, taken: Sequence[Tensor], plan: JoinPlan, form: Form) -> list[Tensor]:
    """(N, size) each, all in one container."""
    element = form.branch_type(plan)
    return [b.cast(flat(b, x), f"{plan.name}.input{i}", element) for i, x in enumerate(taken)]


def _added(b: GraphBuilder, values: Sequence[Tensor], plan: JoinPlan, layer: Add) -> Tensor:
    """Sum of branches, each times its factor."""
    terms = []
    for i, (x, factor) in enumerate(zip(values, layer.factors, strict=True)):
        if factor != 1:
            by = b.constant(f"{plan.name}.factor{i}", np.array(factor, dtype=x.dtype))
            bounds = (x.bounds[0] * factor, x.bounds[1] * factor)
            x = b.node("Mul", [x, by], f"{plan.name}.term{i}", bounds=bounds)
        terms.append(x)
    total = terms[0]
    for i, term in enumerate(terms[1:-1], start=1):
        bounds = (total.bounds[0] + term.bounds[0], total.bounds[1] + term.bounds[1])
        total = b.node("Add", [total, term], f"{plan.name}.partial{i}", bounds=bounds)
    return b.node("Add", [total, terms[-1]], f"{plan.name}.added", bounds=plan.given)


def level_name(n: NeuronPlan) -> str:
    """The tensor of the levels, which may be the next states."""
    return f"{n.name}.state_next" if n.carries_level else f"{n.name}.level"


def table_row(b: GraphBuilder, state: Tensor, n: NeuronPlan) -> Tensor:
    """Row of the threshold table: the state, after the rows of the machines before this neuron's own."""
    if n.tables == 1:
        return state
    first = b.parameter(f"{n.name}.first_row", state.element, (n.neurons,), (0, (n.tables - 1) * n.states))
    return b.node("Add", [state, first], f"{n.name}.row", bounds=(0, n.tables * n.states - 1))


def gathered_thresholds(b: GraphBuilder, row: Tensor, n: NeuronPlan, element: int) -> Tensor:
    """The thresholds of each neuron in its state, (..., neurons, levels - 1)."""
    last = n.levels - 1
    table = b.parameter(
        f"{n.name}.thresholds", element, (n.tables * n.states, last), (n.threshold_low, n.threshold_high)
    )
    return b.node("Gather", [table, row], f"{n.name}.thresholds_of_state", shape=(*row.shape, last), axis=0)


def successor_row(b: GraphBuilder, row: Tensor, n: NeuronPlan) -> Tensor:
    """Where the successors of each neuron in its state start."""
    width = b.constant(f"{n.name}.levels", np.array(n.levels, dtype=row.dtype))
    bounds = (0, (n.tables * n.states - 1) * n.levels)
    return b.node("Mul", [row, width], f"{n.name}.successor_row", bounds=bounds)


def looked_up(b: GraphBuilder, places: Sequence[Tensor], n: NeuronPlan, element: int) -> Tensor:
    """Next states by the sum of two places, the first of the shape of both."""
    entries = n.tables * n.states * n.levels
    index = b.node("Add", places, f"{n.name}.successor_index", bounds=(0, entries - 1))
    table = b.parameter(f"{n.name}.successor", element, (entries,), n.state_range)
    return b.node("Gather", [table, index], f"{n.name}.state_next", shape=index.shape, axis=0)
