"""Reading the QONNX files that Brevitas exports: a feed-forward net's integer weights, exactly as the file means them.

Brevitas stores float weights and a Quant node beside each; its integers are what that node would compute in float32.
The file is all there is to go by: where a trained module quantizes in a way that a Quant node does not express (a
learned rounding, FLOOR for weights), Brevitas writes a file that means other weights than the module's, and those are
what this reader gives.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto, helper

from squat_deploy.backends.cpp import plain
from squat_deploy.backends.qonnx.parsing import MAX_BYTES, MAX_RANK, QONNX_DOMAINS, array_of, parse
from squat_deploy.errors import FileFormatError

MAX_WEIGHTS = MAX_BYTES // 4  # of all layers together: what a file can hold, unless its layers share a tensor
MAX_CHAIN = 8  # nodes between a stored tensor and its layer
MAX_WEIGHT_BITS, MAX_BIAS_BITS, MAX_INPUT_BITS = 8, 32, 16
_SHOWN = 100
_SCOPES = "pkg.torch.onnx.name_scopes"
_QUANTIZERS = ("Quant", "IntQuant", "BipolarQuant")
_ARITIES = {
    "Gemm": (2, 3), "MatMul": (2, 2), "Conv": (2, 3), "Add": (2, 2), "Relu": (1, 1), "Clip": (1, 3),
    "Flatten": (1, 1), "Reshape": (2, 2), "Transpose": (1, 1), "Identity": (1, 1), "Dropout": (1, 3),
    "Quant": (4, 4), "IntQuant": (4, 4), "BipolarQuant": (2, 2),
}  # fmt: skip
_FLATTEN = "put nn.Flatten() before it"
_SYMMETRIC = "use a symmetric quantizer, such as Int8WeightPerTensorFloat"
_ZEROS = "use padding=(height, width) of zeros in the QuantConv2d"
_ACTIVATION = "use nn.ReLU or QuantReLU there; the neurons take its place"
_POOLING = "use a QuantConv2d with a stride"
_KNOWN = "use QuantLinear, QuantConv2d, QuantReLU, QuantIdentity, Flatten and Dropout only"
_HINTS = {
    "BatchNormalization": "merge it into the layer before exporting (brevitas.nn.utils.merge_bn)",
    "Add": "only the bias of the layer just before is added; remove residual and other additions",
    "ConvTranspose": "use QuantConv2d",
    "FloatQuant": "use an integer quantizer",
    "Trunc": "use a QuantIdentity in place of the truncation",
    "Pad": _ZEROS,
    "Shape": "flatten with nn.Flatten(), and export with a fixed batch",
    **dict.fromkeys(("AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean"), _POOLING),
    **dict.fromkeys(("Sigmoid", "Tanh", "LeakyRelu", "Elu", "Gelu", "HardSigmoid", "Softmax"), _ACTIVATION),
}
Floats = NDArray[np.float32]
_ROUNDINGS: dict[str, Callable[[Floats], Floats]] = {
    "ROUND": np.rint, "HALF_EVEN": np.rint, "CEIL": np.ceil, "FLOOR": np.floor, "DOWN": np.trunc,
}  # fmt: skip


@dataclass(frozen=True)
class ConvGeometry:
    """How a 2-D convolution moves over its zero-padded input; each pair is (height, width)."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


@dataclass(frozen=True, eq=False)
class ImportedSynapses:
    """One layer: input times `weight * scale`, plus `bias`; every product `weight * scale` is a float32 of the graph.

    Attributes:
        name: plain text and unique: the module's name where the file tells it, else the node's.
        weight: int64 (out, in), or (out, in/groups, kernel height, kernel width) for a convolution.
        scale: float32 (out,), positive; one a neuron, also where the file has one for all.
        bias: float32 (out,), the values that the graph adds (dequantized where they pass a Quant), or None.
        conv: None for a linear layer.
    """

    name: str
    weight: NDArray[np.int64]
    scale: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    conv: ConvGeometry | None


