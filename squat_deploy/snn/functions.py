"""Functions of the user's: what their code names, and which of them a module's forward may reach."""

from __future__ import annotations

import dis
import sys
import types
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain

from torch import nn

_CODES = 4096  # functions whose names are kept: the same ones are asked again for every model
LIBRARIES = ("torch", "snntorch", "brevitas", "squat_deploy")
_MADE = ("__init__", "__new__", "__init_subclass__", "__del__", "__getstate__", "__setstate__", "__deepcopy__")


def is_of_library(code: type | types.FunctionType) -> bool:
    """Whether a class or a function is none of the user's."""
    made = (code.__module__ or "builtins").split(".")[0]
    return made in LIBRARIES or (made != "__main__" and made in sys.stdlib_module_names)


def is_users(module: str | None) -> bool:
    """Whether a module of Python, by its name, is neither of Python itself nor installed."""
    top = (module or "builtins").split(".")[0]
    where = str(getattr(sys.modules.get(module or ""), "__file__", None) or "")
    return top == "__main__" or not (top in sys.stdlib_module_names or "-packages" in where)


@lru_cache(maxsize=_CODES)
def names_in(code: types.CodeType) -> tuple[str, ...]:
    """Names of globals and attributes in a function and those inside it."""
    inside = (names_in(part) for part in code.co_consts if isinstance(part, types.CodeType))
    return tuple(chain(code.co_names, *inside))


def lines_in(code: types.CodeType) -> Iterator[tuple[str, int]]:
    """The same names, and texts, with the lines on which they stand."""
    line = code.co_firstlineno
    for one in dis.get_instructions(code):
        line = one.starts_line or line
        if isinstance(one.argval, str):
            yield one.argval, line
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from lines_in(part)


@lru_cache(maxsize=_CODES)
def _globals_in(code: types.CodeType) -> tuple[str, ...]:
    """Names of globals alone."""
    own = (one.argval for one in dis.get_instructions(code) if one.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    inside = (_globals_in(part) for part in code.co_consts if isinstance(part, types.CodeType))
    return tuple(chain(own, *inside))


def cells_of(function: types.FunctionType) -> Iterator[tuple[str, types.CellType]]:
    """The variables that a function has from those around it; not yet bound ones are left out."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if name != "__class__" and not _is_empty(cell):
            yield name, cell


def _is_empty(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is None
    except ValueError:
        return True


def globals_of(function: types.FunctionType) -> Iterator[tuple[dict[str, object], str, str]]:
    """The globals that a function names, as (the space that has them, their names there, and as they are written).

    Those of modules of Python that it names are among them: `layers.fc`.
    """
    names = dict.fromkeys(names_in(function.__code__))
    for name in dict.fromkeys(_globals_in(function.__code__)):
        if name not in function.__globals__:
            continue
        yield function.__globals__, name, name
        value = function.__globals__[name]
        if isinstance(value, types.ModuleType) and value.__name__.split(".")[0] not in LIBRARIES:
            yield from ((vars(value), key, f"{name}.{key}") for key in names if key in vars(value))


class Reached:
    """Functions that the forwards of some modules may call: by name, so that there may be too many.

    Attributes:
        functions: of the user's, in the order in which they were found.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self.functions: dict[int, types.FunctionType] = {}
        self._names = {"forward"}
        self._owners: dict[type, None] = {}
        for module in modules:
            self.add(module)

    def add(self, value: object) -> None:
        """An object of the user's, a function, a class, or whatever else forward may have at hand."""
        if isinstance(value, types.MethodType):
            value = value.__func__
        if isinstance(value, types.FunctionType):
            self._visit(value)
            return
        kind = value if isinstance(value, type) else type(value)
        new = [base for base in kind.__mro__ if base not in self._owners and not is_of_library(base)]
        for base in new:
            self._owners[base] = None
            self._methods(base)
        own = vars(value).get("forward") if isinstance(value, nn.Module) else None
        if isinstance(own, types.FunctionType):
            self._visit(own)

    def _methods(self, owner: type) -> None:
        for key, value in list(vars(owner).items()):
            special = key.startswith("__") and key not in _MADE
            if key in self._names or special:
                for part in (value, *(getattr(value, name, None) for name in ("__func__", "fget", "func"))):
                    if isinstance(part, types.FunctionType):
                        self._visit(part)

    def _visit(self, function: types.FunctionType) -> None:
        if id(function) in self.functions or is_of_library(function):
            return
        self.functions[id(function)] = function
        new = set(names_in(function.__code__)) - self._names
        self._names |= new
        named = [space[key] for space, key, _ in globals_of(function)]
        for value in (*named, *(cell.cell_contents for _, cell in cells_of(function))):
            if isinstance(value, types.FunctionType | types.MethodType | type):
                self.add(value)
        if new:
            for owner in list(self._owners):
                self._methods(owner)
