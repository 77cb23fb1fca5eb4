"""Random models with a forward of their own: convolutions, pooling, branches, all neurons, loops over time."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import snntorch as snn
import torch
import torch.nn.functional as F
from brevitas.nn import QuantConv1d, QuantConv2d, QuantConvTranspose1d, QuantConvTranspose2d, QuantLinear
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from brevitas.quant.scaled_int import Int8WeightPerChannelFloat, Int8WeightPerTensorFloat
from torch import nn

from squat_deploy import HlsConfig, InputSpec
from squat_deploy.snn.delay import Delay
from squat_deploy.snn.quantizers import state_quant
from tests.drawing import Drawn

Shape = tuple[int, ...]


def draw_model(seed: int) -> Drawn:
    """Everything about one model follows from the seed."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    low, high = rng.choice([(0, 1), (0, 1), (0, 3), (-2, 2)])
    shape: Shape = rng.choice([(2, 7, 7), (1, 9, 8), (3, 6, 6), (2, 9), (11,)])
    spec = InputSpec(shape, low, high, 1.0 if high == 1 else 0.5, rng.choice(["direct", "sequence"]))
    steps = rng.randint(2, 5)
    model = Net(rng, spec, steps if rng.random() < 0.5 else None).eval()
    samples = rng.randint(1, 6)
    lead = (samples,) if spec.encoding == "direct" else (steps, samples)
    inputs = np.random.default_rng(seed).integers(low, high + 1, (*lead, *shape))
    return Drawn(model, spec, steps, inputs, HlsConfig(pe=rng.randint(1, 16)), "a model with a forward")


def _weights(rng: random.Random, module: nn.Module) -> nn.Module:
    with torch.no_grad():
        module.weight.normal_(0.1, 2.0 / module.weight[0].numel() ** 0.5)
        if module.bias is not None:
            module.bias.copy_(torch.randint(-4, 5, module.bias.shape) / 8)
    return module


def _options(rng: random.Random, exact: bool) -> dict[str, object]:
    others = [Int8WeightPerTensorFloat, Int8WeightPerChannelFloat]
    quantizer = rng.choice([Int8WeightPerTensorFixedPoint] * 4 + ([] if exact else others))
    return {"bias": rng.random() < 0.3, "weight_quant": quantizer, "weight_bit_width": rng.randint(2, 6)}


def dense(rng: random.Random, fan_in: int, fan_out: int, exact: bool = False) -> nn.Module:
    return _weights(rng, QuantLinear(fan_in, fan_out, **_options(rng, exact)))


def conv(rng: random.Random, shape: Shape, channels: int, same: bool = False) -> nn.Module:
    """A convolution of planes or of lines, now and then a transposed one; `same` keeps their size."""
    aside = random.Random(hash(rng.getstate()[1]))  # what else is drawn does not depend on it
    if aside.random() < 0.2:
        return _transposed(aside, shape, channels, same)
    kind = QuantConv2d if len(shape) == 3 else QuantConv1d
    kernel = 3 if same else rng.randint(1, min(3, *shape[1:]))
    sizes: dict[str, Any] = {
        "stride": 1 if same else rng.choice([1, 1, 2]),
        "padding": 1 if same else rng.randint(0, kernel - 1),
    }
    if not same and sizes["stride"] == 1 and aside.random() < 0.3:
        sizes["padding"] = "same"
    groups = shape[0] if channels % shape[0] == 0 and rng.random() < 0.2 else 1
    return _weights(rng, kind(shape[0], channels, kernel, groups=groups, **sizes, **_options(rng, same)))


def _transposed(rng: random.Random, shape: Shape, channels: int, same: bool) -> nn.Module:
    kind = QuantConvTranspose2d if len(shape) == 3 else QuantConvTranspose1d
    sizes: dict[str, int] = {"kernel_size": 3, "padding": 1}
    if not same:
        stride, dilation = rng.choice([1, 2 if max(shape[1:]) < 8 else 1]), rng.choice([1, 1, 2])
        kernel = rng.randint(1, 3)
        sizes |= {"kernel_size": kernel, "padding": rng.randint(0, min(1, kernel - 1)), "stride": stride}
        sizes |= {"dilation": dilation, "output_padding": rng.randint(0, max(stride, dilation) - 1)}
    groups = shape[0] if channels % shape[0] == 0 and rng.random() < 0.2 else 1
    options = _options(rng, same)
    if groups > 1:  # Brevitas makes no scales a channel of these
        options["weight_quant"] = Int8WeightPerTensorFixedPoint
    return _weights(rng, kind(shape[0], channels, groups=groups, **sizes, **options))


