"""Ways to write a model, as users write them: each is lowered unmodified and equals the trained model bit for bit."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from brevitas.nn import QuantConv1d, QuantConv2d, QuantLinear
from brevitas.quant.fixed_point import Int8WeightPerChannelFixedPoint, Int8WeightPerTensorFixedPoint
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import ConfigError, LoweringError, NotProvenError
from squat_deploy.snn.quantizers import state_quant
from tests.law import ROWS, assert_agrees

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


class SpikesIn(nn.Module):
    """The feedforward net of snnTorch's tutorial 3: spikes come in, a loop records what both layers do."""

    def __init__(self, inputs: int = 12, hidden: int = 9, classes: int = 4) -> None:
        super().__init__()
        self.fc1, self.lif1 = linear(inputs, hidden), leaky(False)
        self.fc2, self.lif2 = linear(hidden, classes), leaky(False)

    def forward(self, spk_in):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spk1_rec, mem1_rec, spk2_rec, mem2_rec = [], [], [], []
        for step in range(spk_in.shape[0]):
            spk1, mem1 = self.lif1(self.fc1(spk_in[step].view(spk_in.size(1), -1)), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            for record, value in ((spk1_rec, spk1), (mem1_rec, mem1), (spk2_rec, spk2), (mem2_rec, mem2)):
                record.append(value)
        return torch.stack(spk2_rec), torch.stack(mem2_rec), torch.stack(spk1_rec), torch.stack(mem1_rec)


class Looped(nn.Module):
    """The fully connected net of snnTorch's tutorial 5: the loop over time is in forward."""

    def __init__(self, inputs: int = 12, hidden: int = 9, classes: int = 4) -> None:
        super().__init__()
        self.fc1, self.lif1 = linear(inputs, hidden), leaky(False)
        self.fc2, self.lif2 = linear(hidden, classes), leaky(False)

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


def pooled_currents() -> nn.Sequential:
    """Averages between synapses and neurons, at the border too; a bias on the grid and one off it."""
    first, second = conv(1, 4, 3, bias=True), conv(4, 3, 3, bias=True)
    first.bias.data = torch.tensor([0.25, -0.5, 0.0, 1.0])
    second.bias.data = torch.tensor([0.0625, -0.3125, 0.15625])
    return nn.Sequential(
        first, nn.AvgPool2d(2, padding=1), leaky(), second, nn.AvgPool2d(2, stride=1), leaky(beta=torch.rand(3, 1, 1)),
        nn.Flatten(), linear(12, 3), leaky(),
    )  # fmt: skip


class Viewed(nn.Module):
    """A pooling over neurons that a view puts side by side, or a norm that tells apart what shares its weights."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form, self.lif = form, leaky()
        self.fc = conv(1, 4, 7) if form == "sign" else linear(12, 16, bias=form == "bias")
        self.norm = nn.BatchNorm1d(16)
        self.norm.running_var.data.uniform_(0.2, 3)
        if form == "bias":
            self.fc.bias.data = torch.arange(16.0) / 64 + 2.0**-9
        if form == "scale":
            options = {"bias": False, "weight_quant": Int8WeightPerChannelFixedPoint}
            self.fc = QuantLinear(12, 16, **options)
            self.fc.weight.data *= 2.0 ** torch.arange(16).reshape(-1, 1).remainder(4)
        if form == "sign":
            self.norm = nn.BatchNorm1d(64)
            self.norm.weight.data = torch.arange(64.0).remainder(2) * 2 - 1

    def forward(self, x):
        current = self.fc(x)
        if self.form == "sign":
            return self.lif(self.norm(current.flatten(1)))
        current = self.norm(current) if self.form == "norm" else current
        return self.lif(F.max_pool2d(current.view(-1, 1, 4, 4), 2).flatten(1))


@pytest.mark.parametrize("form", ["bias", "norm", "scale", "sign"])
def test_what_is_not_alike_is_not_taken_together(form: str) -> None:
    """The largest current belongs to the largest sum only among equal functions; a channel has one sign."""
    torch.manual_seed(3)
    model = Viewed(form).eval()
    spec, rule = FLAT, "all currents of a window are the same function of their sums"
    if form == "sign":
        spec, rule = PLANES, "the slopes of one channel have one sign"
    with pytest.raises(LoweringError, match=rule):
        sd.lower(model, spec, STEPS, allow_unproven=True)


def test_an_average_at_the_border_shares_a_bias_out_unevenly() -> None:
    layer = conv(1, 4, 3, bias=True)
    layer.bias.data = torch.tensor([0.0625, -0.3125, 0.15625, 1.0]) + 2.0**-9
    for padding, alike in ((0, True), (1, False)):
        model = nn.Sequential(layer, nn.AvgPool2d(2, padding=padding), nn.MaxPool2d(2), leaky()).eval()
        if alike:
            assert sd.lower(model, PLANES, STEPS).certificate.proven
        else:
            with pytest.raises(LoweringError, match="all currents of a window are the same function of their sums"):
                sd.lower(model, PLANES, STEPS)


def one_dimension() -> nn.Sequential:
    options = {"bias": False, "weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4}
    layers = QuantConv1d(2, 4, 3, stride=2, padding=1, dilation=2, groups=2, **options), nn.BatchNorm1d(4), leaky()
    return nn.Sequential(*layers, nn.Flatten(), linear(12, 3), leaky())


def two_state() -> nn.Sequential:
    """A two-state neuron of 3 bits between others, and Lapicque's."""
    options = {"state_quant": state_quant(3), "init_hidden": True}
    first = snn.Synaptic(alpha=0.8, beta=torch.rand(9), reset_mechanism="zero", **options)
    return nn.Sequential(
        linear(12, 9), first, linear(9, 8, bias=True), snn.Lapicque(R=1, C=3, **options),
        linear(8, 4), snn.Synaptic(alpha=0.5, beta=0.9, reset_delay=False, **options),
    )  # fmt: skip


class Recurrent(nn.Module):
    """Recurrent neurons in the form of snnTorch's examples: spikes and membranes go round in forward."""

    def __init__(self) -> None:
        super().__init__()
        quantizer = state_quant(3)
        self.fc1, self.lif1 = linear(12, 8), snn.RLeaky(beta=0.8, linear_features=8, state_quant=quantizer)
        self.lif1.recurrent = linear(8, 8)
        self.fc2, self.lif2 = linear(8, 5), snn.RLeaky(beta=0.9, all_to_all=False, V=-0.75, state_quant=quantizer)
        self.fc3 = linear(5, 4)
        self.lif3 = snn.RSynaptic(alpha=0.7, beta=0.9, all_to_all=False, V=torch.tensor([0.5, -1, 0, 0.25]),
                                  state_quant=quantizer)  # fmt: skip

    def forward(self, x):
        spk1, mem1 = self.lif1.init_rleaky()
        spk2, mem2 = self.lif2.init_rleaky()
        spk3, syn3, mem3 = self.lif3.init_rsynaptic()
        out = []
        for step in range(x.size(0)):
            spk1, mem1 = self.lif1(self.fc1(x[step]), spk1, mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), spk2, mem2)
            spk3, syn3, mem3 = self.lif3(self.fc3(spk2), spk3, syn3, mem3)
            out.append(spk3)
        return torch.stack(out)


