"""docs/results.md says what its stored cells say."""

from __future__ import annotations

from pathlib import Path

from squat_deploy.lab.study.report import write_report

DOCS = Path(__file__).parent.parent / "docs"


def test_results_are_made_of_stored_cells(tmp_path: Path) -> None:
    write_report(sorted((DOCS / "results").iterdir()), tmp_path / "results.md")
    assert (tmp_path / "results.md").read_text() == (DOCS / "results.md").read_text(), "run `make results`"
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in DOCS.glob("results.*")}
