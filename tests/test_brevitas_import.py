"""Files of Brevitas' own export: read to the bit, or refused in one line; nothing else, whatever the file holds."""

from __future__ import annotations

import copy
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from brevitas.export import export_qonnx
from brevitas.inject.enum import FloatToIntImplType
from brevitas.nn import QuantConv1d, QuantConv2d, QuantHardTanh, QuantIdentity, QuantLinear, QuantReLU
from brevitas.quant import (
    Int8ActPerTensorFixedPoint,
    Int8BiasPerTensorFixedPointInternalScaling,
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFixedPoint,
    Int8WeightPerTensorFloat,
    Int16Bias,
    ShiftedUint8ActPerTensorFloat,
    ShiftedUint8WeightPerTensorFloat,
    SignedBinaryActPerTensorConst,
    SignedBinaryWeightPerTensorConst,
    SignedTernaryWeightPerTensorConst,
    Uint8ActPerTensorFloat,
)
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from qonnx.custom_op.general.bipolar_quant import binary_quant
from qonnx.custom_op.general.intquant import int_quant
from torch import nn

from squat_deploy.errors import FileFormatError
from squat_deploy.network.window import Window
from squat_deploy.readers.brevitas import (
    ImportedGraph,
    ImportedSynapses,
    InputQuant,
    read_brevitas,
)
from squat_deploy.readers.brevitas import graph_reader as reader

pytestmark = [pytest.mark.filterwarnings("ignore")]  # of the two exporters, about themselves
both = pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "torchscript"])
DOMAIN = "qonnx.custom_op.general"


class FloorWeights(Int8WeightPerTensorFloat):
    float_to_int_impl_type = FloatToIntImplType.FLOOR


def exported(net: nn.Module, shape: tuple[int, ...], folder: Path, dynamo: bool) -> Path:
    path = folder / "net.onnx"
    export_qonnx(net.eval(), args=torch.rand(shape), export_path=str(path), dynamo=dynamo)
    return path


def imported(net: nn.Module, shape: tuple[int, ...], folder: Path, dynamo: bool) -> ImportedGraph:
    return read_brevitas(exported(net, shape, folder, dynamo))


def same_bits(ours: np.ndarray, theirs: torch.Tensor) -> bool:
    want = theirs.detach().numpy()
    assert ours.dtype == want.dtype == np.float32
    return ours.shape == want.shape and bool((ours.view(np.int32) == want.view(np.int32)).all())


def real(layer: ImportedSynapses) -> np.ndarray:
    """The weights in float32, as the graph has them."""
    return layer.weight.astype(np.float32) * layer.scale.reshape(-1, *[1] * (layer.weight.ndim - 1))


def check(layer: ImportedSynapses, module: nn.Module) -> None:
    """A layer of the file against the module that it came from, to the bit."""
    quant = module.quant_weight()
    outputs = len(module.weight)
    assert layer.weight.dtype == np.int64
    assert layer.weight.shape == tuple(module.weight.shape)
    assert (layer.weight == quant.int(float_datatype=False).numpy()).all()
    assert same_bits(layer.scale, quant.scale.reshape(-1).expand(outputs).contiguous())
    assert (real(layer) == quant.value.detach().numpy()).all()
    assert len(np.unique(layer.weight)) > 1
    if module.bias is None:
        assert layer.bias is None
    else:
        bias = module.quant_bias().value if module.bias_quant.is_quant_enabled else module.bias
        assert layer.bias is not None
        assert same_bits(layer.bias, bias)


LINEAR: dict[str, Callable[[], nn.Module]] = {
    "fixed point": lambda: QuantLinear(
        6, 5, bias=False, weight_quant=Int8WeightPerTensorFixedPoint, weight_bit_width=4
    ),
    "per channel": lambda: QuantLinear(6, 5, bias=True, weight_quant=Int8WeightPerChannelFloat, weight_bit_width=4),
    "one neuron": lambda: QuantLinear(1, 1, bias=True, weight_bit_width=8),
    "binary": lambda: QuantLinear(6, 5, bias=True, weight_quant=SignedBinaryWeightPerTensorConst),
    "ternary": lambda: QuantLinear(6, 6, bias=False, weight_quant=SignedTernaryWeightPerTensorConst),
    "quantized bias": lambda: QuantLinear(
        6, 5, bias=True, weight_bit_width=4, bias_quant=Int8BiasPerTensorFixedPointInternalScaling
    ),
}


@both
@pytest.mark.parametrize("case", [name for name in LINEAR if name != "one neuron"])
def test_linear(case: str, dynamo: bool, tmp_path: Path) -> None:
    torch.manual_seed(len(case))
    net = nn.Sequential(LINEAR[case]())
    graph = imported(net, (1, 6), tmp_path, dynamo)
    assert (graph.input_shape, graph.input_quant, graph.activations) == ((6,), None, ())
    (layer,) = graph.layers
    assert (layer.name, layer.conv) == ("0", None)
    check(layer, net[0])
    assert len(np.unique(layer.scale)) == (1 if net[0].quant_weight().scale.numel() == 1 else len(layer.weight))


@both
def test_ties_round_to_even(dynamo: bool, tmp_path: Path) -> None:
    layer = QuantLinear(31, 2, bias=False, weight_quant=Int8WeightPerTensorFixedPoint, weight_bit_width=4)
    layer.weight.data = torch.arange(-15, 16).repeat(2, 1) / 32
    (read,) = imported(layer, (1, 31), tmp_path, dynamo).layers
    check(read, layer)
    steps = layer.weight.detach().numpy() / read.scale[0]
    assert (np.abs(steps - np.trunc(steps)) == 0.5).sum() > 8  # or the test says nothing
    assert read.name in ("MatMul", "node_linear")  # a layer that is the whole net has no name of its own


