"""`doctor`: the tools and packages that are here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from squat_deploy import toolchain
from squat_deploy.cli.documents import console, emit
from squat_deploy.cli.options import Json
from squat_deploy.errors import ConfigError


@dataclass(frozen=True)
class _Row:
    name: str
    found: str | None
    purpose: str
    required: bool
    hint: str


def doctor(as_json: Json = False) -> None:
    """List the tools and packages that are here, and what the others are for."""
    rows = tuple(_rows())
    absent = [row.name for row in rows if row.required and not row.found]
    if not absent:
        emit({"tools": {row.name: row.found for row in rows}}, as_json, _table(rows))
        return
    if not as_json:
        console.print(_table(rows))
    raise ConfigError(f"missing: {', '.join(absent)}")


def _rows() -> Iterator[_Row]:
    for tool in toolchain.TOOLS:
        yield _Row(tool.name, tool.find(), tool.purpose, tool.required, tool.hint)
    for name, extra, purpose in toolchain.PACKAGES:
        found = "installed" if toolchain.has_package(name) else None
        yield _Row(name, found, purpose, False, f"pip install 'squat_deploy[{extra}]'")


def _table(rows: tuple[_Row, ...]) -> Table:
    table = Table("what", "found", "for", "how to get it")
    for row in rows:
        missing = Text("missing", style="red") if row.required else Text("not here", style="yellow")
        table.add_row(row.name, row.found or missing, row.purpose, "" if row.found else row.hint)
    return table
