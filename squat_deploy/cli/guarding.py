"""One clear message an error, and nothing is written over what is read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import typer
from pydantic import ValidationError

from squat_deploy import interrupts
from squat_deploy.cli.console import INTERNAL, fail
from squat_deploy.errors import ConfigError, SquatError, faults_of
from squat_deploy.files import same_place

P = ParamSpec("P")
R = TypeVar("R")
WRITTEN = ("out", "picture", "nir")  # parameters of commands that name what is written; every other path is read
_EXTRAS = {
    "qonnx": ("onnx", "onnxruntime", "qonnx", "graphviz"),
    "study": ("dask", "distributed", "matplotlib"),
    "nir": ("nir", "h5py"),
    "events": ("tonic",),
}


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """One clear message and exit code 1 for every error that a user can cause; nothing is written over what is read."""
    names = list(inspect.signature(command).parameters)

    @wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        try:
            check_paths(given)
            return command(*args, **kwargs)
        except (typer.Exit, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 (the last resort, so that --json is always one document)
            explain(error, bool(given.get("as_json", False)))

    return wrapper


def check_paths(given: Mapping[str, Any]) -> None:
    """Raises: ConfigError where a file that a command writes is one that it reads, or another that it writes."""
    paths = [(name, path) for name, value in given.items() for path in _paths(name, value)]
    for index, (name, path) in enumerate(paths):
        for other, second in paths[index + 1 :]:
            written = name if name in WRITTEN else other
            if not {name, other} & set(WRITTEN) or path.is_dir() or not same_place(path, second):
                continue
            read = other if written == name else name
            does = "writes" if read in WRITTEN else "reads"
            raise ConfigError(f"--{written}: {path} is also what {_option(read)} {does}; name another file")


def _option(name: str) -> str:
    return name.upper() if name in ("network", "model", "config", "stores") else f"--{name.replace('_', '-')}"


def _paths(name: str, value: Any) -> Iterator[Path]:
    """Paths in an argument of a command; a model is path/to/file.py:factory, or a file."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, list | tuple):
        yield from (part for part in value if isinstance(part, Path))
    elif name == "model" and isinstance(value, str):
        yield Path(value if value.endswith(".onnx") else value.rpartition(":")[0] or value)


def explain(error: BaseException, as_json: bool) -> NoReturn:
    """Says what an error means to the user, and ends the command."""
    if isinstance(error, KeyboardInterrupt) or interrupts.seen():
        interrupts.handled()
        fail(interrupts.MESSAGE, as_json, code=interrupts.EXIT_CODE)
    if isinstance(error, SquatError):
        fail(str(error), as_json, error)
    if isinstance(error, ModuleNotFoundError):
        package = str(error.name).split(".")[0]
        extra = next((extra for extra, names in _EXTRAS.items() if package in names), "train")
        fail(f"this command needs the package {error.name}: pip install 'squat_deploy[{extra}]'", as_json)
    if isinstance(error, ValidationError):
        fail(f"options: {faults_of(error)}", as_json)
    text = " ".join(str(error).split())
    if isinstance(error, OSError):  # of the machine, not of this package
        fail(f"{error.strerror or text}{f': {error.filename}' if error.filename else ''}", as_json)
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        fail(f"not enough memory for these sizes: {text}", as_json)
    fail(f"internal error, please report it: {type(error).__name__}: {text}", as_json, code=INTERNAL)