@both
def test_convolution(dynamo: bool, tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = nn.Sequential(
        QuantConv2d(
            4, 6, (3, 2), stride=(2, 1), padding=(1, 0), groups=2, weight_quant=Int8WeightPerChannelFloat,
            weight_bit_width=3,
        ),
        nn.ReLU6(),
        QuantConv2d(6, 2, 2, dilation=(1, 3), bias=False, weight_bit_width=4),
    )  # fmt: skip
    graph = imported(net, (2, 4, 7, 8), tmp_path, dynamo)
    assert graph.input_shape == (4, 7, 8)
    first, second = graph.layers
    assert (first.conv, first.groups) == (Window((4, 7, 8), (3, 2), stride=(2, 1), padding=(1, 0)), 2)
    assert (second.conv, second.groups) == (Window((6, 4, 7), (2, 2), dilation=(1, 3)), 1)
    assert [(index, kind) for index, _, kind in graph.activations] == [(0, "Clip")]
    check(first, net[0])
    check(second, net[2])


class Flattening(nn.Module):
    """The ways of flattening that people write, each of which exports differently."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.block = way, nn.Module()
        self.block.fc = QuantLinear(12, 12, bias=True, weight_bit_width=4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = {
            "view": lambda: x.view(x.shape[0], -1),
            "flatten": lambda: torch.flatten(x, 1),
            "reshape": lambda: x.reshape(-1, 12),
        }[self.way]()
        return self.block.fc(flat)


@both
@pytest.mark.parametrize("way", ["view", "flatten", "reshape"])
def test_flattening_and_names(way: str, dynamo: bool, tmp_path: Path) -> None:
    net = Flattening(way)
    graph = imported(net, (3, 3, 4), tmp_path, dynamo)
    (layer,) = graph.layers
    assert graph.input_shape == (3, 4)
    assert layer.name == "block.fc"
    check(layer, net.block.fc)


@both
def test_two_layers_with_activations(dynamo: bool, tmp_path: Path) -> None:
    torch.manual_seed(2)
    net = nn.Sequential(
        QuantIdentity(bit_width=6, act_quant=Int8ActPerTensorFixedPoint),
        nn.Flatten(),
        nn.Identity(),
        QuantLinear(12, 5, bias=True, weight_bit_width=4),
        QuantReLU(bit_width=4),
        nn.Dropout(),
        QuantLinear(5, 3, bias=False, weight_quant=Int8WeightPerChannelFloat, weight_bit_width=3),
        QuantIdentity(act_quant=SignedBinaryActPerTensorConst),
    )
    graph = imported(net, (1, 3, 4), tmp_path, dynamo)
    assert graph.input_shape == (3, 4)
    assert graph.input_quant == InputQuant(net[0].act_quant.scale().item(), -32, 31)
    assert [(index, kind) for index, _, kind in graph.activations] == [(0, "Relu"), (0, "Quant"), (1, "BipolarQuant")]
    assert all(name in exported_names(tmp_path) for _, name, _ in graph.activations)
    assert [layer.name for layer in graph.layers] == ["3", "6"]
    check(graph.layers[0], net[3])
    check(graph.layers[1], net[6])


def exported_names(folder: Path) -> set[str]:
    return {node.name for node in onnx.load(folder / "net.onnx").graph.node}


@both
def test_unsigned_input_and_bias_in_units_of_the_sum(dynamo: bool, tmp_path: Path) -> None:
    torch.manual_seed(3)
    net = nn.Sequential(
        QuantIdentity(act_quant=Uint8ActPerTensorFloat, bit_width=4, return_quant_tensor=True),
        QuantLinear(
            6, 5, bias=True, weight_quant=Int8WeightPerChannelFloat, bias_quant=Int16Bias,
            cache_inference_quant_bias=True,
        ),
        QuantHardTanh(bit_width=4, min_val=-1.0, max_val=1.0),
    )  # fmt: skip
    net.eval()(torch.rand(1, 6))
    graph = imported(net, (1, 6), tmp_path, dynamo)
    assert graph.input_quant == InputQuant(net[0].act_quant.scale().item(), 0, 15)
    assert [(index, kind) for index, _, kind in graph.activations] == [(0, "Quant")]
    (layer,) = graph.layers
    check(layer, net[1])
    assert not (layer.bias == net[1].bias.detach().numpy()).all()


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = QuantLinear(5, 5, bias=False, weight_bit_width=4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.fc(x)))


@both
def test_shared_layer_gets_two_names(dynamo: bool, tmp_path: Path) -> None:
    net = Twice()
    first, second = imported(net, (1, 5), tmp_path, dynamo).layers
    assert (first.name, second.name) == ("fc", "fc_2")
    check(first, net.fc)
    check(second, net.fc)


@both
def test_large_layer(dynamo: bool, tmp_path: Path) -> None:
    net = nn.Sequential(QuantLinear(1024, 512, bias=True, weight_quant=Int8WeightPerChannelFloat, weight_bit_width=5))
    (layer,) = imported(net, (1, 1024), tmp_path, dynamo).layers
    check(layer, net[0])


def test_one_weight(tmp_path: Path) -> None:
    net = nn.Sequential(LINEAR["one neuron"]())
    (layer,) = imported(net, (1, 1), tmp_path, False).layers
    assert layer.weight.tolist() == net[0].quant_weight().int().tolist()
    assert same_bits(layer.scale, net[0].quant_weight().scale.reshape(1))


@both
def test_the_file_decides_where_brevitas_exports_other_weights(dynamo: bool, tmp_path: Path) -> None:
    """FLOOR for weights is exported as ROUND: what the file means is not what the module computes."""
    torch.manual_seed(4)
    layer = QuantLinear(6, 5, bias=False, weight_quant=FloorWeights, weight_bit_width=4)
    path = exported(layer, (1, 6), tmp_path, dynamo)
    (read,) = read_brevitas(path).layers
    scale = layer.quant_weight().scale.item()
    values = layer.weight.detach().numpy()
    means = int_quant(values, np.float32(scale), np.float32(0), np.float32(4), 1, 1, "ROUND")
    assert (real(read) == means).all()
    assert (read.weight != layer.quant_weight().int().numpy()).any()


REFUSED_NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str, str]] = {
    "one-bit integers": (
        lambda: nn.Sequential(QuantLinear(6, 5, bias=False, weight_bit_width=1)),
        (1, 6),
        "(BipolarQuant)",
        "scales are finite; got NaN or infinity; train it anew, or look for a division by 0",
    ),
    "asymmetric weights": (
        lambda: nn.Sequential(QuantLinear(6, 5, bias=False, weight_quant=ShiftedUint8WeightPerTensorFloat)),
        (1, 6),
        "(Quant)",
        "the zero point is 0; got [{zero}]; use a symmetric quantizer, such as Int8WeightPerTensorFloat",
    ),
    "asymmetric input": (
        lambda: nn.Sequential(calibrated(), QuantLinear(6, 5, bias=False)),
        (1, 6),
        "(Quant)",
        "the zero point is 0; got [{zero}]; use a symmetric quantizer, such as Int8WeightPerTensorFloat",
    ),
    "float weights": (
        lambda: nn.Sequential(QuantLinear(6, 5, bias=True, weight_quant=None)),
        (1, 6),
        "(Gemm)",
        "its weights pass a Quant; got the float tensor {weight}; use a layer of brevitas.nn with a weight_quant",
    ),
    "1-d convolution": (
        lambda: nn.Sequential(QuantConv1d(2, 3, 3)),
        (1, 2, 9),
        "(Conv)",
        "a convolution has two dimensions; got weights of shape [3, 2, 3]; use QuantConv2d with a kernel of (1, size)",
    ),
    "batch norm": (
        lambda: nn.Sequential(QuantLinear(6, 5, bias=False), nn.BatchNorm1d(5)),
        (2, 6),
        "(BatchNormalization)",
        "not an operation that is read here; got BatchNormalization; "
        "merge it into the layer before exporting (brevitas.nn.utils.merge_bn)",
    ),
    "QuantReLU at the input": (
        lambda: nn.Sequential(QuantReLU(), QuantLinear(6, 5, bias=False)),
        (1, 6),
        "(Relu)",
        "the data pass at most one Quant before the first layer; got Relu; "
        "use one QuantIdentity (signed=False for inputs from 0 on)",
    ),
    "rows of a matrix": (
        lambda: nn.Sequential(QuantLinear(6, 5, bias=False)),
        (1, 3, 6),
        "(MatMul)",
        "its data are (6,) a sample; got (3, 6); put nn.Flatten() before it",
    ),
}


def calibrated() -> nn.Module:
    quant = QuantIdentity(act_quant=ShiftedUint8ActPerTensorFloat)
    quant(torch.linspace(-1, 3, 6)[None])
    return quant


@both
@pytest.mark.parametrize("case", REFUSED_NETS)
def test_refused_nets(case: str, dynamo: bool, tmp_path: Path) -> None:
    make, shape, kind, message = REFUSED_NETS[case]
    torch.manual_seed(5)
    net = make()
    path = exported(net, shape, tmp_path, dynamo)
    if "{zero}" in message:
        first = net[0]
        zero = first.act_quant.zero_point() if isinstance(first, QuantIdentity) else first.quant_weight().zero_point
        message = message.replace("{zero}", str(zero.item()))
    message = message.replace("{weight}", "slice_1" if dynamo else "0.weight")
    with pytest.raises(FileFormatError) as caught:
        read_brevitas(path)
    where, _, rest = str(caught.value).partition(f"{kind}: ")
    assert rest == message
    assert where.startswith(f"{path}: node ")
    assert where.removeprefix(f"{path}: node ").strip() in exported_names(tmp_path)


# Files made by hand


def draft() -> ModelProto:
    """x (1, 6) -> Gemm with weights "w" (5, 6) through a Quant, and a bias -> Relu -> y."""
    rng = np.random.default_rng(0)
    arrays = {
        "fc.weight": rng.normal(size=(5, 6)).astype(np.float32), "s": np.float32(0.25), "z": np.float32(0),
        "b": np.float32(4), "bias": rng.normal(size=5).astype(np.float32),
    }  # fmt: skip
    quant = {"name": "quant", "domain": DOMAIN, "signed": 1, "narrow": 1, "rounding_mode": "ROUND"}
    return model(
        [
            helper.make_node("Quant", ["fc.weight", "s", "z", "b"], ["wq"], **quant),
            helper.make_node("Gemm", ["x", "wq", "bias"], ["h"], name="gemm", transB=1),
            helper.make_node("Relu", ["h"], ["y"], name="relu"),
        ],
        arrays,
        [1, 6],
    )


def conv_draft() -> ModelProto:
    """x (1, 4, 7, 8) -> Conv with weights (6, 2, 3, 2) through a Quant, and a bias -> y."""
    rng = np.random.default_rng(0)
    arrays = {
        "fc.weight": rng.normal(size=(6, 2, 3, 2)).astype(np.float32), "s": np.full((6, 1, 1, 1), 0.25, np.float32),
        "z": np.float32(0), "b": np.float32(4), "bias": rng.normal(size=6).astype(np.float32),
    }  # fmt: skip
    quant = {"name": "quant", "domain": DOMAIN, "signed": 1, "narrow": 1}
    geometry = {"group": 2, "pads": [1, 0, 1, 0], "strides": [2, 1], "dilations": [1, 1], "kernel_shape": [3, 2]}
    return model(
        [
            helper.make_node("Quant", ["fc.weight", "s", "z", "b"], ["wq"], **quant),
            helper.make_node("Conv", ["x", "wq", "bias"], ["y"], name="conv", **geometry),
        ],
        arrays,
        [1, 4, 7, 8],
    )


def model(nodes: list[NodeProto], arrays: dict[str, np.ndarray], shape: list[int | str]) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 2)])


def store(net: ModelProto, name: str, array: object) -> None:
    """Puts an array in the place of one, or adds it."""
    tensor = numpy_helper.from_array(np.asarray(array), name)
    for place, old in enumerate(net.graph.initializer):
        if old.name == name:
            del net.graph.initializer[place]
            break
    net.graph.initializer.append(tensor)


def node_of(net: ModelProto, name: str) -> NodeProto:
    return next(node for node in net.graph.node if node.name == name)


def change(name: str, **attributes: object) -> Callable[[ModelProto], None]:
    """Sets attributes of a node; None removes one."""

    def apply(net: ModelProto) -> None:
        node = node_of(net, name)
        kept = [attribute for attribute in node.attribute if attribute.name not in attributes]
        del node.attribute[:]
        node.attribute.extend(kept)
        node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items() if v is not None)

    return apply


def put(name: str, array: object) -> Callable[[ModelProto], None]:
    return lambda net: store(net, name, array)


def inputs(name: str, *names: str) -> Callable[[ModelProto], None]:
    def apply(net: ModelProto) -> None:
        node_of(net, name).input[:] = names

    return apply


def between(tensor: str, *nodes: NodeProto, **arrays: object) -> Callable[[ModelProto], None]:
    """Puts nodes "IN" -> "OUT" behind a tensor, before its first user."""

    def apply(net: ModelProto) -> None:
        users = [node for node in net.graph.node if tensor in node.input]
        place = list(net.graph.node).index(users[0])
        for user in users:
            user.input[:] = [f"{tensor}_new" if name == tensor else name for name in user.input]
        for name, array in arrays.items():
            store(net, name, array)
        for offset, new in enumerate(nodes):
            node = copy.deepcopy(new)
            node.input[:] = [tensor if name == "IN" else name for name in node.input]
            node.output[:] = [f"{tensor}_new" if name == "OUT" else name for name in node.output]
            net.graph.node.insert(place + offset, node)

    return apply


def both_of(*changes: Callable[[ModelProto], None]) -> Callable[[ModelProto], None]:
    def apply(net: ModelProto) -> None:
        for one in changes:
            one(net)

    return apply


def new(kind: str, *names: str, **attributes: object) -> NodeProto:
    """A node for `between`."""
    return helper.make_node(kind, names, ["OUT"], name="new", **attributes)


def written(net: ModelProto, folder: Path) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(net.SerializeToString())
    return path


def resize(*dims: int | str) -> Callable[[ModelProto], None]:
    def apply(net: ModelProto) -> None:
        net.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, dims))

    return apply


@pytest.mark.parametrize("domain", ["qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general"])
@pytest.mark.parametrize("mode", ["ROUND", "half_even", "CEIL", "FLOOR", "DOWN"])
@pytest.mark.parametrize("signed", [0, 1])
def test_quant_is_qonnx_s(domain: str, mode: str, signed: int, tmp_path: Path) -> None:
    """Against the quantizer of qonnx itself, at every width, on ties, on limits and far out."""
    scale = np.float32([0.25, 0.1, 1e-3, 3.0, 2.0**-20])[:, None]
    grid = np.concatenate([np.arange(-300, 301) / 2, [1e30, -1e30, 0.49999997, -0.0]]).astype(np.float32)
    for bits in range(1 + signed, 9):
        for narrow in (0, 1):
            net = draft()
            for action in (
                put("fc.weight", grid * scale), put("s", scale), put("b", np.float32(bits)),
                change("quant", signed=signed, narrow=narrow, rounding_mode=mode), resize("batch", grid.size),
            ):  # fmt: skip
                action(net)
            net.graph.node[0].domain = domain
            (layer,) = read_brevitas(written(net, tmp_path)).layers
            width, zero = np.asarray(bits, np.float32), np.float32(0)
            means = int_quant(grid * scale, scale, zero, width, signed, narrow, mode)
            assert means.dtype == np.float32
            assert (real(layer) == means).all()
            assert (layer.scale == scale[:, 0]).all()


def test_bipolar_quant_is_qonnx_s(tmp_path: Path) -> None:
    net = draft()
    values = np.float32([[0.0, -0.0, 1e-30, -1e-30, 3.0, -3.0]] * 5)
    scale = np.float32([1, 2, 3, 0.1, 5])[:, None]
    net.graph.node[0].CopyFrom(helper.make_node("BipolarQuant", ["fc.weight", "s"], ["wq"], domain=DOMAIN))
    store(net, "fc.weight", values)
    store(net, "s", scale)
    (layer,) = read_brevitas(written(net, tmp_path)).layers
    assert (real(layer) == binary_quant(values, scale)).all()
    assert set(layer.weight.flatten()) == {-1, 1}


ACCEPTED: dict[str, Callable[[ModelProto], None]] = {
    "open batch": resize("batch", 6),
    "transposed before its Quant": both_of(
        lambda net: store(net, "fc.weight", array_named(net, "fc.weight").T),
        between("fc.weight", new("Transpose", "IN", perm=[1, 0])),
    ),
    "transposed after its Quant": both_of(between("wq", new("Transpose", "IN")), change("gemm", transB=0)),
    "reshaped before its Quant": between("fc.weight", new("Reshape", "IN", "to"), to=np.int64([0, -1])),
    "identities": both_of(*(between(name, new("Identity", "IN")) for name in ("wq", "x", "s", "bias"))),
    "constant node": both_of(
        put("s", np.float32(9)), between("s", new("Constant", value=numpy_helper.from_array(np.float32(0.25))))
    ),
    "dropout": between("h", new("Dropout", "IN", "", "off"), off=np.bool_(False)),
    "reshape to [0, -1]": between("x", new("Reshape", "IN", "to"), to=np.int64([0, -1])),
    "reshape to [-1, 6]": between("x", new("Reshape", "IN", "to"), to=np.int64([-1, 6])),
    "flatten from behind": between("x", new("Flatten", "IN", axis=-1)),
    "IntQuant": lambda net: setattr(node_of(net, "quant"), "op_type", "IntQuant"),
    "bias (1, 5)": lambda net: store(net, "bias", array_named(net, "bias")[None]),
    "added bias": both_of(inputs("gemm", "x", "wq"), between("h", new("Add", "IN", "bias"))),
    "added bias, other order": both_of(inputs("gemm", "x", "wq"), between("h", new("Add", "bias", "IN"))),
    "weights among the inputs": lambda net: net.graph.input.append(
        helper.make_tensor_value_info("fc.weight", TensorProto.FLOAT, [5, 6])
    ),
}


def array_named(net: ModelProto, name: str) -> np.ndarray:
    return next(numpy_helper.to_array(tensor) for tensor in net.graph.initializer if tensor.name == name)


@pytest.mark.parametrize("case", ACCEPTED)
def test_other_spellings_mean_the_same(case: str, tmp_path: Path) -> None:
    net = draft()
    values, bias = array_named(net, "fc.weight"), array_named(net, "bias")
    means = int_quant(values, np.float32(0.25), np.float32(0), np.asarray(4, np.float32), 1, 1, "ROUND")
    ACCEPTED[case](net)
    graph = read_brevitas(written(net, tmp_path))
    (layer,) = graph.layers
    assert (real(layer) == means).all()
    assert (layer.bias == bias).all()
    assert layer.name == "fc"
    assert (graph.input_shape, graph.activations) == ((6,), ((0, "relu", "Relu"),))


def test_one_bias_for_all(tmp_path: Path) -> None:
    net = draft()
    store(net, "bias", np.float32([0.75]))
    (layer,) = read_brevitas(written(net, tmp_path)).layers
    assert layer.bias is not None
    assert layer.bias.tolist() == [0.75] * 5


def test_names_are_plain(tmp_path: Path) -> None:
    net = draft()
    rename(net, "fc.weight", "a b/*\n.weight")
    (layer,) = read_brevitas(written(net, tmp_path)).layers
    assert layer.name == "a_b___"


def rename(net: ModelProto, old: str, name: str) -> None:
    next(tensor for tensor in net.graph.initializer if tensor.name == old).name = name
    for node in net.graph.node:
        node.input[:] = [name if entry == old else entry for entry in node.input]


AGAIN = "export the net again"
WEIGHTS = "quantize weights with weight_quant=... of the layer"
CHANNEL = "use per-tensor or per-channel scaling"
FLATTEN = "it flattens each sample whole"
KNOWN = "use QuantLinear, QuantConv2d, QuantReLU, QuantIdentity, Flatten and Dropout only"
INPUT = "use one QuantIdentity (signed=False for inputs from 0 on)"
QUANT_IN = helper.make_node("Quant", ["IN", "si", "z", "b"], ["OUT"], name="new", domain=DOMAIN, signed=1, narrow=0)
ADD_BIAS = helper.make_node("Add", ["IN", "bias"], ["OUT"], name="add")
BIPOLAR_IN = helper.make_node("BipolarQuant", ["IN", "s"], ["OUT"], name="new", domain=DOMAIN)


def signed_bits(bits: object) -> Callable[[ModelProto], None]:
    return put("b", np.asarray(bits, np.float32))


REFUSED: dict[str, tuple[Callable[[ModelProto], None], str]] = {
    # the quantizer of the weights
    "zero point": (
        put("z", np.float32(3)),
        "node quant (Quant): the zero point is 0; got [3.0]; "
        "use a symmetric quantizer, such as Int8WeightPerTensorFloat",
    ),
    "zero point per channel": (
        put("z", np.float32([0, 0, 1, 0, np.nan])[:, None]),
        "node quant (Quant): the zero point is 0; got [0.0, 0.0, 1.0, 0.0]; "
        "use a symmetric quantizer, such as Int8WeightPerTensorFloat",
    ),
    "zero point of another shape": (
        put("z", np.zeros((7, 1), np.float32)),
        "node quant (Quant): the zero point is 0; got a tensor [7, 1]; "
        "use a symmetric quantizer, such as Int8WeightPerTensorFloat",
    ),
    **{
        f"{got} bits": (
            signed_bits(bits),
            f"node quant (Quant): the bit width is a whole number from 1 to 8; got {got}; use a bit width of at most 8",
        )
        for bits, got in (
            (9, "9.0"), (0, "0.0"), (-4, "-4.0"), (3.5, "3.5"), (np.nan, "nan"), ([4, 4], "a tensor [2]"),
        )
    },
    "one signed bit": (
        signed_bits(1),
        "node quant (Quant): one signed bit has no agreed meaning in a Quant; got bit width 1; "
        "use SignedBinaryWeightPerTensorConst, which exports a BipolarQuant",
    ),
    "scale per input": (
        put("s", np.float32([1, 2, 1, 1, 1, 1])),
        f"node gemm (Gemm): one scale for all, or one a neuron; got several for one neuron; {CHANNEL}",
    ),
    "scale of another shape": (
        put("s", np.ones((1, 5, 1), np.float32)),
        f"node quant (Quant): one scale for all, or one a neuron; got [1, 5, 1] for [5, 6]; {CHANNEL}",
    ),
    "scale 0": (
        put("s", np.float32([[1], [1], [0], [1], [1]])),
        "node quant (Quant): scales are positive; got 0; train with a positive scale",
    ),
    "scale below 0": (
        put("s", np.float32(-0.5)),
        "node quant (Quant): scales are positive; got -0.5; train with a positive scale",
    ),
    "scale infinite": (
        put("s", np.float32(np.inf)),
        "node quant (Quant): scales are finite; got NaN or infinity; train it anew, or look for a division by 0",
    ),
    "scale so large that its multiples are infinite": (
        both_of(put("s", np.float32(3e38)), put("fc.weight", np.full((5, 6), 3.4e38, np.float32)), signed_bits(8),
                change("quant", rounding_mode="CEIL")),
        "node quant (Quant): an integer times its scale is finite; got infinity; train with a smaller scale",
    ),
    "scale in doubles": (
        put("s", np.float64(0.5)),
        "node quant (Quant): scales are float32; got float64 []; export the net in float32",
    ),
    "scale computed": (
        between("s", new("Exp", "IN")),
        "node quant (Quant): the scale is stored in the file; got a computed one; export the net in eval mode",
    ),
    "scale from the data": (
        inputs("quant", "fc.weight", "x", "z", "b"),
        "node gemm (Gemm): a net has one path, without branches; got a second use of x; "
        "remove residual connections and second outputs",
    ),
    "rounding mode": (
        change("quant", rounding_mode="HALF_UP"),
        "node quant (Quant): rounding_mode is one of ROUND, HALF_EVEN, CEIL, FLOOR, DOWN; got HALF_UP; use ROUND",
    ),
    "signed missing": (
        change("quant", signed=None),
        f"node quant (Quant): attribute signed is stated; got none; {AGAIN}",
    ),
    "narrow 2": (change("quant", narrow=2), f"node quant (Quant): attribute narrow is 0 or 1; got 2; {AGAIN}"),
    "signed in text": (
        change("quant", signed="yes"),
        f"node quant (Quant): attribute signed is one of type INT; got another; {AGAIN}",
    ),
    "inputs missing": (
        inputs("quant", "fc.weight", "s"),
        f"node quant (Quant): it takes 4 inputs; got 2, 2 of them named; {AGAIN}",
    ),
    "inputs without names": (
        inputs("quant", "fc.weight", "", "z", "b"),
        f"node quant (Quant): it takes 4 inputs; got 4, 3 of them named; {AGAIN}",
    ),
    # the weights
    "weights not finite": (
        put("fc.weight", np.full((5, 6), np.nan, np.float32)),
        "node gemm (Gemm): weights and biases are finite; got NaN or infinity; "
        "train it anew, or look for a division by 0",
    ),
    "integer weights": (
        put("fc.weight", np.ones((5, 6), np.int8)),
        "node gemm (Gemm): weights and biases are float32; got int8 [5, 6]; export the net in float32",
    ),
    "no weights, many neurons": (
        put("fc.weight", np.zeros((10**9, 0), np.float32)),
        "node gemm (Gemm): weights and biases are float32; got float32 [1000000000, 0]; export the net in float32",
    ),
    "weights not quantized": (
        inputs("gemm", "x", "fc.weight", "bias"),
        "node gemm (Gemm): its weights pass a Quant; got the float tensor fc.weight; "
        "use a layer of brevitas.nn with a weight_quant",
    ),
    "weights quantized twice": (
        between("wq", helper.make_node("BipolarQuant", ["IN", "s"], ["OUT"], name="new", domain=DOMAIN)),
        "node new (BipolarQuant): a tensor passes one Quant; got a second one; "
        "quantize weights with weight_quant=... only",
    ),
    "weights computed": (
        between("wq", new("Tanh", "IN")),
        "node new (Tanh): what node gemm (Gemm) takes as weights or bias is stored, and passes at most one Quant; "
        f"got Tanh; {WEIGHTS}",
    ),
    "Quant of another domain": (
        lambda net: setattr(node_of(net, "quant"), "domain", ""),
        "node quant (Quant): what node gemm (Gemm) takes as weights or bias is stored, and passes at most one Quant; "
        f"got Quant; {WEIGHTS}",
    ),
    "weights through many nodes": (
        lambda net: chain(net, 8),
        "node gemm (Gemm): its weights and bias are stored in the file; got more than 8 nodes before it; "
        "use the layers of brevitas.nn, whose weights are parameters",
    ),
    "data as weights": (
        inputs("gemm", "wq", "x", "bias"),
        "node gemm (Gemm): it takes the data at input 0; got them at input 1; "
        "compute data @ weights, as QuantLinear does",
    ),
    "data times data": (
        inputs("gemm", "x", "x", "bias"),
        "node gemm (Gemm): a net has one path, without branches; got a second use of x; "
        "remove residual connections and second outputs",
    ),
    "weights reshaped to other sizes": (
        between("wq", new("Reshape", "IN", "to"), to=np.int64([2**62, 4])),
        f"node new (Reshape): it keeps the 30 values of its input; got [{2**62}, 4]; {AGAIN}",
    ),
    **{
        f"weights reshaped to {sizes}": (
            between("wq", new("Reshape", "IN", "to", allowzero=1), to=np.int64(sizes)),
            f"node new (Reshape): it keeps the 30 values of its input; got {sizes}; {AGAIN}",
        )
        for sizes in ([0, 6], [-1, 0], [-5, -6], [-1, -1], [7, -1])
    },
    "weights reshaped by a float": (
        between("wq", new("Reshape", "IN", "to"), to=np.float32([5, 6])),
        f"node new (Reshape): the shape is up to 8 int64; got a tensor [2]; {KNOWN}",
    ),
    "weights transposed along no axis": (
        between("wq", new("Transpose", "IN", perm=[0, 0])),
        f"node new (Transpose): attribute perm orders the axes [0, 1]; got [0, 0]; {AGAIN}",
    ),
    "weights of three dimensions": (
        put("fc.weight", np.ones((5, 6, 1), np.float32)),
        "node gemm (Gemm): its weights are a matrix; got the shape [5, 6, 1]; use QuantLinear or QuantConv2d",
    ),
    "weights turned": (
        change("gemm", transB=0),
        "node gemm (Gemm): its data are (5,) a sample; got (6,); put nn.Flatten() before it",
    ),
    # the product
    "alpha": (change("gemm", alpha=2.0), "node gemm (Gemm): attribute alpha is 1; got 2.0; "
              "scale the weights in training"),
    "beta": (change("gemm", beta=0.5), "node gemm (Gemm): attribute beta is 1; got 0.5; scale the weights in training"),
    "transA": (change("gemm", transA=1), "node gemm (Gemm): attribute transA is 0; got 1; use QuantLinear as it is"),
    "bias of another length": (
        put("bias", np.zeros(6, np.float32)),
        "node gemm (Gemm): its bias is (5,), one a neuron; got (6,); use bias=True of the layer",
    ),
    "bias per sample": (
        put("bias", np.zeros((5, 1), np.float32)),
        "node gemm (Gemm): its bias is (5,), one a neuron; got (5, 1); use bias=True of the layer",
    ),
    "bias not finite": (
        put("bias", np.float32([0, 0, 0, 0, np.inf])),
        "node gemm (Gemm): weights and biases are finite; got NaN or infinity; "
        "train it anew, or look for a division by 0",
    ),
    "bias of 33 bits": (
        both_of(between("bias", helper.make_node("Quant", ["IN", "s", "z", "bb"], ["OUT"], name="new", domain=DOMAIN,
                                                 signed=1, narrow=0), bb=np.float32(33))),
        "node new (Quant): the bit width is a whole number from 1 to 32; got 33.0; use a bit width of at most 32",
    ),
    # the way of the data
    "residual": (
        between("h", new("Add", "IN", "x")),
        "node new (Add): a net has one path, without branches; got a second use of x; "
        "remove residual connections and second outputs",
    ),
    "added twice": (
        between("h", new("Add", "IN", "bias")),
        "node new (Add): not an operation that is read here; got Add; "
        "only the bias of the layer just before is added; remove residual and other additions",
    ),
    "added after the activation": (
        both_of(inputs("gemm", "x", "wq"), between("h", new("Relu", "IN")), between("h_new", ADD_BIAS)),
        "node add (Add): not an operation that is read here; got Add; "
        "only the bias of the layer just before is added; remove residual and other additions",
    ),
    "unknown operation": (
        between("h", new("Sin", "IN")),
        f"node new (Sin): not an operation that is read here; got Sin; {KNOWN}",
    ),
    "known operation of another domain": (
        between("h", helper.make_node("Relu", ["IN"], ["OUT"], name="new", domain=DOMAIN)),
        f"node new (Relu): not an operation that is read here; got {DOMAIN}.Relu; {KNOWN}",
    ),
    "pooling": (
        between("h", new("MaxPool", "IN", kernel_shape=[2, 2])),
        "node new (MaxPool): not an operation that is read here; got MaxPool; use a QuantConv2d with a stride",
    ),
    "sigmoid": (
        between("h", new("Sigmoid", "IN")),
        "node new (Sigmoid): not an operation that is read here; got Sigmoid; "
        "use nn.ReLU or QuantReLU there; the neurons take its place",
    ),
    "data transposed": (
        between("x", new("Transpose", "IN")),
        f"node new (Transpose): not an operation that is read here; got Transpose; {KNOWN}",
    ),
    "flatten from axis 0": (
        between("x", new("Flatten", "IN", axis=0)),
        f"node new (Flatten): {FLATTEN}, axis 1; got axis 0; use nn.Flatten() as it is",
    ),
    **{
        f"reshape to {sizes}": (
            between("x", new("Reshape", "IN", "to"), to=np.int64(sizes)),
            f"node new (Reshape): {FLATTEN}, to [1, 6]; got {sizes}; use nn.Flatten()",
        )
        for sizes in ([2, 3], [1, 6, 1], [6], [1, 5], [-1, -1])
    },
    "reshape to a batch of no size": (
        between("x", new("Reshape", "IN", "to", allowzero=1), to=np.int64([0, 6])),
        f"node new (Reshape): {FLATTEN}, to [1, 6]; got [0, 6]; use nn.Flatten()",
    ),
    "dropout in training": (
        between("h", new("Dropout", "IN", "", "on"), on=np.bool_(True)),
        "node new (Dropout): training_mode is false; got true; export the net in eval mode",
    ),
    "dropout without output": (
        both_of(between("h", new("Dropout", "IN")), lambda net: drop_tail(net, "new")),
        "node 'new' (Dropout): 1 inputs, 0 outputs",
    ),
    "clip at the input": (
        between("x", new("Clip", "IN")),
        f"node new (Clip): the data pass at most one Quant before the first layer; got Clip; {INPUT}",
    ),
    "bipolar input": (
        between("x", BIPOLAR_IN),
        f"node new (BipolarQuant): the data pass at most one Quant before the first layer; got BipolarQuant; {INPUT}",
    ),
    "two quantizers at the input": (
        both_of(between("x", QUANT_IN, si=np.float32(1)), between("x_new", QUANT_IN)),
        f"node new (Quant): the data pass at most one Quant before the first layer; got a second one; {INPUT}",
    ),
    "input scale per channel": (
        between("x", QUANT_IN, si=np.ones(6, np.float32)),
        "node new (Quant): the input has one scale; got a tensor [6]; use a per-tensor act_quant for the input",
    ),
    "input rounded down": (
        both_of(between("x", QUANT_IN, si=np.float32(1)), change("new", rounding_mode="FLOOR")),
        "node new (Quant): the input is rounded to the nearest, ties to even; got FLOOR; use ROUND",
    ),
    "input of 17 bits": (
        both_of(between("x", QUANT_IN, si=np.float32(1)), inputs("new", "x", "si", "z", "bi"), put("bi", np.int64(17))),
        "node new (Quant): the bit width is a whole number from 1 to 16; got 17; use a bit width of at most 16",
    ),
    "input of one value": (
        both_of(between("x", QUANT_IN, si=np.float32(1)), inputs("new", "x", "si", "z", "bi"), put("bi", np.int64(1)),
                change("new", signed=0, narrow=1)),
        "node new (Quant): the input has two values or more; got 0 only; use a larger bit width",
    ),
    # the graph
    "two outputs": (
        lambda net: net.graph.output.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, None)),
        "the graph: it has one output; got 2; export a net that takes and returns one tensor",
    ),
    "two inputs": (
        lambda net: net.graph.input.append(helper.make_tensor_value_info("x2", TensorProto.FLOAT, [1])),
        "the graph: it has one input; got 2; export a net that takes and returns one tensor",
    ),
    "an output on the way": (
        lambda net: setattr(net.graph.output[0], "name", "h"),
        "node relu (Relu): a net has one path, without branches; got a second use of h; "
        "remove residual connections and second outputs",
    ),
    "an output that depends on nothing": (
        lambda net: setattr(net.graph.output[0], "name", "wq"),
        f"the graph: its output is computed from its input; got an end at y; {AGAIN}",
    ),
    "no layer": (
        both_of(inputs("relu", "x"), lambda net: net.graph.node.remove(node_of(net, "gemm")),
                lambda net: setattr(node_of(net, "relu"), "op_type", "Identity")),
        "the graph: there is a layer with weights; got none; export a net with QuantLinear or QuantConv2d",
    ),
    **{
        f"input {list(dims)}": (
            resize(*dims),
            f"the graph: its input x has a batch and up to 7 known sizes; got {got}; "
            "export with args of the shape (1, ...)",
        )
        for dims, got in (
            ((1, "n"), [1, 0]), ((1, -6), [1, -6]), ((6,), [6]), ((), []), ((-1, 6), [-1, 6]), ((1,) * 9, [1] * 9),
        )
    },
    "input in integers": (
        lambda net: net.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.INT64, [1, 6])),
        "the graph: its input x is float32; got another type; export the net in float32",
    ),
    "input of no type": (
        lambda net: net.graph.input[0].ClearField("type"),
        "the graph: its input x is float32; got another type; export the net in float32",
    ),
    "names in a message": (
        between("h", helper.make_node("Sin", ["IN"], ["OUT"], name="\x1b[31m" + "n" * 200)),
        f"node '\\x1b[31m{'n' * 95}' (Sin): not an operation that is read here; got Sin; {KNOWN}",
    ),
}  # fmt: skip


def chain(net: ModelProto, count: int) -> None:
    """Identity nodes between the Quant and its layer."""
    layer = node_of(net, "gemm")
    place = list(net.graph.node).index(layer)
    for step in range(count):
        node = helper.make_node("Identity", [layer.input[1]], [f"step{step}"])
        net.graph.node.insert(place + step, node)
        layer.input[1] = f"step{step}"


def drop_tail(net: ModelProto, name: str) -> None:
    """Takes the outputs of a node, and what would use them."""
    del node_of(net, name).output[:]
    net.graph.node.remove(node_of(net, "relu"))
    net.graph.output[0].name = "wq"


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path) -> None:
    mutate, message = REFUSED[case]
    check_refused(draft(), mutate, message, tmp_path)


def check_refused(net: ModelProto, mutate: Callable[[ModelProto], None], message: str, folder: Path) -> None:
    read_brevitas(written(net, folder))  # else the draft itself is at fault
    mutate(net)
    path = written(net, folder)
    with pytest.raises(FileFormatError) as caught:
        read_brevitas(path)
    assert str(caught.value) == f"{path}: {message}"


ZEROS = "use padding=(height, width) of zeros in the QuantConv2d"
REFUSED_CONV: dict[str, tuple[Callable[[ModelProto], None], str]] = {
    "auto_pad": (
        change("conv", auto_pad="SAME_UPPER"),
        f"node conv (Conv): attribute auto_pad is NOTSET; got SAME_UPPER; {ZEROS}",
    ),
    "one-sided pads": (
        change("conv", pads=[1, 0, 0, 0]),
        f"node conv (Conv): attribute pads is the same on both sides; got [1, 0, 0, 0]; {ZEROS}",
    ),
    "negative pads": (
        change("conv", pads=[-1, 0, -1, 0]),
        "node conv (Conv): attribute pads is 4 numbers from 0 on; got [-1, 0, -1, 0]; use QuantConv2d as it is",
    ),
    "stride 0": (
        change("conv", strides=[0, 1]),
        "node conv (Conv): attribute strides is 2 numbers from 1 on; got [0, 1]; use QuantConv2d as it is",
    ),
    "dilation of one dimension": (
        change("conv", dilations=[1]),
        "node conv (Conv): attribute dilations is 2 numbers from 1 on; got [1]; use QuantConv2d as it is",
    ),
    "another kernel": (
        change("conv", kernel_shape=[3, 3]),
        f"node conv (Conv): attribute kernel_shape is [3, 2] as its weights; got [3, 3]; {AGAIN}",
    ),
    "no groups": (
        change("conv", group=0),
        "node conv (Conv): attribute group is a number from 1 on; got 0; use QuantConv2d as it is",
    ),
    "groups that do not divide": (
        change("conv", group=4),
        "node conv (Conv): groups divide the 6 outputs; got 4; choose groups that divide the channels",
    ),
    "other channels": (
        change("conv", group=3),
        "node conv (Conv): its data are (6, height, width) a sample; got (4, 7, 8); "
        "export with args of the shape (1, channels, height, width)",
    ),
    "flat data": (
        resize(1, 224),
        "node conv (Conv): its data are (4, height, width) a sample; got (224,); "
        "export with args of the shape (1, channels, height, width)",
    ),
    "kernel larger than the data": (
        change("conv", dilations=[9, 1]),
        "node conv (Conv): its kernel (3, 2) fits into the data; got data of (4, 7, 8); "
        "use a smaller kernel or more padding",
    ),
    "bias of one value": (
        put("bias", np.float32([1])),
        "node conv (Conv): its bias is (6,), one a neuron; got (1,); use bias=True of the layer",
    ),
    "scale per kernel row": (
        put("s", np.float32([1, 2, 3]).reshape(1, 1, 3, 1)),
        f"node conv (Conv): one scale for all, or one a neuron; got several for one neuron; {CHANNEL}",
    ),
}


@pytest.mark.parametrize("case", REFUSED_CONV)
def test_refused_convolutions(case: str, tmp_path: Path) -> None:
    mutate, message = REFUSED_CONV[case]
    check_refused(conv_draft(), mutate, message, tmp_path)


def test_flattening_keeps_count_of_the_convolution(tmp_path: Path) -> None:
    """Its output has (6, 4, 7) a sample: a Reshape to anything else is not a flattening."""
    net = conv_draft()
    node_of(net, "conv").output[0] = "c"
    net.graph.node.append(helper.make_node("Reshape", ["c", "to"], ["y"], name="reshape"))
    store(net, "to", np.int64([1, 168]))
    assert read_brevitas(written(net, tmp_path)).layers[0].weight.shape == (6, 2, 3, 2)
    store(net, "to", np.int64([1, 169]))
    path = written(net, tmp_path)
    with pytest.raises(FileFormatError) as caught:
        read_brevitas(path)
    hint = "use nn.Flatten()"
    assert str(caught.value) == f"{path}: node reshape (Reshape): {FLATTEN}, to [1, 168]; got [1, 169]; {hint}"


def tower(layers: int, size: int) -> ModelProto:
    """A small file of many layers, which share one square of weights."""
    nodes = [helper.make_node("Quant", ["w", "s", "z", "b"], ["wq"], domain=DOMAIN, signed=1, narrow=1)]
    for index in range(layers):
        data, out = (f"h{index}" if index else "x"), (f"h{index + 1}" if index + 1 < layers else "y")
        nodes.append(helper.make_node("MatMul", [data, "wq"], [out], name=f"mm{index}"))
    arrays = {"w": np.ones((size, size), np.float32), "s": np.float32(0.5), "z": np.float32(0), "b": np.float32(4)}
    return model(nodes, arrays, [1, size])


def test_shared_weights_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_WEIGHTS", 3 * 10_000)
    path = written(tower(4, 100), tmp_path)
    with pytest.raises(FileFormatError) as caught:
        read_brevitas(path)
    rule = "all layers together have at most 30000 weights"
    assert str(caught.value) == f"{path}: node mm3 (MatMul): {rule}; got 40000; split the net"
    assert len(read_brevitas(written(tower(3, 100), tmp_path)).layers) == 3


def test_many_layers_take_linear_time(tmp_path: Path) -> None:
    layers = read_brevitas(written(tower(5000, 1), tmp_path)).layers
    assert len({layer.name for layer in layers}) == 5000


def test_memory_follows_what_the_file_holds(tmp_path: Path) -> None:
    path = written(tower(2, 300), tmp_path)
    tracemalloc.start()
    read_brevitas(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * path.stat().st_size


def test_the_file_itself(tmp_path: Path) -> None:
    missing = tmp_path / "none.onnx"
    with pytest.raises(FileFormatError, match=r"none\.onnx: cannot be read"):
        read_brevitas(missing)
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"\xff" * 50)
    with pytest.raises(FileFormatError, match=r"junk\.onnx: not an ONNX file, or truncated"):
        read_brevitas(junk)


@pytest.mark.parametrize("name", ["gemm", "wq", "new key", "new value"])
def test_names_that_are_not_text(name: str, tmp_path: Path) -> None:
    net = draft()
    node_of(net, "gemm").metadata_props.add(key="new key", value="new value")
    path = tmp_path / "net.onnx"
    path.write_bytes(net.SerializeToString().replace(name.encode(), b"\xff" * len(name)))
    with pytest.raises(FileFormatError) as caught:
        read_brevitas(path)
    assert str(caught.value) == f"{path}: not an ONNX file, or truncated"


KINDS = (
    "Quant", "BipolarQuant", "Gemm", "MatMul", "Conv", "Add", "Relu", "Flatten", "Reshape", "Identity", "Dropout",
    "Transpose", "Constant", "Clip", "Sin",
)  # fmt: skip
NUMBERS = (-(2**63), -1, 0, 1, 2, 5, 2**31, 2**62)


def spoil(net: ModelProto, rng: np.random.Generator) -> None:
    """One random fault somewhere in a file that is still an ONNX file."""
    graph = net.graph
    node = graph.node[rng.integers(len(graph.node))]
    tensor = graph.initializer[rng.integers(len(graph.initializer))]
    names = [t.name for t in graph.initializer] + [name for n in graph.node for name in n.output] + ["x", ""]
    shapes = [(), (0,), (1,), (5,), (5, 6), (6, 5), (1, 1, 1), (5, 1), (2, 2, 2, 2)]

    def pick(options: list) -> object:
        return options[rng.integers(len(options))]

    def renamed() -> None:
        if node.input:
            node.input[rng.integers(len(node.input))] = pick(names)

    def attribute() -> None:
        name = pick(["signed", "narrow", "rounding_mode", "transB", "axis", "pads", "group", "perm", "value", "alpha"])
        value = pick([*NUMBERS, 1.0, float("nan"), "ROUND", "\0", list(NUMBERS), [1.0], tensor])
        change_attribute(node, name, value)

    actions: list[Callable[[], object]] = [
        renamed, attribute,
        lambda: node.input and node.input.pop(),
        lambda: node.input.append(pick(names)),
        lambda: node.output.pop() if node.output else None,
        lambda: node.output.append(pick(["", "extra"])),
        lambda: setattr(node, "op_type", pick(list(KINDS))),
        lambda: setattr(node, "domain", pick(["", "ai.onnx", DOMAIN, "pkg.other"])),
        lambda: setattr(node, "name", pick(["", "\0", "n" * 300])),
        lambda: graph.node.remove(node) if len(graph.node) > 1 else None,
        lambda: store(net, tensor.name, np.zeros(pick(shapes), pick([np.float32, np.int64, np.bool_, np.uint8]))),
        lambda: store(net, tensor.name, np.full(pick(shapes), pick([np.nan, np.inf, -1, 1e38, 1e-45]), np.float32)),
        lambda: resize(*(int(pick(list(NUMBERS))) for _ in range(rng.integers(5))))(net),
        lambda: setattr(graph.output[0], "name", pick(names)),
        lambda: graph.initializer.remove(tensor) if len(graph.initializer) > 1 else None,
    ]  # fmt: skip
    pick(actions)()


def change_attribute(node: NodeProto, name: str, value: object) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


@pytest.mark.parametrize("make", [draft, conv_draft])
def test_spoilt_files_are_read_or_refused(make: Callable[[], ModelProto], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    read = 0
    for _ in range(1000):
        net = make()
        for _ in range(rng.integers(1, 4)):
            spoil(net, rng)
        try:
            graph = read_brevitas(written(net, tmp_path))
        except FileFormatError as error:
            assert str(error).isprintable()
            assert len(str(error)) < len(str(tmp_path)) + 1000
        else:
            read += 1
            for layer in graph.layers:
                assert np.isfinite(layer.scale).all()
                assert np.abs(layer.weight).max() <= 255
    assert 20 < read < 900
