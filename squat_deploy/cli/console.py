"""What the command line says: text as it is, never as markup; one JSON document with --json; one message an error.

Exit codes: 0, all is well; 1, what the user can mend; 2, wrong usage; 70, a fault of this package; 130, Ctrl-C.
"""

from __future__ import annotations

import contextlib
import errno
import inspect
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from squat_deploy import interrupts
from squat_deploy.errors import ConfigError, LoweringError, SquatError, printable
from squat_deploy.files import same_place

P = ParamSpec("P")
R = TypeVar("R")
WRITTEN = ("out", "picture")  # parameters of commands that name what is written; every other path is read
_USER, _INTERNAL = 1, 70
_EXTRAS = {
    "qonnx": ("onnx", "onnxruntime", "qonnx", "graphviz"),
    "study": ("dask", "distributed", "matplotlib", "scipy"),
    "nir": ("nir", "h5py"),
    "events": ("tonic",),
}


class OutputError(SquatError):
    """Standard output is closed or full: there is nobody to tell but standard error."""


class Answers(Console):
    """Standard output for people."""

    def __init__(self) -> None:
        super().__init__(markup=False, emoji=False, highlight=False)

    def print(self, *objects: Any, **options: Any) -> None:
        """Text as it is: brackets and colons of names are no markup. Raises: OutputError."""
        with _writing():
            for part in objects:
                if isinstance(part, str):
                    super().print(printable(part), **{"soft_wrap": True, **options})
                else:
                    super().print(part, **options)

    def on_broken_pipe(self) -> None:
        """Not the end of the process, as by default, but an error like others."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def answer(document: Mapping[str, Any]) -> None:
    """Prints the one JSON document of a command. Raises: OutputError."""
    if interrupts.seen():
        raise KeyboardInterrupt  # some import may have swallowed the first one
    try:
        text = json.dumps(document, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(document), allow_nan=False)
    _written(text)


def _finite(value: Any) -> Any:
    """JSON has neither infinity nor NaN: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a closed file
        _drop_output()
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise OutputError(f"cannot write to standard output: {reason or type(error).__name__}") from error


def _drop_output() -> None:
    """What is still in the buffer goes nowhere, so that the end of the process does not fail once more."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def told(label: str, text: str, style: str = "bold red") -> None:
    """One line on standard error for people."""
    with contextlib.suppress(OSError, ValueError):
        stderr = Console(stderr=True, markup=False, emoji=False, highlight=False)
        stderr.print(Text(label, style=style), Text(printable(text)), soft_wrap=True)


def fail(message: str, as_json: bool, error: BaseException | None = None, code: int = _USER) -> NoReturn:
    """Says what went wrong, and ends the command."""
    if as_json and not isinstance(error, OutputError):
        faults = [vars(fault) for fault in error.faults] if isinstance(error, LoweringError) else []
        try:
            _written(json.dumps({"ok": False, "error": message, "faults": faults}))
        except OutputError as closed:
            told("error:", str(closed))
    else:
        told("error:", message)
    raise typer.Exit(code)


def _written(line: str) -> None:
    with _writing():
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


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
            _explain(error, bool(given.get("as_json", False)))

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


def _explain(error: BaseException, as_json: bool) -> NoReturn:
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
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        fail(f"options: {faults}", as_json)
    text = " ".join(str(error).split())
    if isinstance(error, OSError):  # of the machine, not of this package
        fail(f"{error.strerror or text}{f': {error.filename}' if error.filename else ''}", as_json)
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        fail(f"not enough memory for these sizes: {text}", as_json)
    fail(f"internal error, please report it: {type(error).__name__}: {text}", as_json, code=_INTERNAL)


class Commands(TyperGroup):
    """All commands: wrong usage is one document too, and an answer that reaches nobody is an error."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """As click's, and ends the process with an exit code where it stands alone."""
        given = list(sys.argv[1:] if args is None else args)

        def call() -> Any:
            return super(Commands, self).main(given, prog_name, complete_var, False, windows_expand_args, **extra)

        if not standalone_mode:
            return call()
        with interrupts.noticed():
            sys.exit(_code_of(call, as_json="--json" in given))


def _code_of(call: Callable[[], Any], *, as_json: bool) -> int:
    """Runs a command. Returns: its exit code."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 (until the process ends)
    if sys.stdout is None:  # nor may a file that is opened later take its number
        told("error:", "cannot write to standard output: it is closed")
        return _USER
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    code = _ran(call, as_json=as_json)
    try:
        with _writing():
            sys.stdout.flush()
    except OutputError as error:
        told("error:", str(error))
        return code or _USER
    return code


def _ran(call: Callable[[], Any], *, as_json: bool) -> int:
    try:
        try:
            code = call()
            return code if isinstance(code, int) else 0
        except SystemExit as error:
            return error.code if isinstance(error.code, int) else _USER
        except BaseException as error:  # noqa: BLE001 (what comes before or after a command)
            if hasattr(error, "format_message"):  # wrong usage, as click and typer raise it
                return _misused(error, as_json=as_json)
            _explain(KeyboardInterrupt() if isinstance(error, typer.Abort) else error, as_json)
    except typer.Exit as error:
        return error.exit_code


def _misused(error: Any, *, as_json: bool) -> int:
    code = int(error.exit_code)
    if as_json:
        fail(error.format_message(), True, code=code)
    with contextlib.suppress(OSError):
        error.show(file=sys.stderr)
    return code
