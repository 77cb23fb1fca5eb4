"""Weights from Brevitas' own export, neurons from YAML: the same Network as lowering the torch model itself."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import snntorch as snn
import torch
from brevitas.export import export_qonnx
from brevitas.nn import QuantConv2d, QuantIdentity, QuantLinear, QuantReLU
from brevitas.quant.fixed_point import (
    Int8BiasPerTensorFixedPointInternalScaling,
    Int8WeightPerChannelFixedPoint,
    Int8WeightPerTensorFixedPoint,
    Uint8ActPerTensorFixedPoint,
)
from brevitas.quant.scaled_int import Int8WeightPerTensorFloat
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import ConfigError, FileFormatError
from squat_deploy.readers.brevitas import ImportedGraph, ImportedSynapses
from squat_deploy.readers.brevitas.model import imported_model
from squat_deploy.snn.quantizers import state_quant
from tests.law import assert_agrees

LEAKY = """
  - {beta: 0.9, state_bits: 3}
  - {beta: 0.5, threshold: 0.5, reset: zero, reset_delay: false, state_bits: 2, levels: uniform, upper_limit: 1.0}
"""


def neurons() -> list[snn.Leaky]:
    """What LEAKY says."""
    second = state_quant(2, threshold=0.5, upper_limit=1.0)
    return [
        snn.Leaky(beta=0.9, init_hidden=True, state_quant=state_quant(3, uniform=False)),
        snn.Leaky(
            beta=0.5, threshold=0.5, reset_mechanism="zero", reset_delay=False, init_hidden=True, state_quant=second
        ),
    ]


def linear(
    inputs: int, outputs: int, quantizer: type = Int8WeightPerTensorFixedPoint, **options: object
) -> QuantLinear:
    layer = QuantLinear(inputs, outputs, **{"bias": False, "weight_quant": quantizer, "weight_bit_width": 4} | options)
    with torch.no_grad():
        layer.weight.normal_(0.1, 1.5 / inputs**0.5)
    return layer


def export(model: nn.Module, shape: tuple[int, ...], path: Path, dynamo: bool) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export_qonnx(model.eval(), torch.zeros(1, *shape), str(path), dynamo=dynamo)
    return path


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def spiking(layers: list[nn.Module]) -> nn.Sequential:
    """The layers with a neuron layer behind each of the first two that have weights."""
    waiting, modules = neurons(), []
    for layer in layers:
        modules.append(layer)
        if isinstance(layer, QuantLinear | QuantConv2d):
            modules.append(waiting.pop(0))
    return nn.Sequential(*modules).eval()


NETS = {
    "per tensor": lambda: ([linear(6, 5), linear(5, 3)], (6,)),
    "per channel, biases": lambda: (
        [
            linear(6, 5, Int8WeightPerChannelFixedPoint, bias=True),
            linear(5, 3, bias=True, bias_quant=Int8BiasPerTensorFixedPointInternalScaling),
        ],
        (6,),
    ),
    "float scales": lambda: ([linear(6, 5, Int8WeightPerTensorFloat), linear(5, 3)], (6,)),
    "convolution": lambda: (
        [
            QuantConv2d(
                2, 4, 3, stride=2, padding=1, groups=2, weight_quant=Int8WeightPerTensorFixedPoint, weight_bit_width=4
            ),
            nn.Flatten(),
            linear(4 * 3 * 2, 3),
        ],
        (2, 5, 4),
    ),
    "planes into a linear": lambda: ([nn.Flatten(), linear(8, 5), linear(5, 3)], (2, 4)),
}


@pytest.mark.parametrize(("name", "dynamo"), list(itertools.product(NETS, (True, False))))
def test_same_network_as_the_torch_model(name: str, dynamo: bool, tmp_path: Path) -> None:
    torch.manual_seed(3)
    layers, shape = NETS[name]()
    trained = spiking(layers)
    weights = export(nn.Sequential(*layers), shape, tmp_path / "weights.onnx", dynamo)
    config = write(tmp_path / "n.yaml", f"steps: 5\ninput: {{low: 0, high: 15, step: 0.0625}}\nneurons:{LEAKY}")
    network = sd.import_qonnx(weights, config, allow_unproven=True)
    assert network.digest == sd.lower(trained, sd.InputSpec(shape, 0, 15, 2.0**-4), 5, allow_unproven=True).digest
    inputs = np.random.default_rng(0).integers(0, 16, (20, *shape))
    if network.certificate.proven:
        assert_agrees(sd.verify(network, trained, inputs, executors=("torch", "numpy")))
        assert_agrees(sd.verify(network, imported_model(weights, config)[0], inputs, executors=("torch", "numpy")))


def test_vanished_weights_and_an_ordinary_bias(tmp_path: Path) -> None:
    """The bias is no multiple of such weights that a register could hold, so it makes tables of its own."""
    torch.manual_seed(3)
    path = export(linear(6, 4, bias=True), (6,), tmp_path / "weights.onnx", True)
    graph = onnx.load(path)
    (quant,) = (node for node in graph.graph.node if node.op_type == "Quant")
    scale = next(tensor for tensor in graph.graph.initializer if tensor.name == quant.input[1])
    scale.CopyFrom(onnx.numpy_helper.from_array(np.float32(1e-45), scale.name))
    onnx.save(graph, path)
    config = write(tmp_path / "n.yaml", "steps: 3\ninput: {high: 1}\nneuron: {beta: 0.5, state_bits: 2}")
    network = sd.import_qonnx(path, config)
    assert network.certificate.proven and not network.layers[0].bias.any() and len(network.neurons[0].thresholds) > 1
    inputs = np.random.default_rng(0).integers(0, 2, (40, 6))
    assert_agrees(sd.verify(network, imported_model(path, config)[0], inputs, executors=("torch", "numpy")))


@pytest.fixture(scope="module")
def activated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A feed-forward net as people export it: quantized input, ReLU between the layers."""
    torch.manual_seed(3)
    quantized_input = QuantIdentity(act_quant=Uint8ActPerTensorFixedPoint, bit_width=4)
    net = nn.Sequential(quantized_input, linear(6, 5), QuantReLU(bit_width=4), linear(5, 3))
    net.train()
    net(torch.rand(64, 6))
    return export(net, (6,), tmp_path_factory.mktemp("activated") / "weights.onnx", True)


