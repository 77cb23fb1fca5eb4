"""From the program of a model to the layers of a network: every call is given to its handler."""

from __future__ import annotations

import math
from dataclasses import replace

from torch import nn

from squat_deploy.lowering.branches import function_handler
from squat_deploy.lowering.handlers import handle
from squat_deploy.lowering.program import Call, Program, sequential_program
from squat_deploy.lowering.rounding import entry_error
from squat_deploy.lowering.tracing import traced_program
from squat_deploy.lowering.walk import Currents, Integers, PendingNeuron, Value, Walk
from squat_deploy.network import INPUT, InputSpec
from squat_deploy.training.neurons import spike_value
from squat_deploy.training.sequence import is_plain


def program_of(model: nn.Module, spec: InputSpec, steps: int) -> Program:
    """One time step of a model in eval mode; one that is no `nn.Sequential` is run to see its calls.

    Raises: LoweringError where it cannot be run, or decides by its data.
    """
    return sequential_program(model) if is_plain(model) else traced_program(model, spec, steps)


def walk_program(model: nn.Module, spec: InputSpec, steps: int) -> Walk:
    """The layers of a model in eval mode, and all faults. Raises: as `program_of`."""
    program = program_of(model, spec, steps)
    walk = walk_calls(model, program, spec)
    return walk if walk.faults or walk.end is None else _finished(walk, walk.end)


def walk_calls(model: nn.Module, program: Program, spec: InputSpec) -> Walk:
    """Every call given to its handler, in order; layers that nothing takes are still there."""
    walk = Walk(spec)
    for name, module in model.named_modules():
        if module._forward_hooks or module._forward_pre_hooks:
            label = f"{name or 'model'} ({type(module).__name__})"
            walk.fault(label, "forward hooks change what is computed", "a hook", "remove the hooks before lowering")
    values: dict[int, Value | None] = {}
    for call in program.calls():
        values[id(call)] = _value(walk, call, [values[id(source)] for source in call.inputs])
    end = values[id(program.result)]
    _check_end(walk, program, end)
    walk.end = None if end is None else end.source
    return walk


def _value(walk: Walk, call: Call, taken: list[Value | None]) -> Value | None:
    if call.kind == "input":
        spec = walk.spec
        return Integers(INPUT, spec.shape, spec.step, entry_error(walk.largest_at(INPUT), spec.step))
    if call.kind == "late":
        assert call.module is not None and call.shape is not None
        return Integers(walk.late_source(call.module, math.prod(call.shape)), call.shape, spike_value(call.module))
    if call.kind == "module":
        assert call.module is not None
        return handle(walk, call, call.module, taken[0])
    handler = function_handler(call.function)
    if handler is None:
        hint = "use modules and functions of the support matrix, or move it behind the output"
        walk.fault(call.label, "this function cannot be lowered", call.function, hint)
        return None
    known = [value for value in taken if value is not None]
    return handler(walk, call, known) if len(known) == len(taken) else None


def _check_end(walk: Walk, program: Program, end: Value | None) -> None:
    if not program.neurons and not walk.faults:
        walk.fault("model", "needs at least one QuantLinear and one snn.Leaky", "neither", "add them")
    elif isinstance(end, Currents):
        walk.fault("model", "the last layer must spike", "synapses without neurons", "end with snn.Leaky")
    elif end is not None and not isinstance(walk.layers[end.source], PendingNeuron):
        walk.fault("model", "the last layer must spike", walk.layers[end.source].name, "end with snn.Leaky")


def _finished(walk: Walk, last: int) -> Walk:
    """Late spikes wired to their neurons, layers that nothing takes left out, the output layer `last` at the end."""
    places = {id(x.module): i for i, x in enumerate(walk.layers) if isinstance(x, PendingNeuron)}
    wires = [tuple(places[id(walk.late[-2 - s])] if s < INPUT else s for s in wire) for wire in walk.wires]
    used: set[int] = set()
    open_ends = [last]
    while open_ends:
        index = open_ends.pop()
        if index != INPUT and index not in used:
            used.add(index)
            open_ends += wires[index]
    if max(used) > last:
        got, hint = walk.layers[max(used)].name, "return the spikes of the layer that runs last"
        walk.fault("model", "no layer runs after the output layer", got, hint)
    order = sorted(used)
    moved = {old: new for new, old in enumerate(order)} | {INPUT: INPUT}
    layers = [walk.layers[old] for old in order]
    return replace(walk, layers=layers, wires=[tuple(moved[s] for s in wires[old]) for old in order])