def neurons(rng: random.Random, shape: Shape, hidden: bool = True) -> nn.Module:
    """Any neuron that can be lowered; beta is sometimes one a channel."""
    beta: float | torch.Tensor = rng.choice([0.5, 0.8, 0.9, 0.95])
    if rng.random() < 0.3:
        beta = 0.5 + 0.5 * torch.rand(shape[0], *[1] * (len(shape) - 1))
    shared = {"reset_mechanism": rng.choice(["subtract", "zero", "none"]), "init_hidden": hidden}
    table = rng.choice([(2, False), (3, True), (4, True), (4, False)])
    delay = rng.random() < 0.7
    kind = rng.choice(["leaky"] * 4 + ["lapicque", "synaptic", "rleaky", "rleaky", "rsynaptic"])
    if not hidden:
        kind = "leaky"
    if kind == "lapicque":
        return snn.Lapicque(R=1, C=rng.choice([2, 3, 5]), state_quant=state_quant(*table), **shared)
    bits, aside = rng.choice([2, 3]), random.Random(hash(rng.getstate()[1]))  # what else is drawn does not depend on it
    wide = (aside.choice([4, 5, 6]), False) if aside.random() < 0.3 else (bits,)
    two = {"alpha": rng.choice([0.5, 0.7]), "beta": beta, "state_quant": state_quant(*wide)}
    if kind == "synaptic":
        return snn.Synaptic(reset_delay=delay, **two, **shared)
    own = {"all_to_all": False, "V": rng.choice([-0.75, 0.5, 1.0])}
    if kind == "rsynaptic":
        return snn.RSynaptic(**own, **two, **shared)
    if kind == "leaky":
        shared["graded_spikes_factor"] = rng.choice([1.0] * 5 + [0.5, 2.0])
        return snn.Leaky(beta=beta, reset_delay=delay, state_quant=state_quant(*table), **shared)
    if len(shape) == 1 and rng.random() < 0.6:
        lif = snn.RLeaky(
            beta=beta, linear_features=shape[0], reset_delay=delay, state_quant=state_quant(*table), **shared
        )
        lif.recurrent = dense(rng, shape[0], shape[0], exact=True)
        return lif
    return snn.RLeaky(beta=beta, reset_delay=delay, state_quant=state_quant(*table), **own, **shared)


class Stage(nn.Module):
    """Synapses, perhaps a norm, perhaps pooling on either side of the neurons."""

    def __init__(self, rng: random.Random, shape: Shape) -> None:
        super().__init__()
        self.synapses = conv(rng, shape, rng.randint(1, 4))
        planes = len(shape) == 3
        shape = tuple(self.synapses(torch.zeros(1, *shape)).shape[1:])
        large = planes and min(shape[1:]) >= 3
        self.before = rng.choice([None, None, "max", "average"]) if large else None
        self.norm = _norm(rng, shape) if self.before != "average" and rng.random() < 0.3 else nn.Identity()
        shape = tuple(self._pooled(torch.zeros(1, *shape), self.before).shape[1:])
        self.lif = neurons(rng, shape)
        self.after = rng.choice([None, None, "max", "average"]) if planes and min(shape[1:]) >= 3 else None
        pooled = self._pooled(torch.zeros(1, *shape), self.after)
        aside = random.Random(hash(rng.getstate()[1]))  # what else is drawn does not depend on it
        self.late = Delay(aside.randint(0, 3)) if aside.random() < 0.3 else nn.Identity()
        self.also = _pooling(aside, tuple(pooled.shape[1:])) if aside.random() < 0.3 else nn.Identity()
        self.shape = tuple(self.also(pooled).shape[1:])

    def _pooled(self, x, kind):
        if kind == "max":
            return F.max_pool2d(x, 3, stride=2, padding=1)
        return F.avg_pool2d(x, 2) if kind == "average" else x

    def forward(self, x):
        spikes = self.lif(self._pooled(self.norm(self.synapses(x)), self.before))
        return self.late(self.also(self._pooled(spikes, self.after)))


