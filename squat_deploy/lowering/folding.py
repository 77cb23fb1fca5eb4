"""Folding recorded time steps into one: every step must make the same calls as the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from squat_deploy.errors import Fault, LoweringError
from squat_deploy.lowering.program import Call, Program
from squat_deploy.quantizers import InputQuantizer
from squat_deploy.training.neurons import kind_of


@dataclass(frozen=True, eq=False)
class Event:
    """One recorded call.

    Attributes:
        function: name of the function, or "module", "state" (a further result of a neuron call), "input".
        inputs: events, or tensors that were there before.
        shape: of the result, batch included.
        place: of a neuron call: the time step.
    """

    label: str
    function: str
    inputs: tuple[Event | Tensor, ...]
    options: dict[str, Any]
    shape: tuple[int, ...]
    module: nn.Module | None = None
    place: int = 0


def fold(
    neurons: Sequence[Event],
    states: dict[int, list[list[Tensor | None]]],
    root: Event,
    outputs: Sequence[Event],
    *,
    stepwise: bool,
) -> Program:
    """The program of one step.

    Args:
        neurons: all neuron calls in order; states: spikes and states that each left behind, by id of the module.
        root: what entered; outputs: what the model returned.
        stepwise: whether the model itself takes its input apart into time steps.

    Raises: LoweringError where a step differs from the others, or looks further back than one step.
    """
    if not neurons:
        return Program((), Call("input", "input"))
    order = list({id(event.module): event for event in neurons})
    counts = {module: len(states[module]) for module in order}
    if len(set(counts.values())) != 1:
        event = next(event for event in neurons if counts[id(event.module)] != counts[order[0]])
        got = f"{counts[id(event.module)]} calls, where {neurons[0].label} has {counts[order[0]]}"
        hint = "call every neuron module once a step; make a second one where two are needed"
        raise _fault(event.label, "every neuron runs once a time step", got, hint)
    by_step = [[event for event in neurons if event.place == step] for step in range(counts[order[0]])]
    built = [_Step(number, root, states, stepwise).neurons(events) for number, events in enumerate(by_step)]
    template = built[min(1, len(built) - 1)]
    for number, calls in enumerate(built):
        for ours, theirs in zip(template, calls, strict=True):
            if not _same(ours, theirs):
                got = f"step {number} computes something else than step {min(1, len(built) - 1)}"
                raise _fault(
                    ours.label, "every time step makes the same calls", got, "move what differs out of forward"
                )
    return Program(tuple(template), _result(template, outputs))


def _result(template: list[Call], outputs: Sequence[Event]) -> Call:
    """The last neurons whose spikes or membranes are returned."""
    seen: set[int] = set()
    found: set[int] = set()
    open_ends: list[Event | Tensor] = list(outputs)
    while open_ends:
        event = open_ends.pop()
        if isinstance(event, Tensor) or id(event) in seen:
            continue
        seen.add(id(event))
        if event.function == "module" and any(call.module is event.module for call in template):
            found.add(id(event.module))
        else:
            open_ends += event.inputs
    return next((call for call in reversed(template) if id(call.module) in found), template[-1])


class _Step:
    """Events of one time step as calls."""

    def __init__(self, number: int, root: Event, states: dict[int, list[list[Tensor | None]]], stepwise: bool) -> None:
        self.number, self.root, self.states, self.stepwise = number, root, states, stepwise
        self.made: dict[int, Call] = {}

    def neurons(self, events: Sequence[Event]) -> list[Call]:
        for event in events:
            self._check_states(event)
            current = self._call(event.inputs[0])
            self.made[id(event)] = Call("module", event.label, (current,), event.module, shape=event.shape[1:])
        return [self.made[id(event)] for event in events]

    def _check_states(self, event: Event) -> None:
        """What is given as states (and last spikes) must be what the same neurons left one step before."""
        assert event.module is not None
        for part, given in zip(kind_of(event.module).given, event.inputs[1:], strict=False):
            if isinstance(given, Tensor):
                before = self.states[id(event.module)][self.number - 1][part] if self.number else None
                fits = given is before or (self.number == 0 and not given.any())
            else:
                same = given.module is event.module and given.options.get("part", 0) == part
                fits = same and given.function in ("state", "module") and given.place == self.number - 1
            if not fits:
                hint = "pass on what the same neurons returned one step before, zeros at first"
                raise _fault(event.label, "neurons keep their own states", "another value as a state", hint)

    def _call(self, event: Event | Tensor) -> Call:
        if isinstance(event, Tensor):
            return Call("function", "constant", function="a constant" if event.any() else "zeros")
        if id(event) not in self.made:
            self.made[id(event)] = self._made(event)
        return self.made[id(event)]

    def _made(self, event: Event) -> Call:
        if event is self.root and not self.stepwise:
            return Call("input", "input")
        if event.function in ("getitem", "unbind") and event.inputs == (self.root,) and self.stepwise:
            return self._input(event)
        if event.function == "getitem" and self.stepwise and (grid := _grid_of(event, self.root)) is not None:
            return Call("module", grid.label, (self._input(event),), grid.module)
        if event is self.root:
            raise _fault("input", "each step takes its own inputs, x[step]", "all steps at once", "take x[step] first")
        if event.function == "state":
            hint = "feed the next layer with spikes"
            raise _fault(event.label, "layers take spikes", "a membrane", hint)
        if event.module is not None and id(event.module) in self.states:
            return self._late(event)
        kind = "module" if event.module is not None else "function"
        inputs = tuple(self._call(given) for given in event.inputs)
        return Call(kind, event.label, inputs, event.module, event.function, event.options, event.shape[1:])  # type: ignore[arg-type]

    def _input(self, event: Event) -> Call:
        index = event.options["index"]
        first = index[0] if isinstance(index, tuple) else index
        if first != self.number or (isinstance(index, tuple) and any(part != slice(None) for part in index[1:])):
            got = f"x[{index}] in step {self.number}"
            hint = "declare inputs as (steps, batch, ...) and take x[step]"
            raise _fault(event.label, "each step takes its own inputs, x[step]", got, hint)
        return Call("input", "input")

    def _late(self, event: Event) -> Call:
        """Spikes of neurons that have not run in this step: those of the step before."""
        if event.place != self.number - 1:
            got = f"spikes of step {event.place} in step {self.number}"
            raise _fault(event.label, "layers take spikes of this step or the last", got, "keep one step of spikes")
        return Call("late", event.label, (), event.module, shape=event.shape[1:])


def _grid_of(event: Event, root: Event) -> Event | None:
    """The input quantizer of all steps at once, behind which a step takes its own."""
    source = event.inputs[0]
    whole = isinstance(source, Event) and isinstance(source.module, InputQuantizer) and source.inputs == (root,)
    return source if whole and isinstance(source, Event) else None


def _is_late(call: Call) -> bool:
    """Whether a value is made of the last spikes alone, by functions: those of zeros are zeros."""
    return call.kind == "late" or (call.kind == "function" and bool(call.inputs) and all(map(_is_late, call.inputs)))


def _same(ours: Call, theirs: Call) -> bool:
    """Whether two steps compute the same; in the first one zeros stand for spikes of the step before."""
    if theirs.function == "zeros" and _is_late(ours):
        return True
    if (ours.kind, ours.label, ours.function, ours.module) != (
        theirs.kind,
        theirs.label,
        theirs.function,
        theirs.module,
    ) or ours.options != theirs.options:
        return False
    if len(ours.inputs) != len(theirs.inputs):
        return False
    return all(_same(a, b) for a, b in zip(ours.inputs, theirs.inputs, strict=True))


def _fault(where: str, rule: str, got: str, hint: str) -> LoweringError:
    return LoweringError((Fault(where, rule, got, hint),))
