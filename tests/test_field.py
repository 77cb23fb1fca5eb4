"""What people write, in small: taken in, or refused with the true reason and a hint that works when it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import LoweringError, NotProvenError
from squat_deploy.snn.ptq import input_spec
from squat_deploy.snn.quantizers import InputQuantizer
from tests.test_models import conv, leaky, linear

STEPS = 6
FLAT, PLANES = sd.InputSpec((12,), 0, 1), sd.InputSpec((1, 8, 8), 0, 1)


def strong(model: nn.Module) -> nn.Module:
    """With weights that make spikes."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, 0.6)
    return model.eval()


def assert_exact(model: nn.Module, spec: sd.InputSpec, steps: int = STEPS) -> sd.Network:
    network = sd.lower(model, spec, steps)
    inputs = np.random.default_rng(0).integers(spec.low, spec.high + 1, (5, *spec.shape))
    assert network.certificate.proven and sd.verify(network, model, inputs, executors=["torch", "numpy"]).agrees
    return network


# Pixels as they come


def test_pixels_of_255ths_say_the_step() -> None:
    """Both hints, done: the step of a power of two alone, and with a quantizer in front."""
    model = strong(nn.Sequential(nn.Flatten(), linear(64, 10), leaky()))
    pixels = sd.InputSpec((1, 8, 8), 0, 255, 1 / 255)
    with pytest.raises(
        NotProvenError, match=r"make the step of the inputs a power of two: it is 0.00392156863, so"
    ) as c:
        sd.lower(model, pixels, STEPS)
    assert "(--input-step 2**-8, InputQuantizer(2**-8, low, high) in front of the model)" in c.value.faults[0].hint
    assert_exact(model, replace(pixels, step=2.0**-8))
    assert_exact(nn.Sequential(InputQuantizer(2.0**-8, 0, 255), *model), replace(pixels, step=2.0**-8))


# Blocks


class Block(nn.Module):
    """A convolution, what is behind it, and its neurons."""

    def __init__(self, inputs: int, outputs: int, *middle: nn.Module) -> None:
        super().__init__()
        self.conv, self.middle = conv(inputs, outputs, 3, padding=1), nn.Sequential(*middle)
        self.lif = leaky()

    def forward(self, x):
        return self.lif(self.middle(self.conv(x)))


class Residual(Block):
    """With a way around it."""

    def forward(self, x):
        return super().forward(x) + x


class Whole(nn.Module):
    """A model of a sequence."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


@pytest.mark.parametrize("wrap", [lambda model: model, Whole], ids=["in a row", "in a class"])
def test_blocks_in_a_sequence_are_looked_into(wrap: Callable[[nn.Module], nn.Module]) -> None:
    norm = nn.BatchNorm2d(4)
    parts = [Block(1, 4, norm, nn.MaxPool2d(2)), Residual(4, 4), nn.Sequential(Whole(Block(4, 2)), nn.Flatten())]
    model = wrap(nn.Sequential(*parts, linear(32, 5), leaky()))
    names = [layer.name for layer in assert_exact(strong(model), PLANES).neurons]
    assert [name.removeprefix("inner.") for name in names] == ["0.lif", "1.lif", "2.0.inner.lif", "4"]


def test_devices_and_types_that_change_nothing() -> None:
    class Cast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(linear(12, 6), leaky())

        def forward(self, x):
            x = x.to(next(self.parameters()).device).float()
            return self.net(x.type_as(self.net[0].weight).to(torch.float32))

    assert_exact(strong(Cast()), FLAT)


# Float models of tutorials, quantized


class Lines(nn.Module):
    """Pooling of lines, a mean over positions, padding that keeps the size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lif1 = nn.Conv1d(2, 4, 4, padding="same"), snn.Leaky(beta=0.5, init_hidden=True)
        self.fc, self.lif2 = nn.Linear(4, 3), snn.Leaky(beta=0.5, init_hidden=True)

    def forward(self, x):
        return self.lif2(self.fc(F.max_pool1d(self.lif1(self.conv(x)), 2).mean(-1)))


