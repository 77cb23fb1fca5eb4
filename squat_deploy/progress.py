"""How far something long is, for those who want to know: nobody listens unless asked to.

with listening(print):
    squat_deploy.lower(...)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, int, int], object]  # what is done, how much of it is, and of how much
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Calls `listener(what, done, total)` now and then while this thread lowers, checks or exports in the block."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def report(what: str, done: int, total: int) -> None:
    """Tells the listener, if there is one; a total of 0 is one that nobody knows."""
    if (listener := _listener.get()) is not None:
        listener(what, done, total)
