"""The way of the data: from the net's input through its layers to its output."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from onnx import AttributeProto, NodeProto, TensorProto, ValueInfoProto

from squat_deploy.names import plain, unique_name
from squat_deploy.network.window import Pair, Window
from squat_deploy.onnx_file import MAX_BYTES, MAX_RANK, array_of
from squat_deploy.readers.brevitas.constants import (
    Constant,
    File,
    Floats,
    bounds_of,
    constant_of,
    rounding_of,
    scale_of,
    target_of,
)
from squat_deploy.readers.brevitas.faults import (
    QUANTIZERS,
    ZEROS,
    attribute_of,
    check_arity,
    fault,
    flag_of,
    graph_fault,
    int_of,
    kind_of,
    numbers_of,
    shown,
    text_of,
    unsupported,
)
from squat_deploy.readers.brevitas.result import ImportedGraph, ImportedSynapses, InputQuant

MAX_WEIGHTS = MAX_BYTES // 4  # of all layers together: what a file can hold, unless its layers share a tensor
MAX_WEIGHT_BITS, MAX_BIAS_BITS, MAX_INPUT_BITS = 8, 32, 16
_SCOPES = "pkg.torch.onnx.name_scopes"
_FLATTEN = "put nn.Flatten() before it"


@dataclass
class GraphReader:
    """How far the data have come: the tensor that holds them, its sizes, and what was read on the way."""

    file: File
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
            if (handler := _HANDLERS.get(kind_of(node))) is None:
                raise unsupported(node)
            check_arity(node)
            if place != 0 and node.op_type != "Add":
                got = f"them at input {place}"
                raise fault(node, "it takes the data at input 0", got, "compute data @ weights, as QuantLinear does")
            takes_bias, self.takes_bias = self.takes_bias, False
            if node.op_type == "Add" and not takes_bias:
                raise unsupported(node)
            handler(self, node, place)
            self.tensor = node.output[0]
        if not self.layers:
            raise graph_fault("there is a layer with weights", "none", "export a net with QuantLinear or QuantConv2d")
        return ImportedGraph(tuple(self.layers), shape, self.input_quant, tuple(self.activations))

    def _enter(self) -> tuple[int, ...]:
        graph = self.file.graph
        inputs = [value for value in graph.input if value.name not in self.file.stored]
        for what, count in (("input", len(inputs)), ("output", len(graph.output))):
            if count != 1:
                raise graph_fault(f"it has one {what}", count, "export a net that takes and returns one tensor")
        self.tensor, (self.batch, self.shape) = inputs[0].name, _sizes(inputs[0])
        return self.shape

    def _next(self) -> tuple[NodeProto, int] | None:
        """The only user of the data and the place at which it takes them; None at the graph's output."""
        uses, ends = self.file.uses.get(self.tensor, []), self.tensor == self.file.graph.output[0].name
        if len(uses) + ends > 1:
            rule, hint = "a net has one path, without branches", "remove residual connections and second outputs"
            raise fault(uses[-1][0], rule, f"a second use of {shown(self.tensor)}", hint)
        if not uses and not ends:
            got = f"an end at {shown(self.tensor)}"
            raise graph_fault("its output is computed from its input", got, "export the net again")
        return uses[0] if uses else None

    def add(
        self, node: NodeProto, weight: Constant, bias: Floats | None, conv: Window | None = None, groups: int = 1
    ) -> None:
        """Appends a layer whose weights have their neurons on the first axis."""
        if weight.scale is None:
            got = f"the float tensor {shown(weight.name)}"
            raise fault(node, "its weights pass a Quant", got, "use a layer of brevitas.nn with a weight_quant")
        scale = weight.scale.reshape(len(weight.scale), -1)
        if (scale != scale[:, :1]).any():
            got, hint = "several for one neuron", "use per-tensor or per-channel scaling"
            raise fault(node, "one scale for all, or one a neuron", got, hint)
        steps = np.ascontiguousarray(weight.values, dtype=np.int64)
        name = unique_name(_name(node, weight.name), self.names)
        self.layers.append(ImportedSynapses(name, steps, scale[:, 0].copy(), bias, conv, groups))

    def weights_of(self, node: NodeProto) -> Constant:
        """The quantized weights of a layer; counted, as the layers of a small file may share a large tensor."""
        weight = constant_of(self.file, node, 1, MAX_WEIGHT_BITS)
        self.weights += weight.values.size
        if self.weights > MAX_WEIGHTS:
            raise fault(node, f"all layers together have at most {MAX_WEIGHTS} weights", self.weights, "split the net")
        return weight


