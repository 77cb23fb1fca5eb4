"""Files and folders appear whole or not at all, whatever stands in their place and whenever a process is killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from squat_deploy.errors import ExportError
from squat_deploy.files import kind_of, same_place, unreadable, write_file, write_folder

OLD = {"Makefile": b"all:\n", "src/a.h": b"a", "src/b.h": b"b", "tb/data/x.txt": b"1"}
NEW = {"Makefile": b"all: x\n", "src/a.h": b"A", "src/c.h": b"c", "deep/er/y.txt": b"2"}


def with_manifest(files: dict[str, bytes]) -> dict[str, bytes]:
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return {**files, "manifest.json": json.dumps({"generator": "squat_deploy", "sha256": digests}).encode()}


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


STRANGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "it is a pipe; name a file"),
    "folder": (Path.mkdir, "it is a folder; name a file"),
    "socket": (make_socket, "it is a socket; name a file"),
    "link": (lambda path: path.symlink_to("real"), "it is a link to real; name the file itself"),
    "dangling link": (lambda path: path.symlink_to("nowhere"), "it is a link to nowhere; name the file itself"),
}


@pytest.mark.parametrize("case", STRANGE)
def test_only_files_are_replaced(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, message = STRANGE[case]
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    (tmp_path / "real").write_bytes(b"mine")
    make(Path("target"))
    before = os.lstat("target")
    with pytest.raises(ExportError, match=message):
        write_file(Path("target"), b"new")
    after = os.lstat("target")
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["real", "target"]
    assert (tmp_path / "real").read_bytes() == b"mine"


def test_devices_are_not_replaced() -> None:
    before = os.lstat("/dev/null")
    with pytest.raises(ExportError, match="it is a device; name a file"):
        write_file(Path("/dev/null"), b"new")
    assert os.lstat("/dev/null").st_ino == before.st_ino


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o664])
def test_modes_are_kept(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    path.chmod(mode)
    write_file(path, b"new")
    assert path.read_bytes() == b"new" and path.stat().st_mode & 0o7777 == mode
    write_folder(tmp_path / "p", with_manifest(OLD))
    (tmp_path / "p" / "src" / "a.h").chmod(mode)
    write_folder(tmp_path / "p", with_manifest(NEW))
    assert (tmp_path / "p" / "src" / "a.h").stat().st_mode & 0o7777 == mode


@pytest.mark.parametrize("name", ["x" * 256, "a\0b", "\ud800", "missing/x"])
def test_names_that_no_file_can_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot write"):
        write_file(tmp_path / name, b"new")
    with pytest.raises(ExportError):
        write_folder(tmp_path / name / "\0", with_manifest(OLD))
    assert list(tmp_path.iterdir()) == []
    assert unreadable(tmp_path / name) is not None
    assert not same_place(tmp_path / name, tmp_path)


def test_names_as_long_as_a_name_may_be(tmp_path: Path) -> None:
    write_file(tmp_path / ("x" * 255), b"new")
    assert (tmp_path / ("x" * 255)).read_bytes() == b"new"


def killed_at(call: int, change: Callable[[], object]) -> bool:
    """Runs `change` in a process that is killed at the n-th call that changes the disk. Returns: whether it was."""
    child = os.fork()
    if child == 0:
        calls = iter(range(1, 10_000))

        def dying(real: Callable[..., object]) -> Callable[..., object]:
            def wrapper(*arguments: object, **options: object) -> object:
                if next(calls) == call:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **options)

            return wrapper

        for name in ("replace", "rename", "unlink", "rmdir", "mkdir", "fsync"):
            setattr(os, name, dying(getattr(os, name)))
        try:
            change()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_a_killed_export_is_finished_by_the_next(tmp_path: Path) -> None:
    """At whatever point: nothing of the user's is lost, and only a whole project has its manifest and its Makefile."""
    whole_old, whole_new = with_manifest(OLD), with_manifest(NEW)
    mine = {"notes.txt": b"mine", "src/mine.h": b"mine too", "build/top.bit": b"bits"}
    seen = set()
    for call in range(1, 60, 2):
        place = tmp_path / f"p{call}"
        write_folder(place, whole_old)
        for name, content in mine.items():
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_bytes(content)
        killed = killed_at(call, partial(write_folder, place, whole_new))
        found = tree(place)
        assert {name: found[name] for name in mine} == mine
        manifest = json.loads(found["manifest.json"])
        own = {name: found.get(name) for name in {*OLD, *NEW, "manifest.json"} if name in found}
        if "state" in manifest:
            assert "interrupted" in manifest["state"]
            seen.add("incomplete")
        else:
            assert own in (whole_old, whole_new)
            seen.add("old" if own == whole_old else "new")
        write_folder(place, whole_new)
        assert tree(place) == {**whole_new, **mine}
        assert killed or call > 30
    assert seen == {"incomplete", "old", "new"}


