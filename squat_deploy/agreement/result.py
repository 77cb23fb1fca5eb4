"""What `verify` returns: a row an executor, and what was left out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


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
        warnings: what a reader should know although nothing differs.
    """

    rows: tuple[ExecutorRow, ...]
    not_run: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether no executor differs anywhere."""
        return all(row.mismatches == 0 for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "agrees": self.agrees,
            "executors": [asdict(row) for row in self.rows],
            "not_run": list(self.not_run),
            "warnings": list(self.warnings),
        }
