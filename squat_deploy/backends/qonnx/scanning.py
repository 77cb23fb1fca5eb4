"""The form `sequence`: the step inside a Scan, from the initial states to scores and class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import helper, numpy_helper

from squat_deploy.backends.qonnx.builder import INT32, INT64, UINT8, GraphBuilder, Range, Shape, container
from squat_deploy.backends.qonnx.integer import (
    SPIKES,
    Batch,
    IntegerForm,
    StepTensors,
    carried_inputs,
    spec_range,
    state_range,
    sums_of,
    walk,
)
from squat_deploy.backends.qonnx.plan import (
    NeuronPlan,
    Plan,
    constant_layers,
    late_plans,
    neuron_plans,
)
from squat_deploy.network import INPUT, InputSpec
from squat_deploy.network.readout import OF_MEMBRANES, Readout

Declared = tuple[str, int, Shape, Range]


def sequence(
    spec: InputSpec, plans: Sequence[Plan], steps: int, batch: Batch, readout: Readout, trace: bool
) -> GraphBuilder:
    """All time steps.

    Inputs: `input`, (N, *shape) shown at every step, or (T, N, *shape) for sequence inputs.
    Outputs: `scores` (N, classes) and `class` (N,), the lowest on ties; with `trace` also `<neurons>.synaptic_sums`,
    `<neurons>.states` and `<neurons>.spike_train`, (T, N, neurons), of every neuron layer.

    With direct inputs, whatever depends on nothing else is made once, before the Scan, and carried through it.
    """
    b = GraphBuilder("sequence")
    direct = spec.encoding == "direct"
    lead = (batch,) if direct else (steps, batch)
    x = b.input("input", container(spec_range(spec)), (*lead, *spec.shape), spec_range(spec))
    constant = constant_layers(plans) if direct else [False] * len(plans)
    once = {index for index, still in enumerate(constant) if still}
    made = walk(b, plans, IntegerForm(), {INPUT: x}, {}, {}, run=once)
    held = {source: made.values[source] for source in _held(plans, constant)} if direct else {}
    neurons, classes = neuron_plans(plans), plans[-1].outputs
    carried = [
        start_value(b, x, f"{p.name}.state_initial", p.initial_state, p.neurons, batch, INT32, direct) for p in neurons
    ]
    carried += [
        start_value(b, x, f"{p.name}.spikes_initial", 0, p.neurons, batch, UINT8, direct) for p in late_plans(plans)
    ]
    carried.append(start_value(b, x, "scores_initial", 0, classes, batch, INT32, direct))
    scanned = b.constant("time", np.arange(steps, dtype=np.int32)) if direct else x
    run = set(range(len(plans))) - once
    body, finals, traces = _body(b, spec, plans, steps, batch, held, run, readout, trace)
    b.scan(body, [*carried, *held.values(), scanned], [*finals, *traces], 1)
    b.node("ArgMax", ["scores"], "class", INT64, (batch,), (0, classes - 1), axis=1, keepdims=0)
    for name in ("scores", "class", *(name for name, *_ in traces)):
        b.output(name)
    return b


def _held(plans: Sequence[Plan], constant: Sequence[bool]) -> list[int]:
    """Constant layers (or the input) that layers inside the Scan take."""
    taken = {
        source
        for index, plan in enumerate(plans)
        if not constant[index]
        for source in plan.takes
        if source == INPUT or (source < index and constant[source])
    }
    return sorted(taken)


def start_value(
    b: GraphBuilder, x: str, name: str, value: int, width: int, batch: Batch, element: int, direct: bool
) -> str:
    """(N, width) of one value; N is read off the input if it is symbolic."""
    dtype = helper.tensor_dtype_to_np_dtype(element)
    if isinstance(batch, int):
        return b.constant(name, np.full((batch, width), value, dtype=dtype))
    axis = 0 if direct else 1
    size = b.node("Shape", [x], f"{name}.batch", INT64, (1,), (0, 2**31 - 1), start=axis, end=axis + 1)
    other = b.constant(f"{name}.width", np.array([width], dtype=np.int64))
    shape = b.node("Concat", [size, other], f"{name}.shape", INT64, (2,), (0, 2**31 - 1), axis=0)
    fill = numpy_helper.from_array(np.array([value], dtype=dtype))
    return b.node("ConstantOfShape", [shape], name, element, (batch, width), (value, value), value=fill)


def _body(
    outer: GraphBuilder,
    spec: InputSpec,
    plans: Sequence[Plan],
    steps: int,
    batch: Batch,
    held: dict[int, str],
    run: set[int],
    readout: Readout,
    trace: bool,
) -> tuple[GraphBuilder, list[Declared], list[Declared]]:
    """The body of the Scan, and what the Scan gives: final values of all that is carried, then traces.

    Carried from step to step: states, spikes that are taken late, scores, and what is constant.
    """
    b = GraphBuilder("step")
    classes = plans[-1].outputs
    bounds = state_range(neuron_plans(plans)[-1]) if readout in OF_MEMBRANES else (0, steps)
    scoring: Declared = ("scores", INT32, (batch, classes), bounds)
    states, before = carried_inputs(b, plans, batch, INT32, UINT8)
    scores = b.input("scores_before", *scoring[1:])
    known = {
        source: b.input(f"{name}_held", outer.element(name), outer.shape(name), outer.bounds(name))
        for source, name in held.items()
    }
    if spec.encoding == "direct":
        b.input("time_step", INT32, (), (0, steps - 1))
    else:
        entering = container(spec_range(spec))
        known[INPUT] = b.input("input_step", entering, (batch, *spec.shape), spec_range(spec))
    found = walk(b, plans, IntegerForm(), known, states, before, run)
    _score(b, readout, scores, found.values[len(plans) - 1], found.states[len(plans) - 1], scoring)
    finals: list[Declared] = [
        (f"{p.name}.state_final", INT32, (batch, p.neurons), state_range(p)) for p in neuron_plans(plans)
    ]
    finals += [(f"{p.name}.spikes_final", UINT8, (batch, p.neurons), SPIKES) for p in late_plans(plans)]
    finals.append(scoring)
    for name in (*found.states.values(), *(found.values[source] for source in before), "scores_next"):
        b.output(name)
    for name in held.values():
        kept = (outer.element(name), outer.shape(name), outer.bounds(name))
        b.node("Identity", [f"{name}_held"], f"{name}_kept", *kept)
        b.output(f"{name}_kept")
        finals.append((f"{name}_final", *kept))
    return b, finals, _record(b, plans, found, steps, batch) if trace else []


def _score(b: GraphBuilder, readout: Readout, scores: str, spikes: str, states: str, scoring: Declared) -> None:
    """`scores_next`, as `readout.updated` defines it."""
    _, element, shape, bounds = scoring
    if readout == "last-membrane":
        b.node("Identity", [states], "scores_next", element, shape, bounds)
        return
    if readout == "highest-membrane":
        b.node("Max", [scores, states], "scores_next", element, shape, bounds)
        return
    gained = b.node("Cast", [spikes], "spikes_int", INT32, shape, SPIKES, to=INT32)
    if readout == "first":
        before = b.node(
            "Min", [scores, b.constant("one", np.array(1, dtype=np.int32))], "fired_before", INT32, shape, SPIKES
        )
        gained = b.node("Max", [gained, before], "fired", INT32, shape, SPIKES)
    b.node("Add", [scores, gained], "scores_next", element, shape, bounds)


def _record(b: GraphBuilder, plans: Sequence[Plan], found: StepTensors, steps: int, batch: Batch) -> list[Declared]:
    """Scan outputs with everything that each neuron layer did."""
    stacked: list[Declared] = []
    for index, plan in enumerate(plans):
        if not isinstance(plan, NeuronPlan):
            continue
        shape, total = (batch, plan.neurons), found.sums[index]
        rows = (
            (total, f"{plan.name}.synaptic_sums", b.element(total), sums_of(plan)),
            (found.states[index], f"{plan.name}.states", INT32, state_range(plan)),
            (found.values[index], f"{plan.name}.spike_train", UINT8, SPIKES),
        )
        for source, name, element, bounds in rows:
            b.node("Identity", [source], f"{name}_step", element, shape, bounds)
            b.output(f"{name}_step")
            stacked.append((name, element, (steps, *shape), bounds))
    return stacked