@dataclass(frozen=True)
class InputQuant:
    """The input x becomes the integer `clip(round(x / scale), low, high)`, ties to even; it is worth `scale`."""

    scale: float
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class ImportedGraph:
    """A feed-forward net as its file describes it.

    Attributes:
        layers: in the order of the data.
        input_shape: sizes of one sample, without the batch.
        input_quant: the quantizer at the net's input, if there is one.
        activations: (index of the layer that it follows, name of the node, type of the node) of every activation and
            activation quantizer, in whose place the user's neurons come; their parameters are not read.
    """

    layers: tuple[ImportedSynapses, ...]
    input_shape: tuple[int, ...]
    input_quant: InputQuant | None
    activations: tuple[tuple[int, str, str], ...]


def read_brevitas(path: Path) -> ImportedGraph:
    """The layers of a net that `brevitas.export.export_qonnx` wrote, with dynamo or without.

    Raises: FileFormatError for a file that is damaged, or holds what this package cannot compute exactly; names the
        node, the rule, what came, and the nearest thing that works.
    """
    path = Path(path)
    graph = parse(path).graph
    try:
        _check_text(graph)
        return _Walk(_File(graph)).run()
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from error


# Faults


def _shown(text: str) -> str:
    """A name of the file in a message: as it is, if that is short and harmless."""
    return text if len(text) <= _SHOWN and text.isprintable() else ascii(text[:_SHOWN])


def _label(node: NodeProto) -> str:
    name = node.name or next(iter(node.output), "") or "without a name"
    return f"node {_shown(name)} ({_shown(node.op_type)})"


def _fault(node: NodeProto, rule: str, got: object, hint: str) -> FileFormatError:
    return FileFormatError(f"{_label(node)}: {rule}; got {got}; {hint}")


def _graph_fault(rule: str, got: object, hint: str) -> FileFormatError:
    return FileFormatError(f"the graph: {rule}; got {got}; {hint}")


def _unsupported(node: NodeProto) -> FileFormatError:
    got = _shown(f"{node.domain}.{node.op_type}" if node.domain else node.op_type)
    return _fault(node, "not an operation that is read here", got, _HINTS.get(node.op_type, _KNOWN))


# Nodes


def _check_text(graph: GraphProto) -> None:
    """Every name is text: protobuf gives bytes for what is not UTF-8."""
    texts = [value.name for values in (graph.input, graph.output, graph.initializer) for value in values]
    for node in graph.node:
        texts += [node.name, node.op_type, node.domain, *node.input, *node.output]
        texts += [attribute.name for attribute in node.attribute]
        texts += [text for entry in node.metadata_props for text in (entry.key, entry.value)]
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise _graph_fault("its names are UTF-8", ascii(wrong[0][:_SHOWN]), "export the net again")


def _kind(node: NodeProto) -> str:
    """The type of a node of a known domain, or nothing."""
    known = QONNX_DOMAINS if node.op_type in _QUANTIZERS else ("", "ai.onnx")
    return node.op_type if node.domain in known else ""


def _check_arity(node: NodeProto) -> None:
    least, most = _ARITIES[node.op_type]
    given = len(node.input)
    if not least <= given <= most or "" in node.input[:least]:
        wanted = str(least) if least == most else f"{least} to {most}"
        named = sum(map(bool, node.input))
        raise _fault(node, f"it takes {wanted} inputs", f"{given}, {named} of them named", "export the net again")
    outputs = len(node.output)
    if not outputs or not node.output[0] or (outputs > 1 and node.op_type != "Dropout"):
        raise _fault(node, "it has one output with a name", outputs, "export the net again")


def _attribute(node: NodeProto, name: str, kind: AttributeProto.AttributeType, default: object) -> object:
    found = [attribute for attribute in node.attribute if attribute.name == name]
    if not found:
        return default
    if len(found) > 1 or found[0].type != kind or found[0].ref_attr_name:
        wanted = AttributeProto.AttributeType.Name(kind)
        raise _fault(node, f"attribute {name} is one of type {wanted}", "another", "export the net again")
    return helper.get_attribute_value(found[0])


def _int(node: NodeProto, name: str, default: int | None = None) -> int:
    value = _attribute(node, name, AttributeProto.INT, default)
    if value is None:
        raise _fault(node, f"attribute {name} is stated", "none", "export the net again")
    assert isinstance(value, int)
    return value


