"""`sd.exact`: models with stock float scales, proven; and how far they are from what was trained."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from brevitas.nn import QuantConv1d, QuantConv2d, QuantLinear
from brevitas.quant import Int8WeightPerChannelFloat, Int8WeightPerTensorFloat
from brevitas.quant.fixed_point import Int8BiasPerTensorFixedPointInternalScaling
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_linear_bn_eval

import squat_deploy as sd
from squat_deploy.errors import ConfigError, LoweringError, NotProvenError
from squat_deploy.snn.identity import model_digest
from squat_deploy.snn.layers import FixedConv2d, FixedLinear, IntThenScaleConv2d, IntThenScaleLinear, ScaleThenShift2d
from squat_deploy.snn.quantizers import state_quant
from tests.test_cli import document, invoke, work
from tests.test_lowering import leaky, linear, unlucky

__all__ = ["work"]  # a fixture
PIXELS = {"low": 0, "high": 255, "step": 1 / 255}


def weights(rng: random.Random) -> dict[str, Any]:
    """Options of a layer with a stock scale."""
    bias = rng.choice(["none", "float", "quantized"])
    return {
        "bias": bias != "none",
        "bias_quant": Int8BiasPerTensorFixedPointInternalScaling if bias == "quantized" else None,
        "weight_quant": rng.choice([Int8WeightPerTensorFloat, Int8WeightPerChannelFloat]),
        "weight_bit_width": rng.randint(2, 8),
    }


def neurons(rng: random.Random) -> snn.Leaky:
    quantizer = state_quant(rng.randint(2, 5), rng.random() < 0.5)
    reset = rng.choice(["subtract", "zero", "none"])
    return leaky(state_quant=quantizer, beta=rng.choice([0.5, 0.9, 0.3679]), reset_mechanism=reset)


def norm(rng: random.Random, kind: type[nn.BatchNorm1d | nn.BatchNorm2d], width: int) -> nn.Module:
    if rng.random() < 0.4:
        return nn.Identity()
    made = kind(width)
    made.running_mean.normal_(0, 0.5)
    made.running_var.uniform_(0.3, 3)
    nn.init.normal_(made.weight)
    nn.init.normal_(made.bias)
    return made


def drawn(rng: random.Random) -> tuple[nn.Sequential, sd.InputSpec]:
    """A stock model of one or two convolutions and a dense layer, or of dense layers alone."""
    torch.manual_seed(rng.randrange(2**31))
    grid = rng.choice([PIXELS, {"low": 0, "high": 15, "step": 2.0**-4}, {"low": -3, "high": 3, "step": 0.1}])
    kind = rng.choice(["plane", "line", "dense"])
    if kind == "plane":
        first = [QuantConv2d(2, 4, 3, stride=rng.choice([1, 2]), padding=rng.choice([0, 1]), **weights(rng))]
        first += [norm(rng, nn.BatchNorm2d, 4), neurons(rng), nn.AvgPool2d(rng.choice([2, 3])), nn.Flatten()]
        shape = (2, 9, 9)
    elif kind == "line":
        first, shape = [QuantConv1d(2, 3, 3, **weights(rng)), norm(rng, nn.BatchNorm1d, 3)], (2, 9)
        first += [neurons(rng), nn.Flatten()]
    else:
        first, shape = [QuantLinear(12, 8, **weights(rng)), norm(rng, nn.BatchNorm1d, 8), neurons(rng)], (12,)
    model = nn.Sequential(*first).eval()
    with torch.no_grad():
        model[0].weight.normal_(0, 0.5)
        flat = nn.Sequential(*first[:2], nn.Identity(), *first[3:])(torch.zeros(1, *shape)).shape[1]
    model.extend([QuantLinear(flat, 5, **weights(rng)), neurons(rng)])
    return model.eval(), sd.InputSpec(shape, **grid)


def test_stock_models_are_proven_whatever_their_scales() -> None:
    """And equal to what torch computes with them; the originals need not be."""
    rng, refused = random.Random(7), 0
    for _ in range(12):
        model, spec = drawn(rng)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of layers that never fire
            refused += not sd.lower(model, spec, 4, allow_unproven=True).certificate.proven
            made = sd.exact(model, spec, 4)
            network = sd.lower(made, spec, 4)
        assert network.certificate.proven
        inputs = np.random.default_rng(1).integers(spec.low, spec.high + 1, (120, *spec.shape))
        assert sd.verify(network, made, inputs, executors=["torch", "numpy"]).agrees
        with torch.no_grad():  # nothing but rounding has changed
            real = torch.from_numpy((inputs * spec.step).astype(np.float32))
            assert torch.allclose(made[0](real), model[0](real), rtol=1e-4, atol=1e-4)
    assert refused >= 3


def test_every_executor_runs_an_exact_form() -> None:
    rng = random.Random(3)
    torch.manual_seed(3)
    model = nn.Sequential(
        QuantConv2d(1, 3, 3, weight_quant=Int8WeightPerChannelFloat), nn.BatchNorm2d(3), neurons(rng),
        nn.AvgPool2d(3), nn.Flatten(), QuantLinear(12, 4, weight_bit_width=5), neurons(rng),
    ).eval()  # fmt: skip
    spec = sd.InputSpec((1, 8, 8), **PIXELS)
    made = sd.exact(model, spec, 3)
    network = sd.lower(made, spec, 3)
    found = sd.verify(network, made, np.random.default_rng(0).integers(0, 256, (8, 1, 8, 8)))
    assert found.agrees and {row.executor for row in found.rows} >= {"torch", "numpy", "onnxruntime"}


class Own(nn.Module):
    """A stock model that loops, shares its norm's place with nobody, and averages by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = QuantConv2d(1, 3, 3, weight_quant=Int8WeightPerChannelFloat)
        self.norm = nn.BatchNorm2d(3)
        self.first, self.second = leaky(init_hidden=False), leaky(init_hidden=False)
        self.out = QuantLinear(12, 4, weight_bit_width=4)

    def forward(self, x: Tensor) -> Tensor:
        one, two = self.first.reset_mem(), self.second.reset_mem()
        spikes = []
        for _ in range(5):
            spike, one = self.first(self.norm(self.conv(x)), one)
            spike, two = self.second(self.out(functional.avg_pool2d(spike, 3).flatten(1)), two)
            spikes.append(spike)
        return torch.stack(spikes)


