"""What a model could change behind its record: contents of layers, its own attributes, random numbers.

A record is right only if what it was made from stays. So the contents of every layer are compared at each of its calls,
and what a model keeps in attributes, closures and globals before and after a whole sequence.
"""

from __future__ import annotations

import random
import types
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from squat_deploy.lowering.sizes import without_sizes
from squat_deploy.snn.functions import cells_of, is_users, names_in
from squat_deploy.snn.neurons import remembered

_MACHINERY = frozenset(vars(nn.Module()))  # what every module has, `training` among it
_DEPTH = 5  # of containers in containers
_SMALL = 2**18  # elements: what is larger is compared at its first and last call of a sequence
_SCALARS = (bool, int, float, complex, str, bytes, type(None))


class Contents:
    """Parameters, buffers, flags and plain attributes of one layer, as they were before the model ran."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer
        parts = list(layer.modules())
        self.tensors = [(part, key, value.detach().clone()) for part, key, value in _tensors(parts)]
        self.plain = _plain_attributes(parts)
        self.compared: set[int] = set()

    def changed(self, *, all_of_them: bool) -> str | None:
        """The name of what is another than before, or None."""
        parts = list(self.layer.modules())
        now = {(part, key): value for part, key, value in _tensors(parts)}
        before = {(part, key) for part, key, _ in self.tensors}
        if now.keys() != before:
            return sorted(key for _, key in now.keys() ^ before)[0]
        for number, (part, key, value) in enumerate(self.tensors):
            if value.numel() > _SMALL and number in self.compared and not all_of_them:
                continue
            self.compared.add(number)
            if not equal_bits(value, now[part, key]):
                return key
        plain = _plain_attributes(parts)
        if plain == self.plain:
            return None
        return next((key for (_, key), value in plain.items() if self.plain.get((_, key), self) != value), "a part")


def _tensors(parts: list[nn.Module]) -> Iterator[tuple[int, str, Tensor]]:
    """Every parameter and buffer but what is remembered, with the number of the part that holds it."""
    for number, part in enumerate(parts):
        states = remembered(part)
        for held in (part._parameters, part._buffers):
            for key, value in held.items():
                if value is not None and key not in states:
                    yield number, key, value


def _plain_attributes(parts: list[nn.Module]) -> dict[tuple[int, str], Any]:
    """Numbers, texts and functions of a layer and its parts, and whether something hooks into them."""
    found: dict[tuple[int, str], Any] = {}
    for number, part in enumerate(parts):
        found[number, "training"] = part.training
        found[number, "a hook"] = len(part._forward_hooks) + len(part._forward_pre_hooks)
        for key, value in part.__dict__.items():
            if key not in _MACHINERY and (isinstance(value, _SCALARS) or callable(value)):
                found[number, key] = value
    return found


def equal_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are of one type and shape and hold the same bits."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    pair = (value.detach().as_subclass(Tensor).contiguous().reshape(-1) for value in (one, other))
    return torch.equal(*(value.view(torch.uint8) if value.numel() else value for value in pair))


def kept_by(model: nn.Module, is_leaf: Callable[[nn.Module], bool]) -> dict[str, object]:
    """What a model's own modules keep: attributes, those of their classes, and numbers that their methods see."""
    found: dict[str, object] = {}
    for name, module in _own_modules(model, is_leaf, ""):
        found[f"{name}training"] = module.training
        for key, value in module.__dict__.items():
            if key not in _MACHINERY:
                found[name + key] = digest(value)
        for held in (module._parameters, module._buffers):
            found |= {name + key: digest(value) for key, value in held.items()}
        found |= _of_class(type(module), set())
    return found


def _own_modules(module: nn.Module, is_leaf: Callable[[nn.Module], bool], name: str) -> Iterator[tuple[str, nn.Module]]:
    """The user's modules, with what stands before the names of their attributes."""
    yield name, module
    for key, child in module.named_children():
        if not is_leaf(child):
            yield from _own_modules(child, is_leaf, f"{name}{key}.")


def _of_class(kind: type, done: set[int]) -> dict[str, object]:
    """Class attributes, and what methods see, as far as it holds no code."""
    found: dict[str, object] = {}
    for base in kind.__mro__:
        if id(base) in done or _is_library(base):
            continue
        done.add(id(base))
        for key, value in vars(base).items():
            method = getattr(
                value, "__func__", getattr(value, "fget", value)
            )  # of class and static ones, of properties
            if isinstance(method, types.FunctionType):
                found |= _seen_by(method, done)
            elif not key.startswith("__") and not _is_code(value):
                found[f"class {base.__name__}.{key}"] = digest(value)
    return found