MODELS: dict[str, tuple[Callable[[], nn.Module], sd.InputSpec]] = {
    "tutorial 3": (SpikesIn, sd.InputSpec((3, 4), 0, 1, encoding="sequence")),
    "tutorial 5": (Looped, FLAT),
    "tutorial 6": (tutorial6, PLANES),
    "event frames": (Frames, FRAMES),
    "residual": (Residual, sd.InputSpec((1, 8, 8), 0, 3, 0.25)),
    "feedback": (Feedback, sd.InputSpec((12,), 0, 1, encoding="sequence")),
    "pooled spikes": (pooled_spikes, FRAMES),
    "two states": (two_state, FLAT),
    "recurrent": (Recurrent, sd.InputSpec((12,), 0, 1, encoding="sequence")),
    "pooled currents": (pooled_currents, PLANES),
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
def test_models(name: str, compiler: None) -> None:
    """Every spike and membrane of every layer and step, in every executor, and something must fire."""
    torch.manual_seed(3)
    make, spec = MODELS[name]
    model = awake(make())
    network = sd.lower(model, spec, STEPS, name=name, allow_unproven=True)
    inputs = drawn(spec)
    agreement = sd.verify(network, model, inputs)
    assert_agrees(agreement)
    assert [row.label for row in agreement.rows] == ROWS
    trace = sd.simulate(network, inputs, trace=True).trace or ()
    assert all(0 < layer.spikes.mean() < 1 for layer in trace)


def full_tutorial6() -> nn.Sequential:
    return nn.Sequential(
        conv(1, 12, 5), nn.MaxPool2d(2), leaky(), conv(12, 64, 5), nn.MaxPool2d(2), leaky(),
        nn.Flatten(), linear(64 * 4 * 4, 10), leaky(output=True),
    )  # fmt: skip


def event_camera() -> nn.Sequential:
    return nn.Sequential(
        conv(2, 16, 5, padding=2), leaky(), nn.MaxPool2d(2), conv(16, 32, 5, padding=2), leaky(), nn.MaxPool2d(2),
        nn.Flatten(), linear(32 * 8 * 8, 11), leaky(),
    )  # fmt: skip


SPIKES_IN = sd.InputSpec((1, 28, 28), 0, 1, encoding="sequence")
FULL_SIZE: dict[str, tuple[Callable[[], nn.Module], sd.InputSpec, bool]] = {
    "tutorial 3": (lambda: SpikesIn(784, 1000, 10), SPIKES_IN, False),
    "tutorial 5": (lambda: Looped(784, 1000, 10), sd.InputSpec((784,), 0, 15, 2.0**-4), False),
    "tutorial 6": (full_tutorial6, sd.InputSpec((1, 28, 28), 0, 15, 2.0**-4), True),
    "event camera": (event_camera, sd.InputSpec((2, 32, 32), 0, 1, encoding="sequence"), True),
}


@pytest.mark.parametrize("name", FULL_SIZE)
def test_at_full_size(name: str, compiler: None, tmp_path: Path) -> None:
    """The tutorials with their own sizes, and a net for a 32x32 event camera; convolutions fit a Zynq-7020."""
    torch.manual_seed(4)
    make, spec, small = FULL_SIZE[name]
    model = awake(make())
    network = sd.lower(model, spec, STEPS)
    inputs = drawn(spec, 2) * (np.random.default_rng(2).random((*drawn(spec, 2).shape,)) < 0.2)
    executors = ("torch", "numpy", "c++", "onnxruntime")
    assert_agrees(sd.verify(network, model, inputs, executors=executors, folder=tmp_path / "hls"))
    assert all(0 < layer.spikes.mean() < 1 for layer in sd.simulate(network, inputs, trace=True).trace or ())
    fits = "The design fits by this estimate" in (tmp_path / "hls/reports/estimate.txt").read_text()
    assert fits or not small


class Deciding(Looped):
    """Stops early when a neuron has fired."""

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        for _ in range(STEPS):
            spk1, mem1 = self.lif1(self.fc1(x), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            if spk2.sum() > 3:
                break
        return spk2


class Scaling(Looped):
    """Multiplies spikes by a number between the layers."""

    def forward(self, x):
        mem1, mem2, out = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for _ in range(STEPS):
            spk1, mem1 = self.lif1(self.fc1(x), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1.mul(0.3)), mem2)
            out.append(spk2)
        return torch.stack(out)


class Membranes(Looped):
    """Feeds a layer with membranes."""

    def forward(self, x):
        mem1, mem2, out = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for _ in range(STEPS):
            _, mem1 = self.lif1(self.fc1(x), mem1)
            spk2, mem2 = self.lif2(self.fc2(mem1), mem2)
            out.append(spk2)
        return torch.stack(out)


class Older(Looped):
    """Takes spikes of two steps before."""

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        out = [torch.zeros(x.size(0), 9), torch.zeros(x.size(0), 9)]
        for step in range(STEPS):
            spk1, mem1 = self.lif1(self.fc1(x), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1 + out[step]), mem2)
            out.append(spk1)
        return spk2


