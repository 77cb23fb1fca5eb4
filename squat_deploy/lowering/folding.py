"""Folding recorded time steps into one: every step must make the same calls as the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from torch import nn

from squat_deploy.errors import Fault, LoweringError
from squat_deploy.lowering.all_steps import AllSteps
from squat_deploy.lowering.behind import check_behind
from squat_deploy.lowering.entries import Taken, alone, taken_of
from squat_deploy.lowering.hints import RANDOM, function_hint
from squat_deploy.lowering.options import read_options
from squat_deploy.lowering.program import Call, Program
from squat_deploy.snn.delay import REMEMBERING
from squat_deploy.snn.functions import is_of_library
from squat_deploy.snn.neurons import NEURONS

SAME_CALLS = "every time step makes the same calls"


@dataclass(frozen=True, eq=False)
class Event:
    """One recorded call.

    Attributes:
        function: name of the function, or "module", "state" (a further result of a neuron call), "input", "zeros" and
            "a constant" (what was there before).
        inputs: the events whose values it took.
        options: what else it was given, by name.
        shape: of the result, batch included.
        place: of a neuron call: the time step.
    """

    label: str
    function: str
    inputs: tuple[Event, ...]
    options: dict[str, Any]
    shape: tuple[int, ...]
    module: nn.Module | None = None
    place: int = 0

    def forget(self) -> None:
        """Drops what it was made of, which no later step may ask for: long sequences would keep all of it."""
        object.__setattr__(self, "inputs", ())


@dataclass(frozen=True, eq=False)
class Recorded:
    """One time step: what entered, its neuron calls in order, what the model returned (nothing before a loop's end)."""

    root: Event
    neurons: Sequence[Event]
    outputs: Sequence[Event]


def steps_of(root: Event, neurons: Sequence[Event], outputs: Sequence[Event]) -> list[Recorded]:
    """The steps of a model that loops over time itself.

    Raises: LoweringError where neurons do not run equally often.
    """
    counts = {id(event.module): event.place + 1 for event in neurons}
    first = counts[id(neurons[0].module)] if neurons else 0
    for event in neurons:
        if counts[id(event.module)] != first:
            got = f"{counts[id(event.module)]} calls, where {neurons[0].label} has {first}"
            raise _once(event, got)
    by_step = [[event for event in neurons if event.place == step] for step in range(first)]
    return [Recorded(root, events, outputs if number == first - 1 else ()) for number, events in enumerate(by_step)]


def _once(event: Event, got: str) -> LoweringError:
    hint = "call every module that remembers once a step; make a second one where two are needed"
    return _fault(event.label, "what remembers runs once a time step", got, hint)


def fold(steps: Iterable[Recorded], *, stepwise: bool) -> Program:
    """The program of one step.

    Args:
        steps: may be recorded as they are asked for; none is kept.
        stepwise: whether the model itself takes its input apart into time steps.

    Raises: LoweringError where a step differs from the others, or looks further back than one step.
    """
    template: list[Call] = []
    result: nn.Module | None = None
    for number, step in enumerate(steps):
        calls = _Step(number, step.root, stepwise).neurons(step.neurons)
        if number > 1:
            _check_same(template, calls, number, 1)
        elif number == 1:
            _check_same(calls, template, 0, 1)
        if number < 2:
            template = calls
        last = _result(calls, step.outputs)
        check_behind(step.outputs, last, number)
        if result is not None and last is not result:
            got = f"step {number} returns other spikes than the steps before"
            raise _fault("output", SAME_CALLS, got, "return the same spikes in every step")
        result = last
        for event in step.neurons:
            event.forget()
    if not template:
        return Program((), Call("input", "input"))
    end = next((call for call in reversed(template) if call.module is result), template[-1])
    return Program(tuple(template), end)


def _check_same(template: list[Call], calls: list[Call], number: int, other: int) -> None:
    got = f"step {number} computes something else than step {other}"
    known: Compared = {}
    pairs = zip(template, calls, strict=False)
    pair = next((pair for pair in pairs if not same_call(*pair, known, starts=number == 0)), None)
    first = None if pair is None else pair[0]
    if first is None and len(template) != len(calls):
        first = max(template, calls, key=len)[min(len(template), len(calls))]
    if pair is not None:
        got += f": {_difference(*pair, known, starts=number == 0)}"
    if first is not None:
        drawn = next((call for call in Program((first,), first).calls() if call.function in RANDOM), None)
        if drawn is not None:
            raise _fault(drawn.label, "nothing in forward is random", drawn.function, function_hint(drawn.function))
        raise _fault(first.label, SAME_CALLS, got, "move what differs out of forward")


def _difference(ours: Call, theirs: Call, known: Compared, *, starts: bool) -> str:
    """Where two steps that are not the same part, in words."""
    while (ours.kind, ours.label, len(ours.inputs)) == (theirs.kind, theirs.label, len(theirs.inputs)):
        pairs = zip(ours.inputs, theirs.inputs, strict=True)
        other = next((pair for pair in pairs if not same_call(*pair, known, starts=starts)), None)
        if other is None:
            return f"{ours.label} with other options"
        ours, theirs = other
    late = " (of the step before)" if ours.kind == "late" else ""
    return f"{theirs.label} in place of {ours.label}{late}"


def _result(calls: list[Call], outputs: Sequence[Event]) -> nn.Module | None:
    """The last neurons whose spikes or membranes are returned."""
    modules = {id(call.module) for call in calls}
    seen: set[int] = set()
    found: set[int] = set()
    open_ends: list[Event] = list(outputs)
    while open_ends:
        event = open_ends.pop()
        if id(event) in seen:
            continue
        seen.add(id(event))
        if event.function == "module" and id(event.module) in modules:
            found.add(id(event.module))
        else:
            open_ends += event.inputs
    return next((call.module for call in reversed(calls) if id(call.module) in found), None)


class _Step:
    """Events of one time step as calls."""

    def __init__(self, number: int, root: Event, stepwise: bool) -> None:
        self.number, self.root, self.stepwise = number, root, stepwise
        self.made: dict[int, Call] = {}
        self.at = "input"  # the neurons whose current is followed
        self.by = "input"  # the call whose inputs are

    def neurons(self, events: Sequence[Event]) -> list[Call]:
        ran: set[int] = set()
        for event in events:
            if id(event.module) in ran:
                raise _once(event, "several calls in one step")
            ran.add(id(event.module))
            self.at = self.by = event.label
            current = self._call(event.inputs[0])
            self.made[id(event)] = Call("module", event.label, (current,), event.module, shape=event.shape[1:])
        return [self.made[id(event)] for event in events]

    def _call(self, event: Event) -> Call:
        if id(event) not in self.made:
            self.made[id(event)] = self._made(event)
        return self.made[id(event)]

    def _made(self, event: Event) -> Call:
        if event is self.root and not self.stepwise:
            return Call("input", "input")
        if self.stepwise and event.inputs and (found := taken_of(event, self.root)) is not None:
            step = self._input(event, found)
            grid = found.grid
            return step if grid is None else Call("module", grid.label, (step,), grid.module)
        if (part := _taken_out(event)) is not None:
            return self._call(part)
        if (call := self._all_steps().taken(event)) is not None:
            return call
        if event is self.root:
            got, hint = "all steps at once", "take x[step] first"
            raise _fault(self.by, "each step takes its own inputs, x[step]", got, hint)
        if event.function == "input":
            got, hint = "inputs of another step", "let neurons carry what a step leaves to the next"
            raise _fault(self.at, "each step takes its own inputs", got, hint)
        if event.function == "state":
            hint = "feed the next layer with spikes"
            raise _fault(event.label, "layers take spikes", "a membrane", hint)
        if isinstance(event.module, NEURONS):
            return self._late(event)
        if event.function in ("zeros", "a constant"):
            return Call("function", event.label, function=event.function)
        if type(event.module) in REMEMBERING and event.place != self.number:
            raise _once(event, f"call {event.place} in step {self.number}")
        kind = "module" if event.module is not None else "function"
        self.by = event.label
        inputs = tuple(self._call(given) for given in event.inputs if not _of_own_layer(event, given))
        options = read_options(event.function, event.options)
        shape = event.shape[1:] if event.shape[:1] == self._batch() else None
        return Call(kind, event.label, inputs, event.module, event.function, options, shape)  # type: ignore[arg-type]

    def _all_steps(self) -> AllSteps:
        return AllSteps(self.root if self.stepwise else None, self.number, self._batch()[0], self._call)

    def _batch(self) -> tuple[int, ...]:
        return self.root.shape[1:2] if self.stepwise else self.root.shape[:1]

    def _input(self, event: Event, taken: Taken) -> Call:
        if not taken.is_step(self.number):
            got = f"x[{taken.shown}] in step {self.number}"
            hint = "declare inputs as (steps, batch, ...) and take x[step]"
            if replace(taken, axis=1 - taken.axis).is_step(self.number):
                hint = "the batch comes first there: InputSpec(time_first=False), --batch-first"
            raise _fault(event.label, "each step takes its own inputs, x[step]", got, hint)
        return Call("input", "input")

    def _late(self, event: Event) -> Call:
        """Spikes of neurons that have not run in this step: those of the step before."""
        if event.place != self.number - 1:
            got = f"spikes of step {event.place} in step {self.number}"
            raise _fault(event.label, "layers take spikes of this step or the last", got, "keep one step of spikes")
        return Call("late", event.label, (), event.module, shape=event.shape[1:])


def _of_own_layer(event: Event, given: Event) -> bool:
    """Whether a membrane goes to a layer of the user's, which is refused for what it is and not for what it takes."""
    return given.function == "state" and event.module is not None and not is_of_library(type(event.module))


def _taken_out(event: Event) -> Event | None:
    """One of several values that were stacked, where just that is taken again: steps kept for a second loop."""
    if len(event.inputs) != 1 or event.inputs[0].function != "stack":
        return None
    stack, options = event.inputs[0], event.options
    axis = int(stack.options.get("dim", 0)) % len(stack.shape)
    if event.function.startswith(("select", "unbind")) and int(options.get("dim", 0)) % len(stack.shape) == axis:
        index = options["index"]
    elif event.function == "getitem":
        index = alone(options["index"], axis, len(stack.shape))
    else:
        return None
    return stack.inputs[index] if isinstance(index, int | np.integer) and not isinstance(index, bool) else None


def _is_late(call: Call) -> bool:
    """Whether a value is made of the last spikes alone, by functions: those of zeros are zeros."""
    return call.kind == "late" or (call.kind == "function" and bool(call.inputs) and all(map(_is_late, call.inputs)))


Compared: TypeAlias = dict[tuple[int, int], bool]


def same_call(ours: Call, theirs: Call, known: Compared, *, starts: bool = False) -> bool:
    """Whether two steps compute the same; in the first one zeros stand for spikes of the step before.

    Args:
        known: what was found of other calls of these steps: branches meet again.
        starts: whether `theirs` are those of the first step.
    """
    pair = id(ours), id(theirs)
    if pair not in known:
        known[pair] = _compared(ours, theirs, known, starts)
    return known[pair]


def _compared(ours: Call, theirs: Call, known: Compared, starts: bool) -> bool:
    if starts and theirs.function == "zeros" and _is_late(ours):
        return True
    if (ours.kind, ours.label, ours.function, ours.shape) != (theirs.kind, theirs.label, theirs.function, theirs.shape):
        return False
    if not _same_module(ours.module, theirs.module) or ours.options != theirs.options:
        return False
    if len(ours.inputs) != len(theirs.inputs):
        return False
    return all(same_call(a, b, known, starts=starts) for a, b in zip(ours.inputs, theirs.inputs, strict=True))


def _same_module(ours: nn.Module | None, theirs: nn.Module | None) -> bool:
    """One module, or two of a kind that were made in forward and have nothing but options."""
    if ours is theirs or ours is None or theirs is None:
        return ours is theirs
    if type(ours) is not type(theirs) or any(
        module.state_dict() or isinstance(module, NEURONS) for module in (ours, theirs)
    ):
        return False
    own, other = ({k: v for k, v in vars(module).items() if k[0] != "_"} for module in (ours, theirs))
    return own == other


def _fault(where: str, rule: str, got: str, hint: str) -> LoweringError:
    return LoweringError((Fault(where, rule, got, hint),))
