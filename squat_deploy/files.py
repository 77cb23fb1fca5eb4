"""The one place that writes: files and folders appear whole or not at all, and nothing of the user's is lost.

Also what every reader asks first: whether a path is a plain file of a bearable size, and what kind of file it is.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from squat_deploy.errors import ExportError

MANIFEST = "manifest.json"
GENERATOR = "squat_deploy"
_KIND = "kind"  # in a manifest: what the project is; those of HLS do not say it
DIGESTS = "sha256"  # in a manifest: {path of a generated file: sha256 of what was written}
_MAX_MANIFEST_BYTES = 2**26
_STAGE = ".squat-export"  # in a folder that is being written: the new files, and the old ones that they replace
_JOURNAL = "journal.json"  # in the stage; takes the place of the manifest while files change
_BEFORE = "manifest.before"  # in the stage; the old manifest, ready for an undo on a full disk
_LAST = ("Makefile",)  # taken away first and put in place last: nothing is made of a half-written project
_TEMPORARY = re.compile(r"\.squat-\w{8}\.tmp")
_KINDS = {
    b"PK\x03\x04": "a zip archive, as torch files and .npz files are",
    b"\x80\x02": "a pickle, as old torch files are",
    b"\x93NUM": "a NumPy array",
    b"\x89HDF": "an HDF5 file, as .nir and .h5 files are",
    b"\x1f\x8b": "a gzip file",
}


def unreadable(path: Path, most: int | None = None) -> str | None:
    """Why a path cannot be read as a file of at most `most` bytes, or None; a pipe or a device is never opened."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        return f"cannot be read: {_reason(error)}"
    if not stat.S_ISREG(found.st_mode):
        return f"is {_kind(found.st_mode)}, not a file"
    if most is not None and found.st_size > most:
        return f"larger than {most} bytes"
    return None


def kind_of(path: Path) -> str | None:
    """What a file is by its first bytes or its name, for messages; None where they say nothing."""
    try:
        with path.open("rb") as stream:
            head = stream.read(4)
    except OSError:
        return None
    named = "a Python file" if path.suffix == ".py" else None
    return next((kind for magic, kind in _KINDS.items() if head.startswith(magic)), named)


def check_target(path: Path) -> None:
    """Raises: ExportError where `write_file` would refuse: a link, a device, a pipe, a folder, or no permission."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise ExportError(f"cannot write {path}: {_reason(error)}") from error
    if stat.S_ISLNK(found.st_mode):
        raise ExportError(f"cannot write {path}: it is a link to {path.readlink()}; name the file itself")
    if not stat.S_ISREG(found.st_mode):
        raise ExportError(f"cannot write {path}: it is {_kind(found.st_mode)}; name a file")
    if not os.access(path, os.W_OK):
        raise ExportError(f"cannot write {path}: {os.strerror(errno.EACCES)}")


def make_folder(folder: Path) -> None:
    """Makes a folder and those around it, where they are not there yet. Raises: ExportError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise ExportError(f"cannot make the folder {folder}: {_reason(error)}") from error


def same_place(one: Path, other: Path) -> bool:
    """Whether two paths are one file, whatever they are spelled as; links and hard links count."""
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there yet
        return os.path.realpath(one) == os.path.realpath(other)
    except ValueError:  # a name that no file can have
        return False


