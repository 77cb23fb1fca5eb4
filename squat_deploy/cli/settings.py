"""`squat.toml`, in the folder where a command runs: options that one would type every time. What is typed beats it.

A table a command, an option a key, as it is spelled: `[lower]`, `batch-first = true`. Arguments are keys too (`model`).
Commands and parameters are those of typer, which has a click of its own or takes the installed one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from squat_deploy.errors import ConfigError, printable

FILE = Path("squat.toml")
_NEVER = ("as_json", "help", "overwrite")  # asked for each time
_MOST_BYTES = 2**16
_Plain = str | int | float


def settable(command: Any) -> dict[str, Any]:
    """Parameters of a command by their keys in the file."""
    own = [parameter for parameter in command.params if parameter.name not in _NEVER]
    return {spelled(parameter): parameter for parameter in own}


def spelled(parameter: Any) -> str:
    """As on the command line, without dashes in front."""
    if parameter.param_type_name == "option":
        return str(max(parameter.opts, key=len)).lstrip("-")
    return str(parameter.name)


def read_settings(commands: Mapping[str, Any], path: Path = FILE) -> dict[str, dict[str, Any]]:
    """Values of the file by command and parameter; none where there is no file.

    Raises: ConfigError for what is no TOML, unknown commands and keys, and values of other types.
    """
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as file:
            given = tomllib.loads(file.read(_MOST_BYTES).decode())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {printable(str(error))}") from error
    plain = {name: command for name, command in commands.items() if not hasattr(command, "commands")}
    if unknown := sorted(given.keys() - plain.keys()):
        name = printable(unknown[0])
        if not isinstance(given[unknown[0]], dict):
            raise ConfigError(f"{path}: {name} stands in no table; put it under that of its command, as [lower]")
        raise ConfigError(f"{path}: no command is called {name}; there are {', '.join(sorted(plain))}")
    return {name: _checked(path, name, plain[name], given[name]) for name in given}


def _checked(path: Path, name: str, command: Any, given: Any) -> dict[str, Any]:
    try:
        found = _model_of(name, command).model_validate(given).model_dump(exclude_unset=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = printable(".".join(map(str, first["loc"][:1])))
        if first["type"] == "extra_forbidden":
            keys = ", ".join(sorted(settable(command)))
            raise ConfigError(f"{path}: [{name}] has no option {key}; it has {keys}") from error
        told = "expected one value" if isinstance(first["input"], list | dict) and key else first["msg"]
        raise ConfigError(f"{path}: [{name}] {key}: {told}; got {first['input']!r:.60}") from error
    parameters = {parameter.name: parameter for parameter in command.params}
    return {key: _typed(parameters[key], value) for key, value in found.items()}


def _model_of(name: str, command: Any) -> type[BaseModel]:
    """A model with a field a parameter, under its spelling; nothing else is let in."""
    fields: dict[str, Any] = {
        str(parameter.name): (_kind_of(parameter), Field(default=None, alias=key))
        for key, parameter in settable(command).items()
    }
    return create_model(name, __config__=ConfigDict(extra="forbid", strict=True, protected_namespaces=()), **fields)


def _kind_of(parameter: Any) -> Any:
    if getattr(parameter, "is_flag", False):
        return bool
    return list[_Plain] | _Plain if _is_list(parameter) else _Plain


def _is_list(parameter: Any) -> bool:
    return bool(parameter.multiple) or parameter.nargs != 1


def _typed(parameter: Any, value: Any) -> Any:
    """As if it had been typed: what it means is the command line's own affair."""
    if _is_list(parameter):
        return [str(part) for part in (value if isinstance(value, list) else [value])]
    return value if isinstance(value, bool) else str(value)


def in_force(context: typer.Context) -> Iterator[tuple[str, Any]]:
    """What the file says of the command that runs, where nothing was typed."""
    for key, parameter in settable(context.command).items():
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if source is not None and source.name == "DEFAULT_MAP":
            yield key, (context.default_map or {}).get(name)
