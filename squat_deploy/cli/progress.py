"""A line on standard error for what takes longer than two seconds, where a person looks at it: one for all commands."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID
from rich.text import Text

from squat_deploy.errors import printable
from squat_deploy.progress import listening

_PATIENCE, _APART = 2.0, 0.1  # seconds before the line comes, and between two of its states
_SPEED = 600.0  # seconds from which the speed is taken: some steps take minutes
_shown: list[Line] = []  # that of the command that runs


class Line:
    """What is done now, how much of it, and the time left; it comes by itself, and goes while anything else is said.

    Args:
        what: is done until something is told.
        patience: seconds before it comes.
    """

    def __init__(self, console: Console, what: str, patience: float | None = None) -> None:
        self._console, self._patience, self._last = console, _PATIENCE if patience is None else patience, 0.0
        self._told: tuple[str, int, int | None] = (what, 0, None)
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._timer: threading.Timer | None = None
        self._lock = threading.RLock()

    def say(self, what: str, done: int, total: int) -> None:
        """A listener of `squat_deploy.progress`."""
        with self._lock:
            whole = total or None  # nobody knows how much there is
            other = whole != self._told[2] or done < self._told[1]
            self._told = what, done, whole
            if self._progress is None or (not other and time.monotonic() - self._last < _APART):
                return
            self._last = time.monotonic()
            change = self._progress.reset if other else self._progress.update  # another stage has a speed of its own
            change(self._task, description=what, completed=done, total=whole)

    def begin(self) -> None:
        """Comes after a while."""
        self._timer = threading.Timer(self._patience, self._come)
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        """Goes, and does not come any more until it begins again."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            timer, self._timer = self._timer, None
            shown, self._progress = self._progress, None
        if shown is not None:
            shown.stop()
        if timer is not None and timer is not threading.current_thread():
            timer.join()

    def _come(self) -> None:
        with self._lock:
            if self._timer is not threading.current_thread():  # ended meanwhile
                return
            what, done, total = self._told
            columns = SpinnerColumn(), _Name(), BarColumn(), _Count(), _Left()
            options: dict[str, Any] = {"transient": True, "redirect_stdout": False, "speed_estimate_period": _SPEED}
            self._progress = Progress(*columns, console=self._console, **options)
            self._task = self._progress.add_task(what, completed=done, total=total)
            self._progress.start()


class _Name(ProgressColumn):
    """Names come from models: text as it is, never markup."""

    def render(self, task: Task) -> Text:
        return Text(printable(task.description), overflow="ellipsis", no_wrap=True)


class _Count(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("" if task.total is None else f"{task.completed:,.0f}/{task.total:,.0f}")


class _Left(ProgressColumn):
    """What is left by the speed until now; where that is not known, what has gone."""

    def render(self, task: Task) -> Text:
        left = task.time_remaining if task.total is not None and task.completed else None
        if left is not None:
            return Text(f"{timedelta(seconds=round(left))} left", no_wrap=True)
        return Text(f"{timedelta(seconds=round(task.elapsed or 0))} so far", no_wrap=True)


@contextmanager
def progress(what: str, *, as_json: bool) -> Iterator[None]:
    """Shows how far what is long in this block is, on a terminal and for people.

    Args: what: what is done, until that is told (`squat_deploy.progress.report`).
    """
    console = Console(stderr=True)
    if as_json or not console.is_terminal or _shown:
        yield
        return
    line = Line(console, what)
    _shown.append(line)
    line.begin()
    try:
        with listening(line.say):
            yield
    finally:
        _shown.clear()
        line.end()


@contextmanager
def hidden() -> Iterator[None]:
    """No line while something else is printed, or asked."""
    lines = list(_shown)
    for line in lines:
        line.end()
    try:
        yield
    finally:
        for line in lines:
            if line in _shown:
                line.begin()
