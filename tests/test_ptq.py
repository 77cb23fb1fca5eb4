"""Post-training quantization: float snnTorch models, as they are written, become models that lower exactly."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import snntorch as snn
import torch
from brevitas.nn import QuantConv2d, QuantLinear
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import ConfigError
from squat_deploy.snn.quantizers import InputQuantizer, StateQuantizer
from squat_deploy.snn.running import run_model
from tests.law import assert_agrees

STEPS = 5


class FloatNet(nn.Module):
    """snnTorch's tutorial 5, in float."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(12, 20), snn.Leaky(beta=0.9)
        self.fc2, self.lif2 = nn.Linear(20, 4), snn.Leaky(beta=0.9)

    def forward(self, x):
        mem1, mem2, out = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for step in range(STEPS):
            spk1, mem1 = self.lif1(self.fc1(x[step] if x.dim() == 3 else x), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            out.append(spk2)
        return torch.stack(out)


def convolutional() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.MaxPool2d(2), snn.Leaky(beta=0.8, init_hidden=True),
        nn.Flatten(), nn.Linear(36, 3), snn.Synaptic(alpha=0.5, beta=0.9, init_hidden=True),
    ).eval()  # fmt: skip


def float_net() -> FloatNet:
    torch.manual_seed(1)
    net = FloatNet().eval()
    for layer in (net.fc1, net.fc2):
        layer.weight.data *= 3
    return net


def test_a_float_model_becomes_integers_that_equal_the_quantized_one() -> None:
    torch.manual_seed(0)
    for model, shape, bits in ((float_net(), (12,), 4), (convolutional(), (1, 8, 8), 3)):
        data = torch.rand(50, *shape)
        made = sd.quantize(model, data, steps=STEPS, weight_bits=4, state_bits=bits, input_bits=4)
        spec = sd.InputSpec(shape, 0, 15, 2.0**-3 if float(data.max()) > 15 / 16 else 2.0**-4)
        network = sd.lower(made, spec, STEPS, allow_unproven=True)
        assert_agrees(sd.verify(network, made, spec.quantize(data.numpy()), executors=("torch", "numpy")))


def test_what_is_replaced_and_what_is_kept() -> None:
    model = convolutional().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    made = sd.quantize(
        model, torch.rand(9, 1, 8, 8), steps=STEPS, state_bits={"3": 4, "6": 2}, weight_bits={"0": 8, "5": 3}
    )
    kinds = [
        InputQuantizer,
        QuantConv2d,
        nn.BatchNorm2d,
        nn.MaxPool2d,
        snn.Leaky,
        nn.Flatten,
        QuantLinear,
        snn.Synaptic,
    ]
    assert [type(module) for module in made] == kinds
    assert [made[i].quant_weight().bit_width.item() for i in (1, 6)] == [8, 3]
    assert [len(made[i].state_quant.levels) for i in (4, 7)] == [16, 4]
    assert model.training and isinstance(model[0], nn.Conv2d) and not model[3].state_quant
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    again = sd.quantize(
        nn.Sequential(*made, nn.Linear(3, 2), snn.Leaky(beta=0.5, init_hidden=True)),
        torch.rand(9, 1, 8, 8),
        steps=STEPS,
    )
    assert again[4].state_quant.levels.equal(made[4].state_quant.levels)


def test_levels_follow_the_membranes() -> None:
    """Calibrated tables reach as far as the membranes do; stated limits are taken as they are."""
    model, data = float_net(), torch.rand(200, 12)
    traces = run_model(model, data, STEPS)
    made = sd.quantize(model, data, steps=STEPS, state_bits=4, input_bits=8)
    membranes = torch.cat([part.reshape(-1) for part in traces["lif1"].membranes])
    levels = made.model.lif1.state_quant.levels
    assert float(levels[-1]) == pytest.approx(float(torch.quantile(membranes, 0.999)), rel=0.02)
    stated = sd.quantize(model, data, steps=STEPS, limits=(0.0, 0.2), levels="uniform")
    assert stated.model.lif1.state_quant.levels.equal(StateQuantizer.of(4, "uniform").levels)


def test_more_bits_come_closer_to_the_float_model() -> None:
    model, data = float_net(), torch.rand(400, 12)
    with torch.no_grad():
        want = model(data).sum(0)
    wrong = []
    for bits in (8, 4, 2):
        made = sd.quantize(model, data, steps=STEPS, weight_bits=bits, state_bits=bits)
        with torch.no_grad():
            wrong.append(float((made(data).sum(0) != want).float().mean()))
    assert wrong[0] < wrong[1] < wrong[2] and wrong[0] < 0.05


