"""Brevitas' quantizers of values and quantized tensors: taken where they change no integer, else named."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from brevitas.quant import Int8ActPerTensorFloat, Int32Bias, Uint8ActPerTensorFloat
from brevitas.quant.fixed_point import Int8ActPerTensorFixedPoint, Int8WeightPerTensorFixedPoint
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import LoweringError, NotProvenError
from tests.test_cli import document
from tests.test_models import leaky, linear

STEPS = 6
SPEC, PLANES = sd.InputSpec((12,), 0, 15, 1 / 16), sd.InputSpec((2, 4, 4), 0, 15, 1 / 16)
FIXED: dict[str, Any] = {"weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4}
BIASED: dict[str, Any] = {**FIXED, "bias": True, "bias_quant": Int32Bias, "return_quant_tensor": True}


def identity(**options: Any) -> qnn.QuantIdentity:
    return qnn.QuantIdentity(**{"act_quant": Int8ActPerTensorFixedPoint, "return_quant_tensor": True, **options})


def trained(model: nn.Module, spec: sd.InputSpec = SPEC) -> nn.Module:
    """Scales are learned from inputs seen in training mode."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, 0.5)
    model.train()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            model((torch.rand(32, *spec.shape) * 16).floor() * spec.step)
    for module in model.modules():
        if hasattr(module, "reset_mem"):
            module.reset_mem()
    return model.eval()


def assert_exact(model: nn.Module, spec: sd.InputSpec = SPEC) -> sd.Network:
    network = sd.lower(model, spec, STEPS)
    inputs = np.random.default_rng(0).integers(spec.low, spec.high + 1, (6, *spec.shape))
    assert network.certificate.proven
    assert sd.verify(network, model, inputs, executors=["torch", "numpy"]).agrees
    assert sd.simulate(network, inputs).scores.sum() > 0
    return network


class Net(nn.Module):
    """FINN's style: a quantized tensor goes from layer to layer, up to the neurons."""

    def __init__(self, join: Callable[[Any], Any] = lambda y: y, **options: Any) -> None:
        super().__init__()
        self.quantize, self.fc = identity(), qnn.QuantLinear(12, 6, **{**BIASED, **options})
        self.lif, self.join = leaky(), join

    def forward(self, x):
        return self.lif(self.join(self.fc(self.quantize(x))))


@pytest.mark.parametrize(
    ("join", "options"),
    [
        (lambda y: y, {"bias": False, "bias_quant": None, "return_quant_tensor": False}),
        (lambda y: y, {"return_quant_tensor": False}),
        (lambda y: y, {}),
        (lambda y: y.value, {}),
        (lambda y: y.value, {"bias": False, "bias_quant": None}),
    ],
)
def test_quantized_tensors_between_layers(join: Callable[[Any], Any], options: dict[str, Any]) -> None:
    assert_exact(trained(Net(join, **options)))


def test_modules_in_a_row() -> None:
    planes = qnn.QuantConv2d(2, 4, 3, padding=1, **BIASED)
    assert_exact(
        trained(nn.Sequential(identity(), planes, leaky(), nn.Flatten(), linear(64, 3), leaky()), PLANES), PLANES
    )
    assert_exact(
        trained(nn.Sequential(identity(), nn.Flatten(), qnn.QuantLinear(32, 5, **BIASED), leaky()), PLANES), PLANES
    )
    assert_exact(trained(nn.Sequential(identity(return_quant_tensor=False), linear(12, 5), leaky())))
    own = qnn.QuantLinear(12, 5, bias=False, input_quant=Int8ActPerTensorFixedPoint, **FIXED)
    assert_exact(trained(nn.Sequential(own, leaky())))


class Pooled(nn.Module):
    """Functions of quantized tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.quantize, self.fc, self.lif = identity(), qnn.QuantLinear(8, 5, **BIASED), leaky()

    def forward(self, x):
        return self.lif(self.fc(torch.flatten(F.max_pool2d(self.quantize(x), 2), 1)))


def test_functions_of_quantized_tensors() -> None:
    assert_exact(trained(Pooled(), PLANES), PLANES)


def test_another_grid_is_named_and_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint, done; on the command line the grid is found."""
    model = trained(Net())
    step = float(model.quantize(torch.zeros(1, 12)).scale)  # type: ignore[operator]
    with pytest.raises(
        LoweringError, match=r"a quantizer of values changes none of them; got 0.3.*, which becomes 0.29"
    ) as c:
        sd.lower(model, sd.InputSpec((12,), 0, 3, 0.1 * 3), STEPS)
    assert c.value.faults[0].hint == f"use its own grid: InputSpec(low=-128, high=127, step={step!r})"
    network = assert_exact(model, sd.InputSpec((12,), -128, 127, step))
    monkeypatch.chdir(tmp_path)
    torch.save(model.state_dict(), "w.pt")
    Path("net.py").write_text("from tests.test_quant_tensors import Net\n")
    given = ("lower", "net.py:Net", "--checkpoint", "w.pt", "--steps", STEPS, "--shape", 12)
    assert document(*given)["digest"] == network.digest


