"""One time step as a graph: its layers, what it takes of the step before, the forms `step` and `finn`.

The form `step` has standard ONNX integer operators only, so that any runtime gives the same bits. The form `finn` has
QONNX's convention, integers in float32 tensors with exact datatypes, and MultiThreshold; thresholds of each neuron are
gathered by its state, so its batch is 1.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from squat_deploy.backends.qonnx.builder import GraphBuilder, Tensor
from squat_deploy.backends.qonnx.document import Document
from squat_deploy.backends.qonnx.layers import Plan
from squat_deploy.backends.qonnx.layers.base import FLOATS, INTEGERS, ROLES, Carry, Containers, Role
from squat_deploy.errors import ExportError
from squat_deploy.network import INPUT, InputSpec

FLOAT_LIMIT = 2**24  # integers up to here are exact in float32
Place = tuple[int, Role]  # a layer, -1 for the input, and what its tensor is
Tensors = Mapping[Place, Tensor]


def step(document: Document) -> GraphBuilder:
    """One time step of a batch.

    Inputs: `input` (N, *shape), `<neurons>.state` (N, neurons) of every neuron layer, `<neurons>.spikes_before` of
    those whose spikes of the step before are taken, `<delay>.past` of what delays keep (zeros in the first step).
    Outputs: `<last neurons>.spikes`, `<neurons>.state_next` of every neuron layer, spikes that are taken late,
    `<delay>.past_next`; with `trace` also the synaptic sums and spikes of every neuron layer; with a readout of
    membranes at the end `values`, the integers of the last layer's (`Network.values` knows their step).
    """
    return _step(document, INTEGERS)


def finn_step(document: Document) -> GraphBuilder:
    """One time step of one sample, as in the form `step`, all float32 with batch 1, and without `values`.

    Raises: ExportError where float32 cannot hold a layer's integers.
    """
    for plan in document.layers:
        if plan.largest_sum >= FLOAT_LIMIT:
            raise ExportError(
                f"{plan.layer}: the form finn holds integers in float32, exact below 2**24; its partial sums reach "
                f"{plan.largest_sum}; use the form step or sequence"
            )
    return _step(document, FLOATS)


def _step(document: Document, types: Containers) -> GraphBuilder:
    b, plans = GraphBuilder("step"), document.layers
    x = network_input(b, document.input, (document.samples,), "input", types)
    before = carried_inputs(b, document, types)
    found = write_layers(b, plans, types, {INPUT: x}, before)
    for index, role in step_outputs(plans, document.trace):
        tensor = found[index, role]
        if tensor.name not in b.inner:  # an input of the graph, or an output already
            tensor = b.node("Identity", [tensor], f"{plans[index].name}.{role}_taken")
        b.output(tensor)
    if document.values is not None and types is INTEGERS:
        table = b.constant("values_of_states", np.array(document.values.levels, dtype=np.int64))
        states = found[len(plans) - 1, "membrane"]
        b.output(b.node("Gather", [table, states], "values", shape=states.shape, axis=0))
    return b


def carried(plans: Sequence[Plan], types: Containers) -> dict[Place, Carry]:
    """What is taken of the step before: states, spikes that come late, and what layers keep, each first to last."""
    late = {source for index, plan in enumerate(plans) for source in plan.takes if source >= index}
    found = {(i, carry.role): carry for i, p in enumerate(plans) for carry in p.carries(types, late=i in late)}
    return dict(sorted(found.items(), key=lambda item: (ROLES.index(item[0][1]), item[0][0])))


def step_outputs(plans: Sequence[Plan], trace: bool) -> list[Place]:
    """What the outputs of one step are: last spikes, what is carried, traces."""
    found: dict[Place, None] = {(len(plans) - 1, "spikes"): None, **dict.fromkeys(carried(plans, INTEGERS))}
    traced: list[Place] = [(index, role) for index, plan in enumerate(plans) for role in plan.traced]
    return list(found | dict.fromkeys(traced)) if trace else list(found)


def network_input(
    b: GraphBuilder, spec: InputSpec, lead: tuple[int | str, ...], name: str, types: Containers
) -> Tensor:
    """What enters the network, as an input of a graph."""
    bounds = spec.low, spec.high
    return b.input(Tensor(name, types.entering(bounds), (*lead, *spec.shape), bounds))


def carried_inputs(b: GraphBuilder, document: Document, types: Containers) -> Tensors:
    """What is taken of the step before, as inputs of a graph."""
    carries = carried(document.layers, types).items()
    return {place: b.input(carry.tensor(document.samples)) for place, carry in carries}


def write_layers(
    b: GraphBuilder,
    plans: Sequence[Plan],
    types: Containers,
    known: Mapping[int, Tensor],
    before: Tensors,
    run: Collection[int] | None = None,
) -> Tensors:
    """One step through the layers `run` (all by default); `known` values are there already."""
    found: dict[Place, Tensor] = {(index, "value"): tensor for index, tensor in known.items()}
    for index, plan in enumerate(plans):
        if run is not None and index not in run:
            continue
        taken = [before[source, "spikes"] if source >= index else found[source, "value"] for source in plan.takes]
        own = {role: tensor for (layer, role), tensor in before.items() if layer == index}
        found |= {(index, role): tensor for role, tensor in plan.nodes(b, taken, own, types).items()}
    return found