def test_models_with_a_forward_of_their_own() -> None:
    torch.manual_seed(0)
    model, spec = Own().eval(), sd.InputSpec((1, 8, 8), **PIXELS)
    made = sd.exact(model, spec, 5)
    assert type(made) is Own and type(made.conv) is IntThenScaleConv2d and type(made.norm) is ScaleThenShift2d
    assert made.conv.input_unit == 1 / 255 and made.out.input_unit == 1 / 9 and "input_unit=0.111" in repr(made)
    assert type(model.conv) is QuantConv2d and type(model.norm) is nn.BatchNorm2d
    network = sd.lower(made, spec, 5)
    assert [row.rule for row in network.certificate.layers] == ["int-then-scale + scale and shift", "int-then-scale"]
    assert network.certificate.proven and "exact form (sd.exact, --exact)" in " ".join(network.certificate.assumptions)
    found = sd.deviation(model, made, spec, 5, samples=20)
    assert [row.layer for row in found.layers] == ["first", "second"] and found.inputs == "random"
    assert found.layers[0].compared == 5 * 20 * 3 * 36 and found.samples == 20


def recurrent(width: int, **options: Any) -> nn.Module:
    kind = snn.RSynaptic if "alpha" in options else snn.RLeaky
    bits = 2 if "alpha" in options else 4
    neuron = kind(beta=0.9, init_hidden=True, linear_features=width, state_quant=state_quant(bits), **options)
    neuron.recurrent = QuantLinear(width, width, bias=True, weight_bit_width=4)
    return neuron


