"""From the program of a model to the layers of a network: every call is given to its handler."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import torch
import torch.nn.modules.module as torch_modules
from torch import nn

from squat_deploy.errors import Fault, LoweringError
from squat_deploy.lowering.draft import Currents, Draft, Integers, Value
from squat_deploy.lowering.functions import function_handler
from squat_deploy.lowering.handlers import handle
from squat_deploy.lowering.hints import function_hint
from squat_deploy.lowering.options import function_faults, plain_function
from squat_deploy.lowering.program import Call, Program, label_of, sequential_program
from squat_deploy.lowering.recorder import is_leaf, is_library
from squat_deploy.lowering.rounding import entry_error
from squat_deploy.lowering.tracing import traced_program
from squat_deploy.network import INPUT, InputSpec
from squat_deploy.snn.adopting import Adopted
from squat_deploy.snn.batch_first import without_time
from squat_deploy.snn.functions import is_users
from squat_deploy.snn.neurons import NEURONS, spike_value
from squat_deploy.snn.running import is_plain, leaves
from squat_deploy.snn.states import starts_of

_UNPRUNED = "make what was pruned permanent: torch.nn.utils.prune.remove(layer, 'weight')"
_LISTINGS = ("modules", "named_modules", "children", "named_children")


def program_of(model: nn.Module, spec: InputSpec, steps: int, initial_state: Any = None) -> Program:
    """One time step of a model in eval mode; one that is no `nn.Sequential` is run to see its calls.

    Raises: LoweringError where it cannot be run, or decides by its data.
    """
    plain = is_plain(model) and all(is_leaf(module) for _, module in leaves(model))
    if plain:
        starts_of(model, initial_state)  # refuses one
        return sequential_program(model)
    if faults := altered(without_time(model)):
        raise LoweringError(tuple(faults))
    return traced_program(model, spec, steps, initial_state)


def altered(model: nn.Module) -> list[Fault]:
    """Everything that makes modules compute something else than their classes say."""
    faults = []
    every = torch_modules._global_forward_hooks or torch_modules._global_forward_pre_hooks
    rule, hint = "forward hooks change what is computed", "remove the hooks before lowering"
    if every:
        faults.append(Fault("model", rule, "a hook of all modules", hint))
    own = cache(_own_of_class)  # while this runs, no class changes
    for name, module in _all_parts(model):
        label = label_of(name or "model", module)
        faults += _own_listing(label, module)
        if hooks := (*module._forward_hooks.values(), *module._forward_pre_hooks.values()):
            pruned = any(type(hook).__module__ == "torch.nn.utils.prune" for hook in hooks)
            faults.append(Fault(label, rule, "a hook", _UNPRUNED if pruned else hint))
        faults += [
            Fault(
                label,
                "a module computes what its class says",
                f"its own {key}",
                f"delete it, or make a class with another {key}",
            )
            for key in vars(module)
            if callable(getattr(type(module), key, None)) and (is_leaf(module) or hasattr(nn.Module, key))
        ]
        faults += _altered_class(label, module, own)
        faults += _altered_neuron(label, module)
    return faults


def _all_parts(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules by their names, as torch lists them, whatever lists the model's class may give."""
    if not isinstance(model, Adopted):
        yield from nn.Module.named_modules(model)
        return
    yield from nn.Module.named_modules(model.model)
    for name, layer in model.held.layers():
        yield from nn.Module.named_modules(layer, prefix=name)


def _own_listing(label: str, module: nn.Module) -> list[Fault]:
    """Modules that hide others from whoever asks for them, or show what is not theirs."""
    own = [key for key in _LISTINGS if not is_library(getattr(type(module), key).__module__)]
    hint = "leave torch's in place"
    return [Fault(label, "torch lists the modules of a model", f"its own {key}()", hint) for key in own]


def _altered_class(label: str, module: nn.Module, own_of: Callable[[type], str]) -> list[Fault]:
    """A module of TorchScript, or a class of a library in which something is the user's."""
    rule = "a module computes what its class says"
    if isinstance(module, torch.jit.ScriptModule):
        hint = "use the module as it was before torch.jit.script"
        return [Fault(label, rule, "a module of TorchScript", hint)]
    got, hint = next(filter(None, map(own_of, type(module).__mro__)), ""), "leave the libraries' classes as they are"
    return [Fault(label, rule, got, hint)] if got else []


def _own_of_class(base: type) -> str:
    """What in a class of a library is the user's, if anything is."""
    for key, value in vars(base).items() if is_library(base.__module__) else ():
        made = getattr(value, "__globals__", {}).get("__name__", "torch")  # functools.wraps sets __module__
        if (key == "forward" or is_users(made)) and not is_library(made):
            return f"{base.__name__}.{key} of {made}"
    return ""


def _altered_neuron(label: str, module: nn.Module) -> list[Fault]:
    """Neurons choose the function of their update when they are made."""
    own = vars(module).get("state_function")
    if type(module) not in NEURONS or own is None:
        return []
    name = getattr(own, "__name__", str(own))
    if getattr(own, "__self__", None) is module and getattr(own, "__func__", None) is getattr(type(module), name, own):
        return []
    got, hint = f"its own state_function ({name})", "make the neuron anew with the options that it should have"
    return [Fault(label, "a neuron computes what its class says", got, hint)]


def draft_of(model: nn.Module, program: Program, spec: InputSpec) -> Draft:
    """Every call given to its handler, in order; layers that nothing takes are still there."""
    draft = Draft(spec, faults=[*altered(without_time(model)), *program.faults])
    values: dict[int, Value | None] = {}
    for call in program.calls():
        values[id(call)] = _value(draft, call, [values[id(source)] for source in call.inputs])
    end = values[id(program.result)]
    _check_end(draft, program, end)
    if program.draws and not draft.faults:
        hint = "encode inputs before they enter the model, and draw nothing in forward"
        draft.fault("model", "nothing is random after training", "random numbers drawn in forward", hint)
    draft.end = None if end is None else end.source
    return draft


def _value(draft: Draft, call: Call, taken: list[Value | None]) -> Value | None:
    if call.kind == "input":
        spec = draft.spec
        return Integers(INPUT, spec.shape, spec.step, entry_error(draft.largest_at(INPUT), spec.step))
    if call.kind == "late":
        assert call.module is not None and call.shape is not None
        return Integers(draft.late_source(call.module, math.prod(call.shape)), call.shape, spike_value(call.module))
    if call.kind == "module":
        assert call.module is not None
        if len(taken) != 1:
            draft.fault(call.label, "a layer takes one value", f"{len(taken)} values", "join them before it")
            return None
        return handle(draft, call, call.module, taken[0])
    if call.function in ("zeros", "a constant"):
        rule, hint = "values come from inputs, spikes and layers", "make it the bias of a layer"
        draft.fault(call.label, rule, call.function, hint)
        return None
    handler = function_handler(call.function)
    if handler is None:
        draft.fault(call.label, "this function cannot be lowered", call.function, function_hint(call.function))
        return None
    faults = function_faults(plain_function(call.function), call.options)
    for rule, got, hint in faults:
        draft.fault(call.label, rule, got, hint)
    if faults:
        return None
    known = [value for value in taken if value is not None]
    return handler(draft, call, known) if len(known) == len(taken) else None


def _check_end(draft: Draft, program: Program, end: Value | None) -> None:
    if not program.neurons and not draft.faults:
        draft.fault("model", "needs at least one QuantLinear and one snn.Leaky", "neither", "add them")
    elif isinstance(end, Currents):
        draft.fault("model", "the last layer must spike", "synapses without neurons", "end with snn.Leaky")
    elif end is not None and end.source not in draft.neurons:
        draft.fault("model", "the last layer must spike", draft.layers[end.source].name, "end with snn.Leaky")


def finished(draft: Draft) -> Draft:
    """The layers of a network, once all are known and none is refused; else the draft as it is."""
    return draft if draft.faults or draft.end is None else _finished(draft, draft.end)


def _finished(draft: Draft, last: int) -> Draft:
    """Late spikes wired to their neurons, layers that nothing takes left out, the output layer `last` at the end."""
    places = {id(neuron.module): index for index, neuron in draft.neurons.items()}
    wires = [tuple(places[id(draft.late[-2 - s])] if s < INPUT else s for s in wire) for wire in draft.wires]
    _check_late(draft, wires)
    used: set[int] = set()
    open_ends = [last]
    while open_ends:
        index = open_ends.pop()
        if index != INPUT and index not in used:
            used.add(index)
            open_ends += wires[index]
    if max(used) > last:
        got, hint = draft.layers[max(used)].name, "return the spikes of the layer that runs last"
        draft.fault("model", "no layer runs after the output layer", got, hint)
    order = sorted(used)
    moved = {old: new for new, old in enumerate(order)} | {INPUT: INPUT}
    layers = [draft.layers[old] for old in order]
    return replace(draft, layers=layers, wires=[tuple(moved[s] for s in wires[old]) for old in order])


def _check_late(draft: Draft, wires: list[tuple[int, ...]]) -> None:
    """Refuses late spikes of neurons that come earlier: a wire from there stands for those of this step."""
    for index, (before, after) in enumerate(zip(draft.wires, wires, strict=True)):
        for source, place in zip(before, after, strict=True):
            if source < INPUT and place < index:
                got = f"those of {draft.layers[place].name}, which has run by then"
                hint = (
                    "keep none: take squat_deploy.snn.delay.Delay(1), a module of the model, of the spikes of this step"
                )
                rule = "spikes of the step before come from layers that run later, or from the layer itself"
                draft.fault(draft.layers[index].name, rule, got, hint)
