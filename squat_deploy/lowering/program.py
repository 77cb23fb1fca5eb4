"""One time step of a model as calls of modules and functions: what the handlers take, however the model is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from squat_deploy.errors import Fault
from squat_deploy.network.readout import Readout
from squat_deploy.snn.functions import is_of_library
from squat_deploy.snn.neurons import NEURONS, gives_states, spikes_alone
from squat_deploy.snn.returned import Returned
from squat_deploy.snn.running import leaves
from squat_deploy.snn.states import Start

Kind = Literal["input", "module", "function", "late"]


@dataclass(frozen=True, eq=False)
class Call:
    """One value in one time step, and the call that makes it.

    Attributes:
        kind: "input" is what enters, "late" the spikes of neurons one step before, the others are calls.
        label: the module's name and type, or the function and the line of the user's file.
        inputs: the values that it takes.
        module: the module that is called; of "late", the neurons.
        function: name of the function.
        options: what else a function is given, by name.
        shape: of one sample, where the model was run to find out.
    """

    kind: Kind
    label: str
    inputs: tuple[Call, ...] = ()
    module: nn.Module | None = None
    function: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class Program:
    """One time step.

    Attributes:
        neurons: every neuron call, in the order in which they run.
        result: the value that leaves the model.
        returned: what is recognised of what the model returns, where it was run to find out.
        asks: the readouts that fit what it returns, where that is membranes and no spikes.
        looped: whether one call of the model runs all time steps.
        start: what forward takes beside the inputs at the first step, where it takes and returns its states.
        draws: whether random numbers were drawn meanwhile.
        faults: what is refused already.
    """

    neurons: tuple[Call, ...]
    result: Call
    returned: tuple[Returned, ...] = ()
    asks: tuple[Readout, ...] = ()
    looped: bool = False
    start: Start | None = None
    draws: bool = False
    faults: tuple[Fault, ...] = ()

    def calls(self) -> Iterator[Call]:
        """All calls, each after what it takes."""
        seen: set[int] = set()
        for end in (*self.neurons, self.result):
            yield from _ordered(end, seen)


def _ordered(end: Call, seen: set[int]) -> Iterator[Call]:
    """Depth first without recursion: models are deep."""
    stack = [(end, False)]
    while stack:
        call, ready = stack.pop()
        if ready:
            yield call
        elif id(call) not in seen:
            seen.add(id(call))
            stack.append((call, True))
            stack += [(source, False) for source in reversed(call.inputs)]


def label_of(name: str, module: nn.Module) -> str:
    """How faults name a module."""
    return f"{name} ({type(module).__name__})"


def states_handed_on(neuron: str, module: nn.Module, taker: str) -> Fault:
    """That a layer is handed what a neuron returns, which is spikes and states: torch itself raises there."""
    rule, got = "a layer takes spikes alone from neurons", f"(spikes, states), which {taker} is given"
    return Fault(label_of(neuron, module), rule, got, f"make the neuron with {spikes_alone(module)}")


def _does_as_its_class(module: nn.Module) -> bool:
    """Whether a call runs the forward of a library's class, and nothing else."""
    hooks = module._forward_hooks or module._forward_pre_hooks
    return is_of_library(type(module)) and not hooks and "forward" not in vars(module)


def sequential_program(model: nn.Module) -> Program:
    """The program of an `nn.Sequential`, without running it."""
    value, neurons, faults = Call("input", "input"), [], []
    states: tuple[str, nn.Module] | None = None  # of whom they are, where they come with the spikes
    for name, module in leaves(model):
        value = Call("module", label_of(name, module), (value,), module)
        known = _does_as_its_class(module)  # the user's classes and hooks may take the spikes out
        if states is not None and not (known and type(module) is nn.Identity):
            faults += [states_handed_on(*states, value.label)] * (known and _does_as_its_class(states[1]))
            states = None
        if isinstance(module, NEURONS):
            neurons.append(value)
            states = (name, module) if gives_states(module) else None
    return Program(tuple(neurons), value, faults=tuple(faults))