def _seen_by(function: types.FunctionType, done: set[int]) -> dict[str, object]:
    """What a function keeps itself, and the globals and closures of it and of the user's code that it names."""
    if id(function) in done or _is_library(function):
        return {}
    done.add(id(function))
    names = set(names_in(function.__code__))
    seen = {name: function.__globals__[name] for name in names if name in function.__globals__}
    closure = {name: cell.cell_contents for name, cell in cells_of(function)}
    own = (function.__defaults__, function.__kwdefaults__, vars(function))
    found: dict[str, object] = {f"function {function.__qualname__}": digest(own)} if any(own) else {}
    for name, value in (seen | closure).items():
        if isinstance(value, types.FunctionType):
            found |= _seen_by(value, done)
        elif isinstance(value, type):
            found |= _of_class(value, done) if is_users(value.__module__) else {}
        elif isinstance(value, types.ModuleType):
            kept = {key: vars(value)[key] for key in names & vars(value).keys() if is_users(value.__name__)}
            found |= {f"global {name}.{key}": digest(part) for key, part in kept.items() if not _is_code(part)}
        elif not _is_code(value):
            found[f"global {name}"] = digest(value)
    return found


def _is_library(code: type | types.FunctionType) -> bool:
    return code.__module__ is None or code.__module__.split(".")[0] in ("torch", "snntorch", "brevitas", "builtins")


def _is_code(value: object) -> bool:
    if callable(value) and not isinstance(value, type | types.MethodType) and is_users(type(value).__module__):
        return isinstance(value, nn.Module)  # another object of the user's may keep something
    return callable(value) or isinstance(
        value, types.ModuleType | property | classmethod | staticmethod | type | nn.Module
    )


def digest(value: object, depth: int = _DEPTH) -> object:
    """What can be compared with `==` later, when the value itself has changed; recorded values count as such only."""
    value = without_sizes(value)
    if isinstance(value, _SCALARS) or depth == 0:
        return value if isinstance(value, _SCALARS) else type(value).__name__
    if isinstance(value, Tensor):
        return "a recorded value" if hasattr(value, "event") else _bytes_of(value)
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), value.tobytes()
    if isinstance(value, dict):
        return tuple((digest(key, depth - 1), digest(part, depth - 1)) for key, part in list(value.items()))
    if isinstance(value, list | tuple | deque):
        return type(value).__name__, tuple(digest(part, depth - 1) for part in value)
    if isinstance(value, set | frozenset):
        return tuple(sorted(repr(without_sizes(part)) for part in value))
    return _digest_of_object(value, depth)


def _digest_of_object(value: object, depth: int) -> object:
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, torch.Generator):
        return value.get_state().numpy().tobytes()
    if isinstance(value, types.GeneratorType):
        frame = value.gi_frame
        return id(value), None if frame is None else (frame.f_lasti, digest(frame.f_locals, depth - 1))
    if isinstance(value, nn.Module) or _is_code(value):
        return id(value)
    own = dict(getattr(value, "__dict__", None) or {})
    for base in type(value).__mro__:
        slots = vars(base).get("__slots__", ())
        own |= {
            key: getattr(value, key) for key in ([slots] if isinstance(slots, str) else slots) if hasattr(value, key)
        }
    if own:
        return id(value), digest(own, depth - 1)
    try:
        return repr(value)  # counters of itertools show their number
    except Exception:  # noqa: BLE001 (the user's own code)
        return id(value)


def _bytes_of(value: Tensor) -> object:
    if value.layout != torch.strided:
        return id(value)
    whole = value.detach().cpu().contiguous().reshape(-1)
    return tuple(value.shape), str(value.dtype), (whole.view(torch.uint8) if whole.numel() else whole).numpy().tobytes()


def random_states() -> tuple[object, ...]:
    """The state of every common source of random numbers, to compare."""
    numpy = np.random.get_state(legacy=True)
    return random.getstate(), repr(numpy[2:]), numpy[1].tobytes(), torch.get_rng_state().numpy().tobytes()  # type: ignore[index,union-attr]
