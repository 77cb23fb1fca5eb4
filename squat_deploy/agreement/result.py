"""What `verify` returns: a row an executor, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from squat_deploy.errors import ConfigError, FileFormatError, translated
from squat_deploy.network.observed import Verdict
from squat_deploy.network.tabled import Tabled
from squat_deploy.network.tally import Tally


@dataclass(frozen=True)
class ExecutorRow:
    """One executor's share of an agreement.

    Attributes:
        form: which of the emitted graphs was run ("step", "sequence", "finn"); empty where there is but one program.
        values: how many values were compared with the NumPy trace, counted where they are; of that trace itself, how
            many it has.
        mismatches: how many differ.
        first: where the first difference is.
        accuracy: share of correct classes, if labels were given.
        samples_per_second: of this run, tracing included; None where too short to time.
    """

    executor: str
    samples: int
    steps: int
    values: int
    mismatches: int
    first: str | None
    accuracy: float | None
    samples_per_second: float | None
    form: str = ""

    @property
    def label(self) -> str:
        """Executor and form."""
        return f"{self.executor} {self.form}".rstrip()


@dataclass(frozen=True)
class Agreement:
    """Result of `verify`.

    Attributes:
        not_run: what was left out, and why.
        warnings: what a reader should know although nothing differs; that the model is another one comes first.
        inputs: what it was run on, "64 random sequences" or "5 given sequences".
    """

    rows: tuple[ExecutorRow, ...]
    not_run: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    inputs: str = ""

    @property
    def agrees(self) -> bool:
        """Whether no executor differs anywhere."""
        return all(row.mismatches == 0 for row in self.rows)

    def table(self) -> Tabled:
        """An executor a row; all of them are compared with the NumPy trace."""
        title = f"agreement on {self.inputs}" if self.inputs else "agreement"
        rows = tuple(
            (
                row.label,
                f"{row.samples:,}",
                f"{row.values:,}",
                f"{row.mismatches:,}",
                "" if row.accuracy is None else f"{row.accuracy:.2%}",
                "" if row.samples_per_second is None else f"{row.samples_per_second:,.0f}",
            )
            for row in self.rows
        )
        first = [f"{row.label} differs first at {row.first}" for row in self.rows if row.mismatches]
        notes = (*first, *self.warnings, *(f"not run: {reason}" for reason in self.not_run))
        return Tabled(title, ("executor", "samples", "values", "mismatches", "accuracy", "samples/s"), rows, notes)

    def _repr_html_(self) -> str:
        """In notebooks."""
        return self.table().html

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "agrees": self.agrees,
            "executors": [asdict(row) for row in self.rows],
            "not_run": list(self.not_run),
            "warnings": list(self.warnings),
            "inputs": self.inputs,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], what: str = "agreement") -> Agreement:
        """The inverse of `to_dict`; other keys are left alone. Raises: FileFormatError naming `what`."""
        with translated(FileFormatError, f"{what}: not an agreement"):
            return cls(
                _ROWS.validate_python(data["executors"]),
                _TEXTS.validate_python(data["not_run"]),
                _TEXTS.validate_python(data["warnings"]),
                *_TEXTS.validate_python([data["inputs"]]),
            )


_ROWS = TypeAdapter(tuple[ExecutorRow, ...])
_TEXTS = TypeAdapter(tuple[str, ...])


def judged(tally: Tally, verdict: Verdict | None) -> tuple[int, int, str | None]:
    """Values, mismatches and the first of them, by the comparison here and the engine's own, which must agree.

    The engine's own counts stand where it has some: it compares at least as much.
    """
    if verdict is None:
        return tally.values, tally.mismatches, tally.first
    if not tally.mismatches and verdict.mismatches:
        return verdict.values, verdict.mismatches, f"its traces agree, but it says itself: {verdict.first}"
    if tally.mismatches and not verdict.mismatches:
        return verdict.values, tally.mismatches, f"{tally.first}, and it says itself that all agree"
    return verdict.values, verdict.mismatches, tally.first


def check_labels(labels: NDArray[Any] | None, samples: int) -> None:
    """Raises: ConfigError unless labels are one integer a sample."""
    if labels is None:
        return
    array = np.asarray(labels)
    if array.shape != (samples,) or array.dtype.kind not in "iu":
        raise ConfigError(f"labels: expected {samples} integers; got {array.dtype} of shape {array.shape}")


def accuracy_of(classes: NDArray[Any], labels: NDArray[Any] | None) -> float | None:
    """Share of correct classes, if there are labels and as many classes."""
    if labels is None or classes.shape != np.shape(labels):
        return None
    return float((classes == np.asarray(labels)).mean())
