"""The way of the weights: from a stored tensor through Quant nodes to integers and a scale."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper

from squat_deploy.onnx_file import MAX_RANK, array_of
from squat_deploy.readers.brevitas.faults import (
    KNOWN,
    check_arity,
    fault,
    flag_of,
    kind_of,
    label_of,
    numbers_of,
    shown,
    text_of,
)

MAX_CHAIN = 8  # nodes between a stored tensor and its layer
_SYMMETRIC = "use a symmetric quantizer, such as Int8WeightPerTensorFloat"
Floats = NDArray[np.float32]
_ROUNDINGS: dict[str, Callable[[Floats], Floats]] = {
    "ROUND": np.rint, "HALF_EVEN": np.rint, "CEIL": np.ceil, "FLOOR": np.floor, "DOWN": np.trunc,
}  # fmt: skip


@dataclass
class File:
    """A graph, indexed: what is stored, who makes each tensor, and who uses it at which place."""

    graph: GraphProto
    stored: dict[str, TensorProto] = field(default_factory=dict)
    made: dict[str, NodeProto] = field(default_factory=dict)
    uses: dict[str, list[tuple[NodeProto, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in self.graph.node:
            held = kind_of(node) == "Constant" and len(node.attribute) == 1 and node.attribute[0].name == "value"
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
            if maker is None or kind_of(maker) != "Identity":
                break
            check_arity(maker)
            name = maker.input[0]
        raise fault(node, f"{what} is stored in the file", "a computed one", "export the net in eval mode")


@dataclass(frozen=True, eq=False)
class Constant:
    """A stored tensor as a layer gets it: `values`, times `scale` element by element if it was quantized.

    Attributes:
        name: of the stored tensor.
        values: float32; integers if there is a scale.
        scale: float32 of the same shape, or None.
    """

    name: str
    values: Floats
    scale: Floats | None

    def mapped(self, change: Callable[[Floats], Floats]) -> Constant:
        return Constant(self.name, change(self.values), None if self.scale is None else change(self.scale))

    @property
    def real(self) -> Floats:
        return self.values if self.scale is None else self.values * self.scale


def constant_of(file: File, node: NodeProto, place: int, max_bits: int) -> Constant:
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
            raise fault(node, "its weights and bias are stored in the file", got, hint)
        if kind_of(maker) not in _CONSTANT_OPS:
            rule = f"what {label_of(node)} takes as weights or bias is stored, and passes at most one Quant"
            raise fault(maker, rule, shown(maker.op_type), "quantize weights with weight_quant=... of the layer")
        check_arity(maker)
        chain.append(maker)
        name = maker.input[0]
    constant = Constant(name, _floats(node, file.stored[name], "weights and biases"), None)
    for maker in reversed(chain):
        constant = _CONSTANT_OPS[kind_of(maker)](file, maker, constant, max_bits)
    return constant


def _floats(node: NodeProto, tensor: TensorProto, what: str) -> Floats:
    """The finite float32 values of a tensor."""
    if tensor.data_type != TensorProto.FLOAT or 0 in tensor.dims:
        kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        raise fault(node, f"{what} are float32", f"{kind} {list(tensor.dims)}", "export the net in float32")
    values = array_of(tensor)
    if not np.isfinite(values).all():
        raise fault(node, f"{what} are finite", "NaN or infinity", "train it anew, or look for a division by 0")
    return values.astype(np.float32, copy=False)


def _same(file: File, node: NodeProto, constant: Constant, max_bits: int) -> Constant:
    return constant


def _transpose(file: File, node: NodeProto, constant: Constant, max_bits: int) -> Constant:
    axes = tuple(range(constant.values.ndim))
    order = numbers_of(node, "perm", axes[::-1], 0)
    if sorted(order) != list(axes):
        raise fault(node, f"attribute perm orders the axes {list(axes)}", list(order), "export the net again")
    return constant.mapped(lambda values: values.transpose(order))


def _reshaped(file: File, node: NodeProto, constant: Constant, max_bits: int) -> Constant:
    old = constant.values.shape
    new = _resolved(target_of(file, node), old, keep_zero=flag_of(node, "allowzero", 0))
    if new is None:
        got = target_of(file, node)
        raise fault(node, f"it keeps the {math.prod(old)} values of its input", got, "export the net again")
    return constant.mapped(lambda values: values.reshape(new))


def target_of(file: File, node: NodeProto) -> list[int]:
    """The sizes that a Reshape is given."""
    tensor = file.parameter(node, 1, "the shape")
    if tensor.data_type != TensorProto.INT64 or len(tensor.dims) != 1 or tensor.dims[0] > MAX_RANK:
        raise fault(node, f"the shape is up to {MAX_RANK} int64", f"a tensor {list(tensor.dims)}", KNOWN)
    return [int(size) for size in array_of(tensor)]


def _resolved(target: list[int], old: tuple[int, ...], keep_zero: bool) -> tuple[int, ...] | None:
    """The sizes meant by those of a Reshape; None if they do not fit."""
    sizes = [old[axis] if size == 0 and not keep_zero and axis < len(old) else size for axis, size in enumerate(target)]
    if sizes.count(-1) == 1:
        rest = math.prod(size for size in sizes if size != -1)
        sizes = [math.prod(old) // rest if size == -1 and rest > 0 else size for size in sizes]
    return tuple(sizes) if min(sizes, default=1) > 0 and math.prod(sizes) == math.prod(old) else None


def _quantized(file: File, node: NodeProto, constant: Constant, max_bits: int) -> Constant:
    """The integers of a quantizer in the float32 operations of qonnx's own: divide, clip, round."""
    if constant.scale is not None:
        raise fault(node, "a tensor passes one Quant", "a second one", "quantize weights with weight_quant=... only")
    values, shape = constant.values, constant.values.shape
    scale = scale_of(file, node, shape)
    if node.op_type == "BipolarQuant":
        steps = np.where(values >= 0, np.float32(1), np.float32(-1))
    else:
        low, high = bounds_of(file, node, shape, max_bits)
        rounding = rounding_of(node)
        with np.errstate(over="ignore"):
            steps = rounding(np.clip(values / scale, np.float32(low), np.float32(high)))
    with np.errstate(over="ignore"):
        finite = np.isfinite(steps * scale).all()
    if not finite:
        raise fault(node, "an integer times its scale is finite", "infinity", "train with a smaller scale")
    return Constant(constant.name, steps, np.broadcast_to(scale, shape))


