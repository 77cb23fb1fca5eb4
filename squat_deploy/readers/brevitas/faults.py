"""What a node says, checked, and the errors that name it."""

from __future__ import annotations

from onnx import AttributeProto, NodeProto, helper

from squat_deploy.errors import FileFormatError
from squat_deploy.onnx_file import MAX_RANK, QONNX_DOMAINS

_SHOWN = 100
QUANTIZERS = ("Quant", "IntQuant", "BipolarQuant")
_ARITIES = {
    "Gemm": (2, 3), "MatMul": (2, 2), "Conv": (2, 3), "Add": (2, 2), "Relu": (1, 1), "Clip": (1, 3),
    "Flatten": (1, 1), "Reshape": (2, 2), "Transpose": (1, 1), "Identity": (1, 1), "Dropout": (1, 3),
    "Quant": (4, 4), "IntQuant": (4, 4), "BipolarQuant": (2, 2),
}  # fmt: skip
ZEROS = "use padding=(height, width) of zeros in the QuantConv2d"
_ACTIVATION = "use nn.ReLU or QuantReLU there; the neurons take its place"
_POOLING = "use a QuantConv2d with a stride"
KNOWN = "use QuantLinear, QuantConv2d, QuantReLU, QuantIdentity, Flatten and Dropout only"
_HINTS = {
    "BatchNormalization": "merge it into the layer before exporting (brevitas.nn.utils.merge_bn)",
    "Add": "only the bias of the layer just before is added; remove residual and other additions",
    "ConvTranspose": "lower the torch model itself, or use QuantConv2d",
    "FloatQuant": "use an integer quantizer",
    "Trunc": "use a QuantIdentity in place of the truncation",
    "Pad": ZEROS,
    "Shape": "flatten with nn.Flatten(), and export with a fixed batch",
    **dict.fromkeys(("AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean"), _POOLING),
    **dict.fromkeys(("Sigmoid", "Tanh", "LeakyRelu", "Elu", "Gelu", "HardSigmoid", "Softmax"), _ACTIVATION),
}


def shown(text: str) -> str:
    """A name of the file in a message: as it is, if that is short and harmless."""
    return text if len(text) <= _SHOWN and text.isprintable() else ascii(text[:_SHOWN])


def label_of(node: NodeProto) -> str:
    """A node in a message."""
    name = node.name or next(iter(node.output), "") or "without a name"
    return f"node {shown(name)} ({shown(node.op_type)})"


def fault(node: NodeProto, rule: str, got: object, hint: str) -> FileFormatError:
    """The error that names a node."""
    return FileFormatError(f"{label_of(node)}: {rule}; got {got}; {hint}")


def graph_fault(rule: str, got: object, hint: str) -> FileFormatError:
    """The error of no single node."""
    return FileFormatError(f"the graph: {rule}; got {got}; {hint}")


def unsupported(node: NodeProto) -> FileFormatError:
    """The error of an operation that is not read."""
    got = shown(f"{node.domain}.{node.op_type}" if node.domain else node.op_type)
    return fault(node, "not an operation that is read here", got, _HINTS.get(node.op_type, KNOWN))


def kind_of(node: NodeProto) -> str:
    """The type of a node of a known domain, or nothing."""
    known = QONNX_DOMAINS if node.op_type in QUANTIZERS else ("", "ai.onnx")
    return node.op_type if node.domain in known else ""


def check_arity(node: NodeProto) -> None:
    """As many inputs and outputs as the operation has."""
    least, most = _ARITIES[node.op_type]
    given = len(node.input)
    if not least <= given <= most or "" in node.input[:least]:
        wanted = str(least) if least == most else f"{least} to {most}"
        named = sum(map(bool, node.input))
        raise fault(node, f"it takes {wanted} inputs", f"{given}, {named} of them named", "export the net again")
    outputs = len(node.output)
    if not outputs or not node.output[0] or (outputs > 1 and node.op_type != "Dropout"):
        raise fault(node, "it has one output with a name", outputs, "export the net again")


def attribute_of(node: NodeProto, name: str, kind: AttributeProto.AttributeType, default: object) -> object:
    """An attribute of one type, or its default."""
    found = [attribute for attribute in node.attribute if attribute.name == name]
    if not found:
        return default
    if len(found) > 1 or found[0].type != kind or found[0].ref_attr_name:
        wanted = AttributeProto.AttributeType.Name(kind)
        raise fault(node, f"attribute {name} is one of type {wanted}", "another", "export the net again")
    return helper.get_attribute_value(found[0])


def int_of(node: NodeProto, name: str, default: int | None = None) -> int:
    """An integer attribute."""
    value = attribute_of(node, name, AttributeProto.INT, default)
    if value is None:
        raise fault(node, f"attribute {name} is stated", "none", "export the net again")
    assert isinstance(value, int)
    return value


def flag_of(node: NodeProto, name: str, default: int | None = None) -> bool:
    """An attribute that is 0 or 1."""
    value = int_of(node, name, default)
    if value not in (0, 1):
        raise fault(node, f"attribute {name} is 0 or 1", value, "export the net again")
    return bool(value)


def text_of(node: NodeProto, name: str, default: str) -> str:
    """A string attribute."""
    value = attribute_of(node, name, AttributeProto.STRING, default.encode())
    assert isinstance(value, bytes)
    return value.decode("utf-8", "replace")


def numbers_of(node: NodeProto, name: str, default: tuple[int, ...], low: int) -> tuple[int, ...]:
    """A list of as many integers as `default` has, none below `low`."""
    value = attribute_of(node, name, AttributeProto.INTS, default)
    assert isinstance(value, list | tuple)
    if len(value) != len(default) or min(value, default=low) < low:
        rule = f"attribute {name} is {len(default)} numbers from {low} on"
        raise fault(node, rule, shown(str(list(value)[:MAX_RANK])), "use QuantConv2d as it is")
    return tuple(value)