def _sizes(value: ValueInfoProto) -> tuple[int | None, tuple[int, ...]]:
    """The batch, None if it is open, and the sizes of one sample."""
    tensor, name = value.type.tensor_type, shown(value.name)
    dims = [size.dim_value for size in tensor.shape.dim]
    if tensor.elem_type != TensorProto.FLOAT:
        raise graph_fault(f"its input {name} is float32", "another type", "export the net in float32")
    if not 2 <= len(dims) <= MAX_RANK or min(dims[1:]) < 1 or dims[0] < 0:
        rule = f"its input {name} has a batch and up to {MAX_RANK - 1} known sizes"
        raise graph_fault(rule, f"{dims[: MAX_RANK + 1]}", "export with args of the shape (1, ...)")
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


def _linear(reader: GraphReader, node: NodeProto, transposed: bool, bias_place: int | None) -> None:
    weight = reader.weights_of(node)
    if weight.values.ndim != 2:
        got = f"the shape {list(weight.values.shape)}"
        raise fault(node, "its weights are a matrix", got, "use QuantLinear or QuantConv2d")
    weight = weight.mapped(np.transpose) if transposed else weight
    outputs, inputs = weight.values.shape
    if reader.shape != (inputs,):
        raise fault(node, f"its data are ({inputs},) a sample", reader.shape, _FLATTEN)
    bias = None if bias_place is None else _bias(reader, node, bias_place, outputs)
    reader.add(node, weight, bias)
    reader.shape, reader.takes_bias = (outputs,), bias is None


def _gemm(reader: GraphReader, node: NodeProto, place: int) -> None:
    for name in ("alpha", "beta"):
        value = attribute_of(node, name, AttributeProto.FLOAT, 1.0)
        if value != 1.0:
            raise fault(node, f"attribute {name} is 1", value, "scale the weights in training")
    if flag_of(node, "transA", 0):
        raise fault(node, "attribute transA is 0", 1, "use QuantLinear as it is")
    has_bias = len(node.input) == 3 and node.input[2]
    _linear(reader, node, not flag_of(node, "transB", 0), 2 if has_bias else None)


def _matmul(reader: GraphReader, node: NodeProto, place: int) -> None:
    _linear(reader, node, True, None)


def _add(reader: GraphReader, node: NodeProto, place: int) -> None:
    last = reader.layers.pop()
    bias = _bias(reader, node, 1 - place, len(last.weight))
    reader.layers.append(replace(last, bias=bias))


def _bias(reader: GraphReader, node: NodeProto, place: int, outputs: int) -> Floats:
    """The float32 values (outputs,) that the graph adds."""
    bias = constant_of(reader.file, node, place, MAX_BIAS_BITS).real
    row = bias.ndim <= (1 if node.op_type == "Conv" else 2) and bias.size == math.prod(bias.shape[-1:])
    if not row or bias.size not in (1, outputs) or (node.op_type == "Conv" and bias.shape != (outputs,)):
        raise fault(node, f"its bias is ({outputs},), one a neuron", bias.shape, "use bias=True of the layer")
    return np.broadcast_to(bias.reshape(-1), (outputs,)).copy()


def _conv(reader: GraphReader, node: NodeProto, place: int) -> None:
    weight = reader.weights_of(node)
    if weight.values.ndim != 4:
        got = f"weights of shape {list(weight.values.shape)}"
        raise fault(node, "a convolution has two dimensions", got, "use QuantConv2d with a kernel of (1, size)")
    outputs, channels, *kernel = weight.values.shape
    stride, padding, dilation, groups = _geometry(node, tuple(kernel))
    if outputs % groups:
        raise fault(node, f"groups divide the {outputs} outputs", groups, "choose groups that divide the channels")
    if len(reader.shape) != 3 or reader.shape[0] != channels * groups:
        rule = f"its data are ({channels * groups}, height, width) a sample"
        raise fault(node, rule, reader.shape, "export with args of the shape (1, channels, height, width)")
    window = Window(reader.shape, (kernel[0], kernel[1]), stride, padding, dilation)
    if min(window.output_sizes) < 1:
        rule = f"its kernel {window.kernel} fits into the data"
        raise fault(node, rule, f"data of {reader.shape}", "use a smaller kernel or more padding")
    bias = _bias(reader, node, 2, outputs) if len(node.input) == 3 and node.input[2] else None
    reader.add(node, weight, bias, window, groups)
    reader.shape = (outputs, *window.output_sizes)


