"""Layers that torch does not know of: in plain containers and objects, in closures, and in globals."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from torch import Tensor, nn

from squat_deploy.names import unique_name
from squat_deploy.snn.functions import Reached, cells_of, globals_of, is_of_library, is_users

_DEPTH = 6  # of containers in containers
_MOST = 4096  # entries of a container that are looked at
_NOTHING = (Tensor, type, types.ModuleType, str, bytes, int, float, complex, type(None))
_NAMESPACES = (types.SimpleNamespace, argparse.Namespace)
_MACHINERY = frozenset(vars(nn.Module()))
Target = tuple[int, str]


@dataclass(frozen=True, eq=False)
class Place:
    """Where code finds something that is no attribute of a module: what is copied must be put there while a copy runs.

    Attributes:
        target: the space that has it, and its name there.
        value: what is there; get, put: read and write it.
    """

    target: Target
    value: Any
    get: Callable[[], Any]
    put: Callable[[Any], None]

    def now(self) -> Place:
        """With what stands there at present."""
        return dataclasses.replace(self, value=self.get())


@dataclass
class Unregistered:
    """What a model uses and does not list.

    Attributes:
        layers: by the names of where they are.
        kinds: how each of them is kept, in words.
        places: globals, variables of closures, class attributes and defaults that hold modules.
    """

    layers: dict[str, nn.Module] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)


def unregistered_in(model: nn.Module, taken: frozenset[Target] = frozenset()) -> Unregistered:
    """Every layer that a model's forward may reach and that is not among its modules.

    Args: taken: places in which copies are put already.
    """
    search = _Search(model, taken)
    search.run()
    return search.found


class _Search:
    """Goes through attributes of the user's modules, and through what the functions that they reach can name."""

    def __init__(self, model: nn.Module, taken: frozenset[Target]) -> None:
        self.found = Unregistered()
        self.known = {id(module) for module in model.modules()}
        self.names = dict.fromkeys((name for name, _ in model.named_modules()), 1)
        self.waiting = deque(model.named_modules())
        self.reached = Reached(())
        self.done = set(taken)
        self.inside: set[int] = set()  # what is being looked into

    def run(self) -> None:
        looked = 0
        while self.waiting or looked < len(self.reached.functions):
            while self.waiting:
                self._module(*self.waiting.popleft())
            for function in list(self.reached.functions.values())[looked:]:
                looked += 1
                self._function(function)

    def _module(self, name: str, module: nn.Module) -> None:
        if is_of_library(type(module)):
            return
        for key, value in list(vars(module).items()):
            if key not in _MACHINERY and key[:2] != "__":
                self._take(_modules_in(value, f"{name}.{key}" if name else key, self), _kind(key, value))
        self.reached.add(module)
        for base in type(module).__mro__:
            for key, value in list(vars(base).items()) if not is_of_library(base) else ():
                if isinstance(value, nn.Module | list | tuple | dict):
                    self._attribute(base, key, key, f"{key} of the class {base.__name__}")

    def _function(self, function: types.FunctionType) -> None:
        for space, key, name in globals_of(function):
            get, put = functools.partial(space.__getitem__, key), functools.partial(space.__setitem__, key)
            self._place(Place((id(space), key), space[key], get, put), name, f"the global {name}")
        for name, cell in cells_of(function):
            self._attribute(cell, "cell_contents", name, f"{name}, a variable around a function")
        for key in ("__defaults__", "__kwdefaults__"):
            name = function.__name__.strip("<>")
            self._attribute(function, key, name, f"a default of {name}")

    def _attribute(self, owner: Any, key: str, name: str, kind: str) -> None:
        get, put = functools.partial(getattr, owner, key), functools.partial(setattr, owner, key)
        self._place(Place((id(owner), key), get(), get, put), name, kind)

    def _place(self, place: Place, name: str, kind: str) -> None:
        if place.target in self.done or isinstance(place.value, types.ModuleType | type):
            return
        self.done.add(place.target)
        inside = list(_modules_in(place.value, name, self))
        if inside:
            self.found.places.append(place)
            self._take(inside, kind)

    def _take(self, inside: Any, kind: str) -> None:
        for name, module in inside:
            if id(module) in self.known:
                continue
            name = unique_name(name, self.names)
            self.found.layers[name], self.found.kinds[name] = module, kind
            self.known |= {id(part) for part in module.modules()}
            self.waiting += module.named_modules(prefix=name)


def _kind(key: str, value: Any) -> str:
    kind = "dict" if isinstance(value, Mapping) else type(value).__name__
    return f"{key}, a plain {kind}" if isinstance(value, list | tuple | Mapping) else f"{key}, a {kind}"


def _modules_in(value: Any, name: str, search: _Search, depth: int = _DEPTH) -> Iterator[tuple[str, nn.Module]]:
    """The modules in containers, objects, partial functions and bound methods; functions are left to the search."""
    if isinstance(value, nn.Module):
        yield name, value
    elif isinstance(value, types.FunctionType):
        search.reached.add(value)
    elif depth and id(value) not in search.inside and not isinstance(value, _NOTHING):
        search.inside.add(id(value))
        for key, part in _parts(value, search):
            yield from _modules_in(part, f"{name}.{key}" if key else name, search, depth - 1)
        search.inside.discard(id(value))


def _parts(value: Any, search: _Search) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(str(key), part) for key, part in islice(value.items(), _MOST)]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return list(zip(value._fields, value, strict=True))
    if isinstance(value, list | tuple | deque | set | frozenset):
        return [(str(number), part) for number, part in enumerate(islice(value, _MOST))]
    if isinstance(value, functools.partial):
        return [("", value.func), *_parts(value.args, search), *value.keywords.items()]
    if isinstance(value, types.MethodType):
        search.reached.add(value)
        return [("", value.__self__)]
    kind = type(value)
    if kind not in _NAMESPACES and (is_of_library(kind) or not is_users(kind.__module__)):
        return []
    search.reached.add(value)
    slots = [key for base in kind.__mro__ for key in _slots(base) if hasattr(value, key)]
    return [*getattr(value, "__dict__", {}).items(), *((key, getattr(value, key)) for key in slots)]


def _slots(base: type) -> tuple[str, ...]:
    slots = vars(base).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)
