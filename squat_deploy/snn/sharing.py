"""One neuron module that serves several layers: exact where each of them hands in and keeps its own states.

`spk1, mem1 = lif(fc1(x), mem1); spk2, mem2 = lif(fc2(spk1), mem2)`: what the module holds is overwritten by what it is
given, so that it is a function of its arguments, and every layer may as well have a copy of it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from squat_deploy.errors import Fault, LoweringError, SquatError
from squat_deploy.snn.copying import deep_copy
from squat_deploy.snn.neurons import NEURONS, arguments_of, kind_of, own_instances, reset_neurons
from squat_deploy.snn.running import is_plain
from squat_deploy.snn.states import starts_of

_USE = "use"  # and its number, behind the name of the module
_RULE = "neurons that serve several layers are given the states of each"
_HINT = "pass the states and keep what comes back, spk, mem = lif(current, mem), or make a module for each layer"


class Shared(nn.Module):
    """Neurons in the place of one module that several layers call, a copy for each, called in a fixed order.

    Attributes:
        order: which of them each call of a sequence (or of a step, where that is a call of the model) is of.
    """

    def __init__(self, neurons: nn.Module, order: tuple[int, ...]) -> None:
        super().__init__()
        self.uses = nn.ModuleList(
            [neurons, *(_repeated(copy.deepcopy(neurons)) for _ in range(max(order)))]  # the first use is itself
        )
        self.order, self.count = order, 0
        self.training = neurons.training

    def forward(self, *args: Any, **given: Any) -> Any:
        """As the one module does."""
        first = self.uses[0]
        if not _are_given(first, args, given):
            raise _refused(first, "a call without states")
        if all(_at_rest(neurons) for neurons in self.uses):
            self.count = 0
        use = self.order[self.count % len(self.order)]
        self.count += 1
        return self.uses[use](*args, **given)

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """The first use by the name of the module, the others behind it."""
        memo = set() if memo is None else memo
        for number, neurons in enumerate(self.uses):
            name = prefix if not number else f"{prefix}.{_USE}{number + 1}"
            yield from neurons.named_modules(memo, name, remove_duplicate)

    def state_dict(self, *args: Any, **given: Any) -> Any:
        """That of the one module."""
        return self.uses[0].state_dict(*args, **given)

    def __getattr__(self, name: str) -> Any:
        """What the one module has, but its states: those of which use?"""
        try:
            return super().__getattr__(name)
        except AttributeError:
            uses = self.__dict__.get("_modules", {}).get("uses")
            if uses is None:
                raise
            if name in ("spk", *kind_of(uses[0]).states):
                raise _refused(uses[0], f"its own {name}, in which all of them leave theirs") from None
            return getattr(uses[0], name)


def _refused(neurons: nn.Module, got: str) -> LoweringError:
    return LoweringError((Fault(type(neurons).__name__, _RULE, got, _HINT),))


def _repeated(neurons: nn.Module) -> nn.Module:
    neurons.__dict__["repeats"] = True  # no model of its own has these weights
    return neurons


def is_repeated(module: nn.Module) -> bool:
    """Whether it stands for a further use of a module that is there once."""
    return "repeats" in vars(module)


def uses_of(name: str, names: Iterable[str]) -> list[str]:
    """Which of these names are those of one module's uses."""
    return [other for other in names if module_of(other) == name]


def module_of(name: str) -> str:
    """The module that one of several uses is of."""
    return re.sub(rf"\.{_USE}[0-9]+$", "", name)


def _at_rest(neurons: nn.Module) -> bool:
    return all(getattr(neurons, name).numel() == 0 for name in kind_of(neurons).states)


def _given(neurons: nn.Module, args: tuple[Any, ...], given: dict[str, Any]) -> list[Any]:
    """The states that a call is given, None where it is not."""
    kind = kind_of(neurons)
    names = arguments_of(type(neurons).forward)
    values = dict(zip(names, args, strict=False)) | given
    return [values.get(name) for name in (*(["spk"] if kind.recurrent else []), *kind.states)]


