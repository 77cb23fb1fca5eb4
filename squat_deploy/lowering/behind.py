"""What stands between the last neurons and what a model returns: a known form of readout, or a refusal.

What a model returns is what a network promises to reproduce. So each returned value is followed back to the spikes and
membranes that it is made of, by the place of every single one: all of them, in their order, or those of the last step,
or scores: sums, means and highest values over the steps, sums over groups of neurons, the softmax and the class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from squat_deploy.errors import Fault, LoweringError
from squat_deploy.lowering.entries import MOVES, order_of
from squat_deploy.lowering.options import plain_function
from squat_deploy.snn.neurons import NEURONS

if TYPE_CHECKING:
    from squat_deploy.lowering.folding import Event

RULE = "what a model returns is the spikes or membranes of its last neurons, or a readout of them"
HINT = (
    "return the spikes or membranes of all steps as they are, torch.stack(spikes), or their sum, and do the rest "
    "outside of the model"
)
_SAME = frozenset(["detach", "clone", "contiguous", "to", "cpu", "float", "double", "type_as", "type", "requires_grad"])
_CASTS = frozenset(["int", "long", "short", "bool", "byte", "half", "bfloat16"])  # of spikes
_RESHAPED = frozenset(
    ["view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "ravel", "view_as", "reshape_as", "atleast_2d"]
)
_JOINED = frozenset(["stack", "cat", "concat", "concatenate", "hstack", "vstack"])
_TAKEN = frozenset(["getitem", "select", "unbind", "chunk", "split", "narrow"])
_REDUCED = frozenset(["sum", "mean", "max", "amax", "argmax"])
_SOFT = frozenset(["softmax", "log_softmax"])
_BY_NUMBER = frozenset(["div", "truediv", "mul", "rmul", "true_divide"])
_MODULES = (nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.Softmax, nn.LogSoftmax)
_SPIKES = 0  # the part of a neuron's result


@dataclass(frozen=True, eq=False)
class Places:
    """Of every element of a value: which neuron's it is, of which sample and step.

    Attributes:
        source: the neurons, and which part of what they return.
        step, sample, neuron: one an element.
        steps: those that each element sums up; None where it is of one step alone.
        batch: how many samples; size: how many neurons, or groups of them.
        scaled: the event that made numbers of spikes or membranes that are no scores.
    """

    source: tuple[nn.Module, int]
    step: Tensor
    sample: Tensor
    neuron: Tensor
    batch: int
    size: int
    steps: frozenset[int] | None = None
    scaled: Event | None = None

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Places:
        return replace(self, step=change(self.step), sample=change(self.sample), neuron=change(self.neuron))


def check_behind(outputs: Sequence[Event], last: nn.Module | None, number: int) -> None:
    """Raises: LoweringError where a returned value that is made of the last neurons' is more than a readout of them.

    Args:
        outputs: events of the tensors that are returned, in their order.
        last: the neurons whose spikes or membranes are returned.
        number: the time step that has just run; a loop inside the model has run all before it too.
    """
    singles: dict[tuple[nn.Module, int], list[int]] = {}
    for event in outputs:
        if last is None or not event.shape or not _is_made_of(event, last):
            continue
        found = _followed(event)
        if found.steps is None and bool((found.step == found.step.reshape(-1)[0]).all()):
            _check_neurons(event, found)
            singles.setdefault(found.source, []).append(int(found.step.reshape(-1)[0]))
        else:
            _check_whole(event, found, number)
    for places in singles.values():
        _check_list(outputs[0], places, number)


def _refused(event: Event, got: str) -> LoweringError:
    return LoweringError((Fault(event.label, RULE, got, HINT),))


def _followed(end: Event) -> Places:
    """The places of a value. Raises: LoweringError for whatever is no readout."""
    found: dict[int, Places | None] = {}
    waiting = [(end, False)]
    while waiting:  # without recursion: sums of many steps are deep
        event, ready = waiting.pop()
        if id(event) in found:
            continue
        if ready:
            found[id(event)] = _made(event, [found[id(part)] for part in event.inputs])
        elif isinstance(event.module, NEURONS):
            found[id(event)] = _of_neurons(event)
        else:
            waiting.append((event, True))
            waiting += [(part, False) for part in event.inputs]
    places = found[id(end)]
    assert places is not None  # it is made of the last neurons'
    return places


def _is_made_of(end: Event, last: nn.Module) -> bool:
    waiting, seen = [end], {id(end)}
    while waiting:
        event = waiting.pop()
        if isinstance(event.module, NEURONS):
            if event.module is last:
                return True
            continue
        new = [part for part in event.inputs if id(part) not in seen]
        seen |= set(map(id, new))
        waiting += new
    return False


def _of_neurons(event: Event) -> Places:
    part = int(event.options.get("part", _SPIKES)) if event.function == "state" else _SPIKES
    batch, size = event.shape[0], int(torch.Size(event.shape[1:]).numel())
    neuron = torch.arange(size).reshape(event.shape[1:]).expand(event.shape)
    sample = torch.arange(batch).reshape(-1, *[1] * (len(event.shape) - 1)).expand(event.shape)
    assert event.module is not None
    return Places((event.module, part), torch.full(event.shape, event.place), sample, neuron, batch, size)


def _made(event: Event, taken: list[Places | None]) -> Places | None:
    """The places of what a call gives; None of zeros."""
    name = plain_function(event.function.split(" ")[0])
    known = [places for places in taken if places is not None]
    if not known and all(part.function == "zeros" for part in event.inputs):
        return None
    if name == "add" and event.function == "add" and event.options.get("alpha", 1) == 1:
        return _added(event, known, taken)
    if len(known) < len(taken):
        raise _refused(event, f"{event.label.split(' at ')[0]} of them and of something else")
    if name in _JOINED:
        return _joined(event, name, known)
    if len(known) != 1:
        raise _refused(event, f"{_name(event)} of several of them")
    return _of_one(event, name, known[0])


def _of_one(event: Event, name: str, places: Places) -> Places:
    if event.module is not None:
        if not isinstance(event.module, _MODULES):
            raise _refused(event, f"a {type(event.module).__name__} behind them")
        name = "softmax" if isinstance(event.module, nn.Softmax | nn.LogSoftmax) else "reshape"
    if name in _SAME or (name in _CASTS and places.source[1] == _SPIKES):
        return places
    if name in _RESHAPED:
        return places.mapped(lambda each: each.reshape(event.shape))
    if event.function in MOVES:
        return places.mapped(lambda each: each.permute(order_of(event)))
    if name in ("t", "T", "mT"):
        return places.mapped(lambda each: each.transpose(-1, -2))
    if name in _TAKEN:
        return _part(event, name, places)
    if name in _REDUCED:
        return _reduced(event, places)
    if name in _SOFT:
        return _soft(event, places)
    if name in _BY_NUMBER and _number(event) > 0:
        return replace(places, scaled=places.scaled or event)
    raise _refused(event, f"{_name(event)} behind them")


def _name(event: Event) -> str:
    return event.label.split(" at ")[0]


def _number(event: Event) -> float:
    """The number that a value is multiplied or divided by, 0 where it is none."""
    values = [value for key, value in event.options.items() if key in ("other", "arguments")]
    flat = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]
    return float(flat[0]) if len(flat) == 1 and isinstance(flat[0], int | float) else 0.0


def _added(event: Event, known: list[Places], taken: list[Places | None]) -> Places:
    """A sum of steps, one by one; zeros at the start."""
    if len(known) < len(taken) and any(
        part.function != "zeros" and places is None for part, places in zip(event.inputs, taken, strict=True)
    ):
        raise _refused(event, "add of them and of something else")
    if len(known) == 1:
        return known[0]
    first, second = known
    sets = [each.steps or frozenset(torch.unique(each.step).tolist()) for each in known]
    alone = [each.steps is not None or len(steps) == 1 for each, steps in zip(known, sets, strict=True)]
    same = first.source == second.source and torch.equal(first.neuron, second.neuron)
    if not same or not torch.equal(first.sample, second.sample) or not all(alone):
        raise _refused(event, "add of different ones of them")
    if sets[0] & sets[1]:
        raise _refused(event, f"add of step {min(sets[0] & sets[1])} a second time")
    return replace(first, steps=sets[0] | sets[1], scaled=first.scaled or second.scaled)


def _joined(event: Event, name: str, known: list[Places]) -> Places:
    first = known[0]
    if any(each.source != first.source for each in known):
        raise _refused(event, f"{name} of those of several layers, or of spikes and membranes")
    if any(each.steps != first.steps for each in known):
        raise _refused(event, f"{name} of sums of different steps")
    options = {"dim": event.options["dim"]} if "dim" in event.options else {}

    def joined(of: Callable[[Places], Tensor]) -> Tensor:
        made: Tensor = getattr(torch, name)([of(each) for each in known], **options)
        return made

    scaled = next((each.scaled for each in known if each.scaled is not None), None)
    made = joined(lambda p: p.step), joined(lambda p: p.sample), joined(lambda p: p.neuron)
    return Places(first.source, *made, first.batch, first.size, first.steps, scaled)


def _part(event: Event, name: str, places: Places) -> Places:
    """Some of the values; what is missing is noticed at the end."""
    options = event.options
    if name == "getitem":
        return places.mapped(lambda each: each[options["index"]])
    if name in ("select", "unbind") or event.function.startswith("unbind"):
        return places.mapped(lambda each: each.select(int(options.get("dim", 0)), int(options["index"])))
    rest = {key: value for key, value in options.items() if key not in ("self", "index")}

    def some(each: Tensor) -> Tensor:
        made = getattr(torch, name)(each, **rest)
        return made if isinstance(made, Tensor) else made[options["index"]]

    return places.mapped(some)


def _axes(event: Event, rank: int) -> list[int]:
    """Those that a reduction takes away, the last first."""
    dim = event.options.get("dim")
    dims = range(rank) if dim is None or dim in ((), []) else dim if isinstance(dim, tuple | list) else (dim,)
    return sorted((int(axis) % rank for axis in dims), reverse=True)


def _reduced(event: Event, places: Places) -> Places:
    for axis in _axes(event, places.step.ndim):
        places = _over(event, places, axis)
    return places.mapped(lambda each: each.reshape(event.shape))


def _over(event: Event, places: Places, axis: int) -> Places:
    """Over all steps, or over groups of neurons."""
    step, sample, neuron = (each.amin(axis, keepdim=True) for each in (places.step, places.sample, places.neuron))
    if not torch.equal(sample.expand_as(places.sample), places.sample):
        raise _refused(event, f"{_name(event)} over the batch")
    if torch.equal(neuron.expand_as(places.neuron), places.neuron):
        if places.steps is not None or places.step.shape[axis] == 1:
            return places.mapped(lambda each: each.amin(axis, keepdim=True))
        rows = places.step.movedim(axis, -1).reshape(-1, places.step.shape[axis])
        each_step = {frozenset(one) for one in torch.unique(rows, dim=0).tolist()}
        if len(each_step) != 1 or len(next(iter(each_step))) != places.step.shape[axis]:
            raise _refused(event, f"{_name(event)} of different steps")
        return replace(places, step=step, sample=sample, neuron=neuron, steps=next(iter(each_step)))
    if not torch.equal(step.expand_as(places.step), places.step):
        raise _refused(event, f"{_name(event)} over neurons and steps at once")
    _check_neurons(event, places)
    groups = {int(one): number for number, one in enumerate(torch.unique(neuron))}
    renumbered = neuron.clone().apply_(lambda one: groups[int(one)])
    return replace(places, step=step, sample=sample, neuron=renumbered, size=len(groups))


def _soft(event: Event, places: Places) -> Places:
    dim = getattr(event.module, "dim", None) if event.module is not None else event.options.get("dim")
    axis = (places.step.ndim - 1 if dim is None else int(dim)) % places.step.ndim
    for each in (places.step, places.sample):
        if not torch.equal(each.amin(axis, keepdim=True).expand_as(each), each):
            raise _refused(event, f"{_name(event)} over something else than the classes")
    return replace(places, scaled=None)


# What must be there


def _check_neurons(event: Event, places: Places) -> None:
    """Raises: LoweringError unless all neurons of all samples are there, in their order."""
    for name, each, wanted in (("samples", places.sample, places.batch), ("neurons", places.neuron, places.size)):
        if (known := len(torch.unique(each))) < wanted:
            raise _refused(event, f"{known} of their {wanted} {name}")
    ahead = [_ascends(places.step, places.sample, places.neuron), _ascends(places.sample, places.step, places.neuron)]
    if not any(ahead):
        raise _refused(event, "another order of their steps or neurons")


def _ascends(*parts: Tensor) -> bool:
    """Whether elements come one after the other along every axis, ordered by these parts."""
    count = torch.zeros_like(parts[0])
    for part in parts:
        count = count * (int(part.max()) + 1) + part
    return all(bool((count.diff(dim=axis) > 0).all()) for axis in range(count.ndim))


def _check_whole(event: Event, places: Places, number: int) -> None:
    _check_neurons(event, places)
    steps = places.steps if places.steps is not None else frozenset(torch.unique(places.step).tolist())
    if steps not in (frozenset(range(number + 1)), frozenset([number])):
        raise _refused(event, f"{len(steps)} of the {number + 1} steps")
    if places.scaled is not None and places.steps is None:
        raise _refused(places.scaled, f"{_name(places.scaled)} behind them")


def _check_list(first: Event, places: list[int], number: int) -> None:
    """Of single steps, one after the other: all of them in their order, or the last one."""
    rest = list(places)
    while rest:
        run = [number] if rest[0] == number else list(range(number + 1))
        if rest[: len(run)] != run:
            raise _refused(first, f"steps {', '.join(map(str, rest[:3]))} ..., not all {number + 1} in their order")
        rest = rest[len(run) :]
