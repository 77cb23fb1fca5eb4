"""The agreement as a section: every executor's share."""

from __future__ import annotations

from collections.abc import Iterator

from squat_deploy.agreement import Agreement
from squat_deploy.agreement.result import ExecutorRow
from squat_deploy.reporting.blocks import Block, Cell, Items, Paragraph, Section, table

_HEAD = ("executor", "sequences", "values compared", "mismatches", "accuracy", "sequences a second")


def compared(agreement: Agreement) -> list[str]:
    """Executors that were held against the simulator's trace."""
    return [row.label for row in agreement.rows if row.executor != "numpy"]


def agreement_section(agreement: Agreement | None) -> Section:
    """Verdict, an executor a row, what was not run, and warnings."""
    return Section("agreement", "Agreement", tuple(_blocks(agreement)))


def _blocks(agreement: Agreement | None) -> Iterator[Block]:
    if agreement is None:
        way = "give --model, or --agreement with what squat-deploy verify NET --json wrote"
        yield Paragraph(f"No executor was compared for this report; {way}.", "doubt")
        return
    if agreement.agrees and not compared(agreement):
        yield Paragraph(f"The simulator alone was run, on {agreement.inputs}: nothing was compared with it.", "doubt")
    elif agreement.agrees:
        yield Paragraph(f"All executors agree in every value of every step and layer, on {agreement.inputs}.", "good")
    else:
        first = next(row for row in agreement.rows if row.mismatches)
        yield Paragraph(f"They differ, on {agreement.inputs}: {first.label} differs first at {first.first}.", "bad")
    yield table(_HEAD, [_row(row) for row in agreement.rows])
    left_out = [f"not run: {reason}" for reason in agreement.not_run]
    if told := (*left_out, *agreement.warnings):
        yield Items(told)


def _row(row: ExecutorRow) -> list[str | Cell]:
    return [
        row.label,
        f"{row.samples:,}",
        f"{row.values:,}",
        Cell(f"{row.mismatches:,}", "bad" if row.mismatches else "good"),
        "" if row.accuracy is None else f"{row.accuracy:.2%}",
        "" if row.samples_per_second is None else f"{row.samples_per_second:,.0f}",
    ]