class Mean(nn.Module):
    """Over all positions."""

    def forward(self, x):
        return x.mean(tuple(range(2, x.dim())), keepdim=True)


def _pooling(rng: random.Random, shape: Shape) -> nn.Module:
    """Of planes or lines, as modules, adaptive ones and means among them."""
    if min(shape[1:]) < 2:
        return nn.Identity()
    if len(shape) == 2:
        return rng.choice([nn.MaxPool1d(2), nn.AvgPool1d(2), nn.MaxPool1d(3, 1, 1), nn.AdaptiveAvgPool1d(1), Mean()])
    halves = [size // 2 if size % 2 == 0 else size for size in shape[1:]]
    return rng.choice([nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1), nn.AdaptiveAvgPool2d(halves), Mean()])


def _norm(rng: random.Random, shape: Shape) -> nn.Module:
    norm = nn.BatchNorm2d(shape[0]) if len(shape) == 3 else nn.BatchNorm1d(shape[0])
    norm.running_mean.normal_(0, 0.3)
    norm.running_var.uniform_(0.5, 2)
    with torch.no_grad():
        norm.weight.uniform_(0.4, 1.5)
    return norm


class Branches(nn.Module):
    """Currents of two branches added, spikes joined with or added to their source."""

    def __init__(self, rng: random.Random, shape: Shape) -> None:
        super().__init__()
        self.first, self.lif1 = conv(rng, shape, shape[0], same=True), neurons(rng, shape)
        self.second, self.third = (conv(rng, shape, shape[0], same=True) for _ in range(2))
        self.lif2 = neurons(rng, shape)
        self.how = rng.choice(["add", "concat", "neither"])
        self.shape = (2 * shape[0], *shape[1:]) if self.how == "concat" else shape

    def forward(self, x):
        spikes = self.lif1(self.first(x))
        more = self.lif2(self.second(spikes) + self.third(spikes))
        if self.how == "add":
            return spikes + more
        return torch.cat([spikes, more], dim=1) if self.how == "concat" else more


class Net(nn.Module):
    """Stages, then fully connected layers, the last of which may come back to the first of them one step later."""

    def __init__(self, rng: random.Random, spec: InputSpec, loop: int | None) -> None:
        super().__init__()
        self.loop, self.direct = loop, spec.encoding == "direct"
        shape, stages = spec.shape, []
        for _ in range(rng.randint(0, 2) if len(shape) > 1 else 0):
            kind = Branches if rng.random() < 0.4 else Stage
            stages.append(kind(rng, shape))
            shape = stages[-1].shape
        self.stages = nn.Sequential(*stages)
        width, hidden, classes = int(np.prod(shape)), rng.randint(3, 9), rng.randint(2, 5)
        self.back = dense(rng, classes, hidden, exact=True) if loop and rng.random() < 0.5 else None
        self.fc1, self.lif1 = dense(rng, width, hidden, exact=self.back is not None), neurons(rng, (hidden,))
        self.fc2, self.lif2 = dense(rng, hidden, classes), neurons(rng, (classes,), hidden=not loop)
        self.classes = classes

    def step(self, x, last, membrane):
        current = self.fc1(self.stages(x).flatten(1))
        if self.back is not None:
            current = current + self.back(last)
        current = self.fc2(self.lif1(current))
        return self.lif2(current, membrane) if self.loop else (self.lif2(current), None)

    def forward(self, x):
        if not self.loop:
            return self.step(x, None, None)[0]
        for stage in self.stages:
            if isinstance(getattr(stage, "late", None), Delay):
                stage.late.reset_delay()
        batch = x.size(0 if self.direct else 1)
        last, membrane, spikes = torch.zeros(batch, self.classes), torch.zeros(batch, self.classes), []
        for index in range(self.loop):
            last, membrane = self.step(x if self.direct else x[index], last, membrane)
            spikes.append(last)
        return torch.stack(spikes)


warnings.filterwarnings("ignore", module="snntorch")
