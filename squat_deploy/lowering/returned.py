"""Recognising what a model returns: spikes or membranes of its neurons, by its recorded calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from squat_deploy.lowering.folding import Event
from squat_deploy.lowering.rounding import powers_of_two
from squat_deploy.network import InputSpec
from squat_deploy.network.readout import OF_MEMBRANES, Readout
from squat_deploy.snn.calling import Calling
from squat_deploy.snn.neurons import NEURONS, kind_of
from squat_deploy.snn.returned import Form, Part, Returned, of_sequential
from squat_deploy.snn.running import ModelTrace, OwnRun, is_plain

_Single = tuple[nn.Module, Part, int]


def returned_of(model: nn.Module, spec: InputSpec, steps: int, run: OwnRun, calling: Calling) -> Sequence[Returned]:
    """What is recognised of what a model returns; `run`: any run of it, watched. Raises: LoweringError, as `lower`."""
    from squat_deploy.lowering.tracing import followed_result

    if not is_plain(model):
        return followed_result(model, spec, steps, calling)
    last = list(run.traces)[-1]
    return of_sequential(run.returned[0], last, run.traces[last].spike)


def recognised(result: Any, names: Mapping[int, str], traces: Mapping[str, ModelTrace]) -> tuple[Returned, ...]:
    """Every tensor of a result, recorded and watched, that is spikes or membranes of one layer and nothing else.

    Its recorded calls say what it is; that it is equal, here, says that they were read well.

    Args: names: of modules, by id.
    """
    found = []
    for path, tensor in tensors_of(result):
        event = getattr(tensor, "event", None)
        if event is None or (read := _read(event)) is None:
            continue
        form, singles = read
        module, part, _ = singles[0]
        name = names.get(id(module), "")
        if name not in traces or any(one[:2] != (module, part) for one in singles):
            continue
        steps, spike = tuple(step for *_, step in singles), traces[name].spike
        if form in ("sum", "mean") and (part == "membranes" or not powers_of_two(np.array([spike]))):
            continue  # such sums round
        values = torch.stack(traces[name].spikes if part == "spikes" else traces[name].membranes)
        fitting = [
            said
            for axis in ((0, 1) if form == "stack" else (0,))
            if _equal((said := Returned(path, name, part, steps, form, axis, spike)).of(values), _plain(tensor))
        ]
        found += fitting if len(fitting) == 1 else []
    return tuple(found)


def recognised_by_values(
    path: tuple[Any, ...], tensor: Tensor, traces: Mapping[str, ModelTrace]
) -> tuple[bool, Returned | None]:
    """Whether a tensor without a record holds spikes or membranes of one layer, and how it can be compared later.

    Sums of membranes round in ways of their own, and are not compared.
    """
    for name, trace in traces.items():
        for part, kept in (("spikes", trace.spikes), ("membranes", trace.membranes)):
            values, steps = torch.stack(kept), tuple(range(len(kept)))
            ways = [(steps, "stack", axis) for axis in range(min(values.ndim, 3))]
            ways += [(steps, "sum", 0), (steps, "mean", 0), (steps[-1:], "one", 0)]
            for chosen, form, axis in ways:
                said = Returned(path, name, part, chosen, form, axis, trace.spike)  # type: ignore[arg-type]
                if _equal(said.of(values), tensor):
                    rounds = form in ("sum", "mean") and part == "membranes"
                    return True, None if rounds else said
    return False, None


def membranes_alone(result: Any) -> tuple[Readout, ...]:
    """The readouts that fit a recorded result made of membranes and of no spikes; empty for any other."""
    tensors = [tensor for _, tensor in tensors_of(result)]
    if any(tensor.numel() for tensor in tensors if not hasattr(tensor, "event")):  # spikes may be written into it
        return ()
    events = [tensor.event for tensor in tensors if hasattr(tensor, "event")]
    seen, functions, places = set[str](), set[str](), set[int]()
    for event in events:
        _gather(event, seen, functions, places)
    if seen != {"membranes"}:
        return ()
    if len(places) == 1 and min(places):  # of one step, and not of a model that is called for each
        return ("last-membrane",)
    if functions & {"mean", "sum", "add", "div"}:
        return ("mean-membrane",)
    if functions & {"max", "amax"}:
        return ("highest-membrane",)
    return OF_MEMBRANES


def _gather(event: Event, seen: set[str], functions: set[str], places: set[int]) -> None:
    """Notes of what an event is made, by which functions, and of which time steps, as far as layers."""
    open_ends, known = [event], {id(event)}
    while open_ends:
        part = open_ends.pop()
        if isinstance(part.module, NEURONS) and part.function in ("module", "state"):
            seen.add("spikes" if part.function == "module" else "membranes")
            places.add(part.place)
        elif part.module is not None or part.function == "input":
            seen.add("others")
        elif part.function != "zeros":
            functions.add(part.function.strip("_"))
            inner = [taken for taken in part.inputs if id(taken) not in known]
            known |= {id(taken) for taken in inner}
            open_ends += inner


def _plain(tensor: Tensor) -> Tensor:
    return tensor.as_subclass(Tensor)


def _equal(ours: Tensor, theirs: Tensor) -> bool:
    return ours.dtype == theirs.dtype and torch.equal(ours, theirs)


def tensors_of(result: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Tensor]]:
    """Every tensor in a result, with the keys and positions that lead to it."""
    if isinstance(result, Tensor):
        yield path, result
    elif isinstance(result, Mapping | tuple | list):
        parts = result.items() if isinstance(result, Mapping) else enumerate(result)
        for key, part in parts:
            yield from tensors_of(part, (*path, key))


def _read(event: Event) -> tuple[Form, list[_Single]] | None:
    """How an event is made of spikes or membranes, and of which."""
    if (single := _single(event)) is not None:
        return "one", [single]
    if event.function in ("sum", "mean") and len(event.inputs) == 1:
        inner = _read(event.inputs[0])
        return ("sum" if event.function == "sum" else "mean", inner[1]) if inner and inner[0] == "stack" else None
    if event.function == "stack":
        singles = [_single(part) for part in event.inputs]
        known = [single for single in singles if single is not None]
        return ("stack", known) if known and len(known) == len(singles) else None
    added = _added(event)
    return ("sum", added) if added else None


def _single(event: Event) -> _Single | None:
    """One layer's spikes or membranes of one step."""
    while event.function in ("detach", "clone") and len(event.inputs) == 1:
        event = event.inputs[0]
    if not isinstance(event.module, NEURONS):
        return None
    if event.function == "module":
        return event.module, "spikes", event.place
    states = kind_of(event.module).states
    last = event.function == "state" and event.options.get("part") == len(states)
    return (event.module, "membranes", event.place) if last else None


def _added(event: Event) -> list[_Single] | None:
    """The spikes that a chain of additions adds up."""
    found: list[_Single] = []
    open_ends = [event]
    while open_ends:
        part = open_ends.pop()
        if (single := _single(part)) is not None:
            found.append(single)
        elif part.function == "zeros":
            continue
        elif part.function == "add" and part.options.get("alpha", 1) == 1:
            open_ends += part.inputs
        else:
            return None
    return found