def test_spikes_need_no_grid_and_sequences_are_taken_apart() -> None:
    model, events = float_net(), (torch.rand(STEPS, 30, 12) < 0.4).float()
    made = sd.quantize(model, events, steps=STEPS, encoding="sequence", input_bits=2)
    assert type(made) is FloatNet
    spec = sd.InputSpec((12,), encoding="sequence")
    network = sd.lower(made, spec, STEPS)
    assert_agrees(sd.verify(network, made, events.numpy().astype(int), executors=("torch", "numpy")))
    real = sd.quantize(model, events * 0.3, steps=STEPS, encoding="sequence", input_bits=2)
    spec = sd.InputSpec((12,), 0, 3, 0.125, encoding="sequence")
    network = sd.lower(real, spec, STEPS)
    assert_agrees(sd.verify(network, real, spec.quantize(events.numpy() * 0.3), executors=("torch", "numpy")))


def test_search_keeps_to_its_budget_and_shows_every_trial() -> None:
    model, data = float_net(), torch.rand(300, 12)
    with torch.no_grad():
        classes = model(data).sum(0).argmax(1)

    def agreement(tried: nn.Module) -> float:
        with torch.no_grad():
            return float((tried(data).sum(0).argmax(1) == classes).float().mean())

    def is_float(tried: nn.Module) -> float:
        return float(not any(isinstance(module, StateQuantizer) for module in tried.modules()))

    found = sd.search_bits(model, data, agreement, steps=STEPS, budget=0.1, candidates=(8, 6, 4, 2))
    assert found.float_score == 1.0
    kept = [trial for trial in found.trials if trial.kept]
    assert all(trial.score >= 0.9 for trial in kept) and len(kept) < len(found.trials)
    assert agreement(found.model) == kept[-1].score
    total = [sum(trial.weight_bits.values()) + sum(trial.state_bits.values()) for trial in kept]
    assert total == sorted(total, reverse=True) and total[-1] < total[0]
    with pytest.raises(ConfigError, match=r"^search_bits: the widest setting must stay within the budget of 0; got "):
        sd.search_bits(model, data, is_float, steps=STEPS, budget=0, candidates=(2,))


REFUSALS = {
    "nan data": (
        {"calibration_data": torch.full((3, 12), torch.nan)},
        "calibration data must be finite; got NaN or infinity",
    ),
    "a list": ({"calibration_data": [[0.0] * 12]}, "calibration data are a tensor, or an array of numbers; got list"),
    "objects": (
        {"calibration_data": np.full((3, 12), None)},
        "calibration data are a tensor, or an array of numbers; got an array of object",
    ),
    "wide weights": ({"weight_bits": 9}, "fc1: weights have 2 to 8 bits; got 9"),
    "unknown layer": ({"weight_bits": {"fc9": 4}}, "weight_bits names fc9; there are fc1, fc2"),
    "missing layer": ({"state_bits": {"lif1": 4}}, "state_bits has no width for lif2"),
    "input bits": ({"input_bits": 17}, "inputs have 1 to 16 bits; got 17"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case: str) -> None:
    given, message = REFUSALS[case]
    options = {"calibration_data": torch.rand(3, 12), **given}
    with pytest.raises(ConfigError) as caught:
        sd.quantize(float_net(), options.pop("calibration_data"), steps=STEPS, **options)
    assert str(caught.value) == f"quantize: {message}"


class LoopsOverInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(12, 4), snn.Leaky(beta=0.9)

    def forward(self, x):
        mem, out = self.lif.init_leaky(), []
        for frame in x:
            spk, mem = self.lif(self.fc(frame), mem)
            out.append(spk)
        return torch.stack(out)


def test_sequences_that_nobody_said_are_sequences() -> None:
    data = torch.rand(STEPS, 6, 12)
    with pytest.raises(ConfigError, match=r"got 25 calls in 5 steps: .* encoding='sequence' \(--encoding sequence\)"):
        sd.quantize(LoopsOverInputs(), data, steps=STEPS)
    assert sd.quantize(LoopsOverInputs(), data, steps=STEPS, encoding="sequence")


def test_arrays_are_calibration_data_too() -> None:
    data = np.random.default_rng(0).random((20, 12))
    made, other = (sd.quantize(float_net(), given, steps=STEPS) for given in (data, torch.from_numpy(data).float()))
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in made.state_dict().items())
    found = sd.search_bits(float_net(), data, lambda _: 1.0, steps=STEPS, budget=0, candidates=(4,))
    assert len(found.trials) == 1


def test_nothing_to_quantize() -> None:
    with pytest.raises(ConfigError, match=r"^quantize: no float nn.Linear, convolution or neuron without"):
        sd.quantize(nn.Sequential(nn.Flatten()), torch.rand(3, 12), steps=2)


def test_nan_weights() -> None:
    model = float_net()
    model.fc2.weight.data[0, 0] = np.nan
    with pytest.raises(ConfigError, match=r"^quantize: fc2: NaN or infinity in weight$"):
        sd.quantize(model, torch.rand(3, 12), steps=STEPS)


warnings.filterwarnings("ignore", module="snntorch")