def test_a_killed_first_export_is_finished_by_the_next(tmp_path: Path) -> None:
    for call in range(1, 27, 2):
        place = tmp_path / f"p{call}"
        assert killed_at(call, partial(write_folder, place, with_manifest(OLD)))
        if place.exists() and "Makefile" in tree(place):
            assert {name for name in tree(place) if not name.startswith(".")} >= set(OLD)
        write_folder(place, with_manifest(OLD))
        assert tree(place) == with_manifest(OLD)


def test_files_left_by_killed_processes_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".squat-notes.txt").write_bytes(b"mine")
    (tmp_path / "f").write_bytes(b"old")
    assert killed_at(1, partial(write_file, tmp_path / "f", b"new"))
    assert len(list(tmp_path.iterdir())) == 3 and (tmp_path / "f").read_bytes() == b"old"
    write_file(tmp_path / "f", b"newer")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".squat-notes.txt", "f"]


def test_what_would_be_lost_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "p"
    write_folder(place, with_manifest(OLD))
    (place / "notes.txt").write_bytes(b"mine")
    cases: dict[str, tuple[str, bytes, str]] = {
        "changed": ("src/a.h", b"edited", r"src/a.h \(changed since it was written\)"),
        "changed, and not made any more": ("src/b.h", b"edited", r"src/b.h \(changed since it was written\)"),
        "the user's": ("src/c.h", b"mine", r"src/c.h \(yours\)"),
    }
    for name, content, message in cases.values():
        old = (place / name).read_bytes() if (place / name).exists() else None
        (place / name).write_bytes(content)
        before = tree(place)
        with pytest.raises(ExportError, match=message):
            write_folder(place, with_manifest(NEW))
        assert tree(place) == before
        if old is None:
            (place / name).unlink()
        else:
            (place / name).write_bytes(old)
    (place / "src" / "c.h").write_bytes(NEW["src/c.h"])  # what is equal is not lost
    (place / "tb" / "data" / "x.txt").unlink()  # nor is what the user removed
    write_folder(place, with_manifest(NEW))
    assert tree(place) == {**with_manifest(NEW), "notes.txt": b"mine"}
    assert not (place / "tb").exists()  # it held generated files only


def test_things_in_the_place_of_generated_files(tmp_path: Path) -> None:
    for index, (name, make) in enumerate(
        (
            ("deep", lambda path: path.write_bytes(b"mine")),
            ("deep", lambda path: path.symlink_to(tmp_path)),
            ("src/c.h", lambda path: path.symlink_to("/etc/passwd")),
            ("src/c.h", os.mkfifo),
            ("src/c.h", Path.mkdir),
        )
    ):
        place = tmp_path / f"p{index}"
        write_folder(place, with_manifest(OLD))
        make(place / name)
        before = tree(place)
        with pytest.raises(ExportError, match="where a"):
            write_folder(place, with_manifest(NEW))
        assert tree(place) == before and os.path.lexists(place / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"p{i}" for i in range(5)]


