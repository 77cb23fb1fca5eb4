"""docs/results.md says what its stored cells say."""

from __future__ import annotations

from pathlib import Path

from squat_deploy.lab.study.pictures import accuracy_axes, interval
from squat_deploy.lab.study.report import write_report
from squat_deploy.lab.study.running import read_cells

DOCS = Path(__file__).parent.parent / "docs"


def test_results_are_made_of_stored_cells(tmp_path: Path) -> None:
    write_report(sorted((DOCS / "results").iterdir()), tmp_path / "results.md")
    assert (tmp_path / "results.md").read_text() == (DOCS / "results.md").read_text(), "run `make results`"
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in DOCS.glob("results.*")}


def test_pictures_of_accuracy_show_every_run_in_a_range_that_matters() -> None:
    """Also where a seed has collapsed, which would stretch the axis from -50 to 125 %."""
    results = [(cell, result) for cell, result in read_cells(DOCS / "results" / "fashion-fc") if not cell.group]
    rows = accuracy_axes(results).axes
    upper, lower = rows[:4], rows[4:]
    (low, high), (least, most) = upper[0].get_ylim(), lower[0].get_ylim()
    assert 75 < low == most < high < 100 and least == 0
    drawn = [y for panel in rows for line in panel.lines if line.get_linestyle() == "None" for y in line.get_ydata()]
    runs = [100 * float(result["accuracy"]) for cell, result in results if cell.method != "float"]
    assert sorted(drawn) == sorted(runs)
    crosses = [y for panel in rows for line in panel.lines if line.get_marker() == "x" for y in line.get_ydata()]
    assert sorted(crosses) == sorted(run for run in runs if run < 20)


def test_intervals_are_cut() -> None:
    assert interval([0.9, 0.1, 0.2]) == (0.0, 100.0)
    assert interval([0.5]) == (50.0, 50.0)
    low, high = interval([0.5, 0.52, 0.51])
    assert 48 < low < 50 < 52 < high < 54
