"""Layers that torch does not know of: in plain lists, tuples and dictionaries, and in globals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import FrameType

from torch import nn


def kept_outside(model: nn.Module) -> tuple[str, str] | None:
    """Where a model has layers that are not among its modules, and what to do; None where there are none."""
    own = set(map(id, model.modules()))
    for name, module in model.named_modules():
        for key, held in _containers(module):
            if any(id(part) not in own for part in _modules_in(held)):
                return _in_container(f"{name}.{key}" if name else key, held)
    function = getattr(type(model).forward, "__func__", type(model).forward)
    code, space = getattr(function, "__code__", None), getattr(function, "__globals__", {})
    for name in code.co_names if code is not None else ():
        if isinstance(space.get(name), nn.Module) and id(space[name]) not in own:
            return _global(name)
    return None


def where_kept(layer: nn.Module, frame: FrameType | None) -> tuple[str, str] | None:
    """Where the code in a frame has this layer from, if that is a container of one of its modules, or a global."""
    if frame is None:
        return None
    for module in (value for value in frame.f_locals.values() if isinstance(value, nn.Module)):
        for key, held in _containers(module):
            if any(part is layer for part in _modules_in(held)):
                return _in_container(key, held)
    for name, value in frame.f_globals.items():
        if value is layer or any(part is layer for part in _modules_in(value)):
            return _global(name)
    return None


def _in_container(name: str, held: object) -> tuple[str, str]:
    kind = "dict" if isinstance(held, Mapping) else type(held).__name__
    made = "nn.ModuleDict" if isinstance(held, Mapping) else "nn.ModuleList"
    return f"in {name}, a plain {kind}", f"put what is in it into an {made}: self.{name} = {made}(...)"


def _global(name: str) -> tuple[str, str]:
    return f"the global {name}", f"make it an attribute of the model, self.{name} = {name}, and use that in forward"


def _containers(module: nn.Module) -> Iterator[tuple[str, object]]:
    """Plain containers among a module's attributes."""
    for key, value in vars(module).items():
        if key[:1] != "_" and isinstance(value, list | tuple | Mapping):
            yield key, value


def _modules_in(held: object, depth: int = 2) -> Iterator[nn.Module]:
    parts = held.values() if isinstance(held, Mapping) else held if isinstance(held, list | tuple) else ()
    for part in parts:
        if isinstance(part, nn.Module):
            yield part
        elif depth:
            yield from _modules_in(part, depth - 1)