QUANTIZED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "lines": (Lines, (2, 16)),
    "adaptive": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, padding="same"), snn.Leaky(beta=0.5, init_hidden=True), nn.AvgPool2d(2),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(1, 3), nn.Linear(4, 3), snn.Leaky(beta=0.5, init_hidden=True),
        ),
        (2, 8, 8),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", QUANTIZED)
def test_float_models_are_quantized_and_lowered(name: str) -> None:
    make, shape = QUANTIZED[name]
    data = torch.rand(16, *shape).round()
    made = sd.quantize(strong(make()), data, steps=STEPS, weight_bits=6)
    assert_exact(made, input_spec(made, data, "direct"))


# Time folded into the batch


class Folded(nn.Module):
    """Layers on all steps at once, neurons step by step."""

    def __init__(self, fold: Callable[[nn.Module, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.fc1, self.lif1, self.fc2, self.lif2, self.fold = (
            linear(12, 8),
            leaky(False),
            linear(8, 4),
            leaky(False),
            fold,
        )

    def stepped(self, neuron: snn.Leaky, currents: torch.Tensor) -> torch.Tensor:
        """(T, B, ...) currents to spikes."""
        mem, spikes = neuron.init_leaky(), []
        for step in range(currents.shape[0]):
            spk, mem = neuron(currents[step], mem)
            spikes.append(spk)
        return torch.stack(spikes)

    def forward(self, x):
        return self.stepped(self.lif2, self.fold(self.fc2, self.stepped(self.lif1, self.fold(self.fc1, x))))


def by_batch(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    steps, batch = x.shape[:2]
    return layer(x.transpose(0, 1).reshape(batch * steps, -1)).view(batch, steps, -1).transpose(0, 1)


FOLDED: dict[str, Callable[[nn.Module, torch.Tensor], torch.Tensor]] = {
    "view": lambda layer, x: layer(x.flatten(0, 1)).view(x.shape[0], x.shape[1], -1),
    "reshape": lambda layer, x: layer(x.reshape(len(x) * x.size(1), -1)).reshape(len(x), x.size(1), -1),
    "unflatten": lambda layer, x: layer(torch.flatten(x, 0, 1)).unflatten(0, (x.size(0), x.size(1))),
    "batch by batch": by_batch,
}


@pytest.mark.parametrize("name", FOLDED)
def test_time_folded_into_the_batch(name: str) -> None:
    spec = sd.InputSpec((12,), 0, 1, encoding="sequence")
    model = strong(Folded(FOLDED[name]))
    network = sd.lower(model, spec, STEPS)
    inputs = np.random.default_rng(0).integers(0, 2, (STEPS, 5, 12))
    assert network.certificate.proven and sd.verify(network, model, inputs, executors=["torch", "numpy"]).agrees
    assert sd.simulate(network, inputs).scores.sum() > 0


@pytest.mark.parametrize(
    "fold",
    [
        lambda layer, x: layer(x.flatten(0, 1)).view(x.size(1), x.size(0), -1).transpose(0, 1),  # samples mixed
        lambda layer, x: layer(x.flatten(0, 1)).view(x.size(0), x.size(1), -1).flip(0),  # time runs backwards
        lambda layer, x: layer(x.roll(1, 0).flatten(0, 1)).view(x.size(0), x.size(1), -1),  # another step
        lambda layer, x: layer(x.flatten(0, 1) + x[0].repeat(len(x), 1)).view(x.size(0), x.size(1), -1),
    ],
)
def test_time_folded_otherwise_is_refused(fold: Callable[[nn.Module, torch.Tensor], torch.Tensor]) -> None:
    with pytest.raises(LoweringError):
        sd.lower(strong(Folded(fold)), sd.InputSpec((12,), 0, 1, encoding="sequence"), STEPS)
