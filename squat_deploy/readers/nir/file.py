"""Reading a NIR file: HDF5 of others, bounded before anything of it is read, as a graph of nir's own nodes."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from squat_deploy.errors import FileFormatError

MAX_BYTES = 2**28  # of the file, and of its arrays unpacked
MAX_ITEMS = 20_000  # groups, arrays and edges
MAX_DEPTH = 64  # of groups: every subgraph has two
MAX_TEXT = 2**24  # bytes of names
MAX_PIECES = 2**20  # texts
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}

# What is read of every node; `metadata` is not. A field that is not here is refused, so that none is dropped.
FIELDS: dict[type, tuple[str, ...]] = {
    nir.Input: ("shape",),
    nir.Output: ("shape",),
    nir.Linear: ("weight",),
    nir.Affine: ("weight", "bias"),
    nir.Conv1d: ("input_shape", "weight", "stride", "padding", "dilation", "groups", "bias"),
    nir.Conv2d: ("input_shape", "weight", "stride", "padding", "dilation", "groups", "bias"),
    nir.SumPool2d: ("kernel_size", "stride", "padding"),
    nir.AvgPool2d: ("kernel_size", "stride", "padding"),
    nir.Flatten: ("input_type", "start_dim", "end_dim"),
    nir.Threshold: ("threshold",),
    nir.IF: ("r", "v_threshold", "v_reset"),
    nir.LIF: ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    nir.CubaLIF: ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
    # Read, to be refused by name.
    nir.LI: ("tau", "r", "v_leak"),
    nir.CubaLI: ("tau_syn", "tau_mem", "r", "v_leak", "w_in"),
    nir.I: ("r",),
    nir.Scale: ("scale",),
    nir.Delay: ("delay",),
}
_TYPES = {kind.__name__: kind for kind in FIELDS}
_TEXTS = ("type", "padding")


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes of nir by name, subgraphs among them, and the edges as the file gives them: nothing is inferred."""

    nodes: dict[str, Any]
    edges: tuple[tuple[str, str], ...]


def read_graph(path: Path) -> Graph:
    """The graph of a `.nir` file.

    nir's own type check is not run: it refuses files of older versions, and adds nodes. What depends on it is checked
    where the model is made.

    Raises: FileFormatError for a file that is damaged, too large, leads to other files, or is no NIR.
    """
    try:
        if not path.is_file():
            raise FileFormatError(f"{path}: not a NIR file: no file of that name")
        if path.stat().st_size > MAX_BYTES:
            raise FileFormatError(f"{path}: larger than {MAX_BYTES} bytes")
        _check_heaps(path.read_bytes(), path)
        with h5py.File(path, "r") as file, np.errstate(all="ignore"):
            _survey(file, path)
            made = _node(file["node"], path, "the network")
    except FileFormatError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise FileFormatError(f"{path}: not a NIR file: {text or type(error).__name__}") from error
    if not isinstance(made, Graph):
        raise FileFormatError(f"{path}: holds one {type(made).__name__}, not a graph")
    return made


def _check_heaps(content: bytes, path: Path) -> None:
    """HDF5 goes through a heap of texts piece by piece, and for ever where one has no size."""
    mark, pieces = b"GCOL\1\0\0\0", 0
    place = content.find(mark)
    while place >= 0:
        at, end = place + 16, min(len(content), place + int.from_bytes(content[place + 8 : place + 16], "little"))
        while at + 16 <= end:
            free, size = content[at : at + 2] == b"\0\0", int.from_bytes(content[at + 8 : at + 16], "little")
            pieces, step = pieces + 1, size if free else 16 + (size + 7) // 8 * 8
            if step < 16 or pieces > MAX_PIECES:
                raise FileFormatError(f"{path}: not a NIR file: its texts are damaged, or more than {MAX_PIECES}")
            at += step
        place = content.find(mark, place + 1)


def _survey(file: Any, path: Path) -> None:
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
            if items > MAX_ITEMS or depth > MAX_DEPTH or total > MAX_BYTES:
                limits = f"{MAX_ITEMS} items, {MAX_DEPTH} groups in each other, {MAX_BYTES} bytes unpacked"
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


def _node(group: Any, path: Path, name: str) -> Any:
    """A node of nir, or a Graph; faults name the node."""
    try:
        return _made(group, path)
    except (AssertionError, AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        text = " ".join(str(error).split())[:200]
        raise FileFormatError(f"{path}: {name!r} cannot be read: {text or type(error).__name__}") from error


def _made(group: Any, path: Path) -> Any:
    kind = _text(group["type"])
    known = ("nodes", "edges") if kind == "NIRGraph" else FIELDS.get(_TYPES.get(kind, object))
    if known is None:
        raise ValueError(f"the type {kind[:50]!r} is not known")
    if unknown := sorted(set(group) - {"type", "metadata", *known}):
        raise ValueError(f"fields of {kind} that are not known: {', '.join(unknown)}")
    if kind == "NIRGraph":
        return Graph({key: _node(child, path, key) for key, child in group["nodes"].items()}, _edges(group["edges"]))
    fields = {key: _values(group[key], key) for key in known if key in group}
    if kind in ("Input", "Output"):
        return _TYPES[kind]({kind.lower(): np.atleast_1d(fields["shape"])})
    return nir.dict2NIRNode({"type": kind, **fields})


def _values(item: Any, key: str) -> Any:
    """Numbers; text where a field may be text."""
    if not isinstance(item, h5py.Dataset):
        raise ValueError(f"{key} is a group")
    if item.shape is None:
        return None
    if item.dtype.kind in "fiu":
        return item[()]
    if key not in _TEXTS:
        raise ValueError(f"{key} is {item.dtype}, not a number")
    return _text(item)


def _text(item: Any) -> str:
    if not isinstance(item, h5py.Dataset) or h5py.check_string_dtype(item.dtype) is None or item.shape != ():
        raise ValueError(f"text expected; got {item}")
    return str(item.asstr()[()])


def _edges(item: Any) -> tuple[tuple[str, str], ...]:
    """One text after the other: many may be one and the same long one, whose copies would fill the memory."""
    if not item.size:
        return ()
    if item.ndim != 2 or item.shape[1] != 2 or len(item) > MAX_ITEMS or h5py.check_string_dtype(item.dtype) is None:
        raise ValueError(f"edges are pairs of names; got {item.dtype} of {item.shape}")
    texts, rows, total = item.asstr(), [], 0
    for i in range(len(item)):
        rows.append((str(texts[i, 0]), str(texts[i, 1])))
        total += sum(map(len, rows[-1]))
        if total > MAX_TEXT:
            raise ValueError(f"names of more than {MAX_TEXT} bytes")
    return tuple(rows)