def _fits(tensor: TensorProto, shape: tuple[int, ...]) -> bool:
    """Whether a tensor can be broadcast to a shape."""
    dims = tuple(tensor.dims)
    return len(dims) <= len(shape) and all(a in (1, b) for a, b in zip(dims[::-1], shape[::-1], strict=False))


def scale_of(file: File, node: NodeProto, shape: tuple[int, ...]) -> Floats:
    """The scale of a quantizer, positive, one value or of a shape that spreads over `shape`."""
    tensor = file.parameter(node, 1, "the scale")
    if not _fits(tensor, shape):
        got = f"{list(tensor.dims)} for {list(shape)}"
        raise fault(node, "one scale for all, or one a neuron", got, "use per-tensor or per-channel scaling")
    scale = _floats(node, tensor, "scales")
    if not (scale > 0).all():
        raise fault(node, "scales are positive", f"{scale.min():g}", "train with a positive scale")
    return scale


def bounds_of(file: File, node: NodeProto, shape: tuple[int, ...], max_bits: int) -> tuple[int, int]:
    """Lowest and highest integer of a Quant."""
    zero, width = file.parameter(node, 2, "the zero point"), file.parameter(node, 3, "the bit width")
    if not _fits(zero, shape) or not (points := array_of(zero)).size or (points != 0).any():
        got = f"a tensor {list(zero.dims)}" if not _fits(zero, shape) else shown(str(points.reshape(-1)[:4].tolist()))
        raise fault(node, "the zero point is 0", got, _SYMMETRIC)
    bits = array_of(width).item() if math.prod(width.dims) == 1 else f"a tensor {list(width.dims)}"
    if bits not in range(1, max_bits + 1):
        hint = f"use a bit width of at most {max_bits}"
        raise fault(node, f"the bit width is a whole number from 1 to {max_bits}", bits, hint)
    signed, narrow = flag_of(node, "signed"), flag_of(node, "narrow")
    if signed and bits == 1:  # 0 only or -1 and 0 to Brevitas, -1 and 1 to qonnx
        hint = "use SignedBinaryWeightPerTensorConst, which exports a BipolarQuant"
        raise fault(node, "one signed bit has no agreed meaning in a Quant", "bit width 1", hint)
    high: int = 2 ** (int(bits) - signed) - 1
    return (narrow - high - 1 if signed else 0), (high if signed else high - narrow)


def rounding_of(node: NodeProto) -> Callable[[Floats], Floats]:
    """How a quantizer rounds."""
    mode = text_of(node, "rounding_mode", "ROUND").upper()
    if mode not in _ROUNDINGS:
        raise fault(node, f"rounding_mode is one of {', '.join(_ROUNDINGS)}", shown(mode), "use ROUND")
    return _ROUNDINGS[mode]


_CONSTANT_OPS: dict[str, Callable[[File, NodeProto, Constant, int], Constant]] = {
    "Identity": _same, "Transpose": _transpose, "Reshape": _reshaped,
    "Quant": _quantized, "IntQuant": _quantized, "BipolarQuant": _quantized,
}  # fmt: skip
