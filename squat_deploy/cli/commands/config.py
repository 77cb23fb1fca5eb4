"""`config`: what squat.toml says, and what a command would run with."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from squat_deploy.cli.documents import emit, following
from squat_deploy.cli.options import Json
from squat_deploy.cli.settings import FILE, read_settings, settable
from squat_deploy.cli.tables import columns
from squat_deploy.errors import ConfigError


def config(
    context: typer.Context,
    command: Annotated[str | None, typer.Argument(help="A command; all that the file names by default.")] = None,
    as_json: Json = False,
) -> None:
    """Show what squat.toml in this folder sets, or every option of a command with where its value comes from."""
    commands: dict[str, Any] = getattr(context.find_root().command, "commands", {})
    given = read_settings(commands)
    if command is not None and command not in commands:
        raise ConfigError(f"config: no command is called {command}; there are {', '.join(sorted(commands))}")
    rows = [row for name in ([command] if command else given) for row in _rows(name, commands[name], given)]
    rows = rows if command else [row for row in rows if row[3] == str(FILE)]
    keys = ("command", "option", "value", "from")
    shown = [(key, str(value), source) for _, key, value, source in rows] if command else rows
    title = f"{FILE}: {'here' if FILE.is_file() else 'not here'}"
    table = columns(f"{command}, and {title}" if command else title, keys[1:] if command else keys, shown)
    after = ("squat-deploy", command, "--help") if command else ("squat-deploy", "config", *[*given, "lower"][:1])
    options = [dict(zip(keys, row, strict=True)) for row in rows]
    emit({"file": str(FILE) if FILE.is_file() else None, "options": options}, as_json, table, following(*after))


def _rows(name: str, command: Any, given: dict[str, dict[str, Any]]) -> list[tuple[str, str, Any, str]]:
    """Command, option, value, and where that comes from."""
    own, rows = given.get(name, {}), []
    for key, parameter in settable(command).items():
        told = str(parameter.name) in own
        value = own[str(parameter.name)] if told else parameter.default
        shown = value if isinstance(value, bool | int | float | list) else "" if value is None else str(value)
        rows.append((name, key, shown, str(FILE) if told else "required" if parameter.required else "default"))
    return rows
