"""Transposed convolutions, splits of axes and neurons on spikes: torch is the oracle, and every engine agrees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import snntorch as snn
import torch
from brevitas.nn import QuantConvTranspose1d, QuantConvTranspose2d, QuantLinear
from brevitas.quant.fixed_point import Int8WeightPerChannelFixedPoint, Int8WeightPerTensorFixedPoint
from brevitas.quant.scaled_int import Int8WeightPerChannelFloat, Int8WeightPerTensorFloat
from snntorch import utils
from torch import nn

import squat_deploy as sd
from squat_deploy.backends.qonnx.cost import step_cost
from squat_deploy.errors import ConfigError, FileFormatError, LoweringError
from squat_deploy.hardware.design import design_of
from squat_deploy.lowering.draft import Draft
from squat_deploy.lowering.handlers import handle
from squat_deploy.lowering.loading import infer_input
from squat_deploy.lowering.program import Call
from squat_deploy.network import InputSpec, int_bits
from squat_deploy.network.layers import Conv2d, ConvTranspose2d, constant_range
from squat_deploy.network.rules import broken_rule
from squat_deploy.snn.layers import IntThenScaleConvTranspose2d
from squat_deploy.snn.ptq import input_spec
from squat_deploy.snn.quantizers import state_quant
from tests.cycles import cycles_compared
from tests.graph_drawing import draw_inputs
from tests.graphs import check_every_form
from tests.law import verified
from tests.test_hardware import check_run, network_of
from tests.test_storage import altered


def transposed(seed: int) -> ConvTranspose2d:
    """Any kernel, stride, padding, dilation, output padding and groups that leave something."""
    rng = np.random.default_rng(seed)
    while True:
        groups, channels_in, channels_out = (int(rng.integers(1, 4)) for _ in range(3))
        kernel, stride, dilation = (tuple(rng.integers(1, 4, 2).tolist()) for _ in range(3))
        more = tuple(int(rng.integers(0, max(pair))) for pair in zip(stride, dilation, strict=True))
        shape = (groups * channels_in, *rng.integers(1, 5, 2).tolist())
        weight = rng.integers(-2, 4, (groups * channels_out, channels_in, *kernel))
        sizes = stride, tuple(rng.integers(0, 4, 2).tolist()), dilation, groups, more
        try:
            return ConvTranspose2d("up", weight, rng.integers(-3, 4, len(weight)), shape, *sizes)
        except ConfigError:
            continue


def torchs(layer: ConvTranspose2d) -> torch.Tensor:
    """Its weights in torch's order (C, O / groups, ...)."""
    grouped = torch.from_numpy(layer.weight.astype(np.float64)).reshape(layer.groups, -1, *layer.weight.shape[1:])
    return grouped.transpose(1, 2).reshape(layer.input_shape[0], -1, *layer.kernel)


@pytest.mark.parametrize("seed", range(40))
def test_sums_are_those_of_torch(seed: int) -> None:
    layer = transposed(seed)
    inputs = np.random.default_rng(seed).integers(-7, 16, (5, layer.inputs))
    want = nn.functional.conv_transpose2d(
        torch.from_numpy(inputs.reshape(5, *layer.input_shape)).double(), torchs(layer),
        torch.from_numpy(layer.bias.astype(np.float64)), layer.stride, layer.padding, layer.output_padding,
        layer.groups, layer.dilation,
    )  # fmt: skip
    assert layer.output_shape == tuple(want.shape[1:])
    sums = layer.stage(constant_range(layer.inputs, -7, 15)).start(5)(inputs)
    assert np.array_equal(sums, want.reshape(5, -1).numpy())
    dense = layer.unrolled()
    assert np.array_equal(inputs @ dense.weight.T + dense.bias, sums)
    for low, high in ((0, 1), (-3, 4), (2, 5)):
        assert np.array_equal(layer.sum_range(low, high), dense.sum_range(low, high))
        assert layer.partial_range((low, high)) == dense.partial_range((low, high))


@pytest.mark.parametrize("seed", range(40))
def test_units(seed: int) -> None:
    """The walk of events over sums, by the addresses of the hardware."""
    layer = transposed(seed)
    network = network_of(layer.input_shape, layer)
    check_run(design_of(network, sd.HlsConfig(pe=1 + seed % 4)), draw_inputs(network, 3), 2)


RANGES = [(0, 1), (0, 15), (0, 255), (-300, 700)]