def _are_given(neurons: nn.Module, args: tuple[Any, ...], given: dict[str, Any]) -> bool:
    return all(isinstance(value, Tensor) for value in _given(neurons, args, given))


@dataclass
class _Calls:
    """Of one module: which use each call is of, by the states that it is given."""

    order: list[int] = field(default_factory=list)
    left: list[Tensor] = field(default_factory=list)  # membranes that each use returned last, kept alive
    apart: bool = True

    def before(self, module: nn.Module, args: tuple[Any, ...], given: dict[str, Any]) -> None:
        self.apart = self.apart and _are_given(module, args, given)
        if self.apart:
            self.order.append(self._use(_given(module, args, given)[-1]))

    def after(self, _module: nn.Module, _args: Any, result: Any) -> None:
        self.apart = self.apart and isinstance(result, tuple)
        if self.apart:
            use, membrane = self.order[-1], result[-1]
            self.left[use : use + 1] = [membrane]

    def _use(self, given: Tensor) -> int:
        """That which left this tensor or, of copies, the same values; a new one for zeros."""
        same = [use for use, left in enumerate(self.left) if left.data_ptr() == given.data_ptr() and given.numel()]
        if same or not bool(given.any()):
            return same[0] if same else len(self.left)
        equal = [use for use, left in enumerate(self.left) if torch.equal(left, given)]
        self.apart = self.apart and bool(equal)  # else a state that none of them left
        waiting = sorted(equal, key=lambda use: max(i for i, one in enumerate(self.order) if one == use))
        return waiting[0] if waiting else len(self.left)

    def of(self, times: int, steps: int) -> tuple[int, ...] | None:
        """The order, where there are several uses and each runs so many times: in all steps, or in one."""
        counts = {self.order.count(use) for use in self.order}
        anew = times == 1 and len(self.order) == steps > 1  # a loop that starts from rest in every step
        return tuple(self.order) if self.apart and len(self.left) > 1 and counts == {times} and not anew else None


def taken_apart(model: nn.Module, inputs: Tensor, steps: int, *, direct: bool, initial_state: Any = None) -> nn.Module:
    """A copy in which every layer has neurons of its own, where one module serves several; else the model itself.

    How they are called is found by running copies, and is no more than a guess: whoever records or compares such a
    model checks that each use is given what it left.

    Args: as `calling_of`.
    """
    if is_plain(model) or not any(isinstance(module, NEURONS) for module in model.modules()):
        return model
    orders = _orders(model, inputs, steps, direct, initial_state)
    if not orders:
        return model
    named = dict(model.named_modules())
    return copy.deepcopy(model, {id(named[name]): Shared(named[name], order) for name, order in orders.items()})


def _orders(
    model: nn.Module, inputs: Tensor, steps: int, direct: bool, initial_state: Any
) -> dict[str, tuple[int, ...]]:
    """Of the first form in which the model runs: by names, the order of calls of modules that serve several layers."""
    try:
        starts, alone = starts_of(model, initial_state)
    except SquatError:  # told when it is called
        return {}
    for whole in (False,) if direct else (True, False):
        values = inputs if direct or whole else inputs[0]
        for start in (*([None] if alone and initial_state is None else []), *starts):
            states = () if start is None else start.first(values.shape[int(whole)])
            calls = _watched(model, values, states)
            found = {
                name: order
                for name, one in (calls or {}).items()
                for times in (steps, 1)
                if (order := one.of(times, steps)) is not None
            }
            if found:
                return found
    return {}


@torch.no_grad()
def _watched(model: nn.Module, values: Tensor, states: tuple[Any, ...]) -> dict[str, _Calls] | None:
    """The calls of every neuron module in one call of a copy; None where that fails."""
    copied, found = deep_copy(model), dict[str, _Calls]()
    reset_neurons(copied)
    for name, module in copied.named_modules():
        if isinstance(module, NEURONS):
            found[name] = _Calls()
            module.register_forward_pre_hook(found[name].before, with_kwargs=True)
            module.register_forward_hook(found[name].after)
    try:
        with own_instances(copied):
            copied(values.clone(), *states)
    except Exception:  # noqa: BLE001 (whatever the user's code raises is told later)
        return None
    return found
