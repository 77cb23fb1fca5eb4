"""Reading a NIR file: HDF5 of others, bounded before anything of it is read, as a graph of nir's own nodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from squat_deploy.errors import FileFormatError
from squat_deploy.hdf5_file import MAX_ITEMS, checked_file
from squat_deploy.readers.nir.stated import KEY, Whole, parsed

MAX_TEXT = 2**24  # bytes of names

# What is read of every node; of `metadata` only what this package wrote. Any other field is
# refused, so that none is dropped.
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
    """Nodes of nir by name, subgraphs among them, and the edges as the file gives them: nothing is inferred.

    Attributes:
        stated: what this package wrote of the network as a whole.
    """

    nodes: dict[str, Any]
    edges: tuple[tuple[str, str], ...]
    stated: Whole | None = None


def read_graph(path: Path) -> Graph:
    """The graph of a `.nir` file.

    nir's own type check is not run: it refuses files of older versions, and adds nodes. What depends on it is checked
    where the model is made.

    Raises: FileFormatError for a file that is damaged, too large, leads to other files, or is no NIR.
    """
    with checked_file(path, "a NIR file") as file:
        made = _node(file["node"], path, "the network")
    if not isinstance(made, Graph):
        raise FileFormatError(f"{path}: holds one {type(made).__name__}, not a graph")
    return made


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
        nodes = {key: _node(child, path, key) for key, child in group["nodes"].items()}
        return Graph(nodes, _edges(group["edges"]), _stated(group, kind))
    fields = {key: _values(group[key], key) for key in known if key in group}
    if kind in ("Input", "Output"):
        return _TYPES[kind]({kind.lower(): np.atleast_1d(fields["shape"])})
    made = nir.dict2NIRNode({"type": kind, **fields})
    made.metadata = {KEY: _stated(group, kind)}
    return made


def _stated(group: Any, kind: str) -> Any:
    """What this package wrote into the metadata of a node, and of nobody else."""
    if "metadata" not in group or KEY not in group["metadata"]:
        return None
    return parsed(_text(group["metadata"][KEY]), kind)


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
