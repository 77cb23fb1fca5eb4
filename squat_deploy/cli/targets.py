"""What a command may write over: files that were made from the same file of the user's."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import typer

from squat_deploy.cli.progress import hidden
from squat_deploy.errors import ConfigError, FileFormatError, SquatError
from squat_deploy.files import check_target
from squat_deploy.loading import load
from squat_deploy.network.origin import Origin


def check_both(out: Path, beside: Path, source: str, *, overwrite: bool, ask: bool) -> None:
    """Raises: ConfigError, ExportError where a network, or the torch model beside it, cannot be written."""
    check_target(out)
    check_network(out, source, overwrite=overwrite, ask=ask)
    check_model(beside, source, overwrite=overwrite, ask=ask)


def check_network(out: Path, source: str, *, overwrite: bool, ask: bool) -> None:
    """Raises: ConfigError where a file is in the way that was not made from the same file of the user's."""
    if overwrite or not out.is_file():
        return
    try:
        origin = load(out).origin
        what = f"a network that was made from {origin.source}" if origin.source else "a network that names no model"
        if origin.source and origin.file == Origin(source=source).file:
            return
    except SquatError:
        what = "no network of squat_deploy"
    _refuse_unless_told(out, what, ask=ask)


def check_model(path: Path, source: str, *, overwrite: bool, ask: bool) -> None:
    """Raises: ConfigError where a file is in the way that `quantize` did not write for the same file of the user's."""
    from squat_deploy.snn.checkpoint import model_metadata

    if overwrite or not path.is_file():
        return
    with suppress(FileFormatError):
        if Origin(source=str(model_metadata(path).get("source", ""))).file == Origin(source=source).file:
            return
    _refuse_unless_told(path, f"no model that quantize made from {source}", ask=ask)


def _refuse_unless_told(path: Path, what: str, *, ask: bool) -> None:
    if ask and _is_terminal():
        with hidden():
            if typer.confirm(f"{path} is {what}; replace it?"):
                return
    raise ConfigError(f"{path} exists and is {what}; choose another --out, or give --overwrite to replace it")


def _is_terminal() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty()
