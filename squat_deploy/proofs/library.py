"""Hand-written SystemVerilog of proofs: one file a module of the library, put in front of the module's end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from squat_deploy.errors import ExportError

_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (_PACKAGE / "templates/rtl/proofs", _PACKAGE.parent / "templates/rtl/proofs")


def folder() -> Path:
    """Where they are."""
    return next(path for path in _FOLDERS if path.is_dir())


def text_of(name: str) -> str:
    """One of them."""
    return (folder() / name).read_text()


def with_parameters(module: str, text: str, parameters: Mapping[str, int | str]) -> str:
    """A module whose parameters have these values by default. Raises: ExportError where it has no such parameter."""
    for name, value in parameters.items():
        printed = str(value) if isinstance(value, int) else f'"{value}"'
        text, found = re.subn(rf"(parameter\s[^=,()]*\b{name}\s*=\s*)[^,\n)/]+", rf"\g<1>{printed}", text, count=1)
        if not found:
            raise ExportError(f"{module}: it has no parameter {name}; write the project anew with this version")
    return text
