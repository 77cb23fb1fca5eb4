"""Typed configuration files: YAML of others, read into pydantic models with every fault named."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from squat_deploy.errors import ConfigError, translated
from squat_deploy.files import unreadable

MAX_YAML_BYTES = 2**20
MAX_DEPTH = 16  # of mappings and lists in each other; PyYAML takes quadratic time in it
MAX_VALUES = 50_000
MAX_CHARACTERS = 4096  # of one value: numbers of base 60 take quadratic time
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, where PyYAML was built with it
Config = TypeVar("Config", bound=BaseModel)


def read_yaml(path: Path, kind: type[Config]) -> Config:
    """Raises: ConfigError for a file that is missing, too large, not YAML, or has other keys or values."""
    if (why := unreadable(path, MAX_YAML_BYTES)) is not None:
        raise ConfigError(f"{path}: {why}")
    try:
        with translated(ConfigError, f"{path}: not a YAML file"):
            text = path.read_text(encoding="utf-8")
            _check_events(path, text)
            _refuse_repeats(path, yaml.compose(text, _LOADER))
            document = yaml.load(text, _LOADER)  # a safe loader
        found = kind.model_validate(document)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()[:5])
        raise ConfigError(f"{path}: {faults}") from error
    _refuse_booleans(path, document, found.model_dump(), "")
    return found


def _refuse_booleans(path: Path, given: Any, taken: Any, place: str) -> None:
    """What YAML calls yes or true is no number, though pydantic takes it as 1."""
    if isinstance(given, bool) and not isinstance(taken, bool):
        raise ConfigError(f"{path}: {place.lstrip('.')}: expected a number; got {str(given).lower()}")
    if isinstance(given, dict) and isinstance(taken, dict):
        for key in given.keys() & taken.keys():
            _refuse_booleans(path, given[key], taken[key], f"{place}.{key}")
    elif isinstance(given, list) and isinstance(taken, list | tuple):
        for index, (one, other) in enumerate(zip(given, taken, strict=False)):
            _refuse_booleans(path, one, other, f"{place}.{index}")


def _check_events(path: Path, text: str) -> None:
    """Stops at the first thing that is not plain, before anything is made of it."""
    depth = count = 0
    for event in yaml.parse(text, _LOADER):
        line = f"line {event.start_mark.line + 1}" if event.start_mark else "it"
        if isinstance(event, yaml.AliasEvent) or (
            isinstance(event, yaml.NodeEvent) and (event.anchor or _tagged(event))
        ):
            raise ConfigError(f"{path}: anchors, aliases and tags are not read; write values out; got one in {line}")
        if isinstance(event, yaml.ScalarEvent):
            count += 1
            if event.value == "<<" or len(event.value) > MAX_CHARACTERS:
                raise ConfigError(
                    f"{path}: {line}: merges, and values of more than {MAX_CHARACTERS} characters, are not read"
                )
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH or count > MAX_VALUES:
            raise ConfigError(f"{path}: {line}: more than {MAX_DEPTH} levels, or {MAX_VALUES} values")


def _tagged(event: yaml.NodeEvent) -> bool:
    return getattr(event, "tag", None) is not None


def _refuse_repeats(path: Path, node: yaml.Node | None) -> None:
    """YAML has no key twice in one mapping; PyYAML would take the last one without a word."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise ConfigError(f"{path}: line {key.start_mark.line + 1}: {key.value} is given twice")
            seen.add(str(key.value))
            _refuse_repeats(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_repeats(path, value)