@pytest.mark.parametrize(
    "manifest",
    [
        b"{",
        b"[" * 100_000,
        b'{"generator": "squat_deploy"}',
        b'{"generator": "squat_deploy", "sha256": {"../../outside": "0"}}',
        b'{"generator": "other", "sha256": {}}',
        b"\xff\xfe",
    ],
)
def test_manifests_of_others(manifest: bytes, tmp_path: Path) -> None:
    """A manifest says what may be removed, so it is not believed."""
    (tmp_path / "outside").write_bytes(b"mine")
    place = tmp_path / "a" / "p"
    place.mkdir(parents=True)
    (place / "manifest.json").write_bytes(manifest)
    before = tree(tmp_path)
    with pytest.raises(ExportError):
        write_folder(place, with_manifest(NEW))
    assert tree(tmp_path) == before


def test_a_stale_name_with_another_digest_is_kept(tmp_path: Path) -> None:
    place = tmp_path / "p"
    place.mkdir()
    (place / "thesis.tex").write_bytes(b"years")
    (place / "manifest.json").write_text(json.dumps({"generator": "squat_deploy", "sha256": {"thesis.tex": "0"}}))
    with pytest.raises(ExportError, match=r"would be lost: thesis.tex"):
        write_folder(place, with_manifest(NEW))
    assert (place / "thesis.tex").read_bytes() == b"years"


@pytest.mark.parametrize("fails_at", range(1, 14))
def test_a_failing_disk_leaves_everything_as_it_was(
    fails_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, calls, replace = tmp_path / "p", 0, os.replace
    write_folder(place, with_manifest(OLD))
    (place / "src" / "mine.h").write_bytes(b"mine")
    before = tree(place)

    def failing(source: Path, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise OSError(5, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    if fails_at <= 10:
        with pytest.raises(ExportError, match="Input/output error; nothing was changed"):
            write_folder(place, with_manifest(NEW))
        assert tree(place) == before and not (place / "deep").exists()
    else:
        write_folder(place, with_manifest(NEW))
        assert tree(place) == {**with_manifest(NEW), "src/mine.h": b"mine"}


@pytest.mark.parametrize("room", range(13))
def test_a_disk_that_stays_full_leaves_everything_as_it_was(
    room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going back needs no space: from one fsync or new folder on, none of them succeeds."""
    place, left = tmp_path / "p", room
    write_folder(place, with_manifest(OLD))
    before = tree(place)

    def filling(inner: Callable[..., None]) -> Callable[..., None]:
        def wrapped(*args: object, **options: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(28, "No space left on device")
            inner(*args, **options)

        return wrapped

    for name in ("fsync", "mkdir"):
        monkeypatch.setattr(os, name, filling(getattr(os, name)))
    with pytest.raises(ExportError, match="p: No space left on device; nothing was changed"):
        write_folder(place, with_manifest(NEW))
    assert tree(place) == before and not (place / "deep").exists()


def test_a_disk_that_is_full_at_once_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExportError, match="No space left on device; nothing was changed"):
        write_folder(tmp_path / "a" / "p", with_manifest(OLD))
    with pytest.raises(ExportError, match="No space left on device"):
        write_file(tmp_path / "f", b"new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "", "a\0b"])
def test_no_path_leaves_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="refusing to write outside the project folder"):
        write_folder(tmp_path / "p", {name: b"x"})
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"\x93NUMPY")
    assert unreadable(tmp_path / "pipe") == "is a pipe, not a file"
    assert unreadable(tmp_path) == "is a folder, not a file"
    assert unreadable(Path("/dev/zero")) == "is a device, not a file"
    assert unreadable(tmp_path / "no") == "cannot be read: No such file or directory"
    assert unreadable(tmp_path / "file", 3) == "larger than 3 bytes"
    assert unreadable(tmp_path / "file", 6) is None
    assert kind_of(tmp_path / "file") == "a NumPy array" and kind_of(tmp_path / "no") is None


def test_one_place_under_many_names(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_bytes(b"")
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to(real)
    os.link(real, tmp_path / "hard")
    for name in ("real", "link", "hard", "./real", "x/../real"):
        assert same_place(tmp_path / name, real), name
    assert same_place(tmp_path / "new", tmp_path / "." / "new") and not same_place(tmp_path / "new", real)