def test_neurons_replace_activations_and_the_input_quantizer_declares_the_input(
    activated: Path, tmp_path: Path
) -> None:
    config = write(tmp_path / "n.yaml", "steps: 4\nactivations: replace\nneuron: {beta: 0.9}\n")
    network = sd.import_qonnx(activated, config, allow_unproven=True, name="mine")
    assert (network.input.low, network.input.high, network.input.encoding) == (0, 15, "direct")
    assert np.frexp(network.input.step)[0] == 0.5 and network.name == "mine"
    assert [neuron.neurons for neuron in network.neurons] == [5, 3]


CONFIGS = {
    "activations": (
        "steps: 4\nneuron: {beta: 0.9}\n",
        r"weights.onnx: has activations: .*; set 'activations: replace'",
    ),
    "input contradicts": (
        "steps: 4\nactivations: replace\ninput: {high: 7}\nneuron: {beta: 0.9}\n",
        r"n.yaml: input: the export quantizes its input to high: 15; leave it out, or say the same$",
    ),
    "count": (
        "steps: 4\nactivations: replace\nneurons: [{beta: 0.9}]\n",
        r"n.yaml: 1 neurons for 2 layers of .*weights.onnx$",
    ),
    "steps": ("neuron: {beta: 0.9}\n", r"n.yaml: steps: Field required$"),
    "key": ("steps: 4\nneuron: {beta: 0.9, betta: 1}\n", r"n.yaml: neuron.betta: Extra inputs are not permitted$"),
    "bits": (
        "steps: 4\nneuron: {beta: 0.9, state_bits: 32}\n",
        r"n.yaml: neuron.state_bits: Input should be less than or equal to 8$",
    ),
    "both": (
        "steps: 4\nneuron: {beta: 0.9}\nneurons: [{beta: 0.9}]\n",
        r"n.yaml: file: Value error, give either neuron, for all layers, or neurons, one entry a layer$",
    ),
    "alias": ("steps: 4\nneurons: [&n {beta: 0.9}, *n]\n", r"n.yaml: anchors, aliases and tags are not read; write"),
    "merge bomb": ("a: &a {b: 1}\nc: {<<: [*a, *a]}\n", r"n.yaml: anchors, aliases and tags are not read; write"),
    "date": ("steps: 4\nneuron: {beta: 2026-13-45}\n", r"n.yaml: not a YAML file: month must be in 1..12$"),
    "beta": (
        "steps: 4\nneuron: {beta: 1.5}\n",
        r"n.yaml: neuron.beta: Value error, one value or one a neuron, from 0 to 1$",
    ),
    "no threshold": (
        "steps: 4\nneuron: {beta: 0.9, threshold: []}\n",
        r"n.yaml: neuron.threshold: Value error, one value or one a neuron, above 0$",
    ),
    "NaN": (
        "steps: 4\nneuron: {beta: 0.9, lower_limit: .nan}\n",
        r"n.yaml: neuron.lower_limit: Input should be a finite",
    ),
    "levels and bits": (
        "steps: 4\nneuron: {beta: 0.9, state_bits: 2, levels: [0.5, 1.5]}\n",
        r"n.yaml: neuron: Value error, a list of levels needs no state_bits or limits$",
    ),
    "not YAML": ("steps: [4\n", r"n.yaml: not a YAML file: while parsing a flow sequence"),
    "a list": ("- 1\n", r"n.yaml: file: Input should be a valid dictionary or instance of ImportConfig$"),
    "python object": ("steps: !!python/object/apply:os.getcwd []\n", r"n.yaml: anchors, aliases and tags are not read"),
    "levels": (
        "steps: 4\nactivations: replace\nneuron: {beta: 0.9, levels: [1.0, 1.0]}\n",
        r"n.yaml: neurons of layer 1: level",
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_neuron_files_that_do_not_fit(name: str, activated: Path, tmp_path: Path) -> None:
    text, message = CONFIGS[name]
    config = write(tmp_path / "n.yaml", text)
    with pytest.raises(ConfigError, match=message):
        sd.import_qonnx(activated, config)


@pytest.mark.parametrize("names", [("flatten", "lif2"), ("fc_1", "fc.1"), ("add_module", "")])
def test_names_of_layers_do_not_replace_each_other(
    names: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = [ImportedSynapses(name, np.ones((2, 2), np.int64), np.ones(2, np.float32), None, None) for name in names]
    graph = ImportedGraph(tuple(layers), (2,), None, ())
    monkeypatch.setattr("squat_deploy.readers.brevitas.model.read_brevitas", lambda path: graph)
    config = write(tmp_path / "n.yaml", "steps: 4\ninput: {high: 1}\nneuron: {beta: 0.9}\n")
    model = imported_model(Path("x.onnx"), config)[0]
    assert [type(module).__name__ for module in model] == ["Flatten", "FixedLinear", "Leaky", "FixedLinear", "Leaky"]


def test_inputs_that_nobody_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = ImportedGraph(
        (ImportedSynapses("fc", np.ones((2, 2), np.int64), np.ones(2, np.float32), None, None),), (2,), None, ()
    )
    monkeypatch.setattr("squat_deploy.readers.brevitas.model.read_brevitas", lambda path: graph)
    for stated in ("", "input: {step: 0.5}\n"):
        config = write(tmp_path / "n.yaml", f"steps: 4\n{stated}neuron: {{beta: 0.9}}\n")
        with pytest.raises(ConfigError, match=r"n.yaml: input: nobody said which integers enter it.*\{high: 1\}"):
            imported_model(Path("x.onnx"), config)


def test_files_that_are_missing(activated: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.yaml: cannot be read: No such file or directory$"):
        sd.import_qonnx(activated, tmp_path / "none.yaml")
    config = write(tmp_path / "n.yaml", "steps: 4\nneuron: {beta: 0.9}\n")
    with pytest.raises(FileFormatError, match=r"none.onnx: cannot be read: No such file or directory$"):
        sd.import_qonnx(tmp_path / "none.onnx", config)
