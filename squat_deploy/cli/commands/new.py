"""`new`: a folder with a small model, its training, and a Makefile for the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from squat_deploy.cli.documents import emit, following
from squat_deploy.cli.options import Json
from squat_deploy.errors import ConfigError, FileFormatError
from squat_deploy.files import make_folder, write_file

FILES = ("model.py", "train.py", "Makefile")
_PACKAGE = Path(__file__).resolve().parents[2]
_ROOTS = (_PACKAGE / "templates", _PACKAGE.parent / "templates")


def new(
    name: Annotated[Path, typer.Argument(help="The folder to make; it must not be there, or be empty.")],
    as_json: Json = False,
) -> None:
    """Make a folder with a small model that works, a training script, and a Makefile from there to hardware."""
    if name.exists() and (not name.is_dir() or any(name.iterdir())):
        raise ConfigError(f"{name}: exists already, and `new` writes over nothing: name another folder")
    place = next((root / "new" for root in _ROOTS if (root / "new" / FILES[0]).is_file()), None)
    if place is None:
        raise FileFormatError("the files of `new` are missing from this installation")
    make_folder(name)
    for file in FILES:
        write_file(name / file, (place / file).read_bytes())
    lines = [f"wrote {name}: {', '.join(FILES)}", following("make", "-C", name)]
    emit({"folder": str(name), "files": list(FILES)}, as_json, *lines)
