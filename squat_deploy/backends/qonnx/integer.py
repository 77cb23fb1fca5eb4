"""The forms `step` and `sequence`: standard ONNX integer operators only, so that any runtime gives the same bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import numpy_helper

from squat_deploy.backends.qonnx.builder import (
    BOOL,
    INT32,
    INT64,
    UINT8,
    GraphBuilder,
    Range,
    Shape,
    container,
)
from squat_deploy.backends.qonnx.plan import LayerPlan, NeuronPlan, SynapsePlan
from squat_deploy.network import InputSpec

Batch = int | str
SPIKES: Range = (0, 1)


@dataclass(frozen=True)
class LayerTensors:
    """Names of what one layer gives in one step."""

    synaptic_sum: str
    state_next: str
    spikes: str


def step(spec: InputSpec, plans: tuple[LayerPlan, ...], batch: Batch, trace: bool) -> GraphBuilder:
    """One time step of a batch.

    Inputs: `input` (N, *shape), and `<neurons>.state` (N, neurons) of every layer.
    Outputs: `<last neurons>.spikes`, and `<neurons>.state_next` of every layer; with `trace` also the synaptic sums
    and spikes of every layer.
    """
    b = GraphBuilder("step")
    x = flat_input(b, b.input("input", container(spec_range(spec)), (batch, *spec.shape), spec_range(spec)), spec)
    states = [b.input(f"{p.neurons.name}.state", INT32, (batch, p.neurons.neurons), state_range(p)) for p in plans]
    layers = run_layers(b, x, plans, states, batch)
    b.output(layers[-1].spikes, UINT8, b.shape(layers[-1].spikes))
    for plan, layer in zip(plans, layers, strict=True):
        b.output(layer.state_next, INT32, (batch, plan.neurons.neurons))
    for plan, layer in zip(plans, layers, strict=True) if trace else ():
        b.output(layer.synaptic_sum, sum_type(plan.synapses), (batch, plan.neurons.neurons))
        if layer is not layers[-1]:
            b.output(layer.spikes, UINT8, (batch, plan.neurons.neurons))
    return b


def spec_range(spec: InputSpec) -> Range:
    """Range of the input integers."""
    return spec.low, spec.high


def state_range(plan: LayerPlan) -> Range:
    """Range of a state index."""
    return 0, plan.neurons.states - 1


def sum_range(plan: SynapsePlan) -> Range:
    """Range of a synaptic sum."""
    return plan.sum_low, plan.sum_high


def sum_type(plan: SynapsePlan) -> int:
    """Container of a synaptic sum."""
    return INT32 if plan.sum_bits == 32 else INT64


def flat_input(b: GraphBuilder, name: str, spec: InputSpec) -> str:
    """(N, *shape) to (N, size)."""
    if len(spec.shape) == 1:
        return name
    shape = (b.shape(name)[0], spec.size)
    return b.node("Flatten", [name], f"{name}.flat", container(spec_range(spec)), shape, spec_range(spec), axis=1)


def run_layers(
    b: GraphBuilder, x: str, plans: tuple[LayerPlan, ...], states: list[str], batch: Batch, first_sum: str | None = None
) -> list[LayerTensors]:
    """One step through all layers; `first_sum` if the synaptic sums of the first one are known already."""
    layers = []
    for plan, state in zip(plans, states, strict=True):
        total = synapses(b, x, plan.synapses, batch) if first_sum is None else first_sum
        first_sum = None
        layers.append(neurons(b, total, state, plan, batch))
        x = layers[-1].spikes
    return layers


def synapses(b: GraphBuilder, x: str, plan: SynapsePlan, batch: Batch) -> str:
    """Synaptic sums (N, outputs) of integers (N, inputs)."""
    kind, shape, name = sum_type(plan), (batch, plan.outputs), plan.name
    inputs, weights = (plan.input_low, plan.input_high), (plan.weight_low, plan.weight_high)
    if plan.operator == "MatMulInteger":
        weight_type = container((min(plan.weight_low, -1), plan.weight_high))
    else:
        weight_type = kind
        if container(inputs) != kind:
            x = b.node("Cast", [x], f"{name}.input", kind, (batch, plan.inputs), inputs, to=kind)
    weight = b.parameter(f"{name}.weight", weight_type, (plan.inputs, plan.outputs), weights)
    if plan.bias is None:
        return b.node(plan.operator, [x, weight], f"{name}.synaptic_sum", kind, shape, sum_range(plan))
    partial = (plan.partial_low, plan.partial_high)
    product = b.node(plan.operator, [x, weight], f"{name}.product", kind, shape, partial)
    bias = b.parameter(f"{name}.bias", kind, (plan.outputs,), plan.bias)
    return b.node("Add", [product, bias], f"{name}.synaptic_sum", kind, shape, sum_range(plan))


def neurons(b: GraphBuilder, total: str, state: str, plan: LayerPlan, batch: Batch) -> LayerTensors:
    """The finite-state machines: thresholds gathered by state, reached ones counted, next state looked up."""
    n, name, kind = plan.neurons, plan.neurons.name, sum_type(plan.synapses)
    shape, last = (batch, n.neurons), n.levels - 1
    bounds = (n.threshold_low, n.threshold_high)
    row = table_row(b, state, n, batch)
    thresholds = b.parameter(f"{name}.thresholds", kind, (n.tables * n.states, last), bounds)
    chosen = b.node("Gather", [thresholds, row], f"{name}.thresholds_of_state", kind, (*shape, last), bounds, axis=0)
    axis = b.constant(f"{name}.level_axis", np.array([-1], dtype=np.int64))
    column = b.node(
        "Unsqueeze", [total, axis], f"{name}.synaptic_sum_column", kind, (*shape, 1), sum_range(plan.synapses)
    )
    reached = b.node("GreaterOrEqual", [column, chosen], f"{name}.reached", BOOL, (*shape, last), SPIKES)
    ones = b.node("Cast", [reached], f"{name}.reached_int", INT32, (*shape, last), SPIKES, to=INT32)
    level = f"{name}.state_next" if n.carries_level else f"{name}.level"
    b.node("ReduceSum", [ones, axis], level, INT32, shape, (0, last), keepdims=0)
    fire = b.parameter(f"{name}.fire_level", INT32, (n.fire_levels,), (min(n.fire_level), max(n.fire_level)))
    fires = b.node("GreaterOrEqual", [level, fire], f"{name}.fires", BOOL, shape, SPIKES)
    spikes = b.node("Cast", [fires], f"{name}.spikes", UINT8, shape, SPIKES, to=UINT8)
    following = level if n.carries_level else successor(b, row, level, plan, batch)
    return LayerTensors(total, following, spikes)


def table_row(b: GraphBuilder, state: str, n: NeuronPlan, batch: Batch) -> str:
    """Row of the threshold table: the state, after the rows of the machines before this neuron's own."""
    if n.tables == 1:
        return state
    first = b.parameter(f"{n.name}.first_row", INT32, (n.neurons,), (0, (n.tables - 1) * n.states))
    bounds = (0, n.tables * n.states - 1)
    return b.node("Add", [state, first], f"{n.name}.row", INT32, (batch, n.neurons), bounds)


