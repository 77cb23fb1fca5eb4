"""How a model is called by its user: all time steps at once or one a call, and whether its states are passed along."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from squat_deploy.errors import Fault, LoweringError, SquatError
from squat_deploy.snn.copying import deep_copy
from squat_deploy.snn.neurons import reset_delays, reset_neurons
from squat_deploy.snn.running import OwnRun, is_plain, loops_over_time, own_run
from squat_deploy.snn.states import Start, starts_of, tensors_in


@dataclass(frozen=True)
class Calling:
    """How one sequence of a model is run.

    Attributes:
        looped: whether one call runs all time steps.
        start: what forward takes beside the inputs; each call of one step takes what the call before returned.
    """

    looped: bool
    start: Start | None = None


def calling_of(model: nn.Module, inputs: Tensor, steps: int, *, direct: bool, initial_state: Any = None) -> Calling:
    """Found by running copies of a model.

    Args:
        inputs: (B, ...) shown at every step when `direct`, else (T, B, ...).
        initial_state: a value; None where a forward that takes states is given None.

    Raises: ConfigError where it runs another number of steps, or takes no such state; LoweringError where it can be
        called in two ways that differ; whatever the model raises.
    """
    if is_plain(model) and initial_state is None:
        return Calling(looped=False)
    starts, alone = starts_of(model, initial_state)
    tries: Iterator[Start | None] = iter(starts)
    if initial_state is not None or not alone:
        return _first([_trial(model, inputs, steps, direct, start) for start in tries])
    plain = _trial(model, inputs, steps, direct, None)
    if not starts:
        return plain()
    return _either(
        model, inputs, steps, direct, plain, [_trial(model, inputs, steps, direct, start) for start in tries]
    )


def _trial(model: nn.Module, inputs: Tensor, steps: int, direct: bool, start: Start | None) -> Callable[[], Calling]:
    """Calls a copy in one way; two steps where states are passed from one to the next."""

    def tried() -> Calling:
        looped = loops_over_time(deep_copy(model), inputs, steps, direct=direct, start=start)
        if not looped and start is not None:
            _go_on(model, inputs if direct else inputs[0], min(steps, 2), start)
        return Calling(looped, start)

    return tried


@torch.no_grad()
def _go_on(model: nn.Module, inputs: Tensor, steps: int, start: Start) -> None:
    """Two steps of a copy, whose first one runs. Raises: LoweringError where the second does not take what it left."""
    try:
        own_run(deep_copy(model), inputs, steps, looped=False, start=start)
    except SquatError:
        raise
    except Exception as error:
        got = f"what the second step does not take: {type(error).__name__}: {error}"
        hint = "return (out, state), the state as forward takes it"
        raise LoweringError((Fault(start.where, "a step returns its output and then its state", got, hint),)) from error


def _first(trials: list[Callable[[], Calling]]) -> Calling:
    """The first way that works. Raises: what the first one raises."""
    *others, last = trials
    for number, trial in enumerate(others):
        try:
            return trial()
        except Exception as error:  # noqa: BLE001 (raised again, if no other way works)
            try:
                return _first(trials[number + 1 :])
            except Exception:  # noqa: BLE001 (the likeliest way says what is wrong)
                raise error from None
    return last()


def _either(
    model: nn.Module,
    inputs: Tensor,
    steps: int,
    direct: bool,
    plain: Callable[[], Calling],
    carried: list[Callable[[], Calling]],
) -> Calling:
    """Of a forward whose state may be left away: with it, where the steps of a sequence go on from it alone.

    Raises: LoweringError where both ways work and give different sequences.
    """
    try:
        alone = plain()
    except Exception:
        if steps == 1:
            raise
        return _first(carried)
    if alone.looped or steps == 1:
        return alone
    try:
        passed = _first(carried)
    except Exception:  # noqa: BLE001 (it takes something else there, or returns no state)
        return alone
    first = inputs if direct else inputs[0]
    with torch.no_grad():  # all steps: a state may count them
        ours, theirs = (
            own_run(deep_copy(model), first, steps, looped=False, start=one.start) for one in (passed, alone)
        )
    if _values(ours) == _values(theirs):  # else it returns what it was given
        return passed if _bits(ours.returned) == _bits(theirs.returned) else alone
    if _forgets(model, first, steps):
        return passed
    assert passed.start is not None
    got = "a second argument that may be left away, and sequences that differ with it and without it"
    hint = "make it required (def forward(self, x, state)), or keyword-only where it is no state (*, name=None)"
    raise LoweringError((Fault(passed.start.where, "a model is called in one way", got, hint),))


def _values(run: OwnRun) -> list[tuple[str, Any]]:
    return [(name, _bits((trace.spikes, trace.membranes))) for name, trace in run.traces.items()]


def _bits(values: Any) -> list[Any]:
    return [tensor.tolist() for tensor in tensors_in(values)]


@torch.no_grad()
def _forgets(model: nn.Module, inputs: Tensor, steps: int) -> bool:
    """Whether neurons do in every call without a state what they do in the first: delays that remember aside."""
    copied, first = deep_copy(model), None
    reset_neurons(copied)
    for _ in range(steps):
        reset_delays(copied)
        run = own_run(copied, inputs, 1, looped=False, at_rest=False)
        membranes = _bits([trace.membranes for trace in run.traces.values()])
        if first not in (None, membranes):
            return False
        first = membranes
    return True
