"""Models with layers that torch does not know of, as models that list them all."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from brevitas.proxy.runtime_quant import ActQuantProxyFromInjectorBase
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from squat_deploy.errors import SquatWarning
from squat_deploy.snn.functions import Reached, is_of_library, names_in
from squat_deploy.snn.unregistered import Place, Target, unregistered_in

_SHOWN = 4


class Held(nn.ModuleList):
    """Layers by names that may have dots in them, which torch's own must not."""

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        super().__init__(layers.values())
        self.names = tuple(layers)

    def layers(self) -> Iterator[tuple[str, nn.Module]]:
        """With their names."""
        return zip(self.names, self, strict=True)


class Adopted(nn.Module):
    """A model and the layers that it keeps in lists, objects, closures and globals.

    A deep copy has copies of all of them, and while it runs they stand in the globals and closures in which the model
    finds them. The model itself sees what it saw: its own `children()` are no more than before.
    """

    def __init__(self, model: nn.Module, held: Held, places: tuple[Place, ...]) -> None:
        super().__init__()
        self.model, self.held, self.places = model, held, places
        self.training = model.training
        self.register_load_state_dict_pre_hook(_named_inside)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_named_outside)  # type: ignore[no-untyped-call]

    def forward(self, *args: Any, **given: Any) -> Any:
        """As the model inside."""
        with self.exchanged():
            return self.model(*args, **given)

    @contextlib.contextmanager
    def exchanged(self) -> Iterator[None]:
        """While this holds, globals and closures have the layers of this copy."""
        before = [place.now() for place in self.places]
        try:
            for place in self.places:
                place.put(place.value)
            yield
        finally:
            for place in before:
                place.put(place.value)

    @property
    def targets(self) -> frozenset[Target]:
        """Places in which copies are put."""
        return frozenset(place.target for place in self.places)

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """Those of the model inside, by the names that they have there, and its other layers."""
        memo = set() if memo is None else memo
        yield from self.model.named_modules(memo, prefix, remove_duplicate)
        for name, layer in self.held.layers():
            yield from layer.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def state_dict(self, *args: Any, prefix: str = "", **given: Any) -> Any:
        """That of the model inside, and of its other layers."""
        found = self.model.state_dict(*args, prefix=prefix, **given)
        for name, layer in self.held.layers():
            layer.state_dict(**{**given, "destination": found}, prefix=f"{prefix}{name}.")
        return found

    def get_submodule(self, target: str) -> nn.Module:
        """By the names of `named_modules`."""
        named = dict(self.named_modules(remove_duplicate=False))
        return named[target] if target in named else self.model.get_submodule(target)

    def __getattr__(self, name: str) -> Any:
        """What the model inside has."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if "model" not in self.__dict__.get("_modules", {}):
                raise
            return getattr(self._modules["model"], name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Adopted:
        copied = Adopted.__new__(type(self))
        memo[id(self)] = copied
        own = {key: value for key, value in vars(self).items() if key != "places"}
        vars(copied).update(copy.deepcopy(own, memo))
        copied.places = tuple(replace(place, value=copy.deepcopy(place.value, memo)) for place in self.places)
        return copied


def _named_inside(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Before loading: names as torch looks for them here."""
    assert isinstance(module, Adopted)
    module.__dict__["prefix"] = prefix
    for name in [name for name in state if name.startswith(prefix)]:
        rest = name.removeprefix(prefix)
        inside = next((old for old in _renamed(module) if rest.startswith(old)), "")
        state[f"{prefix}{_renamed(module).get(inside, 'model.')}{rest.removeprefix(inside)}"] = state.pop(name)


def _named_outside(module: nn.Module, keys: Any) -> None:
    """After it: the names that were missing, or too many, as everybody else knows them."""
    assert isinstance(module, Adopted)
    prefix = module.__dict__.pop("prefix", "")
    for names in keys:
        for old, new in (("", "model."), *_renamed(module).items()):
            new = prefix + new
            names[:] = [f"{prefix}{old}{name.removeprefix(new)}" if name.startswith(new) else name for name in names]


def _renamed(module: Adopted) -> dict[str, str]:
    """What names of its further layers begin with, and what they do in torch."""
    return {f"{name}.": f"held.{number}." for number, name in enumerate(module.held.names)}


def adopted(model: nn.Module) -> nn.Module:
    """A model with all layers that it uses among its modules; itself where it lists them all. Nothing is copied."""
    if isinstance(model, Adopted):
        return model
    found = unregistered_in(model, _targets_in(model))
    if not found.places and not found.layers:
        return model
    return Adopted(model, Held(found.layers), tuple(found.places))


def _targets_in(model: nn.Module) -> frozenset[Target]:
    """Places of models inside that are made whole already."""
    own = model.targets if isinstance(model, Adopted) else frozenset()
    return own.union(*(_targets_in(part) for part in model._modules.values() if part is not None))


def as_written(model: nn.Module) -> nn.Module:
    """The model of the user's inside."""
    return model.model if isinstance(model, Adopted) else model


def warn_of_unregistered(model: nn.Module) -> None:
    """Warns: SquatWarning of layers that the model does not list, and of those that `model.eval()` left in training."""
    found = unregistered_in(model, _targets_in(model))
    if not found.layers:
        return
    text = f"{_listed(found.layers)}: taken in from {_listed(dict.fromkeys(found.kinds.values()))}; not among "
    text += "model.modules(), so that model.parameters(), state_dict() and eval() do not reach them"
    named = {name: part for key, layer in found.layers.items() for name, part in layer.named_modules(prefix=key)}
    trained = [name for name, part in named.items() if part.training and _depends_on_mode(part)]
    if trained and not model.training:
        text += f"; {_listed(trained)} in training mode, and taken in eval mode: call eval() of them, since the model "
        text += "itself computes something else as it stands"
    warnings.warn(text, SquatWarning, stacklevel=3)


def note_of_unlisted(model: nn.Module) -> str | None:
    """That no state dict has the weights of some layers, where that is so."""
    layers = unregistered_in(model, _targets_in(model)).layers
    names = [name for name, layer in layers.items() if layer.state_dict()]
    if not names:
        return None
    return f"in no state dict, since the model does not list them, and as the factory makes them: {_listed(names)}"


def _listed(names: Any) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _depends_on_mode(module: nn.Module) -> bool:
    """Whether a module computes something else in training mode."""
    if isinstance(module, _DropoutNd):
        return module.p > 0
    if isinstance(module, _NormBase):
        return True
    if is_of_library(type(module)):
        return isinstance(module, ActQuantProxyFromInjectorBase) and bool(module.is_quant_enabled)
    return any("training" in names_in(function.__code__) for function in Reached([module]).functions.values())