def successor(b: GraphBuilder, row: str, level: str, plan: LayerPlan, batch: Batch) -> str:
    """Next state by (row, level)."""
    n, shape = plan.neurons, (batch, plan.neurons.neurons)
    entries = n.tables * n.states * n.levels
    width = b.constant(f"{n.name}.levels", np.array(n.levels, dtype=np.int32))
    start = b.node("Mul", [row, width], f"{n.name}.successor_row", INT32, shape, (0, entries - n.levels))
    index = b.node("Add", [start, level], f"{n.name}.successor_index", INT32, shape, (0, entries - 1))
    table = b.parameter(f"{n.name}.successor", INT32, (entries,), state_range(plan))
    return b.node("Gather", [table, index], f"{n.name}.state_next", INT32, shape, state_range(plan), axis=0)


def sequence(spec: InputSpec, plans: tuple[LayerPlan, ...], steps: int, batch: Batch, trace: bool) -> GraphBuilder:
    """All time steps: the step inside a Scan, from the initial states to spike counts and class.

    Inputs: `input`, (N, *shape) shown at every step, or (T, N, *shape) for sequence inputs.
    Outputs: `counts` (N, classes) and `class` (N,), the lowest on ties; with `trace` also `<synapses>.synaptic_sums`,
    `<neurons>.states` and `<neurons>.spike_train`, (T, N, neurons), of every layer.

    With direct inputs the first synaptic sums are the same at every step: they are made once, before the Scan.
    """
    b = GraphBuilder("sequence")
    direct = spec.encoding == "direct"
    lead = (batch,) if direct else (steps, batch)
    x = b.input("input", container(spec_range(spec)), (*lead, *spec.shape), spec_range(spec))
    carried = [
        start_value(b, x, f"{p.neurons.name}.state_initial", p.neurons.initial_state, p.neurons.neurons, batch, direct)
        for p in plans
    ]
    classes = plans[-1].neurons.neurons
    carried.append(start_value(b, x, "counts_initial", 0, classes, batch, direct))
    if direct:
        carried.append(synapses(b, flat_input(b, x, spec), plans[0].synapses, batch))
        scanned = b.constant("time", np.arange(steps, dtype=np.int32))
    else:
        scanned = x
    body, finals, traces = scan_body(spec, plans, steps, batch, trace)
    b.scan(body, [*carried, scanned], [*finals, *traces], 1)
    b.node("ArgMax", ["counts"], "class", INT64, (batch,), (0, classes - 1), axis=1, keepdims=0)
    b.output("counts", INT32, (batch, classes))
    b.output("class", INT64, (batch,))
    for name, element, shape, _ in traces:
        b.output(name, element, shape)
    return b


