"""The one place that writes: files and folders appear whole or not at all, and nothing of the user's is lost."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from squat_deploy.errors import ExportError

MANIFEST = "manifest.json"
OWNER_MARK = '"generator": "squat_deploy"'


def write_file(path: Path, content: bytes) -> None:
    """Writes `content` beside `path` and moves it into place.

    Raises: ExportError where the folder is missing or the disk is full; `path` keeps its old content then.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error.strerror or error}") from error


def write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Makes `target` hold exactly `files` ({relative path: content}), by renaming a finished sibling folder.

    A folder that this package made (its manifest says so) is replaced; any other is refused, unless it is empty.

    Raises: ExportError: a folder that is not ours, a path that leaves it, or a failing disk.
    """
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise ExportError(f"refusing to write outside the project folder: {name!r}")
    if target.exists() and not _ours(target):
        raise ExportError(f"{target} exists and was not made by squat_deploy; choose another folder or remove it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    except OSError as error:
        raise ExportError(f"cannot write beside {target}: {error.strerror or error}") from error
    try:
        os.chmod(fresh, 0o777 & ~_umask())
        for name, content in files.items():
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            (fresh / name).write_bytes(content)
        _swap(fresh, target)
    except OSError as error:
        raise ExportError(f"cannot write {target}: {error.strerror or error}; nothing was changed") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _swap(fresh: Path, target: Path) -> None:
    """Renames `fresh` to `target`; the old folder is put aside first and comes back if that fails."""
    if not target.exists():
        os.rename(fresh, target)
        return
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old."))
    try:
        os.rename(target, aside / "old")
        os.rename(fresh, target)
    except BaseException:
        if not target.exists():
            os.rename(aside / "old", target)
        aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _ours(folder: Path) -> bool:
    if folder.is_dir() and not any(folder.iterdir()):
        return True
    manifest = folder / MANIFEST
    return manifest.is_file() and OWNER_MARK in manifest.read_text(errors="replace")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
