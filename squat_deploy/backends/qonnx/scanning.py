"""The form `sequence`: the step inside a Scan, from the initial states to scores and class."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
from onnx import helper, numpy_helper

from squat_deploy.backends.qonnx.builder import INT32, INT64, GraphBuilder, Tensor
from squat_deploy.backends.qonnx.document import Document
from squat_deploy.backends.qonnx.layers import AnyNeuronPlan, Plan
from squat_deploy.backends.qonnx.layers.base import INTEGERS, SPIKES, Role
from squat_deploy.backends.qonnx.stepping import Tensors, carried, carried_inputs, network_input, write_layers
from squat_deploy.network import INPUT
from squat_deploy.network.network import still_layers
from squat_deploy.network.readout import OF_MEMBRANES, Readout

_SIZE = (0, 2**31 - 1)


def sequence(document: Document) -> GraphBuilder:
    """All time steps.

    Inputs: `input`, (N, *shape) shown at every step, or (T, N, *shape) for sequence inputs.
    Outputs: `scores` (N, classes) and `class` (N,), the lowest on ties; with a readout of membranes also `values`
    (N, classes), their integers, whose step is in the metadata (`Network.values`); with `trace` also
    `<neurons>.synaptic_sums`, `<neurons>.states` and `<neurons>.spike_train`, (T, N, neurons), of every neuron layer.

    With direct inputs, whatever depends on nothing else is made once, before the Scan, and carried through it.
    """
    b, plans, steps = GraphBuilder("sequence"), document.layers, document.steps
    direct = document.input.encoding == "direct"
    lead = (document.samples,) if direct else (steps, document.samples)
    x = network_input(b, document.input, lead, "input", INTEGERS)
    once = _once(plans) if direct else set()
    made = write_layers(b, plans, INTEGERS, {INPUT: x}, {}, once)
    held = {source: made[source, "value"] for source in _held(plans, once)} if direct else {}
    carries = carried(plans, INTEGERS).values()
    starts = [(f"{carry.prefix}.{carry.role}", carry.start, carry.width, carry.element) for carry in carries]
    starts.append(("scores", 0, plans[-1].outputs, _element(document)))
    initial = [_start_value(b, x, len(lead) - 1, f"{name}_initial", *start) for name, *start in starts]
    scanned = b.constant("time", np.arange(steps, dtype=np.int32)) if direct else x
    body, finals, traces = _body(document, held, set(range(len(plans))) - once)
    b.scan(body, [*initial, *held.values(), scanned], [*finals, *traces])
    scores = b.tensors["scores"]
    shape, bounds = scores.shape[:1], (0, plans[-1].outputs - 1)
    best = b.node("ArgMax", [scores], "class", element=INT64, shape=shape, bounds=bounds, axis=1, keepdims=0)
    for tensor in (scores, best, *_values(b, document, scores), *traces):
        b.output(tensor)
    return b


def _values(b: GraphBuilder, document: Document, scores: Tensor) -> list[Tensor]:
    """What the scores are worth, as `Values.integers` defines it."""
    values = document.values
    if values is None:
        return []
    if not values.table:
        offset = b.constant("values_offset", np.array(values.offset, dtype=np.int64))
        bounds = scores.bounds[0] + values.offset, scores.bounds[1] + values.offset
        return [b.node("Add", [scores, offset], "values", bounds=bounds)]
    table = b.constant("values_of_scores", np.array(values.table, dtype=np.int64))
    return [b.node("Gather", [table, scores], "values", shape=scores.shape, axis=0)]


def _element(document: Document) -> int:
    """The type of scores: sums of membranes are wide."""
    return INT64 if document.readout == "mean-membrane" else INT32


def _once(plans: Sequence[Plan]) -> set[int]:
    """Layers that see nothing but what enters."""
    still = still_layers((plan.takes for plan in plans), (plan.remembers for plan in plans))
    return {index for index, constant in enumerate(still) if constant}


def _held(plans: Sequence[Plan], once: Collection[int]) -> list[int]:
    """What is made once (or the input) that layers inside the Scan take."""
    taken = {source for index, plan in enumerate(plans) if index not in once for source in plan.takes}
    return sorted(taken & {INPUT, *once})


def _start_value(b: GraphBuilder, x: Tensor, axis: int, name: str, value: int, width: int, element: int) -> Tensor:
    """(N, width) of one value; N, an axis of the input `x`, is read off it if it is symbolic."""
    batch, dtype = x.shape[axis], helper.tensor_dtype_to_np_dtype(element)
    if isinstance(batch, int):
        return b.constant(name, np.full((batch, width), value, dtype=dtype))
    end = axis + 1
    size = b.node("Shape", [x], f"{name}.batch", element=INT64, shape=(1,), bounds=_SIZE, start=axis, end=end)
    other = b.constant(f"{name}.width", np.array([width], dtype=np.int64))
    shape = b.node("Concat", [size, other], f"{name}.shape", shape=(2,), axis=0)
    fill = numpy_helper.from_array(np.array([value], dtype=dtype))
    sizes, bounds = (batch, width), (value, value)
    return b.node("ConstantOfShape", [shape], name, element=element, shape=sizes, bounds=bounds, value=fill)


def _body(
    document: Document, held: Mapping[int, Tensor], run: Collection[int]
) -> tuple[GraphBuilder, list[Tensor], list[Tensor]]:
    """The body of the Scan, and what the Scan gives: final values of all that is carried, then traces.

    Carried from step to step: states, spikes that are taken late, scores, and what is constant.

    Args:
        held: what is made before the Scan, by layer.
        run: the layers inside it.
    """
    b, plans, batch, last = GraphBuilder("step"), document.layers, document.samples, len(document.layers) - 1
    carries = carried(plans, INTEGERS)
    output = plans[last]
    assert isinstance(output, AnyNeuronPlan)
    bounds = output.membrane_range if document.readout in OF_MEMBRANES else (0, document.steps)
    worth = () if document.values is None else document.values.worth
    bounds = (0, max(worth) * document.steps) if worth else bounds
    scores = Tensor("scores", _element(document), (batch, plans[-1].outputs), bounds)
    taken = carried_inputs(b, document, INTEGERS)
    before = b.input(scores.named("scores_before"))
    known = {source: b.input(tensor.named(f"{tensor.name}_held")) for source, tensor in held.items()}
    if document.input.encoding == "direct":
        b.input(Tensor("time_step", INT32, (), (0, document.steps - 1)))
    else:
        known[INPUT] = network_input(b, document.input, (batch,), "input_step", INTEGERS)
    found = write_layers(b, plans, INTEGERS, known, taken, run)
    updated = _score(b, document.readout, before, found[last, "spikes"], found[last, "membrane"], worth)
    for tensor in (*(found[place] for place in carries), updated):
        b.output(tensor)
    for source, tensor in held.items():
        b.output(b.node("Identity", [known[source]], f"{tensor.name}_kept"))
    finals = [
        *(carry.tensor(batch, f"{carry.prefix}.{carry.role}_final") for carry in carries.values()),
        scores,
        *(tensor.named(f"{tensor.name}_final") for tensor in held.values()),
    ]
    return b, finals, _record(b, document, found) if document.trace else []


def _score(
    b: GraphBuilder, readout: Readout, scores: Tensor, spikes: Tensor, states: Tensor, worth: Sequence[int]
) -> Tensor:
    """`scores_next`, as `readout.updated` defines it."""
    if readout == "mean-membrane":
        table = b.constant("worth", np.array(worth, dtype=np.int64))
        gained = b.node("Gather", [table, states], "membrane_gained", shape=states.shape, axis=0)
        return b.node("Add", [scores, gained], "scores_next")
    if readout == "last-membrane":
        return b.node("Identity", [states], "scores_next", bounds=scores.bounds)
    if readout == "highest-membrane":
        return b.node("Max", [scores, states], "scores_next")
    gained = b.cast(spikes, "spikes_int", INT32)
    if readout == "first":
        before = b.node("Min", [scores, b.constant("one", np.array(1, dtype=np.int32))], "fired_before", bounds=SPIKES)
        gained = b.node("Max", [gained, before], "fired")
    return b.node("Add", [scores, gained], "scores_next")


_TRACES: dict[Role, str] = {"sum": "synaptic_sums", "state": "states", "spikes": "spike_train"}


def _record(b: GraphBuilder, document: Document, found: Tensors) -> list[Tensor]:
    """Scan outputs with everything that each neuron layer did."""
    stacked: list[Tensor] = []
    bounds = {place: carry.bounds for place, carry in carried(document.layers, INTEGERS).items()}
    for index, plan in enumerate(document.layers):
        for role in plan.traced:
            name = f"{plan.name}.{_TRACES[role]}"
            made = b.node("Identity", [found[index, role]], f"{name}_step", bounds=bounds.get((index, role)))
            b.output(made)
            stacked.append(replace(made, name=name, shape=(document.steps, *made.shape)))
    return stacked