def start_value(b: GraphBuilder, x: str, name: str, value: int, width: int, batch: Batch, direct: bool) -> str:
    """(N, width) of one value; N is read off the input if it is symbolic."""
    if isinstance(batch, int):
        return b.constant(name, np.full((batch, width), value, dtype=np.int32))
    axis = 0 if direct else 1
    size = b.node("Shape", [x], f"{name}.batch", INT64, (1,), (0, 2**31 - 1), start=axis, end=axis + 1)
    other = b.constant(f"{name}.width", np.array([width], dtype=np.int64))
    shape = b.node("Concat", [size, other], f"{name}.shape", INT64, (2,), (0, 2**31 - 1), axis=0)
    fill = numpy_helper.from_array(np.array([value], dtype=np.int32))
    return b.node("ConstantOfShape", [shape], name, INT32, (batch, width), (value, value), value=fill)


Declared = tuple[str, int, Shape, Range]


def scan_body(
    spec: InputSpec, plans: tuple[LayerPlan, ...], steps: int, batch: Batch, trace: bool
) -> tuple[GraphBuilder, list[Declared], list[Declared]]:
    """The body of the Scan, and what the Scan gives: final states and counts, then traces.

    Carried from step to step: states, counts and, with direct inputs, the first synaptic sums.
    """
    b = GraphBuilder("step")
    direct, classes = spec.encoding == "direct", plans[-1].neurons.neurons
    counting: Declared = ("counts", INT32, (batch, classes), (0, steps))
    finals: list[Declared] = [
        (f"{p.neurons.name}.state_final", INT32, (batch, p.neurons.neurons), state_range(p)) for p in plans
    ]
    states = [b.input(f"{p.neurons.name}.state", INT32, (batch, p.neurons.neurons), state_range(p)) for p in plans]
    before = b.input("counts_before", *counting[1:])
    held, x = None, ""
    if direct:
        first = plans[0].synapses
        held = b.input(f"{first.name}.synaptic_sum_held", sum_type(first), (batch, first.outputs), sum_range(first))
        b.input("time_step", INT32, (), (0, steps - 1))
    else:
        x = b.input("input_step", container(spec_range(spec)), (batch, *spec.shape), spec_range(spec))
        x = flat_input(b, x, spec)
    layers = run_layers(b, x, plans, states, batch, held)
    fired = b.node("Cast", [layers[-1].spikes], "spikes_int", INT32, (batch, classes), SPIKES, to=INT32)
    b.node("Add", [before, fired], "counts_next", *counting[1:])
    for plan, layer in zip(plans, layers, strict=True):
        b.output(layer.state_next, INT32, (batch, plan.neurons.neurons))
    b.output("counts_next", INT32, (batch, classes))
    if held is not None:
        first = plans[0].synapses
        shape = (batch, first.outputs)
        b.node("Identity", [held], f"{first.name}.synaptic_sum_kept", sum_type(first), shape, sum_range(first))
        b.output(f"{first.name}.synaptic_sum_kept", sum_type(first), shape)
        kept: Declared = (f"{first.name}.synaptic_sum_final", sum_type(first), shape, sum_range(first))
    carried = [*finals, counting, *([kept] if held is not None else [])]
    return b, carried, record(b, plans, layers, steps, batch) if trace else []


def record(
    b: GraphBuilder, plans: tuple[LayerPlan, ...], layers: list[LayerTensors], steps: int, batch: Batch
) -> list[Declared]:
    """Scan outputs with everything that each layer did."""
    stacked: list[Declared] = []
    for plan, layer in zip(plans, layers, strict=True):
        shape, s, n = (batch, plan.neurons.neurons), plan.synapses, plan.neurons
        rows = (
            (layer.synaptic_sum, f"{s.name}.synaptic_sums", sum_type(s), sum_range(s)),
            (layer.state_next, f"{n.name}.states", INT32, state_range(plan)),
            (layer.spikes, f"{n.name}.spike_train", UINT8, SPIKES),
        )
        for source, name, element, bounds in rows:
            b.node("Identity", [source], f"{name}_step", element, shape, bounds)
            b.output(f"{name}_step", element, shape)
            stacked.append((name, element, (steps, *shape), bounds))
    return stacked