@pytest.mark.parametrize("options", [{}, {"reset_mechanism": "zero"}, {"alpha": 0.8}])
def test_recurrent_synapses(options: dict[str, Any]) -> None:
    """Of two float scales: on one grid, both currents added before the membrane."""
    torch.manual_seed(0)
    model = nn.Sequential(QuantLinear(12, 8, weight_bit_width=4), recurrent(8, **options)).eval()
    spec = sd.InputSpec((12,), 0, 15, 1 / 15)
    with pytest.raises(LoweringError, match=r"or lower sd\.exact\(model, spec, steps\) \(--exact\)"):
        sd.lower(model, spec, 5)
    made = sd.exact(model, spec, 5)
    network = sd.lower(made, spec, 5)
    inputs = np.random.default_rng(0).integers(0, 16, (60, 12))
    assert network.certificate.proven and sd.verify(network, made, inputs, executors=["torch", "numpy"]).agrees
    assert "scale_bits=8" in repr(made) and type(model[1]) in (snn.RLeaky, snn.RSynaptic)
    found = sd.deviation(model, made, spec, 5, inputs).layers[0]
    assert found.spikes < 0.02 * found.compared
    scales = [net[0].quant_weight().scale for net in (model, made)]
    kept = made[0].output_scale(scales[1] * 15)
    assert torch.allclose(kept, scales[0], rtol=2.0**-8)


