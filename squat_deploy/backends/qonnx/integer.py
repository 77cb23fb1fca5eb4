"""The forms `step` and `sequence`: standard ONNX integer operators only, so that any runtime gives the same bits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from onnx import numpy_helper

from squat_deploy.backends.qonnx.builder import (
    BOOL,
    INT8,
    INT32,
    INT64,
    UINT8,
    GraphBuilder,
    Range,
    Shape,
    container,
)
from squat_deploy.backends.qonnx.plan import ConvPlan, LayerPlan, NeuronPlan, SynapsePlan
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
    x = b.input("input", container(spec_range(spec)), (batch, *spec.shape), spec_range(spec))
    states = [b.input(f"{p.neurons.name}.state", INT32, (batch, p.neurons.neurons), state_range(p)) for p in plans]
    mark_outputs(b, run_layers(b, x, plans, states, batch), trace)
    return b


def mark_outputs(b: GraphBuilder, layers: list[LayerTensors], trace: bool) -> None:
    """Outputs of one step, in the order in which executors read them."""
    b.output(layers[-1].spikes)
    for layer in layers:
        b.output(layer.state_next)
    for layer in layers if trace else ():
        b.output(layer.synaptic_sum)
        if layer is not layers[-1]:
            b.output(layer.spikes)


def spec_range(spec: InputSpec) -> Range:
    """Range of the input integers."""
    return spec.low, spec.high


def state_range(plan: LayerPlan) -> Range:
    """Range of a state index."""
    return 0, plan.neurons.states - 1


def sum_range(plan: SynapsePlan) -> Range:
    """Range of a synaptic sum."""
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


def flat(b: GraphBuilder, x: str, element: int, bounds: Range) -> str:
    """(N, ...) to (N, size)."""
    batch, *sizes = b.shape(x)
    if len(sizes) == 1:
        return x
    size = math.prod(int(size) for size in sizes)
    return b.node("Flatten", [x], f"{x}.flat", element, (batch, size), bounds, axis=1)


def planes(b: GraphBuilder, x: str, shape: tuple[int, int, int], element: int, bounds: Range) -> str:
    """(N, ...) to (N, C, H, W)."""
    batch, *sizes = b.shape(x)
    if tuple(sizes) == shape:
        return x
    target = b.constant(f"{x}.planes_shape", np.array([-1, *shape], dtype=np.int64))
    return b.node("Reshape", [x, target], f"{x}.planes", element, (batch, *shape), bounds)


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
    """Synaptic sums (N, outputs) of integers (N, inputs), or of planes (N, C, H, W)."""
    if plan.conv is not None:
        return _convolved(b, x, plan, plan.conv, batch)
    name, shape, element = plan.name, (batch, plan.outputs), sum_type(plan)
    x = flat(b, x, container(input_range(plan)), input_range(plan))
    weight_type = element if plan.operator == "MatMul" else INT8
    if plan.operator == "MatMul":
        x = _cast(b, x, plan, element)
    weight = b.parameter(f"{name}.weight", weight_type, (plan.inputs, plan.outputs), weight_range(plan))
    if plan.bias is None:
        return b.node(plan.operator, [x, weight], f"{name}.synaptic_sum", element, shape, sum_range(plan))
    product = b.node(plan.operator, [x, weight], f"{name}.product", element, shape, partial_range(plan))
    bias = b.parameter(f"{name}.bias", element, (plan.outputs,), plan.bias)
    return b.node("Add", [product, bias], f"{name}.synaptic_sum", element, shape, sum_range(plan))


def _cast(b: GraphBuilder, x: str, plan: SynapsePlan, element: int) -> str:
    bounds = input_range(plan)
    if container(bounds) == element:
        return x
    return b.node("Cast", [x], f"{plan.name}.input", element, b.shape(x), bounds, to=element)


def _convolved(b: GraphBuilder, x: str, plan: SynapsePlan, conv: ConvPlan, batch: Batch) -> str:
    name, element, shape = plan.name, sum_type(plan), (batch, *conv.output_shape)
    if plan.operator == "ConvInteger":
        x = planes(b, x, conv.input_shape, container(input_range(plan)), input_range(plan))
        weight = b.parameter(f"{name}.weight", INT8, conv.weight_shape, weight_range(plan))
        sizes = conv_attributes(conv)
        total = b.node("ConvInteger", [x, weight], f"{name}.product", element, shape, partial_range(plan), **sizes)
    else:
        total = _gathered(b, x, plan, conv, batch)
    if plan.bias is not None:
        bias = b.parameter(f"{name}.bias", element, (conv.weight_shape[0], 1, 1), plan.bias)
        total = b.node("Add", [total, bias], f"{name}.synaptic_planes", element, shape, sum_range(plan))
    return b.node("Flatten", [total], f"{name}.synaptic_sum", element, (batch, plan.outputs), sum_range(plan), axis=1)


def conv_attributes(conv: ConvPlan) -> dict[str, object]:
    """Attributes of ConvInteger and Conv."""
    return {
        "kernel_shape": conv.weight_shape[2:],
        "strides": conv.stride,
        "pads": (*conv.padding, *conv.padding),
        "dilations": conv.dilation,
        "group": conv.groups,
    }


def _gathered(b: GraphBuilder, x: str, plan: SynapsePlan, conv: ConvPlan, batch: Batch) -> str:
    """A convolution as a matrix product of wide integers, which ConvInteger does not take."""
    name, element, bounds = plan.name, sum_type(plan), input_range(plan)
    wide = (min(bounds[0], 0), max(bounds[1], 0))
    x = _cast(b, flat(b, x, container(bounds), bounds), plan, element)
    front = b.constant(f"{name}.padding", np.array([0, 1, 0, 0], dtype=np.int64))
    padded = b.node("Pad", [x, front], f"{name}.padded", element, (batch, plan.inputs + 1), wide)
    places = b.constant(f"{name}.places", conv.places())
    seen = b.node("Gather", [padded, places], f"{name}.patches", element, (batch, *b.shape(places)), wide, axis=1)
    weight = b.parameter(f"{name}.weight", element, conv.matrix_shape, weight_range(plan))
    shape: Shape = (batch, *conv.matrix_shape[:2], conv.output_shape[1] * conv.output_shape[2])
    total = b.node("MatMul", [weight, seen], f"{name}.sums_by_group", element, shape, partial_range(plan))
    target = b.constant(f"{name}.product_shape", np.array([-1, *conv.output_shape], dtype=np.int64))
    return b.node(
        "Reshape", [total, target], f"{name}.product", element, (batch, *conv.output_shape), partial_range(plan)
    )


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
        carried.append(synapses(b, x, plans[0].synapses, batch))
        scanned = b.constant("time", np.arange(steps, dtype=np.int32))
    else:
        scanned = x
    body, finals, traces = scan_body(spec, plans, steps, batch, trace)
    b.scan(body, [*carried, scanned], [*finals, *traces], 1)
    b.node("ArgMax", ["counts"], "class", INT64, (batch,), (0, classes - 1), axis=1, keepdims=0)
    for name in ("counts", "class", *(name for name, *_ in traces)):
        b.output(name)
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
    layers = run_layers(b, x, plans, states, batch, held)
    fired = b.node("Cast", [layers[-1].spikes], "spikes_int", INT32, (batch, classes), SPIKES, to=INT32)
    b.node("Add", [before, fired], "counts_next", *counting[1:])
    for name in (*(layer.state_next for layer in layers), "counts_next"):
        b.output(name)
    if held is not None:
        first = plans[0].synapses
        shape = (batch, first.outputs)
        b.node("Identity", [held], f"{first.name}.synaptic_sum_kept", sum_type(first), shape, sum_range(first))
        b.output(f"{first.name}.synaptic_sum_kept")
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
            b.output(f"{name}_step")
            stacked.append((name, element, (steps, *shape), bounds))
    return stacked
