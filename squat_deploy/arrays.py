"""NumPy arrays from files of unknown origin: never unpickled, and no larger than what the file really holds."""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from squat_deploy.errors import FileFormatError, SquatError, translated
from squat_deploy.files import kind_of, unreadable

MAX_BYTES = 2**32
MAX_RANK = 16
_SMALL, _PACKED = 2**28, 100  # an archive may unpack to this many bytes, or to so many times its own size
_MAX_MEMBERS = 10_000
_MAX_HEADER = 10_000  # as NumPy itself
_KINDS = "biuf"
_MAX_IDX_RANK = 8


def read_npy(path: Path, kind: type[SquatError] = FileFormatError) -> NDArray[Any]:
    """One array of numbers. Raises: `kind` for anything else, before memory is taken by a claim."""
    _check_file(path, kind)
    with translated(kind, f"{path}: not a NumPy array file"), path.open("rb") as stream:
        if (other := kind_of(path)) is not None and "NumPy" not in other:
            raise kind(f"{path}: not a NumPy array file: it is {other}; expected one .npy array")
        return _array(stream, path.stat().st_size, kind, str(path))


def idx_array(content: bytes, name: str, kind: type[SquatError] = FileFormatError) -> NDArray[Any]:
    """The array of an IDX file: 0, 0, type, rank; big-endian sizes; data. Raises: `kind` for anything else."""
    if len(content) < 4 or content[:2] != b"\x00\x00" or content[2] not in _IDX or len(content) < 4 + 4 * content[3]:
        bytes_only = " of unsigned bytes" if content[2:3] == b"\x08" else ""
        raise kind(f"{name}: not an IDX file{bytes_only}")
    rank, dtype = content[3], np.dtype(_IDX[content[2]])
    if not 1 <= rank <= _MAX_IDX_RANK:
        raise kind(f"{name}: {rank} dimensions; from 1 to {_MAX_IDX_RANK}")
    shape = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
    expected, held = math.prod(shape) * dtype.itemsize, len(content) - 4 - 4 * rank
    if held != expected:
        raise kind(f"{name}: truncated: {shape} needs {expected} bytes, {held} are there")
    return np.frombuffer(content, dtype=dtype, offset=4 + 4 * rank).reshape(shape)


def names_in(path: Path, kind: type[SquatError] = FileFormatError) -> tuple[str, ...]:
    """Names of the arrays in an .npz file. Raises: `kind` for anything else."""
    _check_file(path, kind)
    with translated(kind, f"{path}: not an .npz file of plain arrays"), zipfile.ZipFile(path) as archive:
        members = archive.namelist()[:_MAX_MEMBERS]
    return tuple(name.removesuffix(".npy") for name in members if name.endswith(".npy"))


def read_npz(path: Path, names: Sequence[str], kind: type[SquatError] = FileFormatError) -> dict[str, NDArray[Any]]:
    """Arrays of numbers from an archive. Raises: `kind`, as `read_npy`; a member that is missing, named."""
    _check_file(path, kind)
    what = f"{path}: not an .npz file of plain arrays"
    with translated(kind, what), zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if len(archive.infolist()) > min(_MAX_MEMBERS, len(members)):
            raise kind(f"{path}: more than {_MAX_MEMBERS} members, or two of one name")
        if missing := [name for name in names if f"{name}.npy" not in members]:
            raise kind(f"{what}: no {missing[0]} in it; expected the arrays {', '.join(names)}")
        most = max(_SMALL, _PACKED * path.stat().st_size)
        if (total := sum(member.file_size for member in members.values())) > most:
            raise kind(f"{path}: would unpack to {total} bytes; at most {most} of a file of this size")
        found = {}
        for member in members.values():  # those that nobody asked for too: a broken one is a broken file
            _check_member(member, kind, path)
            with archive.open(member) as stream:
                if (name := member.filename.removesuffix(".npy")) in names:
                    found[name] = _array(stream, member.file_size, kind, f"{path}: {member.filename}")
                while stream.read(2**20):  # the checksum is looked at where the member ends
                    pass
        return {name: found[name] for name in names}


def _check_member(member: zipfile.ZipInfo, kind: type[SquatError], path: Path) -> None:
    what = f"{path}: {member.filename}"
    if member.flag_bits & 1:
        raise kind(f"{what} is encrypted; save it without a password")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise kind(f"{what}: compression method {member.compress_type}; save it with numpy.savez_compressed")


def _check_file(path: Path, kind: type[SquatError]) -> None:
    if (why := unreadable(path, MAX_BYTES)) is not None:
        raise kind(f"{path}: {why}")


def _array(stream: IO[bytes], size: int, kind: type[SquatError], what: str) -> NDArray[Any]:
    """An array whose header claims exactly the bytes that follow, in a stream of `size` bytes."""
    head = stream.read(8)
    if head[:6] != npy.MAGIC_PREFIX or head[6:] not in _HEADERS:
        raise kind(f"{what}: not a NumPy array file of version 1 or 2; save it with numpy.save")
    layout, read = _HEADERS[head[6:]]
    length = stream.read(struct.calcsize(layout))
    (count,) = struct.unpack(layout, length)
    if count > _MAX_HEADER:
        raise kind(f"{what}: a header of {count} bytes; at most {_MAX_HEADER} are read")
    shape, fortran, dtype = read(io.BytesIO(length + stream.read(count)))
    if dtype.kind not in _KINDS:
        raise kind(f"{what}: expected an array of numbers; got {str(dtype)[:80]}")
    if len(shape) > MAX_RANK or any(type(n) is not int or n < 0 for n in shape):
        raise kind(f"{what}: shape {str(shape)[:80]}")
    held, claimed = size - len(head) - len(length) - count, math.prod(shape) * dtype.itemsize
    if claimed != held:
        raise kind(f"{what}: truncated or altered: {shape} of {dtype} is {claimed} bytes; {max(held, 0)} are there")
    content = bytearray(claimed)
    rest = memoryview(content)
    while rest and (got := stream.readinto(rest)):  # type: ignore[attr-defined]
        rest = rest[got:]
    if rest:
        raise kind(f"{what}: truncated: {len(rest)} of {claimed} bytes are missing")
    return np.ndarray(shape, dtype, content, order="F" if fortran else "C")


_IDX = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_HEADERS: dict[bytes, tuple[str, Callable[[IO[bytes]], Any]]] = {
    b"\x01\x00": ("<H", npy.read_array_header_1_0),
    b"\x02\x00": ("<I", npy.read_array_header_2_0),
}
