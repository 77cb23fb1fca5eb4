"""What the command line says: text as it is, never as markup; one JSON document with --json; one message an error.

Exit codes: 0, all is well; 1, what the user can mend; 2, wrong usage; 70, a fault of this package; 130, Ctrl-C.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from squat_deploy import interrupts
from squat_deploy.cli.progress import hidden
from squat_deploy.errors import LoweringError, SquatError, printable

USER, INTERNAL = 1, 70  # exit codes


class OutputError(SquatError):
    """Standard output is closed or full: there is nobody to tell but standard error."""


class Answers(Console):
    """Standard output for people."""

    def __init__(self) -> None:
        super().__init__(markup=False, emoji=False, highlight=False)

    def print(self, *objects: Any, **options: Any) -> None:
        """Text as it is: brackets and colons of names are no markup. Raises: OutputError."""
        with hidden(), writing():
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
def writing() -> Iterator[None]:
    """Raises: OutputError where standard output is closed or full."""
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
    with hidden(), contextlib.suppress(OSError, ValueError):
        stderr = Console(stderr=True, markup=False, emoji=False, highlight=False)
        stderr.print(Text(label, style=style), Text(printable(text)), soft_wrap=True)


def fail(message: str, as_json: bool, error: BaseException | None = None, code: int = USER) -> NoReturn:
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
    with writing():
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
