"""What was proven: a row a run of the solver, as a table for people and as a document."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["proven", "bounded", "failed", "open"]
_MARKS: dict[Verdict, str] = {"proven": "proven", "bounded": "bounded", "failed": "FAILED", "open": "NO ANSWER"}


@dataclass(frozen=True)
class Row:
    """One claim about one unit.

    Attributes:
        cycles: that a bounded claim covers, from the reset on; None where it holds without a bound.
        how: why that is all, or what was found instead: a counterexample in the terms of the network.
    """

    unit: str
    claim: str
    verdict: Verdict
    cycles: int | None
    how: str

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against it."""
        return self.verdict in ("proven", "bounded")

    @property
    def text(self) -> str:
        """The verdict in words."""
        bound = f" to {self.cycles} cycles" if self.verdict == "bounded" else ""
        return f"{_MARKS[self.verdict]}{bound}"


@dataclass(frozen=True)
class Certificate:
    """All rows of a project.

    Attributes:
        network: digest of the network that the units were compared with.
        sources: SHA-256 of every file of the project that was read.
        uncovered: modules of the project without proofs of their own.
    """

    network: str
    sources: dict[str, str]
    rows: tuple[Row, ...]
    uncovered: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether all rows do."""
        return all(row.holds for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """As it is written."""
        return {"ok": self.holds, **asdict(self)}

    @property
    def document(self) -> str:
        """JSON."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @property
    def text(self) -> str:
        """For people, a paragraph a row."""
        head = f"network {self.network}\n\n"
        rows = (f"{row.text:>20}  {row.unit}\n{'':22}{row.claim}\n{'':22}{row.how}\n" for row in self.rows)
        rest = f"\nwithout proofs of their own: {', '.join(self.uncovered)}\n" if self.uncovered else ""
        return head + "\n".join(rows) + rest
