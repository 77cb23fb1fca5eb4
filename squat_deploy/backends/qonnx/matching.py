"""Holding a file's graph against the one that its metadata describes: equal up to names, or the node that is not.

Walks both from the outputs, so that unused nodes and tensors, other names and another order do not matter, and neither
do Identity and Constant nodes or an initial state that somebody folded into a constant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx.defs
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper

from squat_deploy.backends.qonnx.builder import GraphBuilder, Tensor
from squat_deploy.errors import FileFormatError
from squat_deploy.names import plain
from squat_deploy.onnx_file import QONNX_DOMAINS, array_of

Value = NDArray[np.generic]
_STORED = [("value", AttributeProto.TENSOR)]


@dataclass
class _Side:
    """One graph, indexed: who makes each tensor."""

    graph: GraphProto
    made: dict[str, tuple[NodeProto, int]] = field(default_factory=dict)
    held: dict[str, TensorProto] = field(default_factory=dict)
    entry: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in self.graph.node:
            if node.op_type == "Constant" and [(a.name, a.type) for a in node.attribute] == _STORED:
                self.held[node.output[0]] = node.attribute[0].t
                continue
            for place, name in enumerate(node.output):
                self.made[name] = node, place
        self.held |= {tensor.name: tensor for tensor in self.graph.initializer}
        inputs = [value.name for value in self.graph.input if value.name not in self.held]
        self.entry = {name: place for place, name in enumerate(inputs)}

    def source(self, name: str) -> str:
        """The tensor behind a chain of Identity nodes."""
        while (found := self.made.get(name)) and (found[0].op_type, found[0].domain) == ("Identity", ""):
            name = found[0].input[0]
        return name


def match(expected: GraphBuilder, graph: GraphProto) -> dict[str, Value]:
    """The arrays of the file by the names of the expected graph's parameters.

    Raises: FileFormatError with the name of the first node or tensor of the file that does not fit.
    """
    found: dict[str, Value] = {}
    _Match(expected, graph, found).run()
    return found


class _Match:
    """One graph of ours against one of theirs; `found` is shared with the bodies of its nodes."""

    def __init__(self, expected: GraphBuilder, graph: GraphProto, found: dict[str, Value]) -> None:
        self.expected, self.graph, self.found = expected, graph, found
        self.ours, self.theirs = _Side(expected.graph), _Side(graph)
        self.bound: dict[str, str] = {}  # their tensor by ours
        self.compared: set[tuple[str, str]] = set()  # nodes, by their first outputs

    def run(self) -> None:
        """Compares all that the outputs depend on."""
        for what, want, got in (
            ("inputs", len(self.ours.entry), len(self.theirs.entry)),
            ("outputs", len(self.ours.graph.output), len(self.graph.output)),
        ):
            if want != got:
                raise FileFormatError(f"graph {self.graph.name!r}: {got} {what}; the network has {want}")
        _check_inputs(self.ours, self.theirs)
        ends = zip(self.ours.graph.output, self.graph.output, strict=True)
        waiting = [(a.name, b.name, "the outputs") for a, b in ends]
        while waiting:
            a, b, user = waiting.pop()
            waiting += self._tensor(self.ours.source(a), self.theirs.source(b), user)

    def _tensor(self, a: str, b: str, user: str) -> list[tuple[str, str, str]]:
        """Compares two tensors; gives the pairs to be compared next, with the node that takes them."""
        if a in self.expected.parameters:  # users of one array may have got copies of it
            values = _parameter(self.expected.parameters[a], self.theirs, a, b, user)
            if not np.array_equal(self.found.setdefault(a, values), values):
                raise FileFormatError(f"{user}: takes {b!r}, another copy of the array {a!r} that differs")
        elif a in self.ours.held:
            _constant(array_of(self.ours.held[a]), self.theirs, a, b, user)
        elif a in self.bound:
            if self.bound[a] != b:
                raise FileFormatError(f"{user}: takes {b!r} where the network takes {self.bound[a]!r}")
        elif a in self.ours.entry:
            self.bound[a] = b
            if self.theirs.entry.get(b) != self.ours.entry[a]:
                raise FileFormatError(f"{user}: takes {b!r} in place of the graph's input {a!r}")
        else:
            self.bound[a] = b
            return self._maker(a, b, user)
        return []

    def _maker(self, a: str, b: str, user: str) -> list[tuple[str, str, str]]:
        """Compares the two nodes that make a tensor; gives the pairs of their inputs."""
        node, place = self.ours.made[a]
        if b in self.theirs.held and node.op_type == "ConstantOfShape":
            _filled(node, array_of(self.theirs.held[b]), b, user)
            return []
        other, other_place = self.theirs.made.get(b, (None, -1))
        if other is None:
            raise FileFormatError(f"{user}: takes {b!r} in place of the result of {node.op_type}")
        label = f"node {other.name or b!r} ({plain(other.op_type)})"
        same_domain = node.domain == other.domain or {node.domain, other.domain} <= set(QONNX_DOMAINS)
        if node.op_type != other.op_type or not same_domain or place != other_place:
            raise FileFormatError(f"{label}: the network has {node.op_type} here")
        if (pair := (node.output[0], other.output[0])) in self.compared:  # by another of its outputs
            return []
        self.compared.add(pair)
        if len(node.input) != len(other.input):
            raise FileFormatError(f"{label}: {len(other.input)} inputs; the network has {len(node.input)}")
        _match_attributes(node, other, label)
        if node.op_type == "Scan":
            body = next(attribute.g for attribute in other.attribute if attribute.name == "body")
            ours = next(builder for builder in self.expected.bodies if builder.scan_name == node.name)
            _Match(ours, body, self.found).run()
        return [(x, y, label) for x, y in zip(node.input, other.input, strict=True)]


def _check_inputs(ours: _Side, theirs: _Side) -> None:
    """Element types and sizes, as far as the file states them."""
    names = [[v for v in side.graph.input if v.name in side.entry] for side in (ours, theirs)]
    for a, b in zip(*names, strict=True):
        x, y = a.type.tensor_type, b.type.tensor_type
        sizes = zip(x.shape.dim, y.shape.dim, strict=False)
        clash = any(p.dim_value and q.dim_value and p.dim_value != q.dim_value for p, q in sizes)
        rank = y.HasField("shape") and len(x.shape.dim) != len(y.shape.dim)
        if x.elem_type != y.elem_type or clash or rank:
            raise FileFormatError(f"input {b.name!r}: its type or shape is not that of {a.name!r} in the network")


def _parameter(declared: Tensor, theirs: _Side, a: str, b: str, user: str) -> Value:
    tensor = theirs.held.get(b)
    if tensor is None:
        raise FileFormatError(f"{user}: takes {b!r}, which is not stored, in place of the array {a!r}")
    if tensor.data_type != declared.element or tuple(tensor.dims) != declared.shape:
        got = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        place = f"tensor {b!r} ({a})"
        raise FileFormatError(f"{place}: {got} {tuple(tensor.dims)}; the network has {declared.dtype} {declared.shape}")
    return array_of(tensor)


def _constant(want: Value, theirs: _Side, a: str, b: str, user: str) -> None:
    tensor = theirs.held.get(b)
    if tensor is None or not np.array_equal(array_of(tensor), want):
        raise FileFormatError(f"{user}: takes {b!r}, which is not the constant {a!r}")


def _filled(node: NodeProto, values: Value, name: str, user: str) -> None:
    """A start value that was folded: any shape, since the batch may have been fixed, but one value throughout."""
    want = array_of(node.attribute[0].t).reshape(-1)[0]
    if values.dtype != want.dtype or not (values == want).all():
        raise FileFormatError(f"{user}: takes {name!r}, which is not filled with {want}")


def _match_attributes(node: NodeProto, other: NodeProto, label: str) -> None:
    """Equal values; what only one side states must be the operator's default."""
    ours, theirs = (_attributes(n) for n in (node, other))
    defaults = _defaults(node)
    for name in ours.keys() | theirs.keys():
        want, got = ours.get(name, defaults.get(name)), theirs.get(name, defaults.get(name))
        if isinstance(want, np.ndarray) and isinstance(got, np.ndarray):
            same = np.array_equal(want, got)
        else:
            same = not isinstance(got, np.ndarray) and not isinstance(want, np.ndarray) and want == got
        if not same:
            raise FileFormatError(f"{label}: attribute {name} is {got!r}; the network has {want!r}")


def _attributes(node: NodeProto) -> dict[str, object]:
    values: dict[str, object] = {}
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            values[attribute.name] = "a graph"
        elif attribute.type == AttributeProto.UNDEFINED:
            raise FileFormatError(f"node {node.name!r}: attribute {attribute.name!r} has no type")
        elif attribute.type == AttributeProto.TENSOR:
            values[attribute.name] = array_of(attribute.t)
        else:
            values[attribute.name] = helper.get_attribute_value(attribute)
    return values


def _defaults(node: NodeProto) -> Mapping[str, object]:
    if node.domain:
        return {"out_scale": 1.0, "out_bias": 0.0, "data_layout": b""}
    schema = onnx.defs.get_schema(node.op_type)
    return {
        name: helper.get_attribute_value(attribute.default_value)
        for name, attribute in schema.attributes.items()
        if attribute.default_value.name
    }
