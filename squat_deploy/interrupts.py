"""Ctrl-C, whatever becomes of it: imports of compiled packages turn a KeyboardInterrupt into errors of other types.

Needs nothing but the standard library, so that it is in force while all else is imported.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 130
MESSAGE = "interrupted; nothing half-written is left behind"
_PATIENCE_S = 3.0
_seen = False


def seen() -> bool:
    """Whether Ctrl-C was pressed since `noticed` began."""
    return _seen


@contextmanager
def noticed() -> Iterator[None]:
    """Remembers every Ctrl-C of the block, beside raising KeyboardInterrupt; the outermost block counts.

    Some imports swallow the exception, and the command would go on: it is raised again until somebody has `handled` it.
    """
    global _seen
    old, alarm = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)
    if threading.current_thread() is not threading.main_thread() or old is not signal.default_int_handler:
        yield
        return
    _seen = False
    signal.signal(signal.SIGINT, _remember)
    try:
        yield
    finally:
        handled()
        signal.signal(signal.SIGINT, old)
        signal.signal(signal.SIGALRM, alarm)


def handled() -> None:
    """The command ends now: nothing is raised any more."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def _remember(_: int, __: FrameType | None) -> None:
    global _seen
    _seen = True
    signal.signal(signal.SIGALRM, _remember)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE_S)  # long enough to tidy up
    raise KeyboardInterrupt


def tell(*, as_json: bool) -> None:
    """Says that the command was interrupted, in the form that was asked for."""
    if as_json:
        sys.stdout.write(json.dumps({"ok": False, "error": MESSAGE, "faults": []}) + "\n")
    else:
        sys.stderr.write(f"error: {MESSAGE}\n")