def write_file(path: Path, content: bytes) -> None:
    """Writes `content` beside `path` and moves it into place; mode and owner of an old file stay.

    Raises: ExportError for what is no file (a link, a device, a folder), a missing folder or a full disk; `path` keeps
    its old content then.
    """
    check_target(path)
    try:
        _remove_leftovers(path.parent)
        handle, name = _temporary(path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:  # the lock goes with it
                stream.write(content)
                stream.flush()
                _finish(stream.fileno(), path)
                os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _settle(path.parent)
    except (OSError, ValueError) as error:
        raise ExportError(f"cannot write {path}: {_reason(error)}") from error


def _temporary(folder: Path) -> tuple[int, str]:
    """A new file, locked: one that nobody locks was left by a process that was killed."""
    while True:
        handle, name = tempfile.mkstemp(dir=folder, prefix=".squat-", suffix=".tmp")
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if Path(name).exists():
            return handle, name
        os.close(handle)  # another process took it for a leftover, just before it was locked


def _remove_leftovers(folder: Path) -> None:
    """Removes the temporary files of processes that were killed."""
    with contextlib.suppress(PermissionError), os.scandir(folder) as entries:
        left = [Path(entry) for entry in entries if _TEMPORARY.fullmatch(entry.name)]
        for path in left:
            with contextlib.suppress(OSError):
                handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                finally:
                    os.close(handle)


def _finish(handle: int, old: Path) -> None:
    """A new file gets the owner and the mode of the old one, if there is one, and reaches the disk."""
    mode = 0o666 & ~_umask()
    if old.exists():
        found = old.stat()
        mode = stat.S_IMODE(found.st_mode)
        with contextlib.suppress(PermissionError):
            os.fchown(handle, found.st_uid, found.st_gid)
    os.fchmod(handle, mode)
    os.fsync(handle)


def _settle(folder: Path) -> None:
    """Names reach the disk too."""
    with contextlib.suppress(OSError):  # a folder that cannot be listed, or a file system that cannot
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Brings `files` ({relative path: content}, a manifest among them) into `target`, all or none; others stay.

    A folder that this package made is one whose manifest says so. Files that its manifest names and that are as they
    were written are replaced or removed; all others are the user's and stay where they are. While files change, the
    manifest says "incomplete" and there is no Makefile; an export that was killed then is finished by the next one.

    Raises: ExportError: a folder that is not ours, a generated file that was changed, a file of the user's or a link in
    the place of a generated one, a path that leaves the folder, or a failing disk; nothing was changed then.
    """
    for name in files:
        _check_name(name)
    made: list[Path] = []
    try:
        _make_folders(target, made)
        with _locked(target):
            _write_locked(target, files)
    except (OSError, ValueError) as error:
        raise ExportError(f"cannot write {target}: {_reason(error)}; nothing was changed") from error
    finally:
        for folder in reversed(made):
            with contextlib.suppress(OSError):  # what holds something stays
                folder.rmdir()


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise ExportError(f"refusing to write outside the project folder: {name!r}")


def _make_folders(target: Path, made: list[Path]) -> None:
    """Makes a folder and those around it, and tells `made` of the new ones, outermost first."""
    missing: list[Path] = []
    place = target
    while not place.exists() and place != place.parent:
        missing.insert(0, place)
        place = place.parent
    if not place.is_dir():
        raise ExportError(f"cannot write beside {target}: Not a directory: {place} is {_kind(place.stat().st_mode)}")
    for folder in missing:
        folder.mkdir(exist_ok=True)
        made.append(folder)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ExportError(f"{folder}: another process is writing there; nothing was changed") from error
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)


def _write_locked(target: Path, files: Mapping[str, bytes]) -> None:
    stage, owned = target / _STAGE, _owned(target)
    if os.path.lexists(stage) and (stage.is_symlink() or not stage.is_dir()):
        raise ExportError(f"{stage}: in the way of the export; remove it")
    shutil.rmtree(stage, ignore_errors=True)  # of an export that was killed: only files that this one makes anew
    stale = [name for name in owned if name not in files and _lies(target, name)]
    _check_kind(target, files)
    _check_places(target, files, stale, owned)
    stage.mkdir(mode=0o700)
    change = _Change(target, stage, bool(owned))
    late = [name for name in files if name in _LAST]
    others = [name for name in files if name not in (*late, MANIFEST)]
    try:
        for name, content in files.items():
            change.prepare(name, content, name)
        change.begin(_journal(files, owned))
        for name in (*late, *stale):
            change.take_away(name)
        for name in (*others, *late):
            change.put(name)
        change.settle([*files, *stale])
        change.put_manifest(MANIFEST)
    except BaseException:
        change.undo()
        raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    _remove_empty(target, [name for name in owned if name not in files])


def _journal(files: Mapping[str, bytes], owned: Mapping[str, list[str]]) -> bytes:
    """The manifest of a folder whose files are partly the old ones and partly the new ones."""
    digests = {name: list(found) for name, found in owned.items()}
    for name, content in files.items():
        digests.setdefault(name, []).append(hashlib.sha256(content).hexdigest())
    state = "incomplete: an export was interrupted; export once more into this folder to finish it"
    return (json.dumps({"generator": GENERATOR, "state": state, DIGESTS: digests}, indent=2) + "\n").encode()


def _owned(target: Path) -> dict[str, list[str]]:
    """Digests that each generated file may have, by name; empty for a new folder. Raises: ExportError if not ours."""
    if not any(entry.name != _STAGE for entry in target.iterdir()):
        return {}
    manifest = target / MANIFEST
    document: Any = None
    if not manifest.is_symlink() and unreadable(manifest, _MAX_MANIFEST_BYTES) is None:
        with contextlib.suppress(ValueError, RecursionError):
            document = json.loads(manifest.read_bytes())
    if not isinstance(document, dict) or document.get("generator") != GENERATOR:
        raise ExportError(f"{target} exists and was not made by squat_deploy; choose another folder or remove it")
    digests = document.get(DIGESTS)
    if not isinstance(digests, dict):
        raise ExportError(f"{manifest}: names no files, so that nobody knows which are yours; choose another folder")
    found = {name: value if isinstance(value, list) else [value] for name, value in digests.items()}
    for name in found:
        _check_name(name)
    return {name: [str(digest) for digest in value] for name, value in found.items()}


def _check_kind(target: Path, files: Mapping[str, bytes]) -> None:
    """Raises: ExportError where another back end's whole project lies there, which would go."""
    before = json.loads((target / MANIFEST).read_bytes()) if _lies(target, MANIFEST) else {}
    if not before or "state" in before:  # an export that was interrupted is finished by any other
        return
    now = json.loads(files[MANIFEST])
    if before.get(_KIND) != now.get(_KIND):
        raise ExportError(f"{target} holds another kind of project; choose another folder or remove it")


def _check_places(target: Path, files: Mapping[str, bytes], stale: list[str], owned: dict[str, list[str]]) -> None:
    """Raises: ExportError where something would be lost, naming every such file."""
    lost = []
    for name in (*files, *stale):
        _check_way(target, name)
        place = target / name
        if name == MANIFEST or not _lies(target, name):
            continue
        if place.is_symlink() or not place.is_file():
            kind = _kind(place.lstat().st_mode)
            raise ExportError(f"{place}: {kind} where a generated file goes; nothing was changed")
        content = place.read_bytes()
        if content != files.get(name) and hashlib.sha256(content).hexdigest() not in owned.get(name, ()):
            lost.append(f"{name} ({'changed since it was written' if name in owned else 'yours'})")
    if lost:
        shown = ", ".join(lost[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
        raise ExportError(
            f"{target}: would be lost: {shown}; move them away or choose another folder; nothing was changed"
        )


def _lies(target: Path, name: str) -> bool:
    return os.path.lexists(target / name)


def _check_way(target: Path, name: str) -> None:
    """The folders on the way to a generated file are folders of this one."""
    for parent in PurePosixPath(name).parents:
        place = target / parent
        if parent.parts and os.path.lexists(place) and (place.is_symlink() or not place.is_dir()):
            kind = _kind(place.lstat().st_mode)
            raise ExportError(f"{place}: {kind} where a folder of generated files goes; nothing was changed")


@dataclass
class _Change:
    """Files of a folder on their way: new ones ready in the stage, old ones put aside there until all is done."""

    target: Path
    stage: Path
    known: bool  # whether there is an old manifest
    begun: bool = False  # whether the manifest may say "incomplete"
    fresh: list[str] = field(default_factory=list)  # files that no old one stood in place of
    made: list[Path] = field(default_factory=list)

    def prepare(self, name: str, content: bytes, old: str) -> None:
        """Writes a new file into the stage, through to the disk, with owner and mode of an old one."""
        path = self.stage / "new" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        with path.open("rb") as stream:
            _finish(stream.fileno(), self.target / old)

    def begin(self, journal: bytes) -> None:
        """The manifest says "incomplete" from here on; going back to the old one takes no more space."""
        if self.known:
            self.prepare(_BEFORE, (self.target / MANIFEST).read_bytes(), MANIFEST)
        self.prepare(_JOURNAL, journal, MANIFEST)
        self.begun = True
        self.put_manifest(_JOURNAL)

    def put(self, name: str) -> None:
        """Puts a prepared file in its place."""
        place = self.target / name
        _make_folders(place.parent, self.made)
        if not self.take_away(name):
            self.fresh.append(name)
        os.replace(self.stage / "new" / name, place)

    def put_manifest(self, prepared: str) -> None:
        """In one step, since it must always be there."""
        os.replace(self.stage / "new" / prepared, self.target / MANIFEST)
        _settle(self.target)

    def take_away(self, name: str) -> bool:
        """Puts aside what will not be there, or not before the end. Returns: whether anything lies aside now."""
        place, aside = self.target / name, self.stage / "old" / name
        if place.exists():
            aside.parent.mkdir(parents=True, exist_ok=True)
            os.replace(place, aside)
        return aside.exists()

    def settle(self, names: Iterable[str]) -> None:
        """What lies in these folders reaches the disk."""
        for folder in {(self.target / name).parent for name in names}:
            if folder.is_dir():
                _settle(folder)

    def undo(self) -> None:
        """Everything as it was, the manifest last."""
        for name in self.fresh:
            (self.target / name).unlink(missing_ok=True)
        old = self.stage / "old"
        for path in sorted(old.rglob("*")):
            if path.is_file():
                os.replace(path, self.target / path.relative_to(old))
        if self.begun and self.known:
            self.put_manifest(_BEFORE)
        elif self.begun:
            (self.target / MANIFEST).unlink(missing_ok=True)
        for folder in reversed(self.made):
            with contextlib.suppress(OSError):
                folder.rmdir()


def _remove_empty(target: Path, names: list[str]) -> None:
    """Folders that held generated files and nothing else."""
    parents = {parent for name in names for parent in PurePosixPath(name).parents if parent.parts}
    for parent in sorted(parents, key=lambda path: -len(path.parts)):
        with contextlib.suppress(OSError):
            (target / parent).rmdir()


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a link",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFREG: "a file",
    }
    return kinds.get(stat.S_IFMT(mode), "no file")


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, UnicodeError):
        return "the name holds characters that no file name can have"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
