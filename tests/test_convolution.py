"""Conv2d: torch is the oracle of its sums, enumeration that of its ranges; what cannot be lowered is refused."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import snntorch as snn
import torch
from brevitas.nn import QuantConv2d
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import ConfigError, FileFormatError, LoweringError
from squat_deploy.network.layers import Conv2d, constant_range
from squat_deploy.snn.quantizers import state_quant

GEOMETRIES = [
    # shape, channels out, kernel, stride, padding, dilation, groups
    ((1, 1, 1), 1, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((2, 5, 4), 3, (3, 2), (1, 1), (0, 0), (1, 1), 1),
    ((2, 5, 4), 4, (3, 3), (2, 1), (1, 1), (1, 1), 2),
    ((4, 6, 7), 8, (2, 3), (1, 2), (2, 0), (2, 3), 4),
    ((3, 7, 5), 3, (3, 3), (3, 3), (2, 2), (1, 1), 3),
]


def convolution(case: int, rng: np.random.Generator) -> Conv2d:
    shape, channels, kernel, stride, padding, dilation, groups = GEOMETRIES[case]
    weight = rng.integers(-8, 8, (channels, shape[0] // groups, *kernel))
    return Conv2d("conv", weight, rng.integers(-20, 20, channels), shape, stride, padding, dilation, groups)


@pytest.mark.parametrize("case", range(len(GEOMETRIES)))
def test_sums_are_those_of_torch(case: int, rng: np.random.Generator) -> None:
    layer = convolution(case, rng)
    inputs = rng.integers(-7, 16, (6, layer.inputs))
    want = nn.functional.conv2d(
        torch.from_numpy(inputs.reshape(6, *layer.input_shape)).double(), torch.from_numpy(layer.weight).double(),
        torch.from_numpy(layer.bias).double(), layer.stride, layer.padding, layer.dilation, layer.groups,
    )  # fmt: skip
    assert layer.output_shape == tuple(want.shape[1:])
    assert np.array_equal(
        layer.stage(constant_range(layer.inputs, -7, 15)).start(6)(inputs), want.reshape(6, -1).numpy()
    )
    dense = layer.unrolled()
    assert np.array_equal(inputs @ dense.weight.T + dense.bias, want.reshape(6, -1).numpy())


@pytest.mark.parametrize("case", range(len(GEOMETRIES)))
def test_ranges_are_those_of_the_unrolled_layer(case: int, rng: np.random.Generator) -> None:
    """`Dense` ranges are brute-forced elsewhere; padding must not count as an input of 2..5."""
    layer = convolution(case, rng)
    for low, high in ((0, 1), (-3, 4), (2, 5)):
        ours, theirs = layer.sum_range(low, high), layer.unrolled().sum_range(low, high)
        assert np.array_equal(ours[0], theirs[0]) and np.array_equal(ours[1], theirs[1])
        assert layer.partial_range((low, high)) == layer.unrolled().partial_range((low, high))


def test_ranges_are_reached() -> None:
    """Every input of a small convolution, one by one."""
    layer = Conv2d("c", np.array([[[[3, -2], [1, -4]]]]), np.array([5]), (1, 2, 3), padding=(1, 0))
    inputs = np.array(list(itertools.product(range(-1, 2), repeat=6)))
    sums = layer.stage(constant_range(layer.inputs, -1, 1)).start(len(inputs))(inputs)
    lows, highs = layer.sum_range(-1, 1)
    assert np.array_equal(sums.min(axis=0), lows) and np.array_equal(sums.max(axis=0), highs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": (0, 1)}, "are no convolution"),
        ({"padding": (-1, 0)}, "are no convolution"),
        ({"groups": 3}, r"c: 3 groups of \(2, 1, 2, 2\) do not take 1 channels$"),
        ({"padding": (2, 0)}, r"c: padding \(2, 0\) reaches beyond its kernel \(2, 2\)$"),
        ({"dilation": (5, 1)}, r"c: its kernel does not fit into inputs of shape \(1, 4, 4\)$"),
    ],
)
def test_sizes_that_do_not_fit(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Conv2d("c", np.ones((2, 1, 2, 2), np.int64), np.zeros(2, np.int64), (1, 4, 4), **options)


def quant_conv(channels: int = 2, outputs: int = 3, kernel: int = 2, **options: object) -> QuantConv2d:
    quantizer = {"weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4, "bias": False}
    return QuantConv2d(channels, outputs, kernel, **quantizer | options)


def leaky(**options: object) -> snn.Leaky:
    return snn.Leaky(**{"beta": 0.9, "state_quant": state_quant(2), "init_hidden": True} | options)


@pytest.fixture
def network() -> sd.Network:
    torch.manual_seed(0)
    return sd.lower(nn.Sequential(quant_conv(padding=1), leaky()), sd.InputSpec((2, 3, 4)), 3)


def test_saved_and_loaded(network: sd.Network, tmp_path: Path) -> None:
    sd.save(network, tmp_path / "x.safetensors")
    loaded = sd.load(tmp_path / "x.safetensors")
    assert loaded.digest == network.digest
    assert vars(loaded.layers[0]).keys() == vars(network.layers[0]).keys()
    assert loaded.layers[0].geometry.tolist() == [2, 3, 4, 1, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, 5, "1 groups of \\(3, 2, 2, 2\\) do not take 5 channels"),
        (1, 2**40, "gets 24"),
        (3, 0, "are no convolution"),
        (5, 2**40, "reaches beyond its kernel"),
        (9, 7, "7 groups of"),
    ],
)
def test_altered_files(network: sd.Network, tmp_path: Path, place: int, value: int, message: str) -> None:
    """Sizes that a file claims are not believed."""
    path = tmp_path / "x.safetensors"
    sd.save(network, path)
    with safe_open(path, framework="numpy") as file:
        metadata, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    tensors["0.geometry"] = tensors["0.geometry"].astype(np.int64)
    tensors["0.geometry"][place] = value
    save_file(tensors, path, {key: json.dumps(json.loads(text)) for key, text in metadata.items()})
    with pytest.raises(FileFormatError, match=message):
        sd.load(path)


REFUSALS = {
    "flat input": (
        lambda: [nn.Flatten(), quant_conv(), leaky()],
        "1 (QuantConv2d): takes (2, height, width) values; got (24,); "
        "declare inputs of shape (channels, height, width), and put no nn.Flatten before it",
    ),
    "channels": (
        lambda: [quant_conv(channels=3), leaky()],
        "0 (QuantConv2d): takes (3, height, width) values; got (2, 3, 4); "
        "declare inputs of shape (channels, height, width), and put no nn.Flatten before it",
    ),
    "reflected padding": (
        lambda: [quant_conv(padding=1, padding_mode="reflect"), leaky()],
        "0 (QuantConv2d): pads with zeros, a stated number of them; got padding=(1, 1), padding_mode='reflect'; "
        "use padding=<int> and padding_mode='zeros'",
    ),
    "kernel": (
        lambda: [quant_conv(kernel=9), leaky()],
        "0 (QuantConv2d): the sizes of a convolution fit its inputs; got 0: its kernel does not fit into inputs of "
        "shape (2, 3, 4); change the kernel, padding or input",
    ),
    "beta of another size": (
        lambda: [quant_conv(), leaky(beta=torch.full((2,), 0.9))],
        "1 (Leaky): beta is one value or one a channel; got shape (2,); use one value or shape (3, 1, 1)",
    ),
    "batch norm": (
        lambda: [quant_conv(), nn.BatchNorm1d(3).eval(), leaky()],
        "1 (BatchNorm1d): one batch norm of the same size after a linear; got 3; make the sizes match",
    ),
    "not flattened": (
        lambda: [quant_conv(), leaky(), sd_linear(), leaky()],
        "2 (QuantLinear): takes (18,) values; got (3, 2, 3); put nn.Flatten() before it",
    ),
}


def sd_linear() -> nn.Module:
    from brevitas.nn import QuantLinear

    return QuantLinear(18, 2, bias=False, weight_quant=Int8WeightPerTensorFixedPoint, weight_bit_width=4)


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case: str) -> None:
    make, message = REFUSALS[case]
    with pytest.raises(LoweringError) as error:
        sd.lower(nn.Sequential(*make()).eval(), sd.InputSpec((2, 3, 4)), 3)
    assert [str(fault) for fault in error.value.faults] == [message]
