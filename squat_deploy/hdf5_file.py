"""HDF5 files of others (NIR, recordings): bounded before anything of them is read; nothing in them leads elsewhere."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from squat_deploy.errors import FileFormatError

MAX_BYTES = 2**28  # of the file, and of its arrays unpacked
MAX_ITEMS = 20_000  # groups, arrays and edges
MAX_DEPTH = 64  # of groups: every subgraph has two
MAX_PIECES = 2**20  # texts
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}


@contextmanager
def checked_file(path: Path, what: str, most: int = MAX_BYTES) -> Iterator[Any]:
    """An HDF5 file, open for reading, all of it looked at.

    Args: what: it should be, for messages; most: bytes of the file, and of its arrays unpacked.

    Raises: FileFormatError for a file that is damaged, too large, or leads to other files; and for whatever h5py or
        the reading in the block raises.
    """
    try:
        if not path.is_file():
            raise FileFormatError(f"{path}: not {what}: no such file")
        if path.stat().st_size > most:
            raise FileFormatError(f"{path}: larger than {most} bytes")
        _check_heaps(path.read_bytes(), path, what)
        with h5py.File(path, "r") as file, np.errstate(all="ignore"):
            _survey(file, path, most)
            yield file
    except FileFormatError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise FileFormatError(f"{path}: not {what}: {text or type(error).__name__}") from error


def _check_heaps(content: bytes, path: Path, what: str) -> None:
    """HDF5 goes through a heap of texts piece by piece, and for ever where one has no size."""
    mark, pieces = b"GCOL\1\0\0\0", 0
    place = content.find(mark)
    while place >= 0:
        at, end = place + 16, min(len(content), place + int.from_bytes(content[place + 8 : place + 16], "little"))
        while at + 16 <= end:
            free, size = content[at : at + 2] == b"\0\0", int.from_bytes(content[at + 8 : at + 16], "little")
            pieces, step = pieces + 1, size if free else 16 + (size + 7) // 8 * 8
            if step < 16 or pieces > MAX_PIECES:
                raise FileFormatError(f"{path}: not {what}: its texts are damaged, or more than {MAX_PIECES}")
            at += step
        place = content.find(mark, place + 1)


def _survey(file: Any, path: Path, most: int) -> None:
    """Bounds what a file would take to read, and refuses all that leads elsewhere: from sizes alone."""
    waiting, items, total = [(file, 0)], 0, 0
    while waiting:
        group, depth = waiting.pop()
        for name, item in _own_items(group, path):
            items += 1
            if isinstance(item, h5py.Group):
                waiting.append((item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                total += _checked_bytes(item, f"{path}: {name!r}")
            else:
                raise FileFormatError(f"{path}: {name!r} is neither a group nor an array")
            if items > MAX_ITEMS or depth > MAX_DEPTH or total > most:
                limits = f"{MAX_ITEMS} items, {MAX_DEPTH} groups in each other, {most} bytes unpacked"
                raise FileFormatError(f"{path}: more than {limits}")


def _own_items(group: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """What lies in this very file: files of others may not lead to files of the user's."""
    for name in islice(group, MAX_ITEMS + 1):
        if not name.isascii():
            name.encode()  # refused here, before anyone prints it
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise FileFormatError(f"{path}: {name!r} is a link")
        yield name, group[name]


def _checked_bytes(item: Any, where: str) -> int:
    """Bytes of an array once read; its chunks may not unpack to more than they say."""
    if item.external:
        raise FileFormatError(f"{where} lies in another file")
    if item.is_virtual:
        raise FileFormatError(f"{where} is made of other arrays")
    if item.shape is None:
        return 0
    size = int(item.size) * item.dtype.itemsize
    if item.chunks is None or size > MAX_BYTES:
        return size
    created, chunk = item.id.get_create_plist(), prod(item.chunks) * item.dtype.itemsize
    filters = [created.get_filter(i)[0] for i in range(created.get_nfilters())]
    if not set(filters) <= _FILTERS or len(set(filters)) < len(filters):
        raise FileFormatError(f"{where} is compressed otherwise than with gzip, which nir.write takes unless told")
    if chunk > MAX_BYTES:
        raise FileFormatError(f"{where} has chunks of {chunk} bytes")
    if h5py.h5z.FILTER_DEFLATE in filters:
        item.id.chunk_iter(lambda info: _check_chunk(item, info, chunk, where))
    return size


def _check_chunk(item: Any, info: Any, size: int, where: str) -> None:
    packed = b"" if info.filter_mask or info.size > MAX_BYTES else item.id.read_direct_chunk(info.chunk_offset)[1]
    if not packed or len(zlib.decompressobj().decompress(packed, size + 8)) > size + 4:  # 4: a checksum
        raise FileFormatError(f"{where} unpacks to more than its size")
