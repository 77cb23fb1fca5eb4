"""Ways to write a model, as users write them: each is lowered unmodified and equals the trained model bit for bit."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from brevitas.nn import QuantConv1d, QuantConv2d, QuantLinear
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from torch import nn

import squat_deploy as sd
from squat_deploy.quantize import state_quant
from tests.test_agreement import assert_agrees

FLAT = sd.InputSpec((12,), 0, 3, 0.25)
FRAMES = sd.InputSpec((2, 8, 8), 0, 1, encoding="sequence")
PLANES = sd.InputSpec((1, 10, 10), 0, 3, 0.25)
STEPS = 6


def linear(fan_in: int, fan_out: int, bias: bool = False) -> QuantLinear:
    return QuantLinear(fan_in, fan_out, bias=bias, weight_quant=Int8WeightPerTensorFixedPoint, weight_bit_width=4)


def conv(fan_in: int, fan_out: int, kernel: int, **options: object) -> QuantConv2d:
    fixed = {"bias": False, "weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4}
    return QuantConv2d(fan_in, fan_out, kernel, **{**fixed, **options})


def leaky(hidden: bool = True, **options: object) -> snn.Leaky:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"beta": 0.9, "threshold": 1.0, "state_quant": state_quant(4), **options}
        return snn.Leaky(init_hidden=hidden, **options)


class Looped(nn.Module):
    """The fully connected net of snnTorch's tutorial 5: the loop over time is in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1 = linear(12, 9), leaky(False)
        self.fc2, self.lif2 = linear(9, 4), leaky(False)

    def forward(self, x):
        mem1 = self.lif1.init_leaky()
        mem2 = self.lif2.init_leaky()
        spk2_rec, mem2_rec = [], []
        for _ in range(STEPS):
            cur1 = self.fc1(x)
            spk1, mem1 = self.lif1(cur1, mem1)
            cur2 = self.fc2(spk1)
            spk2, mem2 = self.lif2(cur2, mem2)
            spk2_rec.append(spk2)
            mem2_rec.append(mem2)
        return torch.stack(spk2_rec, dim=0), torch.stack(mem2_rec, dim=0)


class Frames(nn.Module):
    """A convolutional net that takes event frames (T, B, C, H, W) apart itself, pools currents, and counts spikes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.lif1 = conv(2, 5, 3, padding=1), leaky()
        self.conv2, self.norm2, self.lif2 = conv(5, 4, 3), nn.BatchNorm2d(4), leaky(beta=torch.rand(4, 1, 1))
        self.fc, self.lif3 = linear(16, 3), leaky(output=True)

    def forward(self, x):
        count = 0
        for frame in x:
            spikes = self.lif1(F.max_pool2d(self.conv1(frame), 2))
            spikes = self.lif2(self.norm2(self.conv2(spikes)))
            spikes, _ = self.lif3(self.fc(spikes.flatten(1)))
            count = count + spikes
        return count


class Residual(nn.Module):
    """One time step a call: a residual branch of currents, one of spikes, a concatenation, average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.lif1 = conv(1, 4, 3, padding=1, bias=True), leaky()
        self.conv2, self.conv3, self.lif2 = conv(4, 4, 3, padding=1), conv(4, 4, 1), leaky(reset_delay=False)
        self.pool, self.conv4, self.lif4 = nn.AvgPool2d(2), conv(8, 3, 3), leaky()
        self.fc, self.lif5 = linear(12, 3), leaky(reset_mechanism="zero")

    def forward(self, x):
        first = self.lif1(self.conv1(x))
        second = self.lif2(self.conv2(first) + self.conv3(first))
        both = torch.cat([first + second, second], dim=1)
        third = self.lif4(self.conv4(self.pool(both)))
        return self.lif5(self.fc(third.view(x.size(0), -1)))


class Feedback(nn.Module):
    """Spikes of the step before come back through synapses of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.back, self.lif1 = linear(12, 8), linear(4, 8), leaky(False)
        self.own, self.fc2, self.lif2 = linear(4, 4), linear(8, 4), leaky(False)

    def forward(self, x):
        mem1, mem2 = torch.zeros(x.size(1), 8), torch.zeros(x.size(1), 4)
        spk2 = torch.zeros(x.size(1), 4)
        out = []
        for step in range(STEPS):
            spk1, mem1 = self.lif1(self.fc1(x[step]) + self.back(spk2), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1) + self.own(spk2), mem2)
            out.append(spk2)
        return torch.stack(out)


def tutorial6() -> nn.Sequential:
    """The convolutional net of snnTorch's tutorial 6: pooling between synapses and neurons."""
    return nn.Sequential(
        conv(1, 6, 3, bias=True), nn.MaxPool2d(2), leaky(), conv(6, 8, 3), nn.MaxPool2d(2), leaky(),
        nn.Flatten(), nn.Dropout(0.3), linear(8, 4, bias=True), leaky(output=True),
    )  # fmt: skip


def pooled_spikes() -> nn.Sequential:
    """Pooling behind neurons, the common form for event cameras; the norm has negative slopes."""
    norm = nn.BatchNorm2d(5)
    norm.weight.data = torch.tensor([1.0, -0.7, 0.6, -1.2, 0.9])
    norm.running_mean.normal_()
    return nn.Sequential(
        conv(2, 5, 3, padding=1), norm, leaky(), nn.MaxPool2d(3, 2, 1), conv(5, 4, 2, groups=1), leaky(),
        nn.AvgPool2d(2, stride=1), nn.Flatten(), linear(16, 3), leaky(),
    )  # fmt: skip


def one_dimension() -> nn.Sequential:
    options = {"bias": False, "weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4}
    layers = QuantConv1d(2, 4, 3, stride=2, padding=1, dilation=2, groups=2, **options), nn.BatchNorm1d(4), leaky()
    return nn.Sequential(*layers, nn.Flatten(), linear(12, 3), leaky())


MODELS: dict[str, tuple[Callable[[], nn.Module], sd.InputSpec]] = {
    "tutorial 5": (Looped, FLAT),
    "tutorial 6": (tutorial6, PLANES),
    "event frames": (Frames, FRAMES),
    "residual": (Residual, sd.InputSpec((1, 8, 8), 0, 3, 0.25)),
    "feedback": (Feedback, sd.InputSpec((12,), 0, 1, encoding="sequence")),
    "pooled spikes": (pooled_spikes, FRAMES),
    "one dimension": (one_dimension, sd.InputSpec((2, 8), -1, 2, 0.5)),
}


def awake(model: nn.Module) -> nn.Module:
    """Weights large enough that every layer fires."""
    for module in model.modules():
        if hasattr(module, "weight_quant"):
            module.weight.data *= 4.0
    return model.eval()


def drawn(spec: sd.InputSpec, samples: int = 40) -> np.ndarray:
    lead = (samples,) if spec.encoding == "direct" else (STEPS, samples)
    return np.random.default_rng(1).integers(spec.low, spec.high + 1, (*lead, *spec.shape))


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    """Every spike and membrane of every layer and step, and something must fire."""
    torch.manual_seed(3)
    make, spec = MODELS[name]
    model = awake(make())
    network = sd.lower(model, spec, STEPS, name=name, allow_unproven=True)
    inputs = drawn(spec)
    assert_agrees(sd.verify(network, model, inputs, executors=("torch", "numpy")))
    trace = sd.simulate(network, inputs, trace=True).trace or ()
    assert all(0 < layer.spikes.mean() < 1 for layer in trace)