class Swapped(Looped):
    """Gives the membrane of another step."""

    def forward(self, x):
        mem1, mem2, out = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for _ in range(STEPS):
            spk1, mem1 = self.lif1(self.fc1(x), mem1 * 0.5)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            out.append(spk2)
        return torch.stack(out)


class Warming(Looped):
    """Does something else in its third step."""

    def forward(self, x):
        mem1, mem2, out = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for step in range(STEPS):
            spk1, mem1 = self.lif1(self.fc1(x) + self.fc1(x) if step == 2 else self.fc1(x), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            out.append(spk2)
        return torch.stack(out)


class Assigning(Looped):
    """Silences a neuron by hand."""

    def forward(self, x):
        mem1, mem2, out = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for _ in range(STEPS):
            spk1, mem1 = self.lif1(self.fc1(x), mem1)
            spk1[:, 0] = 0
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            out.append(spk2)
        return torch.stack(out)


class Always(Looped):
    """Dropout that never rests."""

    def forward(self, x):
        mem1, mem2, out = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for _ in range(STEPS):
            spk1, mem1 = self.lif1(F.dropout(self.fc1(x), 0.5), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            out.append(spk2)
        return torch.stack(out)


class Rated(Looped):
    """Makes its own spikes before the loop."""

    def forward(self, x):
        mem1, mem2, out = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        frames = snn.spikegen.rate(x, num_steps=STEPS)
        for step in range(STEPS):
            spk1, mem1 = self.lif1(self.fc1(frames[step]), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            out.append(spk2)
        return torch.stack(out)


class OneForAll(Looped):
    """One neuron module for layers of two sizes, one of which is given no state of its own."""

    def forward(self, x):
        mem1, out = self.lif1.init_leaky(), []
        for _ in range(STEPS):
            spk1, mem1 = self.lif1(self.fc1(x), mem1)
            spk2, _ = self.lif1(self.fc2(spk1))
            out.append(spk2)
        return torch.stack(out)


class Folded(SpikesIn):
    """All steps in one batch before the loop."""

    def forward(self, spk_in):
        steps, batch = spk_in.shape[:2]
        currents, mem1, out = self.fc1(spk_in.flatten(0, 1)).view(steps, batch, -1), self.lif1.init_leaky(), []
        for step in range(steps):
            spk1, mem1 = self.lif1(currents[step], mem1)
            out.append(spk1)
        return torch.stack(out)


class BatchFirst(SpikesIn):
    """Takes (batch, steps, ...), as many data sets give it."""

    steps = STEPS

    def forward(self, spk_in):
        mem1, mem2, out = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for step in range(self.steps):
            spk1, mem1 = self.lif1(self.fc1(spk_in[:, step]), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            out.append(spk2)
        return torch.stack(out)


class Broken(Looped):
    """Expects other inputs."""

    def forward(self, x):
        return super().forward(x[..., :5])


def line_of(model: type[nn.Module], text: str) -> str:
    """File and line of a piece of a model's forward, as messages give it."""
    import inspect

    lines, first = inspect.getsourcelines(model)
    return f"test_models.py:{first + next(i for i, line in enumerate(lines) if text in line)}"


REFUSALS: dict[str, tuple[type[nn.Module], str, str]] = {
    "control flow": (
        Deciding,
        "if spk2.sum()",
        "{}: no control flow depends on the data; got __bool__ of a tensor; "
        "let spikes and membranes flow through the layers, and decide by none of them",
    ),
    "unknown function": (
        Scaling,
        "mul(0.3)",
        "mul at {}: this function cannot be lowered; got mul; "
        "put a factor into the weights of the layer before or behind it; a product of two values has no integer form",
    ),
    "membranes as signals": (
        Membranes,
        "",
        "lif1 (Leaky): layers take spikes; got a membrane; feed the next layer with spikes",
    ),
    "older spikes": (
        Older,
        "",
        "lif1 (Leaky): layers take spikes of this step or the last; got spikes of step 0 in step 2; "
        "keep one step of spikes",
    ),
    "changed membranes": (
        Swapped,
        "mem1 * 0.5",
        "lif1 (Leaky): neurons keep their own states; got another value as a state (mul at {}); "
        "pass on what the same neurons returned one step before, zeros at first",
    ),
    "unequal steps": (
        Warming,
        "if step == 2",
        "lif1 (Leaky): every time step makes the same calls; got step 2 computes something else than step 1: "
        "add at {} in place of fc1 (QuantLinear); move what differs out of forward",
    ),
    "assignment": (
        Assigning,
        "spk1[:, 0]",
        "{}: no value is changed in place; got an assignment to elements; leave it out; "
        "to collect values, append them to a list",
    ),
    "dropout": (
        Always,
        "F.dropout",
        "dropout at {}: dropout rests after training; got training=True; "
        "use nn.Dropout, or F.dropout(..., training=self.training)",
    ),
    "one neuron for two layers": (
        OneForAll,
        "self.fc2(spk1)",
        "lif1 (Leaky): neurons keep their own membranes; got one module for layers of (9,) and (4,) neurons, at {}; "
        "make a second one for the other layer",
    ),
    "spikes drawn in forward": (
        Rated,
        "spikegen.rate",
        "bernoulli at {}: nothing in forward is random; got bernoulli; encode before the model: "
        "squat_deploy.network.encoders has rate and latency coding, or give it the spikes of all steps, "
        'InputSpec(encoding="sequence")',
    ),
    "code that fails": (
        Broken,
        "",
        "{}: the model runs on its declared inputs; got RuntimeError: mat1 and mat2 shapes cannot be multiplied "
        "(7x5 and 12x9); make model(inputs) work for inputs of the declared shape, in batches of any size",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case: str) -> None:
    """With the line of the user's file, where there is one."""
    make, text, message = REFUSALS[case]
    where = line_of(Looped, "self.fc1(x)") if case == "code that fails" else line_of(make, text)
    with pytest.raises(LoweringError) as caught:
        sd.lower(make().eval(), FLAT, STEPS)
    assert [str(fault) for fault in caught.value.faults] == [message.format(where)]


@pytest.mark.parametrize(
    ("steps", "rule"),
    [
        (STEPS, "each step takes its own inputs, x[step]"),
        (7, "each step takes its own inputs, x[step]"),  # as many as there are samples
        (9, "time is where the model takes it"),  # more: it fails on frames that have time first
    ],
)
def test_batches_before_time_are_said(steps: int, rule: str) -> None:
    model = BatchFirst().eval()
    model.steps = steps
    with pytest.raises(LoweringError) as caught:
        sd.lower(model, sd.InputSpec((12,), encoding="sequence"), steps)
    assert caught.value.faults[0].rule == rule
    assert "InputSpec(time_first=False), --batch-first" in caught.value.faults[0].hint
    spec = sd.InputSpec((12,), encoding="sequence", time_first=False)  # the hint, done
    assert sd.lower(model, spec, steps).certificate.proven


def test_time_folded_into_the_batch() -> None:
    model, spec = Folded().eval(), sd.InputSpec((12,), encoding="sequence")
    network = sd.lower(model, spec, STEPS)
    inputs = np.random.default_rng(0).integers(0, 2, (STEPS, 7, 12))
    assert network.certificate.proven and sd.verify(network, model, inputs, executors=["torch", "numpy"]).agrees


@pytest.mark.parametrize("name", ["tutorial 3", "event frames", "recurrent"])
def test_sequences_of_one_step(name: str) -> None:
    """One frame in a sequence is no batch of frames."""
    torch.manual_seed(3)
    make, spec = MODELS[name]
    model = awake(make())
    network = sd.lower(model, spec, 1, allow_unproven=True)
    assert sd.verify(network, model, drawn(spec)[:1], executors=("torch",)).agrees


def test_other_steps_than_the_loop() -> None:
    message = (
        "the model runs 6 time steps in one call; steps=5 were asked for; if its forward loops over time, ask for "
    )
    with pytest.raises(ConfigError, match=f"^{message}steps=6$"):
        sd.lower(Looped().eval(), FLAT, 5)


def test_what_adds_in_another_order_is_noticed() -> None:
    """A recurrent neuron rounds `(beta * mem + input) + recurrent`; where that decides otherwise it is not proven."""
    torch.manual_seed(0)
    layer = linear(12, 4)
    layer.weight.data.uniform_(-0.9, 0.9)
    spec = sd.InputSpec((12,), 0, 15, 1 / 16)
    options = {"V": 0.71875, "all_to_all": False, "init_hidden": True, "state_quant": state_quant(8, False)}
    assert sd.lower(nn.Sequential(layer, snn.RLeaky(beta=0.3, **options)), spec, 4).certificate.proven
    with pytest.raises(NotProvenError) as caught:
        sd.lower(nn.Sequential(layer, snn.RLeaky(beta=0.5, **options)), spec, 4)
    text = str(caught.value)
    assert "1: not proven: the trained neuron adds its input and recurrent currents one after the other; got" in text
    assert "(state, sum) combinations in which that rounds across a decision, the first: neuron" in text
    assert "use another beta or fewer state bits, or pass allow_unproven=True (--allow-unproven)" in text


def test_two_tables_in_sequence_would_not_be_a_two_state_neuron() -> None:
    """Equal quantized synaptic currents, equal last membranes, and yet different new membranes."""
    neuron = snn.Synaptic(alpha=0.8, beta=0.9, state_quant=state_quant(5), reset_mechanism="none")
    current = torch.arange(0, 128) / 64
    _, syn, mem = neuron(current, torch.zeros(128), torch.full((128,), 0.4))
    same_current = syn[1:] == syn[:-1]
    assert (same_current & (mem[1:] != mem[:-1])).any()


class Graded(nn.Module):
    """Joined spikes of two layers, worth 1 and `factor`."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.fc1, self.lif1 = linear(12, 5), leaky()
        self.fc2, self.lif2 = linear(12, 4), leaky(graded_spikes_factor=factor)
        self.fc3, self.lif3 = linear(9, 3), leaky()

    def forward(self, x):
        return self.lif3(self.fc3(torch.cat([self.lif1(self.fc1(x)), self.lif2(self.fc2(x))], dim=1)))


def test_joined_spikes_of_several_units_are_refused() -> None:
    torch.manual_seed(0)
    assert sd.lower(Graded(1.0).eval(), FLAT, STEPS).certificate.proven
    with pytest.raises(LoweringError) as caught:
        sd.lower(Graded(2.0).eval(), FLAT, STEPS)
    assert [str(fault) for fault in caught.value.faults] == [
        "fc3 (QuantLinear): all that enters synapses is worth the same; got joined values of several units; "
        "give the joined neurons one graded_spikes_factor, and joined averages one window"
    ]
