"""Every error that a user can cause: one small tree, and messages that say what, where, the rule, and what came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails


class SquatError(Exception):
    """Base of all errors of this package; the command line prints its text and exits with 1."""


class SquatWarning(UserWarning):
    """Something that is exact and yet probably not what the user wants; the command line prints it and goes on."""


class ConfigError(SquatError):
    """An option, an argument or a configuration file that cannot be used."""


class DatasetError(SquatError):
    """A data set that is missing, truncated, or not what its name says."""


class FileFormatError(SquatError):
    """A file that is not a Network, a checkpoint or a stimulus of the expected form."""


class ExportError(SquatError):
    """A folder that cannot be written, or that is not ours to replace."""


class ToolError(SquatError):
    """An external tool that is missing or failed; carries its command and the end of its log."""


class InternalError(SquatError):
    """Two executors that must agree do not: a fault of this package, never of the user's."""


@dataclass(frozen=True)
class Fault:
    """One reason why a model cannot be lowered.

    Attributes:
        layer: name of the module in the user's model.
        rule: the rule that is broken.
        got: the value that breaks it.
        hint: the nearest thing that would work.
    """

    layer: str
    rule: str
    got: str
    hint: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.rule}; got {self.got}; {self.hint}"


class LoweringError(SquatError):
    """A model that cannot be lowered; `faults` lists every reason at once."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self.faults = faults
        noun = "fault" if len(faults) == 1 else "faults"
        super().__init__(
            "\n".join([f"the model cannot be lowered, {len(faults)} {noun}:", *(f"  - {f}" for f in faults)])
        )

    def __reduce__(self) -> tuple[type[LoweringError], tuple[tuple[Fault, ...]]]:
        """Workers of a study send it to another process."""
        return type(self), (self.faults,)


class NotProvenError(LoweringError):
    """A model that can be lowered, but not proven to equal the integers on every input."""


@contextmanager
def translated(kind: type[SquatError], what: str) -> Iterator[None]:
    """Around the reading of untrusted files: libraries raise any type for a bad one, and all mean the same to the user.

    Raises: `kind` with `what` and the reason, in one line; errors of this package pass as they are.
    """
    try:
        yield
    except SquatError:
        raise
    except Exception as error:
        raise kind(f"{what}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """One line."""
    if isinstance(error, ValidationError):
        return faults_of(error)
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return printable(" ".join(text.split())[:400])


def faults_of(error: ValidationError) -> str:
    """What pydantic found, as "where: what", in one line."""
    faults = (f"{'.'.join(map(str, e['loc'])) or 'all of it'}: {_said(e)}" for e in error.errors()[:5])
    return printable("; ".join(faults))


def _said(fault: ErrorDetails) -> str:
    """With the value met, where it is short and the text does not say it."""
    text = str(fault["msg"]).removeprefix("Value error, ")
    shown = "got" not in text and isinstance(fault["input"], str | int | float)
    return f"{text}; got {fault['input']!r:.60}" if shown else text


def printable(text: str) -> str:
    """Text that no terminal takes for commands, and every encoding can write: what cannot be shown is escaped."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )
