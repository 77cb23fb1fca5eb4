"""Hand-written SystemVerilog of proofs: one file a module of the library, put in front of the module's end."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (_PACKAGE / "templates/rtl/proofs", _PACKAGE.parent / "templates/rtl/proofs")


def folder() -> Path:
    """Where they are."""
    return next(path for path in _FOLDERS if path.is_dir())


def text_of(name: str) -> str:
    """One of them."""
    return (folder() / name).read_text()
