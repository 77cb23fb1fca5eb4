"""A line on standard error for what takes longer than two seconds, where a person looks at it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID
from rich.text import Text

from squat_deploy.errors import printable
from squat_deploy.progress import listening

_PATIENCE, _APART = 2.0, 0.1  # seconds before the line comes, and between two of its states


class Line:
    """What is done now, and how much of it; gone when all is."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._last = clock, clock() + _PATIENCE - _APART
        columns = (_Name(), BarColumn(), MofNCompleteColumn())
        self._progress = Progress(*columns, console=console, transient=True, auto_refresh=False)
        self._task: TaskID | None = None

    def say(self, what: str, done: int, total: int) -> None:
        """A listener of `squat_deploy.progress`."""
        if self._clock() - self._last < _APART:
            return
        self._last = self._clock()
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task("")
        self._progress.update(self._task, description=what, completed=done, total=total, refresh=True)

    def end(self) -> None:
        if self._task is not None:
            self._progress.stop()


class _Name(ProgressColumn):
    """Names come from models: text as it is, never markup."""

    def render(self, task: Task) -> Text:
        return Text(printable(task.description))


@contextmanager
def progress(as_json: bool) -> Iterator[None]:
    """Shows how far what is long in this block is (lowering, golden sequences), on a terminal and for people."""
    with told_to(as_json) as say, listening(say):
        yield


@contextmanager
def told_to(as_json: bool) -> Iterator[Callable[[str, int, int], object]]:
    """What is to be told how far something in this block is: it shows it on a terminal and for people."""
    console = Console(stderr=True)
    if as_json or not console.is_terminal:
        yield lambda what, done, total: None
        return
    line = Line(console)
    try:
        yield line.say
    finally:
        line.end()