def _geometry(node: NodeProto, kernel: tuple[int, ...]) -> tuple[Pair, Pair, Pair, int]:
    """Stride, padding, dilation and groups of a convolution."""
    if (auto := text_of(node, "auto_pad", "NOTSET")) != "NOTSET":
        raise fault(node, "attribute auto_pad is NOTSET", shown(auto), ZEROS)
    if (stated := numbers_of(node, "kernel_shape", kernel, 1)) != kernel:
        rule = f"attribute kernel_shape is {list(kernel)} as its weights"
        raise fault(node, rule, list(stated), "export the net again")
    pads = numbers_of(node, "pads", (0, 0, 0, 0), 0)
    if pads[:2] != pads[2:]:
        raise fault(node, "attribute pads is the same on both sides", list(pads), ZEROS)
    (row, column), (down, right) = (numbers_of(node, name, (1, 1), 1) for name in ("strides", "dilations"))
    if (groups := int_of(node, "group", 1)) < 1:
        raise fault(node, "attribute group is a number from 1 on", groups, "use QuantConv2d as it is")
    return (row, column), (pads[0], pads[1]), (down, right), groups


def _flatten(reader: GraphReader, node: NodeProto, place: int) -> None:
    axis = int_of(node, "axis", 1)
    if axis not in (1, -len(reader.shape)):
        raise fault(node, "it flattens each sample whole, axis 1", f"axis {axis}", "use nn.Flatten() as it is")
    reader.shape = (math.prod(reader.shape),)


def _reshape(reader: GraphReader, node: NodeProto, place: int) -> None:
    """Only what nn.Flatten() does: the first of two sizes stays the batch, the second is all of a sample."""
    target, keep_zero, size = target_of(reader.file, node), flag_of(node, "allowzero", 0), math.prod(reader.shape)
    known = [] if reader.batch is None else [reader.batch]
    batches = known if keep_zero else [*known, 0]
    if not (len(target) == 2 and ((target[0] in batches and target[1] in (size, -1)) or target == [-1, size])):
        rule = f"it flattens each sample whole, to [{reader.batch or 0}, {size}]"
        raise fault(node, rule, target, "use nn.Flatten()")
    reader.shape = (size,)


def _identity(reader: GraphReader, node: NodeProto, place: int) -> None:
    pass


def _dropout(reader: GraphReader, node: NodeProto, place: int) -> None:
    if len(node.input) == 3 and node.input[2]:
        flag = reader.file.parameter(node, 2, "training_mode")
        if 0 in flag.dims or array_of(flag).any():
            raise fault(node, "training_mode is false", "true", "export the net in eval mode")


def _activation(reader: GraphReader, node: NodeProto, place: int) -> None:
    if reader.layers:
        name = shown(node.name or node.output[0])
        reader.activations.append((len(reader.layers) - 1, name, node.op_type))
        return
    if node.op_type not in ("Quant", "IntQuant") or reader.input_quant is not None:
        got = "a second one" if node.op_type in ("Quant", "IntQuant") else node.op_type
        hint = "use one QuantIdentity (signed=False for inputs from 0 on)"
        raise fault(node, "the data pass at most one Quant before the first layer", got, hint)
    reader.input_quant = _input_quant(reader.file, node)


def _input_quant(file: File, node: NodeProto) -> InputQuant:
    tensor = file.parameter(node, 1, "the scale")
    if math.prod(tensor.dims) != 1:
        got = f"a tensor {list(tensor.dims)}"
        raise fault(node, "the input has one scale", got, "use a per-tensor act_quant for the input")
    shape = (1,) * MAX_RANK
    scale = scale_of(file, node, shape)
    low, high = bounds_of(file, node, shape, MAX_INPUT_BITS)
    if rounding_of(node) is not np.rint:
        mode = shown(text_of(node, "rounding_mode", "ROUND"))
        raise fault(node, "the input is rounded to the nearest, ties to even", mode, "use ROUND")
    if low == high:
        raise fault(node, "the input has two values or more", f"{low} only", "use a larger bit width")
    return InputQuant(float(scale.item()), low, high)


_HANDLERS: dict[str, Callable[[GraphReader, NodeProto, int], None]] = {
    "Gemm": _gemm, "MatMul": _matmul, "Conv": _conv, "Add": _add,
    "Flatten": _flatten, "Reshape": _reshape, "Identity": _identity, "Dropout": _dropout,
    **dict.fromkeys(("Relu", "Clip", *QUANTIZERS), _activation),
}  # fmt: skip