def test_a_scale_that_is_no_power_of_two_is_not_proven() -> None:
    """The reason is the step of the inputs; a power of two, as the hint says, is proven."""
    model = trained(nn.Sequential(identity(act_quant=Uint8ActPerTensorFloat), linear(12, 5), leaky()))
    with pytest.raises(LoweringError, match="use its own grid") as caught:
        sd.lower(model, sd.InputSpec((12,), 0, 15, 0.07), STEPS)
    given = caught.value.faults[0].hint.removeprefix("use its own grid: InputSpec(").removesuffix(")")
    low, high, step = (float(part.split("=")[1]) for part in given.split(", "))
    assert (low, high) == (0, 255)
    with pytest.raises(NotProvenError, match="make the step of the inputs a power of two"):
        sd.lower(model, sd.InputSpec((12,), 0, 255, step), STEPS)
    assert_exact(trained(nn.Sequential(identity(), linear(12, 5), leaky())))


REFUSED: dict[str, tuple[Callable[[], list[nn.Module]], str, Callable[[], list[nn.Module]]]] = {
    "sums that are rounded": (
        lambda: [qnn.QuantLinear(12, 5, bias=False, output_quant=Int8ActPerTensorFixedPoint, **FIXED), leaky()],
        "synaptic sums are not rounded before neurons; got output_quant; remove it: the state_quant of the neurons",
        lambda: [qnn.QuantLinear(12, 5, bias=False, **FIXED), leaky()],
    ),
    "sums behind a layer": (
        lambda: [linear(12, 5), identity(), leaky()],
        "synaptic sums are not rounded before neurons; got a QuantIdentity behind them; remove it: the state_quant",
        lambda: [linear(12, 5), leaky()],
    ),
    "spikes that change": (
        lambda: [linear(12, 5), leaky(), identity(bit_width=1), linear(5, 3), leaky()],
        "a quantizer of values changes none of them; got 1, which becomes ",
        lambda: [linear(12, 5), leaky(), linear(5, 3), leaky()],
    ),
    "averages": (
        lambda: [nn.Unflatten(1, (4, 3)), nn.AvgPool1d(3), nn.Flatten(), identity(), linear(4, 3), leaky()],
        "a quantizer of values changes none of them; got averages that float32 rounds; remove it, or put it behind",
        lambda: [nn.Unflatten(1, (3, 4)), nn.AvgPool1d(4), nn.Flatten(), linear(3, 3), leaky()],
    ),
    "scales of channels": (
        lambda: [
            identity(act_quant=Int8ActPerTensorFloat, scaling_per_output_channel=True,
                     per_channel_broadcastable_shape=(1, 12), scaling_stats_permute_dims=(1, 0)),
            linear(12, 5), leaky(),
        ],
        "quantized values are integers times one scale; got 12 scales, zero point [0.0]; use one with one scale",
        lambda: [identity(), linear(12, 5), leaky()],
    ),
    "nothing to hand on": (
        lambda: [qnn.QuantLinear(12, 5, bias=False, return_quant_tensor=True, **FIXED), leaky()],
        "must run on what enters it; got QuantLayer is not correctly configured; set return_quant_tensor=False, or put",
        lambda: [identity(), qnn.QuantLinear(12, 5, bias=False, return_quant_tensor=True, **FIXED), leaky()],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_say_why_and_their_hints_work(name: str) -> None:
    make, message, mended = REFUSED[name]
    broken = nn.Sequential(*make()).eval() if name == "nothing to hand on" else trained(nn.Sequential(*make()))
    with pytest.raises(LoweringError) as caught:
        sd.lower(broken, SPEC, STEPS)
    assert message in str(caught.value), str(caught.value)
    assert_exact(trained(nn.Sequential(*mended())))