@pytest.mark.parametrize("seed", [0, 1, 5, 6, 12, 18, 26, 27])
def test_every_back_end(seed: int, tmp_path: Path, compiler: None) -> None:
    """Cycles too; ONNX also of wide integers, and with more output padding than ONNX Runtime's own operator takes."""
    layer = transposed(seed)
    network = network_of(layer.input_shape, layer)
    network = replace(network, input=replace(network.input, low=RANGES[seed % 4][0], high=RANGES[seed % 4][1]))
    assert broken_rule(network) is None
    inputs, config = draw_inputs(network, 3), sd.HlsConfig(pe=1 + seed % 4)
    with cycles_compared(network, inputs, config):
        assert verified(network, None, inputs, config).agrees
    check_every_form(network, inputs, tmp_path)


@pytest.mark.parametrize("seed", [1, 27])
def test_cost(seed: int) -> None:
    """As ConvTranspose, and gathered: every weight times every value of its channel."""
    layer = transposed(seed)
    bits = int_bits(int(layer.weight.min()), int(layer.weight.max()))
    cost = step_cost(network_of(layer.input_shape, layer))
    macs = layer.weight.size * layer.inputs // layer.input_shape[0]
    assert (cost.macs, cost.weight_bits, cost.bit_operations) == (macs, layer.weight.size * bits, macs * bits)


@pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d])
def test_groups_of_single_points(kind: type, compiler: None) -> None:
    """One tap on one point, but an event reaches the lanes of its own group only."""
    layer = kind("c", np.arange(1, 9).reshape(4, 2, 1, 1), np.zeros(4, np.int64), (4, 1, 1), groups=2)
    network = network_of((4, 1, 1), layer)
    inputs, config = draw_inputs(network, 4), sd.HlsConfig(pe=1)
    with cycles_compared(network, inputs, config):
        assert verified(network, None, inputs, config).agrees


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_padding": (0, -1)}, r"c: output padding \(0, -1\) is less than none$"),
        ({"stride": (0, 1)}, "are no convolution"),
        ({"padding": (3, 0)}, r"c: its padding leaves nothing of inputs of shape \(1, 4, 4\)$"),
    ],
)
def test_sizes_that_do_not_fit(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ConvTranspose2d("c", np.ones((2, 1, 2, 2), np.int64), np.zeros(2, np.int64), (1, 4, 4), **options)


# Models


OPTIONS = {"weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4, "bias": False}


def up(*sizes: object, kind: type = QuantConvTranspose2d, **options: object) -> nn.Module:
    return kind(*sizes, **OPTIONS | options)


def leaky(**options: object) -> snn.Leaky:
    return snn.Leaky(**{"beta": 0.9, "state_quant": state_quant(3), "init_hidden": True} | options)


def agree(model: nn.Module, spec: InputSpec, *executors: str) -> sd.Network:
    """Lowered, proven, and equal to the model (and to others) on random inputs."""
    network = sd.lower(model, spec, 3)
    assert network.certificate.proven
    inputs = np.random.default_rng(0).integers(spec.low, spec.high + 1, (6, *spec.shape))
    assert sd.verify(network, model, inputs, executors=["torch", "numpy", *executors]).agrees
    return network


QUANTIZERS = [
    Int8WeightPerTensorFixedPoint,
    Int8WeightPerChannelFixedPoint,
    Int8WeightPerTensorFloat,
    Int8WeightPerChannelFloat,
]


@pytest.mark.parametrize("quantizer", QUANTIZERS)
@pytest.mark.parametrize("groups", [1, 3])
def test_options(quantizer: type, groups: int) -> None:
    torch.manual_seed(groups)
    sizes = {"stride": (2, 1), "padding": (1, 0), "output_padding": (1, 0), "dilation": (1, 2), "groups": groups}
    layer, norm = up(3, 6, (3, 2), bias=True, weight_quant=quantizer, **sizes), nn.BatchNorm2d(6)
    with torch.no_grad():
        layer.weight.mul_(torch.rand(3, 6 // groups, 1, 1) + 0.1)
        norm.weight[:3].mul_(-1.0)
    model, spec = nn.Sequential(layer, norm, leaky()).eval(), InputSpec((3, 4, 3), -1, 2, 0.5)
    if groups > 1 and quantizer in (Int8WeightPerChannelFixedPoint, Int8WeightPerChannelFloat):
        with pytest.raises(LoweringError, match=r"without an input; .*; use one scale a layer, or groups=1$"):
            sd.lower(model, spec, 3)
        with pytest.raises(RuntimeError):  # nor does it run
            model(torch.zeros(1, 3, 4, 3))
        return
    network = agree(model, spec)
    assert network.layers[0].geometry.tolist() == [3, 4, 3, 2, 1, 1, 0, 1, 2, 1, 0, groups]
    exact = sd.exact(model, spec, 3)
    agree(exact, spec)
    assert isinstance(exact[0], IntThenScaleConvTranspose2d)


def test_one_dimension() -> None:
    sizes = {"stride": 2, "padding": 1, "output_padding": 1}
    model = nn.Sequential(up(2, 3, 3, kind=QuantConvTranspose1d, **sizes), leaky(), nn.Flatten()).eval()
    network = agree(model, InputSpec((2, 5), 0, 3), "onnxruntime")
    assert network.layers[0].output_shape == (3, 1, 10)


class Sized(nn.Module):
    """Says in forward how large the result is."""

    def __init__(self, size: list[int] | None) -> None:
        super().__init__()
        self.fc, self.lif1 = QuantLinear(6, 12, **OPTIONS), leaky()
        self.up, self.lif2 = up(3, 2, 3, stride=2, dilation=(1, 2)), leaky()
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        planes = self.lif1(self.fc(x)).unflatten(1, (3, 2, 2))
        return self.lif2(self.up(planes, self.size) if self.size else self.up(planes, output_size=planes.shape[2:]))


def test_output_size_is_read() -> None:
    torch.manual_seed(0)
    network = agree(Sized([6, 6]).eval(), InputSpec((6,)))
    assert network.layers[2].output_shape == tuple(Sized([6, 6]).up(torch.zeros(1, 3, 2, 2), [6, 6]).shape[1:])
    with pytest.raises(LoweringError, match="requested an output size of"):
        sd.lower(Sized(None).eval(), InputSpec((6,)), 3)


def test_whatever_else_a_layer_is_called_with() -> None:
    draft = Draft(InputSpec((6,)))
    handle(draft, Call("module", "0 (Identity)", options={"scale": 2}), nn.Identity().eval(), None)
    assert [str(fault) for fault in draft.faults] == [
        "0 (Identity): layers are called with values alone; got scale=2; leave scale out"
    ]


def test_saved_loaded_and_altered(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = sd.lower(nn.Sequential(up(2, 3, 3, stride=2, output_padding=1), leaky()).eval(), InputSpec((2, 3, 4)), 3)
    path = tmp_path / "x.safetensors"
    sd.save(network, path)
    loaded = sd.load(path)
    assert loaded.digest == network.digest
    assert loaded.layers[0].geometry.tolist() == [2, 3, 4, 2, 2, 0, 0, 1, 1, 1, 1, 1]
    altered(path, lambda document, _: document["layers"][0].update(kind="Conv2d"))
    with pytest.raises(FileFormatError, match="the description does not fit the arrays"):
        sd.load(path)


def test_neurons_on_spikes(compiler: None) -> None:
    """As the decoder of an autoencoder begins: 0 or 1 is the current; also first of all, on a grid of powers of two."""
    torch.manual_seed(0)
    model = nn.Sequential(
        QuantLinear(6, 12, **OPTIONS), leaky(), nn.Unflatten(-1, (3, 2, -1)), leaky(threshold=0.9), up(3, 2, 2), leaky()
    ).eval()
    network = agree(model, InputSpec((6,)), "c++", "onnxruntime", "qonnx")
    assert [type(layer).__name__ for layer in network.layers[:3]] == ["Dense", "Neuron", "Neuron"]
    agree(nn.Sequential(leaky(), leaky(graded_spikes_factor=0.5), leaky()).eval(), InputSpec((5,), -2, 3, 0.25), "c++")
    odd = nn.Sequential(leaky()).eval()
    with pytest.raises(LoweringError) as error:
        sd.lower(odd, InputSpec((5,), 0, 3, 0.1), 3)
    assert str(error.value.faults[0]) == (
        "0 (Leaky): values that are no synaptic sums are multiples of a power of two; got 0.1; "
        "make the step of the inputs a power of two, or put synapses in between"
    )
    agree(odd, InputSpec((5,), 0, 3, 0.125))


@pytest.mark.parametrize("split", [nn.Unflatten(1, (3, 5)), nn.Unflatten(0, (1, 1)), nn.Unflatten(-2, (1, 1))])
def test_splits_that_do_not_fit(split: nn.Unflatten) -> None:
    with pytest.raises(LoweringError) as error:
        sd.lower(nn.Sequential(QuantLinear(6, 12, **OPTIONS), split, leaky()).eval(), InputSpec((6,)), 3)
    assert [str(fault) for fault in error.value.faults] == [
        f"1 (Unflatten): an axis behind the batch is taken apart; got Unflatten({split.dim}, {split.unflattened_size}) "
        "of (12,); give the axis by its number, 1 or more, and sizes whose product is that axis"
    ]
    agree(nn.Sequential(QuantLinear(6, 12, **OPTIONS), nn.Unflatten(1, (3, 4)), leaky()).eval(), InputSpec((6,)))


def test_flat_spikes_are_split_into_planes() -> None:
    front, back = [QuantLinear(6, 12, **OPTIONS), leaky()], [up(3, 2, 2), leaky()]
    with pytest.raises(LoweringError) as error:
        sd.lower(nn.Sequential(*front, *back).eval(), InputSpec((6,)), 3)
    assert [str(fault) for fault in error.value.faults] == [
        "2 (QuantConvTranspose2d): takes (3, height, width) values; got (12,); "
        "put nn.Unflatten(1, (3, height, width)) before it"
    ]
    agree(nn.Sequential(*front, nn.Unflatten(1, (3, 2, 2)), *back).eval(), InputSpec((6,)))


def test_float_layers_name_their_quantized_ones() -> None:
    for kind, shape in ((nn.ConvTranspose2d, (2, 3, 4)), (nn.ConvTranspose1d, (2, 4))):
        with pytest.raises(LoweringError, match=rf"use brevitas.nn.Quant{kind.__name__}, so that"):
            sd.lower(nn.Sequential(kind(2, 3, 2), leaky()).eval(), InputSpec(shape), 3)


class Decoder(nn.Sequential):
    """The decoder of snnTorch's spiking autoencoder, smaller; the membrane of its last neurons is the image."""

    def __init__(self) -> None:
        options = {"padding": 1, "stride": (2, 2), "output_padding": 1}
        super().__init__(
            nn.Linear(6, 8 * 2 * 2), self.leaky(),
            nn.Unflatten(1, (8, 2, 2)), self.leaky(),
            nn.ConvTranspose2d(8, 4, 3, **options), nn.BatchNorm2d(4), self.leaky(),
            nn.ConvTranspose2d(4, 1, 3, **options), self.leaky(threshold=20000),
        )  # fmt: skip

    @staticmethod
    def leaky(**options: object) -> snn.Leaky:
        return snn.Leaky(beta=0.5, init_hidden=True, **options)


@pytest.mark.filterwarnings("ignore:.*none of its neurons fires")
def test_a_quantized_decoder(compiler: None) -> None:
    """Float to every engine."""
    torch.manual_seed(0)
    model, data = Decoder().eval(), (torch.rand(12, 6) > 0.5).float()
    for norm in (module for module in model if isinstance(module, nn.BatchNorm2d)):
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.02, 0.1)
    made = sd.quantize(model, data, steps=3)
    assert [type(made[place]) for place in (4, 7)] == [QuantConvTranspose2d] * 2
    network = sd.lower(made, input_spec(made, data, "direct"), 3)
    assert network.certificate.proven and network.layers[len(network.layers) - 2].output_shape == (1, 8, 8)
    assert sd.verify(network, made, data[:4].numpy().astype(np.int64)).agrees


class Autoencoder(nn.Module):
    """All steps encoded, then all decoded, as the tutorial's forward does."""

    def __init__(self) -> None:
        super().__init__()
        options = {"padding": 1, "stride": 2}
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 4, 3, **options), nn.BatchNorm2d(4), Decoder.leaky(),
            nn.Flatten(start_dim=1, end_dim=3), nn.Linear(4 * 4 * 4, 6), Decoder.leaky(output=True),
        )  # fmt: skip
        self.decoder = Decoder()
        self.decoder[-1].output = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        utils.reset(self.encoder)
        utils.reset(self.decoder)
        encoded = torch.stack([self.encoder(x)[0] for _ in range(3)], dim=2)
        decoded = [self.decoder(encoded[..., step])[1] for step in range(3)]
        return torch.stack(decoded, dim=4)[:, :, :, :, -1]


@pytest.mark.filterwarnings("ignore:.*none of its neurons fires")
def test_a_whole_autoencoder() -> None:
    torch.manual_seed(0)
    model, data = Autoencoder().eval(), torch.rand(12, 1, 8, 8)
    model.decoder[5].running_var.fill_(0.05)
    made = sd.quantize(model, data, steps=3)
    spec = input_spec(made, data, "direct")
    network = sd.lower(made, spec, 3, readout="last-membrane", allow_unproven=True)
    assert sd.verify(network, made, spec.quantize(data[:4].numpy()), executors=["torch", "numpy", "onnxruntime"]).agrees


def test_shapes_of_planes_are_asked_for() -> None:
    model = nn.Sequential(up(2, 3, 2), leaky(), nn.Flatten(), QuantLinear(75, 2, **OPTIONS), leaky())
    with pytest.raises(ConfigError, match="give --shape"):
        infer_input(model, None, 0, 1, None, "direct")
