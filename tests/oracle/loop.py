"""The oracle: the user's model called as the user calls it, in a plain loop over time. Nothing of the product."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.oracle.models import Case, neurons_of, unregistered


@dataclass(frozen=True)
class Record:
    """What one run did.

    Attributes:
        spikes: (T, B, N) bool of every neuron module by name.
        membranes: (T, B, N) float32 that each of them keeps.
        returned: (T, B, N) bool of what the model itself returned, or counts (B, N).
    """

    spikes: dict[str, NDArray[np.bool_]]
    membranes: dict[str, NDArray[np.float32]]
    returned: NDArray[Any]


def real_inputs(case: Case, integers: NDArray[np.int64]) -> Tensor:
    """What the integers are worth, as float32."""
    return torch.from_numpy((integers * case.step).astype(np.float32))


@torch.no_grad()
def play(case: Case, integers: NDArray[np.int64]) -> Record:
    """A fresh copy of the model on (B, *shape), or (T, B, *shape) for sequences."""
    model = copy.deepcopy(case.model).eval()
    inputs = real_inputs(case, integers)
    spikes: dict[str, list[Tensor]] = {}
    membranes: dict[str, list[Tensor]] = {}
    handles = [
        module.register_forward_hook(_kept(spikes.setdefault(name, []), membranes.setdefault(name, [])))
        for name, module in neurons_of(model)
    ]
    states = () if case.state is None else case.state(inputs.shape[0 if case.direct else 1])
    if case.loops:
        result = model(inputs, *states)
        returned = _spikes_in(case, result if case.state is None else result[0])
        if case.returns == "late":
            returned = returned.transpose(0, 1)
    else:
        each = []
        for step in range(case.steps):
            result = model(inputs if case.direct else inputs[step], *states)
            each.append(_spikes_in(case, result).clone())
            states = _left(result, len(states)) if case.state else ()
        returned = torch.stack(each)
    for handle in handles:
        handle.remove()
    return Record(
        {name: torch.stack(values).flatten(2).numpy() > 0 for name, values in spikes.items()},
        {name: torch.stack(values).flatten(2).numpy() for name, values in membranes.items()},
        returned.numpy() if case.returns == "count" else returned.flatten(2).numpy() > 0,
    )


def _left(result: Any, count: int) -> tuple[Any, ...]:
    """The states for the next step: the last of what was returned, or all behind the first."""
    if count == 1:
        return (result[-1],)
    return tuple(result[1:]) if len(result) == count + 1 else tuple(result[1])


def _kept(spikes: list[Tensor], membranes: list[Tensor]) -> Callable[..., None]:
    """A hook that copies: what a model returns may be changed later in place."""

    def hook(module: Any, _: Any, result: Any) -> None:
        spikes.append((result[0] if isinstance(result, tuple) else result).clone())
        membranes.append(module.mem.clone())

    return hook


def _spikes_in(case: Case, result: Any) -> Tensor:
    if case.returns == "dict":
        result = result["spikes"]
    return result[0] if isinstance(result, tuple) else result


@torch.no_grad()
def first_currents(case: Case, integers: NDArray[np.int64], kind: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The current that every neuron module gets in the first step, by name."""
    model = copy.deepcopy(case.model).eval().to(kind)
    for _, module in unregistered(model):
        module.to(kind)
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_: Any, given: Any) -> None:
            found.setdefault(name, given[0].clone())

        return hook

    for name, module in neurons_of(model):
        module.register_forward_pre_hook(keep(name))
    inputs = real_inputs(case, integers).to(kind)
    with contextlib.suppress(RuntimeError):  # state quantizers are float32: the first current is there already
        model(inputs if case.loops or case.direct else inputs[0])
    return found