def _flag(node: NodeProto, name: str, default: int | None = None) -> bool:
    value = _int(node, name, default)
    if value not in (0, 1):
        raise _fault(node, f"attribute {name} is 0 or 1", value, "export the net again")
    return bool(value)


def _text(node: NodeProto, name: str, default: str) -> str:
    value = _attribute(node, name, AttributeProto.STRING, default.encode())
    assert isinstance(value, bytes)
    return value.decode("utf-8", "replace")


def _numbers(node: NodeProto, name: str, default: tuple[int, ...], low: int) -> tuple[int, ...]:
    """A list of as many integers as `default` has, none below `low`."""
    value = _attribute(node, name, AttributeProto.INTS, default)
    assert isinstance(value, list | tuple)
    if len(value) != len(default) or min(value, default=low) < low:
        rule = f"attribute {name} is {len(default)} numbers from {low} on"
        raise _fault(node, rule, _shown(str(list(value)[:MAX_RANK])), "use QuantConv2d as it is")
    return tuple(value)


@dataclass
class _File:
    """A graph, indexed: what is stored, who makes each tensor, and who uses it at which place."""

    graph: GraphProto
    stored: dict[str, TensorProto] = field(default_factory=dict)
    made: dict[str, NodeProto] = field(default_factory=dict)
    uses: dict[str, list[tuple[NodeProto, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in self.graph.node:
            held = _kind(node) == "Constant" and len(node.attribute) == 1 and node.attribute[0].name == "value"
            for name in node.output:
                if held and node.attribute[0].type == AttributeProto.TENSOR:
                    self.stored[name] = node.attribute[0].t
                self.made[name] = node
            for place, name in enumerate(node.input):
                self.uses.setdefault(name, []).append((node, place))
        self.stored |= {tensor.name: tensor for tensor in self.graph.initializer}

    def parameter(self, node: NodeProto, place: int, what: str) -> TensorProto:
        """The stored tensor that a node takes at a place, without any arithmetic on the way."""
        name = node.input[place]
        for _ in range(MAX_CHAIN):
            if name in self.stored:
                return self.stored[name]
            maker = self.made.get(name)
            if maker is None or _kind(maker) != "Identity":
                break
            _check_arity(maker)
            name = maker.input[0]
        raise _fault(node, f"{what} is stored in the file", "a computed one", "export the net in eval mode")


# Stored tensors, and what Quant nodes make of them


@dataclass(frozen=True, eq=False)
class _Constant:
    """A stored tensor as a layer gets it: `values`, times `scale` element by element if it was quantized.

    Attributes:
        name: of the stored tensor.
        values: float32; integers if there is a scale.
        scale: float32 of the same shape, or None.
    """

    name: str
    values: Floats
    scale: Floats | None

    def mapped(self, change: Callable[[Floats], Floats]) -> _Constant:
        return _Constant(self.name, change(self.values), None if self.scale is None else change(self.scale))

    @property
    def real(self) -> Floats:
        return self.values if self.scale is None else self.values * self.scale


def _constant(file: _File, node: NodeProto, place: int, max_bits: int) -> _Constant:
    """What a layer takes at a place, which must come from a stored tensor.

    Raises: FileFormatError that names the first node on the way that cannot be read.
    """
    chain: list[NodeProto] = []
    name = node.input[place]
    while name not in file.stored:
        maker = file.made.get(name)
        if maker is None or len(chain) == MAX_CHAIN:
            got = "an input of the graph" if maker is None else f"more than {MAX_CHAIN} nodes before it"
            hint = "use the layers of brevitas.nn, whose weights are parameters"
            raise _fault(node, "its weights and bias are stored in the file", got, hint)
        if _kind(maker) not in _CONSTANT_OPS:
            rule = f"what {_label(node)} takes as weights or bias is stored, and passes at most one Quant"
            raise _fault(maker, rule, _shown(maker.op_type), "quantize weights with weight_quant=... of the layer")
        _check_arity(maker)
        chain.append(maker)
        name = maker.input[0]
    constant = _Constant(name, _floats(node, file.stored[name], "weights and biases"), None)
    for maker in reversed(chain):
        constant = _CONSTANT_OPS[_kind(maker)](file, maker, constant, max_bits)
    return constant


def _floats(node: NodeProto, tensor: TensorProto, what: str) -> Floats:
    """The finite float32 values of a tensor."""
    if tensor.data_type != TensorProto.FLOAT or 0 in tensor.dims:
        kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        raise _fault(node, f"{what} are float32", f"{kind} {list(tensor.dims)}", "export the net in float32")
    values = array_of(tensor)
    if not np.isfinite(values).all():
        raise _fault(node, f"{what} are finite", "NaN or infinity", "train it anew, or look for a division by 0")
    return values.astype(np.float32, copy=False)


def _same(file: _File, node: NodeProto, constant: _Constant, max_bits: int) -> _Constant:
    return constant


def _transpose(file: _File, node: NodeProto, constant: _Constant, max_bits: int) -> _Constant:
    axes = tuple(range(constant.values.ndim))
    order = _numbers(node, "perm", axes[::-1], 0)
    if sorted(order) != list(axes):
        raise _fault(node, f"attribute perm orders the axes {list(axes)}", list(order), "export the net again")
    return constant.mapped(lambda values: values.transpose(order))


def _reshaped(file: _File, node: NodeProto, constant: _Constant, max_bits: int) -> _Constant:
    old = constant.values.shape
    new = _resolved(_target(file, node), old, keep_zero=_flag(node, "allowzero", 0))
    if new is None:
        got = _target(file, node)
        raise _fault(node, f"it keeps the {math.prod(old)} values of its input", got, "export the net again")
    return constant.mapped(lambda values: values.reshape(new))


def _target(file: _File, node: NodeProto) -> list[int]:
    """The sizes that a Reshape is given."""
    tensor = file.parameter(node, 1, "the shape")
    if tensor.data_type != TensorProto.INT64 or len(tensor.dims) != 1 or tensor.dims[0] > MAX_RANK:
        raise _fault(node, f"the shape is up to {MAX_RANK} int64", f"a tensor {list(tensor.dims)}", _KNOWN)
    return [int(size) for size in array_of(tensor)]


def _resolved(target: list[int], old: tuple[int, ...], keep_zero: bool) -> tuple[int, ...] | None:
    """The sizes meant by those of a Reshape; None if they do not fit."""
    sizes = [old[axis] if size == 0 and not keep_zero and axis < len(old) else size for axis, size in enumerate(target)]
    if sizes.count(-1) == 1:
        rest = math.prod(size for size in sizes if size != -1)
        sizes = [math.prod(old) // rest if size == -1 and rest > 0 else size for size in sizes]
    return tuple(sizes) if min(sizes, default=1) > 0 and math.prod(sizes) == math.prod(old) else None


def _quantized(file: _File, node: NodeProto, constant: _Constant, max_bits: int) -> _Constant:
    """The integers of a quantizer in the float32 operations of qonnx's own: divide, clip, round."""
    if constant.scale is not None:
        raise _fault(node, "a tensor passes one Quant", "a second one", "quantize weights with weight_quant=... only")
    values, shape = constant.values, constant.values.shape
    scale = _scale(file, node, shape)
    if node.op_type == "BipolarQuant":
        steps = np.where(values >= 0, np.float32(1), np.float32(-1))
    else:
        low, high = _bounds(file, node, shape, max_bits)
        rounding = _rounding(node)
        with np.errstate(over="ignore"):
            steps = rounding(np.clip(values / scale, np.float32(low), np.float32(high)))
    with np.errstate(over="ignore"):
        finite = np.isfinite(steps * scale).all()
    if not finite:
        raise _fault(node, "an integer times its scale is finite", "infinity", "train with a smaller scale")
    return _Constant(constant.name, steps, np.broadcast_to(scale, shape))


def _fits(tensor: TensorProto, shape: tuple[int, ...]) -> bool:
    """Whether a tensor can be broadcast to a shape."""
    dims = tuple(tensor.dims)
    return len(dims) <= len(shape) and all(a in (1, b) for a, b in zip(dims[::-1], shape[::-1], strict=False))


def _scale(file: _File, node: NodeProto, shape: tuple[int, ...]) -> Floats:
    tensor = file.parameter(node, 1, "the scale")
    if not _fits(tensor, shape):
        got = f"{list(tensor.dims)} for {list(shape)}"
        raise _fault(node, "one scale for all, or one a neuron", got, "use per-tensor or per-channel scaling")
    scale = _floats(node, tensor, "scales")
    if not (scale > 0).all():
        raise _fault(node, "scales are positive", f"{scale.min():g}", "train with a positive scale")
    return scale


def _bounds(file: _File, node: NodeProto, shape: tuple[int, ...], max_bits: int) -> tuple[int, int]:
    """Lowest and highest integer of a Quant."""
    zero, width = file.parameter(node, 2, "the zero point"), file.parameter(node, 3, "the bit width")
    if not _fits(zero, shape) or not (points := array_of(zero)).size or (points != 0).any():
        got = f"a tensor {list(zero.dims)}" if not _fits(zero, shape) else _shown(str(points.reshape(-1)[:4].tolist()))
        raise _fault(node, "the zero point is 0", got, _SYMMETRIC)
    bits = array_of(width).item() if math.prod(width.dims) == 1 else f"a tensor {list(width.dims)}"
    if bits not in range(1, max_bits + 1):
        hint = f"use a bit width of at most {max_bits}"
        raise _fault(node, f"the bit width is a whole number from 1 to {max_bits}", bits, hint)
    signed, narrow = _flag(node, "signed"), _flag(node, "narrow")
    if signed and bits == 1:  # 0 only or -1 and 0 to Brevitas, -1 and 1 to qonnx
        hint = "use SignedBinaryWeightPerTensorConst, which exports a BipolarQuant"
        raise _fault(node, "one signed bit has no agreed meaning in a Quant", "bit width 1", hint)
    high: int = 2 ** (int(bits) - signed) - 1
    return (narrow - high - 1 if signed else 0), (high if signed else high - narrow)


def _rounding(node: NodeProto) -> Callable[[Floats], Floats]:
    mode = _text(node, "rounding_mode", "ROUND").upper()
    if mode not in _ROUNDINGS:
        raise _fault(node, f"rounding_mode is one of {', '.join(_ROUNDINGS)}", _shown(mode), "use ROUND")
    return _ROUNDINGS[mode]


_CONSTANT_OPS: dict[str, Callable[[_File, NodeProto, _Constant, int], _Constant]] = {
    "Identity": _same, "Transpose": _transpose, "Reshape": _reshaped,
    "Quant": _quantized, "IntQuant": _quantized, "BipolarQuant": _quantized,
}  # fmt: skip


# The way of the data


@dataclass
class _Walk:
    """How far the data have come: the tensor that holds them, its sizes, and what was read on the way."""

    file: _File
    tensor: str = ""
    shape: tuple[int, ...] = ()  # without the batch
    batch: int | None = None  # None if the file leaves it open
    takes_bias: bool = False  # whether an Add would be the bias of the layer just before
    weights: int = 0
    names: dict[str, int] = field(default_factory=dict)
    layers: list[ImportedSynapses] = field(default_factory=list)
    input_quant: InputQuant | None = None
    activations: list[tuple[int, str, str]] = field(default_factory=list)

    def run(self) -> ImportedGraph:
        shape = self._enter()
        while (use := self._next()) is not None:
            node, place = use
            if (handler := _HANDLERS.get(_kind(node))) is None:
                raise _unsupported(node)
            _check_arity(node)
            if place != 0 and node.op_type != "Add":
                got = f"them at input {place}"
                raise _fault(node, "it takes the data at input 0", got, "compute data @ weights, as QuantLinear does")
            takes_bias, self.takes_bias = self.takes_bias, False
            if node.op_type == "Add" and not takes_bias:
                raise _unsupported(node)
            handler(self, node, place)
            self.tensor = node.output[0]
        if not self.layers:
            raise _graph_fault("there is a layer with weights", "none", "export a net with QuantLinear or QuantConv2d")
        return ImportedGraph(tuple(self.layers), shape, self.input_quant, tuple(self.activations))

    def _enter(self) -> tuple[int, ...]:
        graph = self.file.graph
        inputs = [value for value in graph.input if value.name not in self.file.stored]
        for what, count in (("input", len(inputs)), ("output", len(graph.output))):
            if count != 1:
                raise _graph_fault(f"it has one {what}", count, "export a net that takes and returns one tensor")
        self.tensor, (self.batch, self.shape) = inputs[0].name, _sizes(inputs[0])
        return self.shape

    def _next(self) -> tuple[NodeProto, int] | None:
        """The only user of the data and the place at which it takes them; None at the graph's output."""
        uses, ends = self.file.uses.get(self.tensor, []), self.tensor == self.file.graph.output[0].name
        if len(uses) + ends > 1:
            rule, hint = "a net has one path, without branches", "remove residual connections and second outputs"
            raise _fault(uses[-1][0], rule, f"a second use of {_shown(self.tensor)}", hint)
        if not uses and not ends:
            got = f"an end at {_shown(self.tensor)}"
            raise _graph_fault("its output is computed from its input", got, "export the net again")
        return uses[0] if uses else None

    def add(self, node: NodeProto, weight: _Constant, bias: Floats | None, conv: ConvGeometry | None) -> None:
        """Appends a layer whose weights have their neurons on the first axis."""
        if weight.scale is None:
            got = f"the float tensor {_shown(weight.name)}"
            raise _fault(node, "its weights pass a Quant", got, "use a layer of brevitas.nn with a weight_quant")
        scale = weight.scale.reshape(len(weight.scale), -1)
        if (scale != scale[:, :1]).any():
            got, hint = "several for one neuron", "use per-tensor or per-channel scaling"
            raise _fault(node, "one scale for all, or one a neuron", got, hint)
        steps = np.ascontiguousarray(weight.values, dtype=np.int64)
        name = self._unique(_name(node, weight.name))
        self.layers.append(ImportedSynapses(name, steps, scale[:, 0].copy(), bias, conv))

    def _unique(self, name: str) -> str:
        """Layers that share a parameter share its name."""
        self.names[name] = number = self.names.get(name, 0) + 1
        return name if number == 1 else self._unique(f"{name}_{number}")

    def weights_of(self, node: NodeProto) -> _Constant:
        """The quantized weights of a layer; counted, as the layers of a small file may share a large tensor."""
        weight = _constant(self.file, node, 1, MAX_WEIGHT_BITS)
        self.weights += weight.values.size
        if self.weights > MAX_WEIGHTS:
            raise _fault(node, f"all layers together have at most {MAX_WEIGHTS} weights", self.weights, "split the net")
        return weight


def _sizes(value: ValueInfoProto) -> tuple[int | None, tuple[int, ...]]:
    """The batch, None if it is open, and the sizes of one sample."""
    tensor, name = value.type.tensor_type, _shown(value.name)
    dims = [size.dim_value for size in tensor.shape.dim]
    if tensor.elem_type != TensorProto.FLOAT:
        raise _graph_fault(f"its input {name} is float32", "another type", "export the net in float32")
    if not 2 <= len(dims) <= MAX_RANK or min(dims[1:]) < 1 or dims[0] < 0:
        rule = f"its input {name} has a batch and up to {MAX_RANK - 1} known sizes"
        raise _graph_fault(rule, f"{dims[: MAX_RANK + 1]}", "export with args of the shape (1, ...)")
    return dims[0] or None, tuple(dims[1:])


def _name(node: NodeProto, tensor: str) -> str:
    """The module's name: of its parameter, which dynamo renames, else in the metadata, which only dynamo writes."""
    scopes = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "")
    path = re.findall(r"'([^']*)'", scopes[:10_000])
    if tensor.endswith(".weight") and tensor != ".weight":
        return plain(tensor.removesuffix(".weight"))
    if len(path) > 1 and path[-2]:
        return plain(path[-2])
    return plain((node.name or node.output[0]).strip("/").replace("/", "."))


def _linear(walk: _Walk, node: NodeProto, transposed: bool, bias_place: int | None) -> None:
    weight = walk.weights_of(node)
    if weight.values.ndim != 2:
        got = f"the shape {list(weight.values.shape)}"
        raise _fault(node, "its weights are a matrix", got, "use QuantLinear or QuantConv2d")
    weight = weight.mapped(np.transpose) if transposed else weight
    outputs, inputs = weight.values.shape
    if walk.shape != (inputs,):
        raise _fault(node, f"its data are ({inputs},) a sample", walk.shape, _FLATTEN)
    bias = None if bias_place is None else _bias(walk, node, bias_place, outputs)
    walk.add(node, weight, bias, None)
    walk.shape, walk.takes_bias = (outputs,), bias is None


def _gemm(walk: _Walk, node: NodeProto, place: int) -> None:
    for name in ("alpha", "beta"):
        value = _attribute(node, name, AttributeProto.FLOAT, 1.0)
        if value != 1.0:
            raise _fault(node, f"attribute {name} is 1", value, "scale the weights in training")
    if _flag(node, "transA", 0):
        raise _fault(node, "attribute transA is 0", 1, "use QuantLinear as it is")
    has_bias = len(node.input) == 3 and node.input[2]
    _linear(walk, node, not _flag(node, "transB", 0), 2 if has_bias else None)


def _matmul(walk: _Walk, node: NodeProto, place: int) -> None:
    _linear(walk, node, True, None)


def _add(walk: _Walk, node: NodeProto, place: int) -> None:
    last = walk.layers.pop()
    bias = _bias(walk, node, 1 - place, len(last.weight))
    walk.layers.append(ImportedSynapses(last.name, last.weight, last.scale, bias, last.conv))


def _bias(walk: _Walk, node: NodeProto, place: int, outputs: int) -> Floats:
    """The float32 values (outputs,) that the graph adds."""
    bias = _constant(walk.file, node, place, MAX_BIAS_BITS).real
    row = bias.ndim <= (1 if node.op_type == "Conv" else 2) and bias.size == math.prod(bias.shape[-1:])
    if not row or bias.size not in (1, outputs) or (node.op_type == "Conv" and bias.shape != (outputs,)):
        raise _fault(node, f"its bias is ({outputs},), one a neuron", bias.shape, "use bias=True of the layer")
    return np.broadcast_to(bias.reshape(-1), (outputs,)).copy()


def _conv(walk: _Walk, node: NodeProto, place: int) -> None:
    weight = walk.weights_of(node)
    if weight.values.ndim != 4:
        got = f"weights of shape {list(weight.values.shape)}"
        raise _fault(node, "a convolution has two dimensions", got, "use QuantConv2d with a kernel of (1, size)")
    geometry = _geometry(node, weight.values.shape[2:])
    outputs, channels, *kernel = weight.values.shape
    if outputs % geometry.groups:
        rule = f"groups divide the {outputs} outputs"
        raise _fault(node, rule, geometry.groups, "choose groups that divide the channels")
    if len(walk.shape) != 3 or walk.shape[0] != channels * geometry.groups:
        rule = f"its data are ({channels * geometry.groups}, height, width) a sample"
        raise _fault(node, rule, walk.shape, "export with args of the shape (1, channels, height, width)")
    sizes = _conv_sizes(walk.shape[1:], kernel, geometry)
    if min(sizes) < 1:
        rule = f"its kernel ({kernel[0]}, {kernel[1]}) fits into the data"
        raise _fault(node, rule, f"data of {walk.shape}", "use a smaller kernel or more padding")
    bias = _bias(walk, node, 2, outputs) if len(node.input) == 3 and node.input[2] else None
    walk.add(node, weight, bias, geometry)
    walk.shape = (outputs, *sizes)


def _conv_sizes(data: tuple[int, ...], kernel: list[int], geometry: ConvGeometry) -> tuple[int, ...]:
    """Height and width of the output."""
    return tuple(
        (size + 2 * pad - reach * (width - 1) - 1) // step + 1
        for size, width, pad, reach, step in zip(
            data, kernel, geometry.padding, geometry.dilation, geometry.stride, strict=True
        )
    )


def _geometry(node: NodeProto, kernel: tuple[int, ...]) -> ConvGeometry:
    if (auto := _text(node, "auto_pad", "NOTSET")) != "NOTSET":
        raise _fault(node, "attribute auto_pad is NOTSET", _shown(auto), _ZEROS)
    if (stated := _numbers(node, "kernel_shape", kernel, 1)) != kernel:
        rule = f"attribute kernel_shape is {list(kernel)} as its weights"
        raise _fault(node, rule, list(stated), "export the net again")
    pads = _numbers(node, "pads", (0, 0, 0, 0), 0)
    if pads[:2] != pads[2:]:
        raise _fault(node, "attribute pads is the same on both sides", list(pads), _ZEROS)
    (row, column), (down, right) = (_numbers(node, name, (1, 1), 1) for name in ("strides", "dilations"))
    if (groups := _int(node, "group", 1)) < 1:
        raise _fault(node, "attribute group is a number from 1 on", groups, "use QuantConv2d as it is")
    return ConvGeometry((row, column), (pads[0], pads[1]), (down, right), groups)


def _flatten(walk: _Walk, node: NodeProto, place: int) -> None:
    axis = _int(node, "axis", 1)
    if axis not in (1, -len(walk.shape)):
        raise _fault(node, "it flattens each sample whole, axis 1", f"axis {axis}", "use nn.Flatten() as it is")
    walk.shape = (math.prod(walk.shape),)


def _reshape(walk: _Walk, node: NodeProto, place: int) -> None:
    """Only what nn.Flatten() does: the first of two sizes stays the batch, the second is all of a sample."""
    target, keep_zero, size = _target(walk.file, node), _flag(node, "allowzero", 0), math.prod(walk.shape)
    known = [] if walk.batch is None else [walk.batch]
    batches = known if keep_zero else [*known, 0]
    if not (len(target) == 2 and ((target[0] in batches and target[1] in (size, -1)) or target == [-1, size])):
        rule = f"it flattens each sample whole, to [{walk.batch or 0}, {size}]"
        raise _fault(node, rule, target, "use nn.Flatten()")
    walk.shape = (size,)


def _identity(walk: _Walk, node: NodeProto, place: int) -> None:
    pass


def _dropout(walk: _Walk, node: NodeProto, place: int) -> None:
    if len(node.input) == 3 and node.input[2]:
        flag = walk.file.parameter(node, 2, "training_mode")
        if 0 in flag.dims or array_of(flag).any():
            raise _fault(node, "training_mode is false", "true", "export the net in eval mode")


def _activation(walk: _Walk, node: NodeProto, place: int) -> None:
    if walk.layers:
        name = _shown(node.name or node.output[0])
        walk.activations.append((len(walk.layers) - 1, name, node.op_type))
        return
    if node.op_type not in ("Quant", "IntQuant") or walk.input_quant is not None:
        got = "a second one" if node.op_type in ("Quant", "IntQuant") else node.op_type
        hint = "use one QuantIdentity (signed=False for inputs from 0 on)"
        raise _fault(node, "the data pass at most one Quant before the first layer", got, hint)
    walk.input_quant = _input_quant(walk.file, node)


def _input_quant(file: _File, node: NodeProto) -> InputQuant:
    tensor = file.parameter(node, 1, "the scale")
    if math.prod(tensor.dims) != 1:
        got = f"a tensor {list(tensor.dims)}"
        raise _fault(node, "the input has one scale", got, "use a per-tensor act_quant for the input")
    shape = (1,) * MAX_RANK
    scale = _scale(file, node, shape)
    low, high = _bounds(file, node, shape, MAX_INPUT_BITS)
    if _rounding(node) is not np.rint:
        mode = _shown(_text(node, "rounding_mode", "ROUND"))
        raise _fault(node, "the input is rounded to the nearest, ties to even", mode, "use ROUND")
    if low == high:
        raise _fault(node, "the input has two values or more", f"{low} only", "use a larger bit width")
    return InputQuant(float(scale.item()), low, high)


_HANDLERS: dict[str, Callable[[_Walk, NodeProto, int], None]] = {
    "Gemm": _gemm, "MatMul": _matmul, "Conv": _conv, "Add": _add,
    "Flatten": _flatten, "Reshape": _reshape, "Identity": _identity, "Dropout": _dropout,
    **dict.fromkeys(("Relu", "Clip", *_QUANTIZERS), _activation),
}  # fmt: skip
