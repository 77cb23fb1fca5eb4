"""A tool as a process of its own: its log kept, read line by line while it runs, ended with whoever waits for it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from squat_deploy.errors import ToolError, printable
from squat_deploy.toolchain import tail

_FIRST_ERROR = re.compile(r"^(?:ERROR: ?|[^\n]*: ERROR: ?|Traceback )[^\n]*", re.MULTILINE)
_PATIENCE_S = 5.0  # that a tool has between the question to end and its end


def run_logged(
    name: str, command: Sequence[str], folder: Path, log: Path, *, given: str = "", line: Callable[[str], object]
) -> float:
    """Runs a command in `folder` with a text on its standard input, calls `line` for all that it prints, and returns
    the CPU seconds that it took.

    Raises: ToolError with the first error of its log, and where that is.
    """
    before = os.times()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as kept, _process(command, folder) as process:
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(given)
            process.stdin.close()
        for text in process.stdout:
            kept.write(text)
            line(text.rstrip("\n"))
        code = process.wait()
    if code:
        raise ToolError(f"{name}: {first_error(log.read_text(errors='replace'), code)}\n    log: {log}")
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def first_error(log: str, code: int) -> str:
    """The first error in a log, or how the tool ended and the last lines."""
    found = _FIRST_ERROR.search(log)
    if found is not None and not found[0].startswith("Traceback"):
        return printable(found[0].strip())
    how = f"killed by signal {-code}, for want of memory perhaps" if code < 0 else f"exit code {code}"
    return f"{how}\n{printable(tail(log))}"


@contextlib.contextmanager
def _process(command: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise ToolError(f"cannot run {command[0]}: {getattr(error, 'strerror', None) or error}") from error
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Ends it and all that it started, politely first."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        until = time.monotonic() + _PATIENCE_S
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
