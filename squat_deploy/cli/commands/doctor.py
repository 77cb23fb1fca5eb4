"""`doctor`: the tools and packages that are here, in which versions, and what installs the others."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from squat_deploy import toolchain
from squat_deploy.cli.documents import console, emit, following
from squat_deploy.cli.options import Json
from squat_deploy.errors import ConfigError
from squat_deploy.progress import report

_APT = "apt install "
_PATIENCE_S = 5


@dataclass(frozen=True)
class _Row:
    """One tool or package.

    Attributes:
        found: where it is; None where it is not.
        version: as it says itself; empty where it does not.
    """

    name: str
    found: str | None
    version: str
    purpose: str
    required: bool
    hint: str


def doctor(as_json: Json = False) -> None:
    """List the tools and packages that are here, their versions, and the commands that install what is missing."""
    rows = tuple(_rows())
    absent = [row.name for row in rows if row.required and not row.found]
    install = tuple(_commands(rows))
    lines = [*(f"to install what is missing: {command}" for command in install)]
    if not absent:
        document = {"tools": {row.name: row.found for row in rows}, "install": install}
        document["versions"] = {row.name: row.version for row in rows if row.version}
        emit(document, as_json, _table(rows), *lines, following("squat-deploy", "demo"))
        return
    if not as_json:
        console.print(_table(rows), *lines)
    raise ConfigError(f"missing: {', '.join(absent)}")


def _rows() -> Iterator[_Row]:
    for number, tool in enumerate(toolchain.TOOLS):
        report(tool.name, number, len(toolchain.TOOLS))
        path = tool.find()
        yield _Row(tool.name, path, _version_of(tool, path), tool.purpose, tool.required, tool.hint)
    for name, extra, purpose in toolchain.PACKAGES:
        here = toolchain.has_package(name)
        version = _version_of_package(name) if here else ""
        yield _Row(name, "installed" if here else None, version, purpose, False, extra)


def _version_of(tool: toolchain.Tool, path: str | None) -> str:
    """The first number with dots of what it says; AMD's tools are not asked, since they take long to start."""
    if path is None or tool.hint.startswith("AMD"):
        return ""
    try:
        asked = {"timeout": _PATIENCE_S, "capture_output": True, "text": True, "errors": "replace", "check": False}
        done = subprocess.run([path, "-V" if tool.commands == ("dot",) else "--version"], **asked)  # type: ignore[call-overload]
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+(?:\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else ""


def _version_of_package(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _commands(rows: Sequence[_Row]) -> Iterator[str]:
    """One of pip for all packages, one of apt for all tools that it has."""
    extras = sorted({row.hint for row in rows if not row.found and row.name in {p[0] for p in toolchain.PACKAGES}})
    if extras:
        yield f"pip install 'squat_deploy[{','.join(extras)}]'"
    tools = [row.hint.removeprefix(_APT) for row in rows if not row.found and row.hint.startswith(_APT)]
    if tools:
        yield _APT + " ".join(tools)


def _table(rows: tuple[_Row, ...]) -> Table:
    """What is here by its version, where that is known."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("what", overflow="fold")
    table.add_column("found", no_wrap=True)
    table.add_column("for", overflow="fold")
    for row in rows:
        missing = Text("missing", style="red") if row.required else Text("not here", style="yellow")
        by_hand = not row.found and row.hint[:1].isupper()
        purpose = f"{row.purpose} (get {row.hint})" if by_hand else row.purpose
        table.add_row(row.name, (row.version or "here") if row.found else missing, purpose)
    return table
