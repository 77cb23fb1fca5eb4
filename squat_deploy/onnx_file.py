"""Parsing ONNX files of unknown origin: bounded in memory and time, one clear error for whatever is wrong.

Nothing is trusted: sizes are checked against what the file really holds before any array is made, and graphs must be
in order (hence without cycles) before anybody walks them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from squat_deploy.errors import FileFormatError
from squat_deploy.names import plain

MAX_BYTES = 2**28
MAX_FIELDS = 2_000_000  # of the whole protobuf message: a field of 2 bytes takes hundreds in memory
MAX_FIELD_DEPTH = 100  # as protobuf itself
MAX_NODES = 100_000
MAX_DEPTH = 2  # the graph, and the body of a Scan
MAX_RANK = 8
_VARINT, _LENGTH_DELIMITED = 0, 2  # protobuf wire types
_FIXED_BYTES = {1: 8, 5: 4}
QONNX_DOMAIN = "qonnx.custom_op.general"
QONNX_DOMAINS = (QONNX_DOMAIN, "onnx.brevitas", "finn.custom_op.general")
OPSETS = range(13, 27)
_RAW_TYPES: set[int] = {
    TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.BOOL,
    TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64,
    TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64,
}  # fmt: skip
_FIELDS: dict[int, str] = {
    TensorProto.FLOAT: "float_data", TensorProto.DOUBLE: "double_data",
    TensorProto.INT64: "int64_data", TensorProto.UINT32: "uint64_data", TensorProto.UINT64: "uint64_data",
}  # fmt: skip


def parse(path: Path) -> ModelProto:
    """A well-formed ONNX model with all its tensors inside.

    Raises: FileFormatError for a file that is missing, too large, truncated or malformed; names what and where.
    """
    try:
        model = _decoded(path)
        _check_model(model)
        _load_external(model, path.parent)
        for tensor in all_tensors(model.graph):
            _check_tensor(tensor)
        _check_graph(model.graph, (), 1)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from error
    return model


def _decoded(path: Path) -> ModelProto:
    try:
        if path.exists() and not path.is_file():
            raise FileFormatError("not a file")
        if path.stat().st_size > MAX_BYTES:
            raise FileFormatError(f"larger than {MAX_BYTES} bytes")
        content = path.read_bytes()
        _check_fields(content)
        return onnx.load_model_from_string(content)
    except OSError as error:
        raise FileFormatError(f"cannot be read: {error.strerror or error}") from error
    except (DecodeError, ValueError, LookupError, RecursionError) as error:
        raise FileFormatError("not an ONNX file, or truncated") from error


def _check_fields(content: bytes) -> None:
    """Counts the fields of the message before anything is made of them.

    Raises: FileFormatError for too many; ValueError, LookupError where it is malformed.
    """
    outer: list[tuple[int, Descriptor]] = []  # (end, message) of those around the current one
    place, end, message, fields = 0, len(content), ModelProto.DESCRIPTOR, 0
    while place < end or outer:
        if place >= end:
            end, message = outer.pop()
            continue
        fields += 1
        if fields > MAX_FIELDS or len(outer) > MAX_FIELD_DEPTH:
            raise FileFormatError(f"more than {MAX_FIELDS} fields, or {MAX_FIELD_DEPTH} of them nested")
        tag, place = _varint(content, place)
        if tag & 7 == _LENGTH_DELIMITED:
            size, place = _varint(content, place)
            if place + size > end:
                raise ValueError("a field reaches beyond its message")
            known = message.fields_by_number.get(tag >> 3)
            if known is None or known.message_type is None:
                if known is not None and known.type == FieldDescriptor.TYPE_STRING:
                    content[place : place + size].decode()  # protobuf would give bytes in place of text
                place += size
            else:
                outer.append((end, message))
                end, message = place + size, known.message_type
        elif tag & 7 == _VARINT:
            _, place = _varint(content, place)
        else:
            place += _FIXED_BYTES[tag & 7]


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """A protobuf integer and the place behind it."""
    value = shift = 0
    while True:
        byte = content[place]
        place += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("an integer of more than 64 bits")


def array_of(tensor: TensorProto) -> NDArray[np.generic]:
    """The values of a tensor that `parse` has let through."""
    return numpy_helper.to_array(tensor)


def _check_model(model: ModelProto) -> None:
    if not model.graph.node:
        raise FileFormatError("an ONNX file without nodes, or not an ONNX file")
    if model.functions or model.training_info or model.graph.sparse_initializer:
        raise FileFormatError("functions, training graphs and sparse tensors are not read")
    if not any(opset.domain in ("", "ai.onnx") for opset in model.opset_import):
        raise FileFormatError("states no opset")
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx"):
            if opset.version not in OPSETS:
                raise FileFormatError(f"opset {opset.version}; this version reads {OPSETS[0]} to {OPSETS[-1]}")
        elif opset.domain not in QONNX_DOMAINS and not opset.domain.startswith("pkg."):
            raise FileFormatError(f"unknown operator domain {opset.domain!r}; known are {', '.join(QONNX_DOMAINS)}")


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Graphs in the attributes of a node."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def all_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Every tensor with values: initializers and attributes, in subgraphs too."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors
        for body in subgraphs(node):
            yield from all_tensors(body)


def _check_tensor(tensor: TensorProto) -> None:
    """The claimed shape must be that of the values which the file holds: nothing is allocated by a claim."""
    name = tensor.name or "a constant"
    if tensor.data_type not in _RAW_TYPES:
        known = TensorProto.DataType.keys()
        kind = known[tensor.data_type] if 0 <= tensor.data_type < len(known) else tensor.data_type
        raise FileFormatError(f"tensor {name!r}: element type {kind} is not read")
    if len(tensor.dims) > MAX_RANK or any(size < 0 for size in tensor.dims):
        raise FileFormatError(f"tensor {name!r}: shape {list(tensor.dims)}")
    wanted = math.prod(tensor.dims)
    if tensor.HasField("raw_data"):
        item = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        held, rest = divmod(len(tensor.raw_data), item)
        held = -1 if rest else held
    else:
        held = len(getattr(tensor, _FIELDS.get(tensor.data_type, "int32_data")))
    if held != wanted or tensor.HasField("segment"):
        raise FileFormatError(f"tensor {name!r}: claims shape {list(tensor.dims)}, but holds other data")


def _load_external(model: ModelProto, folder: Path) -> None:
    """Brings tensors in from files beside the model; never from anywhere else."""
    total, root = 0, folder.resolve()
    for tensor in all_tensors(model.graph):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        place = _resolved(root, entries.get("location", ""))
        if place is None:
            where = entries.get("location", "")[:99]
            raise FileFormatError(
                f"tensor {tensor.name!r}: its data is in no file in the folder of the model: {where!r}"
            )
        content = _slice(place, entries, tensor.name, MAX_BYTES - total)
        total += len(content)
        tensor.raw_data = content
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _resolved(root: Path, location: str) -> Path | None:
    """A file below `root`, links followed, or None."""
    try:
        place = (root / location).resolve()
        return place if place.is_relative_to(root) and place.is_file() else None
    except (OSError, RuntimeError, ValueError):  # a loop of links, or no path at all
        return None


def _slice(place: Path, entries: dict[str, str], name: str, budget: int) -> bytes:
    try:
        size = place.stat().st_size
        offset = int(entries.get("offset") or 0)
        length = int(entries.get("length") or size - offset)
        if offset < 0 or length < 0 or offset + length > size or length > budget:
            raise FileFormatError(f"tensor {name!r}: {place.name} does not hold bytes {offset}..{offset + length}")
        with place.open("rb") as stream:
            stream.seek(offset)
            return stream.read(length)
    except (OSError, ValueError) as error:
        raise FileFormatError(f"tensor {name!r}: its data file {place.name} cannot be read") from error


def _check_graph(graph: GraphProto, outer: tuple[set[str], ...], depth: int) -> None:
    """Every tensor is made once and before its use, so that there is no cycle."""
    if depth > MAX_DEPTH or len(graph.node) > MAX_NODES:
        raise FileFormatError(f"more than {MAX_NODES} nodes, or graphs nested deeper than {MAX_DEPTH}")
    known = {""}
    scopes = (*outer, known)
    _define(scopes, (value.name for value in graph.input), "input")
    inputs = {value.name for value in graph.input}
    _define(scopes, (tensor.name for tensor in graph.initializer if tensor.name not in inputs), "initializer")
    for node in graph.node:
        label = f"node {node.name or ', '.join(node.output)!r} ({plain(node.op_type)})"
        if len({attribute.name for attribute in node.attribute}) != len(node.attribute):
            raise FileFormatError(f"{label}: two attributes of one name")
        if not node.output or (node.op_type == "Identity" and len(node.input) != 1):
            raise FileFormatError(f"{label}: {len(node.input)} inputs, {len(node.output)} outputs")
        if missing := [name for name in node.input if not any(name in scope for scope in scopes)]:
            raise FileFormatError(f"{label}: its input {missing[0]!r} is made by no node before it: a cycle or a gap")
        for body in subgraphs(node):
            _check_graph(body, scopes, depth + 1)
        _define(scopes, (name for name in node.output if name), label)
    if missing := [value.name for value in graph.output if not any(value.name in scope for scope in scopes)]:
        raise FileFormatError(f"output {missing[0]!r} is made by no node")


def _define(scopes: tuple[set[str], ...], names: Iterable[str], what: str) -> None:
    """Adds names to the innermost scope; none may be known already."""
    for name in names:
        if any(name in scope for scope in scopes):
            raise FileFormatError(f"{what}: a second tensor named {name!r}")
        scopes[-1].add(name)
