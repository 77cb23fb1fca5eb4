"""Typed configuration files: YAML of others, read into pydantic models with every fault named."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from squat_deploy.errors import ConfigError

MAX_YAML_BYTES = 2**20
_NO_TOKENS = (yaml.AnchorToken, yaml.AliasToken, yaml.TagToken)  # small files that become large, or anything else
Config = TypeVar("Config", bound=BaseModel)


def read_yaml(path: Path, kind: type[Config]) -> Config:
    """Raises: ConfigError for a file that is missing, too large, not YAML, or has other keys or values."""
    try:
        if path.stat().st_size > MAX_YAML_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_YAML_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
        if any(isinstance(token, _NO_TOKENS) for token in yaml.scan(text)):
            raise ConfigError(f"{path}: anchors, aliases and tags are not read; write values out")
        _refuse_repeats(path, yaml.compose(text, yaml.SafeLoader))
        return kind.model_validate(yaml.safe_load(text))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()[:5])
        raise ConfigError(f"{path}: {faults}") from error
    except (yaml.YAMLError, LookupError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from error


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