class Residual(nn.Module):
    """Two float-scale branches, one of them of two layers that are added themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (QuantLinear(6, 5, bias=bias) for bias in (True, False, True))
        self.lif = leaky()

    def forward(self, x: Tensor) -> Tensor:
        return self.lif(self.a(x) + (self.b(x) + self.c(x)))


def test_residual_branches() -> None:
    torch.manual_seed(1)
    model, spec = Residual().eval(), sd.InputSpec((6,), 0, 7, 0.125)
    made = sd.exact(model, spec, 4)
    network = sd.lower(made, spec, 4)
    inputs = np.random.default_rng(0).integers(0, 8, (60, 6))
    assert network.certificate.proven and sd.verify(network, made, inputs, executors=["torch", "numpy"]).agrees
    assert network.certificate.layers[0].rule == "exact grid"


PER_CHANNEL: dict[str, Any] = {"weight_quant": Int8WeightPerChannelFloat, "weight_bit_width": 4}


@pytest.mark.parametrize("options", [{}, {"alpha": 0.8}])
@pytest.mark.parametrize("own", [True, False])
def test_recurrent_channels_with_scales_of_their_own(options: dict[str, Any], own: bool) -> None:
    """Their weights are multiplied until both sums have one unit, a unit a channel."""
    torch.manual_seed(0)
    neuron = recurrent(8, **options)
    neuron.recurrent = QuantLinear(8, 8, bias=True, **(PER_CHANNEL if own else {"weight_bit_width": 4}))
    model, spec = nn.Sequential(QuantLinear(12, 8, **PER_CHANNEL), neuron).eval(), sd.InputSpec((12,), 0, 15, 1 / 15)
    with pytest.raises(LoweringError, match=r"or lower sd\.exact\(model, spec, steps\) \(--exact\)"):
        sd.lower(model, spec, 5)
    made = sd.exact(model, spec, 5)
    network = sd.lower(made, spec, 5)
    inputs = np.random.default_rng(0).integers(0, 16, (60, 12))
    assert network.certificate.proven and network.certificate.layers[0].tables == 8
    assert sd.verify(network, made, inputs, executors=["torch", "numpy", "onnxruntime", "c++"]).agrees
    found = sd.deviation(model, made, spec, 5, inputs).layers[0]
    assert found.spikes < 0.02 * found.compared


class ResidualPlanes(nn.Module):
    """Two convolutions of which each channel has a scale, added; the first is also used alone."""

    def __init__(self, pooled: bool = False, bits: int = 4) -> None:
        super().__init__()
        torch.manual_seed(2)
        options = {**PER_CHANNEL, "weight_bit_width": bits}
        self.a, self.b = QuantConv2d(2, 3, 3, padding=1, **options), QuantConv2d(2, 3, 1, bias=True, **options)
        self.alone, self.lif, self.end, self.out = leaky(), leaky(), QuantLinear(3 * 36, 3, bias=False), leaky()
        self.pool = nn.MaxPool2d(1) if pooled else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        first = self.pool(self.a(x))
        spikes = self.lif(first + self.b(x)) + self.alone(first)
        return self.out(self.end(spikes.flatten(1)))


def test_residual_channels_with_scales_of_their_own() -> None:
    model, spec = ResidualPlanes().eval(), sd.InputSpec((2, 6, 6), 0, 7, 0.125)
    made = sd.exact(model, spec, 3)
    network = sd.lower(made, spec, 3)
    assert network.certificate.proven
    inputs = np.random.default_rng(0).integers(0, 8, (30, 2, 6, 6))
    assert sd.verify(network, made, inputs, executors=["torch", "numpy", "onnxruntime", "c++"]).agrees


def test_scales_that_no_weights_hold() -> None:
    """And the hints work."""
    spec = sd.InputSpec((2, 6, 6), 0, 1)
    pooled = ResidualPlanes(pooled=True).eval()
    pooled.pool = nn.MaxPool2d(3, 1, 1)
    with pytest.raises(LoweringError, match="both branches of a sum are synapses; got a branch without weights"):
        sd.lower(sd.exact(pooled, spec, 3), spec, 3)
    wide = ResidualPlanes(bits=8).eval()
    with torch.no_grad():
        wide.a.weight[1].mul_(2.0**-7)
    with pytest.raises(
        LoweringError,
        match=r"weights of 16 bits hold the scales of all channels .* weights up to \d+; .*, or weights of fewer bits",
    ):
        sd.lower(sd.exact(wide, spec, 3), spec, 3)
    with torch.no_grad():
        wide.a.weight[1].mul_(2.0**-38)
    wide.a.bias = None
    with pytest.raises(LoweringError, match=r"weights of 16 bits .* got scales that are .* of their common step"):
        sd.lower(sd.exact(wide, spec, 3), spec, 3)
    for model in (pooled, wide):
        model.a, model.b = QuantConv2d(2, 3, 3, padding=1), QuantConv2d(2, 3, 1, bias=True)
        assert sd.lower(sd.exact(model.eval(), spec, 3), spec, 3).certificate.proven


def test_norms_in_front_of_recurrent_neurons() -> None:
    """The hint, applied: the norm goes into the layer before it."""
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(8)
    norm.running_mean.normal_(0, 0.5)
    norm.running_var.uniform_(0.3, 3)
    model, spec = nn.Sequential(QuantLinear(12, 8, weight_bit_width=4), norm, recurrent(8)).eval(), sd.InputSpec((12,))
    for tried in (model, sd.exact(model, spec, 4)):
        with pytest.raises(LoweringError, match=r"fold each into its layer and leave it out \(torch.nn.utils.fusion"):
            sd.lower(tried, spec, 4)
    folded = nn.Sequential(fuse_linear_bn_eval(model[0], norm), model[2]).eval()
    assert sd.lower(sd.exact(folded, spec, 4), spec, 4).certificate.proven


def test_what_is_exact_already_stays_as_it_is() -> None:
    biased = linear(bias=True, bias_quant=Int8BiasPerTensorFixedPointInternalScaling)
    model = nn.Sequential(linear(), leaky(), linear(4, 6), leaky(), biased, leaky())
    with torch.no_grad():
        biased.bias.copy_(biased.quant_weight().scale * torch.tensor([1.0, -2, 3, 0]))
    made = sd.exact(model, sd.InputSpec((6,)), 4)
    assert [type(made[place]) for place in (0, 2, 4)] == [QuantLinear] * 3
    assert model_digest(made) == model_digest(model)
    assert sd.lower(made, sd.InputSpec((6,)), 4).digest == sd.lower(model, sd.InputSpec((6,)), 4).digest
    assert type(sd.exact(model, sd.InputSpec((6,), 0, 3, 0.1), 4)[0]) is IntThenScaleLinear


def test_the_hint_of_what_is_not_proven_works() -> None:
    model = nn.Sequential(unlucky(), leaky(state_quant=state_quant(8, uniform=False), beta=0.5))
    with pytest.raises(NotProvenError, match=r"lower sd\.exact\(model, spec, steps\) \(--exact\), or use"):
        sd.lower(model, sd.InputSpec((6,)), 5)
    assert sd.lower(sd.exact(model), sd.InputSpec((6,)), 5).certificate.proven
    pixels = nn.Sequential(linear(), leaky(state_quant=state_quant(8, uniform=False)))
    with pytest.raises(NotProvenError, match=r"or lower sd\.exact\(model, spec, steps\) \(--exact\)"):
        sd.lower(pixels, sd.InputSpec((6,), **PIXELS), 3)
    spec = sd.InputSpec((6,), **PIXELS)
    assert sd.lower(sd.exact(pixels, spec, 3), spec, 3).certificate.proven


def test_deviation_counts_what_differs() -> None:
    """A scale at which a common sum lies on the boundary of a spike: batches of another size round otherwise."""
    torch.manual_seed(5)
    layer = QuantLinear(200, 30, bias=False, weight_bit_width=8)
    with torch.no_grad():
        layer.weight.copy_(torch.randint(-127, 128, (30, 200)) * (0.98 / 22 / 4))
        layer.weight[:, 0] = 127 * 0.98 / 22 / 4
    model = nn.Sequential(layer, leaky(state_quant=state_quant(8, uniform=False), beta=0.5)).eval()
    made = sd.exact(model)
    inputs = np.random.default_rng(0).integers(0, 2, (400, 200))
    found = sd.deviation(model, made, sd.InputSpec((200,)), 6, inputs)
    with torch.no_grad():
        one, other = (net(torch.from_numpy(inputs[:100]).float()) for net in (model, made))
    assert found.layers[0].compared == 6 * 400 * 30 and found.samples == 400 and found.inputs == "given"
    assert found.layers[0].states >= found.layers[0].spikes >= int((one != other).sum())
    assert found.to_dict()["decisions"] == found.decisions
    assert f"{found.decisions} of 400 classes differ from those of the trained model, on given" in found.line
    with torch.no_grad():
        made[0].weight.neg_()
    assert sd.deviation(model, made, sd.InputSpec((200,)), 6, inputs).layers[0].spikes > 1000


def test_deviation_is_of_two_forms_of_one_model() -> None:
    model = nn.Sequential(linear(), leaky())
    with pytest.raises(ConfigError, match=r"two models of the same neuron layers; got \['1'\] and \['1', '3'\]"):
        sd.deviation(model, nn.Sequential(linear(), leaky(), linear(4, 4), leaky()), sd.InputSpec((6,)), 3)
    with pytest.raises(ConfigError, match="deviation: a model does not run on these inputs"):
        sd.deviation(model, nn.Sequential(linear(5, 4), leaky()), sd.InputSpec((6,)), 3)


def test_what_is_no_model_no_spec_or_no_step_is_said() -> None:
    model, spec = nn.Sequential(linear(), leaky()), sd.InputSpec((6,))
    factory: Any = lambda: model  # noqa: E731
    shape: Any = (6,)
    for call in (sd.lower, sd.check, sd.exact):
        with pytest.raises(ConfigError, match=r"a model is an nn.Module; got function; of a function that makes one, "):
            call(factory, spec, 3)
        with pytest.raises(ConfigError, match=r"lower: spec is an InputSpec, such as .*; got \(6,\)"):
            call(model, shape, 3)
    with pytest.raises(ConfigError, match=r"a model is an nn.Module; got function"):
        sd.quantize(factory, torch.rand(3, 6), steps=3)
    with pytest.raises(ConfigError, match="deviation: steps must be 1 or more; got 0"):
        sd.deviation(model, model, spec, 0)
    assert sd.lower(factory(), sd.InputSpec(shape), 3).certificate.proven  # as the hints say


def test_an_exact_form_is_another_model() -> None:
    model, spec = nn.Sequential(unlucky(), leaky()), sd.InputSpec((6,))
    made = sd.exact(model)
    assert model_digest(made) != model_digest(model)
    network = sd.lower(made, spec, 4)
    inputs = np.zeros((2, 6), dtype=int)
    assert "exact form" not in str(sd.verify(network, made, inputs, executors=["torch"]).warnings)
    assert "of a model's exact form" in sd.verify(network, model, inputs, executors=["torch"]).warnings[0]


def test_units_belong_to_their_inputs() -> None:
    model = nn.Sequential(linear(weight_quant=Int8WeightPerTensorFloat), leaky())
    made = sd.exact(model, sd.InputSpec((6,), **PIXELS), 3)
    with pytest.raises(LoweringError, match="its input_unit is what one integer of its input is worth") as caught:
        sd.lower(made, sd.InputSpec((6,), 0, 255, 1 / 100), 3)
    assert "make it anew for these inputs: sd.exact(model, spec, steps)" in str(caught.value)
    spec = sd.InputSpec((6,), 0, 255, 1 / 100)
    assert sd.lower(sd.exact(model, spec, 3), spec, 3).certificate.proven  # as the hint says
    for step in (1 / 100, 1 / 256):  # the exact form is a model as well
        spec = sd.InputSpec((6,), 0, 255, step)
        assert sd.lower(sd.exact(made, spec, 3), spec, 3).certificate.proven


def test_what_lower_refuses_is_refused_still() -> None:
    """For its own reason, and not by `exact`."""
    from brevitas.quant.shifted_scaled_int import ShiftedUint8WeightPerTensorFloat

    shifted = nn.Sequential(linear(weight_quant=ShiftedUint8WeightPerTensorFloat), leaky())
    floats = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4, track_running_stats=False), leaky()).eval()
    for model, rule in ((shifted, "weights must be symmetric"), (floats, "use brevitas.nn.QuantLinear")):
        with pytest.raises(LoweringError, match=rule):
            sd.lower(sd.exact(model, sd.InputSpec((6,)), 3), sd.InputSpec((6,)), 3)


def test_exact_on_the_command_line(work: Path) -> None:
    document("lower", "model.py:float_scale", "--steps", 3, code=1)
    assert document("check", "model.py:float_scale", "--steps", 3, "--exact")["ok"]
    lowered = document("lower", "model.py:seeded", "--steps", 3, "--exact")
    assert lowered["proven"] is True and lowered["exact"]["inputs"] == "random"  # type: ignore[index]
    np.save("inputs.npy", np.random.default_rng(0).integers(0, 2, (9, 16)))
    told = invoke("lower", "model.py:seeded", "--steps", 3, "--exact", "--inputs", "inputs.npy")
    assert "of 9 classes differ from those of the trained model, on given inputs" in told
    checked = document("verify", "network.safetensors", "--model", "model.py:seeded", "--exact", "--executor", "torch")
    assert checked["agrees"] and not checked["warnings"]
    assert "--exact is about the torch model" in invoke("verify", "network.safetensors", "--exact", code=1)
    assert "--inputs and --real go with --exact" in invoke("lower", "model.py:seeded", "--steps", 3, "--real", code=1)


def test_weights_of_other_tools() -> None:
    """Stored integers times a float32 scale, as imported exports have them."""
    torch.manual_seed(0)
    integers = torch.randint(-7, 8, (3, 1, 3, 3)), torch.randint(-127, 128, (4, 48))
    conv = FixedConv2d(integers[0], torch.tensor([0.013, 0.02, 0.1]), torch.tensor([0.1, 0.0, -0.3]))
    dense = FixedLinear(integers[1], torch.full((4,), 0.98 / 22 / 4), None)
    model = nn.Sequential(conv, leaky(), nn.Flatten(), dense, leaky(state_quant=state_quant(8, uniform=False))).eval()
    spec = sd.InputSpec((1, 6, 6), **PIXELS)
    with pytest.raises(NotProvenError, match=r"lower sd\.exact"):
        sd.lower(model, spec, 4)
    made = sd.exact(model, spec, 4)
    network = sd.lower(made, spec, 4)
    inputs = np.random.default_rng(0).integers(0, 256, (60, 1, 6, 6))
    assert network.certificate.proven and sd.verify(network, made, inputs, executors=["torch", "numpy"]).agrees
    assert [type(made[place]).__name__ for place in (0, 3)] == ["IntThenScaleFixedConv2d", "IntThenScaleFixedLinear"]
    with torch.no_grad():
        real = torch.from_numpy(inputs / 255).float()
        assert torch.allclose(made[0](real), model[0](real), rtol=1e-5, atol=1e-5)
