"""The form `step`: standard ONNX integer operators only, so that any runtime gives the same bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from squat_deploy.backends.qonnx.builder import BOOL, INT8, INT32, INT64, UINT8, GraphBuilder, Tensor, container
from squat_deploy.backends.qonnx.document import Document
from squat_deploy.backends.qonnx.layer_plans import INT32_MAX, DelayPlan, JoinPlan, NeuronPlan, SynapsePlan
from squat_deploy.backends.qonnx.nodes import (
    SPIKES,
    Carried,
    Form,
    Product,
    branches,
    flat,
    gathered_thresholds,
    level_name,
    looked_up,
    padded,
    successor_row,
    summed,
    table_row,
    write_layers,
)
from squat_deploy.backends.qonnx.plan import Plan, delay_plans, late_plans, neuron_plans
from squat_deploy.network import INPUT, InputSpec
from squat_deploy.network.layers import Pool2d

Role = tuple[str, NeuronPlan | DelayPlan]


def roles(plans: Sequence[Plan], trace: bool) -> list[Role]:
    """What the outputs of one step are: last spikes, next states, spikes that are taken late, pasts, traces."""
    neurons = neuron_plans(plans)
    found: list[Role] = [("spikes", neurons[-1])]
    found += [("state", plan) for plan in neurons]
    found += [("spikes", plan) for plan in late_plans(plans) if plan is not neurons[-1]]
    found += [("past", delay) for delay in delay_plans(plans)]
    for plan in neurons if trace else ():
        found += [("sum", plan), *([("spikes", plan)] if ("spikes", plan) not in found else [])]
    return found


def step(document: Document) -> GraphBuilder:
    """One time step of a batch.

    Inputs: `input` (N, *shape), `<neurons>.state` (N, neurons) of every neuron layer, `<neurons>.spikes_before` of
    those whose spikes of the step before are taken, `<delay>.past` of what delays keep (zeros in the first step).
    Outputs: `<last neurons>.spikes`, `<neurons>.state_next` of every neuron layer, spikes that are taken late,
    `<delay>.past_next`; with `trace` also the synaptic sums and spikes of every neuron layer.
    """
    return whole_step(document, IntegerForm(), input_type(document.input), INT32, UINT8)


def whole_step(document: Document, form: Form, entering: int, state: int, spike: int) -> GraphBuilder:
    """One time step in a form, by the containers of what enters, of states and of spikes."""
    b, plans = GraphBuilder("step"), document.layers
    x = network_input(b, document.input, (document.samples,), "input", entering)
    carried = carried_inputs(b, document, state, spike, form)
    found = write_layers(b, plans, form, {INPUT: x}, carried)
    place = {plan.name: index for index, plan in enumerate(plans)}
    for role, plan in roles(plans, document.trace):
        tensor = found.of(place[plan.name], role)
        if tensor.name not in b.inner:  # an input of the graph, or an output already
            tensor = b.node("Identity", [tensor], f"{plan.name}.{role}_taken")
        b.output(tensor)
    return b


def input_type(spec: InputSpec) -> int:
    """Container of what enters."""
    return container((spec.low, spec.high))


def network_input(b: GraphBuilder, spec: InputSpec, lead: tuple[int | str, ...], name: str, element: int) -> Tensor:
    """What enters the network, as an input of a graph."""
    return b.input(Tensor(name, element, (*lead, *spec.shape), (spec.low, spec.high)))


def carried_inputs(b: GraphBuilder, document: Document, state: int, spike: int, form: Form) -> Carried:
    """States, late spikes and what delays keep as inputs."""
    plans = document.layers
    place = {plan.name: index for index, plan in enumerate(plans)}
    found = Carried()
    for plan in neuron_plans(plans):
        shape = (document.samples, plan.neurons)
        found.states[place[plan.name]] = b.input(Tensor(f"{plan.name}.state", state, shape, plan.state_range))
    for plan in late_plans(plans):
        shape = (document.samples, plan.neurons)
        found.late[place[plan.name]] = b.input(Tensor(f"{plan.name}.spikes_before", spike, shape, SPIKES))
    for delay in delay_plans(plans):
        past = Tensor(f"{delay.name}.past", form.branch_type(delay), (document.samples, delay.past), delay.given)
        found.pasts[place[delay.name]] = b.input(past)
    return found


class IntegerForm:
    """Sums in int32 (int64 where they need it), spikes in uint8, 8-bit products where every CPU has them exact."""

    def synapses(self, b: GraphBuilder, x: Tensor, plan: SynapsePlan) -> Tensor:
        """8-bit products, or a MatMul of wide integers, which ConvInteger does not take."""
        total = INT32 if plan.sum_bits == 32 else INT64
        if plan.operator == "MatMul":
            return summed(b, x, plan, Product("MatMul", total, total, total))
        return summed(b, x, plan, Product(plan.operator, container((plan.input_low, plan.input_high)), INT8, total))

    def branch_type(self, plan: JoinPlan | DelayPlan) -> int:
        return INT32 if plan.largest_sum < INT32_MAX else INT64

    def pooled(self, b: GraphBuilder, x: Tensor, plan: JoinPlan, pool: Pool2d) -> Tensor:
        """Windows are gathered and reduced."""
        (x,), name = branches(b, [x], plan, self), plan.name
        inside = np.arange(1, pool.input_sizes[0] + 1, dtype=np.int64)[None]
        places = pool.windows(inside, 0).reshape(pool.outputs, -1)  # 0 lies outside
        if pool.kind == "max":  # one of its own values in place of each that lies outside
            places = np.where(places == 0, pool.first_inputs()[:, None] + 1, places)
        if (places == 0).any():
            x = padded(b, x, name)
        else:
            places = places - 1
        rows = b.constant(f"{name}.places", places)
        seen = b.node("Gather", [x, rows], f"{name}.windows", shape=(x.shape[0], *places.shape), axis=1)
        axis = b.constant(f"{name}.window_axis", np.array([-1], dtype=np.int64))
        operator, shape = "ReduceSum" if pool.kind == "sum" else "ReduceMax", (x.shape[0], pool.outputs)
        return b.node(operator, [seen, axis], f"{name}.pooled", shape=shape, bounds=plan.given, keepdims=0)

    def neurons(self, b: GraphBuilder, total: Tensor, state: Tensor, plan: NeuronPlan) -> tuple[Tensor, Tensor, Tensor]:
        """The finite-state machines: thresholds gathered by state, reached ones counted, next state looked up."""
        total = flat(b, total)
        total = b.cast(total, f"{plan.name}.sums", INT64 if total.element == INT64 else INT32)
        n, name, shape, last = plan, plan.name, state.shape, plan.levels - 1
        row = table_row(b, state, n)
        chosen = gathered_thresholds(b, row, n, total.element)
        axis = b.constant(f"{name}.level_axis", np.array([-1], dtype=np.int64))
        column = b.node("Unsqueeze", [total, axis], f"{name}.synaptic_sum_column", shape=(*shape, 1))
        wide = (*shape, last)
        reached = b.node("GreaterOrEqual", [column, chosen], f"{name}.reached", element=BOOL, shape=wide, bounds=SPIKES)
        ones = b.cast(reached, f"{name}.reached_int", INT32)
        level = b.node("ReduceSum", [ones, axis], level_name(n), shape=shape, bounds=(0, last), keepdims=0)
        fire = b.parameter(f"{name}.fire_level", INT32, (n.fire_levels,), n.fire_range)
        fires = b.node("GreaterOrEqual", [level, fire], f"{name}.fires", element=BOOL, bounds=SPIKES)
        spikes = b.cast(fires, f"{name}.spikes", UINT8)
        if n.carries_level:
            return total, level, spikes
        return total, looked_up(b, [successor_row(b, row, n), level], n, INT32), spikes
