"""Lowering: what is accepted, what is refused, with the whole message."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import snntorch as snn
import torch
from brevitas.core.function_wrapper import StochasticRoundSte
from brevitas.nn import QuantIdentity, QuantLinear
from brevitas.quant.binary import SignedBinaryWeightPerTensorConst
from brevitas.quant.fixed_point import (
    Int8BiasPerTensorFixedPointInternalScaling,
    Int8WeightPerTensorFixedPoint,
    Int8WeightPerTensorFixedPointMSE,
)
from brevitas.quant.float_quant_ocp import Fp8e4m3OCPWeightPerTensorFloat
from brevitas.quant.scaled_int import Int8WeightPerTensorFloat, Int16Bias
from brevitas.quant.shifted_scaled_int import ShiftedUint8WeightPerTensorFloat
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import ConfigError, LoweringError, NotProvenError
from squat_deploy.lowering import extract
from squat_deploy.network.certificate import AtRisk
from squat_deploy.snn.layers import IntThenScaleLinear
from squat_deploy.snn.quantizers import InputQuantizer, StateQuantizer, state_quant

SPEC = sd.InputSpec((6,))


def linear(fan_in: int = 6, fan_out: int = 4, **options: object) -> QuantLinear:
    torch.manual_seed(0)
    options = {"bias": False, "weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4, **options}
    return QuantLinear(fan_in, fan_out, **options)


def leaky(**options: object) -> snn.Leaky:
    options = {"beta": 0.9, "state_quant": state_quant(3), "init_hidden": True, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return snn.Leaky(**options)


def switched_off() -> StateQuantizer:
    quantizer = state_quant(3)
    quantizer.enabled = False
    return quantizer


def hooked() -> snn.Leaky:
    neuron = leaky()
    neuron.register_forward_hook(lambda *_: None)
    return neuron


def half_of(name: str) -> snn.Leaky:
    neuron = leaky()
    setattr(neuron, name, getattr(neuron, name).half())
    return neuron


class RandomRounding(Int8WeightPerTensorFixedPoint):
    float_to_int_impl = StochasticRoundSte
    deterministic_inference = False


class OwnLinear(nn.Linear):
    """A subclass of a float layer."""


def with_nan() -> QuantLinear:
    layer = linear()
    layer.weight.data[0, 0] = torch.nan
    return layer


def stretched() -> StateQuantizer:
    quantizer = state_quant(3)
    quantizer.levels.mul_(1.5)
    return quantizer


def huge() -> QuantLinear:
    layer = linear()
    layer.weight.data = torch.full((4, 6), 2.0**20)
    return layer


class Shouting(QuantLinear):
    pass


REFUSALS: dict[str, tuple[Callable[[], list[nn.Module]], str]] = {
    "plain linear": (
        lambda: [nn.Linear(6, 4), leaky()],
        "0 (Linear): this type cannot be lowered; got Linear; "
        "use brevitas.nn.QuantLinear or sd.quantize(model, data, steps=...), so that the weights are integers",
    ),
    "conv": (
        lambda: [nn.Conv2d(1, 2, 3), leaky()],
        "0 (Conv2d): this type cannot be lowered; got Conv2d; "
        "use brevitas.nn.QuantConv2d or sd.quantize(model, data, steps=...), so that the weights are integers",
    ),
    "recurrent": (
        lambda: [linear(), snn.RLeaky(beta=0.9, linear_features=4, state_quant=state_quant(3))],
        "1.recurrent (Linear): this type cannot be lowered; got Linear; "
        "use brevitas.nn.QuantLinear or sd.quantize(model, data, steps=...), so that the weights are integers",
    ),
    "one-to-one weights of many bits": (
        lambda: [linear(), snn.RLeaky(beta=0.9, V=0.3, all_to_all=False, state_quant=state_quant(3))],
        "1.recurrent (RecurrentOneToOne): V holds multiples of one power of two, up to 32768 of it, for at most 2048 "
        "neurons; got 5033165 times 5.96046e-08 for 4 neurons; "
        "round V to a few bits, or use all_to_all=True with a QuantLinear",
    ),
    "two states of many bits": (
        lambda: [
            linear(),
            snn.Synaptic(alpha=0.5, beta=0.75, init_hidden=True, state_quant=StateQuantizer.of(6, "rest")),
        ],
        "1: an offset for each state that decides as the trained neuron, or at most 1024 joint states; got no such "
        "offsets, and more states, of syn and mem; use levels without equal gaps, state_quant(bits, uniform=False), or "
        "another alpha or beta: float32 rounds sums that meet a decision exactly either way; or up to 4 state bits",
    ),
    "three states": (
        lambda: [linear(), snn.Alpha(alpha=0.9, beta=0.8, init_hidden=True, state_quant=state_quant(2))],
        "1 (Alpha): this type cannot be lowered; got Alpha; "
        "use snn.Synaptic: an Alpha's membrane does not see the current of its step, and its "
        "inhibition falls as the sum rises",
    ),
    "an ignored reset": (
        lambda: [
            linear(),
            snn.RSynaptic(
                alpha=0.5,
                beta=0.9,
                V=0.5,
                all_to_all=False,
                reset_delay=False,
                init_hidden=True,
                state_quant=state_quant(2),
            ),
        ],
        "1 (RSynaptic): reset_delay=False acts; got an RSynaptic, where snnTorch 1.0.0 ignores it; "
        "use reset_delay=True",
    ),
    "lstm": (
        lambda: [linear(), snn.SLSTM(4, 4, state_quant=state_quant(3))],
        "1 (SLSTM): this type cannot be lowered; got SLSTM; "
        "use snn.Leaky: its gates are real-valued functions, no table holds them",
    ),
    "subclass": (
        lambda: [Shouting(6, 4), leaky()],
        "0 (Shouting): this type cannot be lowered; got Shouting; "
        "a subclass may compute anything; use QuantLinear itself if it can be lowered",
    ),
    "relu": (
        lambda: [linear(), nn.ReLU(), leaky()],
        "1 (ReLU): this type cannot be lowered; got ReLU; remove it: neurons are the only non-linearity",
    ),
    "float state": (
        lambda: [linear(), leaky(state_quant=False)],
        "1 (Leaky): the membrane must be quantized: 32-bit states have no table; got state_quant=False; "
        "train with snn.Leaky(state_quant=squat_deploy.snn.quantizers.state_quant(...)), or "
        "sd.quantize(model, data, steps=...)",
    ),
    "switched off": (
        lambda: [linear(), leaky(state_quant=switched_off())],
        "1 (Leaky): the membrane must be quantized; got a StateQuantizer that is switched off; set .enabled = True",
    ),
    "foreign quantizer": (
        lambda: [linear(), leaky(state_quant=torch.round)],
        "1 (Leaky): the level table must be usable; got state_quant: expected a StateQuantizer or a closure of "
        f"snnTorch's state_quant; got {torch.round!r}; see squat_deploy.snn.levels.level_table",
    ),
    "never fires": (
        lambda: [linear(), leaky(threshold=3.0)],
        "1 (Leaky): the level table must be usable; got levels: a neuron fires only above its threshold 3.0, but the "
        "highest level is 1.2000000476837158: it could never fire; raise upper_limit above 0; "
        "see squat_deploy.snn.levels.level_table",
    ),
    "inhibition": (
        lambda: [linear(), leaky(inhibition=True)],
        "1 (Leaky): each neuron decides alone; got inhibition=True; train with inhibition=False",
    ),
    "graded spikes": (
        lambda: [linear(), leaky(graded_spikes_factor=-2.0)],
        "1 (Leaky): spikes are 0 or one positive value; got graded_spikes_factor -2.0; fold it into the next weights",
    ),
    "beta of another size": (
        lambda: [linear(), leaky(beta=torch.rand(3))],
        "1 (Leaky): beta is one value or one a neuron; got shape (3,); use 1 or 4 values",
    ),
    "hook": (
        lambda: [linear(), hooked()],
        "1 (Leaky): forward hooks change what is computed; got a hook; remove the hooks before lowering",
    ),
    "nan": (
        lambda: [with_nan(), leaky()],
        "0 (QuantLinear): every weight must be finite; got NaN or infinity in weight; retrain or repair it",
    ),
    "unquantized weights": (
        lambda: [linear(weight_quant=None), leaky()],
        "0 (QuantLinear): weights must be quantized; got weight_quant=None; "
        "use weight_quant=Int8WeightPerTensorFixedPoint",
    ),
    "asymmetric weights": (
        lambda: [linear(weight_quant=ShiftedUint8WeightPerTensorFloat), leaky()],
        "0 (QuantLinear): weights must be symmetric; got a zero point that is not 0; "
        "use a signed quantizer, not ShiftedUint8",
    ),
    "wide weights": (
        lambda: [linear(weight_bit_width=12), leaky()],
        "0 (QuantLinear): weights have 1 to 8 bits; got 12 bits; set weight_bit_width to 8 or less",
    ),
    "bias that needs an input scale": (
        lambda: [linear(bias=True, bias_quant=Int16Bias), leaky()],
        "0 (QuantLinear): must run on what enters it; got Input scale required; "
        "use bias_quant=Int8BiasPerTensorFixedPointInternalScaling, which needs no input scale",
    ),
    "wrong size": (
        lambda: [linear(5, 4), leaky()],
        "0 (QuantLinear): takes (5,) values; got (6,); make the sizes match",
    ),
    "two linears": (
        lambda: [linear(), linear(4, 4), leaky()],
        "1 (QuantLinear): synapses feed neurons; got two linear layers in a row; "
        "put snn.Leaky between them, or merge them",
    ),
    "no neurons at the end": (
        lambda: [linear(), leaky(), linear(4, 2)],
        "model: the last layer must spike; got synapses without neurons; end with snn.Leaky",
    ),
    "late input quantizer": (
        lambda: [linear(), InputQuantizer(1.0, 0, 1), leaky()],
        "1 (InputQuantizer): inputs are quantized before the first synapses; got it comes later; move it to the front",
    ),
    "another input grid": (
        lambda: [InputQuantizer(0.5, 0, 7), linear(), leaky()],
        "0 (InputQuantizer): InputSpec(low, high, step) must be those of the model's InputQuantizer; "
        "got (0, 1, 1.0); use InputSpec(low=0, high=7, step=0.5)",
    ),
    "norm without linear": (
        lambda: [nn.BatchNorm1d(6), linear(), leaky()],
        "0 (BatchNorm1d): batch norm folds into the linear layer before it; got no linear before it; move or remove it",
    ),
    "norm without statistics": (
        lambda: [linear(), nn.BatchNorm1d(4, track_running_stats=False), leaky()],
        "1 (BatchNorm1d): batch norm needs running statistics; got track_running_stats=False; "
        "train with running statistics",
    ),
    "flatten of the batch": (
        lambda: [nn.Flatten(0), linear(), leaky()],
        "0 (Flatten): the batch axis stays; got Flatten(0, -1); use nn.Flatten()",
    ),
    "activation quantizer": (
        lambda: [QuantIdentity(), linear(), leaky()],
        "0 (QuantIdentity): a quantizer of values changes none of them; got 1, which becomes 0.9921875; "
        "use its own grid: InputSpec(low=-128, high=127, step=0.0078125)",
    ),
    "shared neurons": (
        lambda: (lambda neuron: [linear(6, 6), neuron, linear(6, 6), neuron])(leaky()),
        "3 (Leaky): neurons keep their own membranes; got one module in two places; make a second snn.Leaky",
    ),
    "double precision": (
        lambda: [linear().double(), leaky()],
        "0 (QuantLinear): weights are trained in float32; got torch.float64; call model.float() before training",
    ),
    "half precision of a factor": (
        lambda: [linear(), half_of("graded_spikes_factor")],
        "1 (Leaky): graded_spikes_factor is float32; got torch.float16; call model.float() before training",
    ),
    "one bit without a zero": (
        lambda: [linear(weight_quant=Int8WeightPerTensorFloat, weight_bit_width=1), leaky()],
        "0 (QuantLinear): quantized weights are finite; got NaN or infinity, at 1 bits and a scale up to inf; "
        "use weight_bit_width of 2 to 8, or SignedBinaryWeightPerTensorConst for 1 bit",
    ),
    "weights drawn at random": (
        lambda: [linear(weight_quant=RandomRounding), leaky()],
        "0 (QuantLinear): weights are the same at every call; got a quantizer that rounds at random; "
        "set deterministic_inference=True in it",
    ),
    "two norms": (
        lambda: [linear(), nn.BatchNorm1d(4).eval(), nn.BatchNorm1d(4).eval(), leaky()],
        "2 (BatchNorm1d): one batch norm folds into a linear layer; got a second one; keep one, "
        "with the product of both",
    ),
    "weights that are made later": (
        lambda: [nn.LazyLinear(4, bias=False), leaky()],
        "0 (LazyLinear): layers have their weights; got weight, which is made at the first call; "
        "call model(inputs) once, or load a checkpoint",
    ),
    "a parametrization": (
        lambda: [nn.utils.parametrizations.orthogonal(linear()), leaky()],
        "0 (ParametrizedQuantLinear): this type cannot be lowered; got ParametrizedQuantLinear; "
        "first call torch.nn.utils.parametrize.remove_parametrizations(layer, name)",
    ),
    "a library's type with a private base": (
        lambda: [linear(), nn.LPPool1d(1, 2), leaky()],
        "1 (LPPool1d): this type cannot be lowered; got LPPool1d; use what docs/support.md lists: QuantLinear, "
        "QuantConv2d, BatchNorm2d, pooling, Flatten, snn.Leaky and others",
    ),
    "a subclass of what cannot be lowered": (
        lambda: [OwnLinear(6, 4), leaky()],
        "0 (OwnLinear): this type cannot be lowered; got OwnLinear; a subclass may compute anything; "
        "use brevitas.nn.QuantLinear or sd.quantize(model, data, steps=...), so that the weights are integers",
    ),
    "odd surrogate": (
        lambda: [linear(), leaky(spike_grad=lambda x: x * 0 + 0.5, state_quant=state_quant(1))],
        "1: spikes are a step at the threshold; got [0.5, 0.5] for the levels; "
        "use a surrogate of snntorch.surrogate whose forward is (x > 0)",
    ),
    "levels changed in place": (
        lambda: [linear(), leaky(state_quant=stretched())],
        "1.state_quant (StateQuantizer): levels do not change in place; got boundaries of other levels; "
        "make a new StateQuantizer of the levels",
    ),
    "quant tensors": (
        lambda: [linear(return_quant_tensor=True), leaky()],
        "0 (QuantLinear): must run on what enters it; got QuantLayer is not correctly configured; "
        "set return_quant_tensor=False, or put a QuantIdentity(return_quant_tensor=True) before it",
    ),
    "float8 weights": (
        lambda: [linear(weight_quant=Fp8e4m3OCPWeightPerTensorFloat, weight_bit_width=8), leaky()],
        "0 (QuantLinear): weights are integers times a scale; got FloatQuantTensor; use a Brevitas integer quantizer",
    ),
    "beta of two axes": (
        lambda: [linear(), leaky(beta=torch.rand(4, 1))],
        "1 (Leaky): beta is one value or one a neuron; got shape (4, 1); use 1 or 4 values",
    ),
    "membrane out of range": (
        lambda: [huge(), leaky()],
        "1: |membrane| must stay below 6.59e+05, where float32 still tells the levels apart; got up to 5.56e+06; "
        "scale the weights down or use fewer state bits",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case: str) -> None:
    make, message = REFUSALS[case]
    with pytest.raises(LoweringError) as caught:
        sd.lower(nn.Sequential(*make()), SPEC, 5)
    assert [str(fault) for fault in caught.value.faults] == [message]


def test_parametrizations_are_removed_as_the_hint_says() -> None:
    layer = nn.utils.parametrizations.orthogonal(linear())
    nn.utils.parametrize.remove_parametrizations(layer, "weight")
    assert sd.lower(nn.Sequential(layer, leaky()), SPEC, 5).certificate.proven


def test_rounding_that_is_random_in_training_only_is_lowered() -> None:
    class Rounding(RandomRounding):
        deterministic_inference = True

    model = nn.Sequential(linear(weight_quant=Rounding), leaky()).eval()
    assert sd.lower(model, SPEC, 5).certificate.proven


def test_lazy_layers_that_were_called_are_refused_as_what_they_became() -> None:
    model = nn.Sequential(nn.LazyLinear(4, bias=False), leaky())
    model(torch.ones(2, 6))
    with pytest.raises(LoweringError, match=r"0 \(Linear\): this type cannot be lowered; got Linear"):
        sd.lower(model, SPEC, 5)


def test_all_faults_at_once() -> None:
    model = nn.Sequential(nn.Linear(6, 4), leaky(inhibition=True), linear(4, 3), nn.ReLU(), leaky(state_quant=False))
    with pytest.raises(LoweringError) as caught:
        sd.lower(model, SPEC, 5)
    assert [fault.layer for fault in caught.value.faults] == ["0 (Linear)", "1 (Leaky)", "3 (ReLU)", "4 (Leaky)"]
    assert str(caught.value).startswith("the model cannot be lowered, 4 faults:\n  - 0 (Linear)")


def test_no_network() -> None:
    with pytest.raises(LoweringError, match=r"model: needs at least one QuantLinear and one snn.Leaky; got neither"):
        sd.lower(linear(), SPEC, 5)


@pytest.mark.parametrize("steps", [0, 70_000])
def test_steps_out_of_range(steps: int) -> None:
    with pytest.raises(ConfigError, match=f"steps must be 1 to 65535; got {steps}"):
        sd.lower(nn.Sequential(linear(), leaky()), SPEC, steps)


def test_the_users_model_is_not_touched() -> None:
    model = nn.Sequential(linear(), leaky()).train()
    model(torch.ones(2, 6))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    membrane = model[1].mem.clone()
    sd.lower(model, SPEC, 5)
    assert model.training and torch.equal(model[1].mem, membrane)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_weights_that_brevitas_clamps_stay_the_users() -> None:
    layer = linear(weight_quant=SignedBinaryWeightPerTensorConst, weight_bit_width=1, weight_scaling_const=0.125)
    with torch.no_grad():
        layer.weight.mul_(10)
    before = layer.weight.clone()
    sd.lower(nn.Sequential(layer, leaky()), SPEC, 5)
    assert torch.equal(layer.weight, before) and layer.weight.abs().max() > 0.125


def test_bias_on_the_grid_joins_the_sum() -> None:
    layer = linear(bias=True)
    layer.bias.data = torch.tensor([0.25, -0.5, 0.0, 1.0])
    network = sd.lower(nn.Sequential(layer, leaky()), SPEC, 5)
    scale = float(layer.quant_weight().scale)
    assert np.array_equal(network.layers[0].bias, np.rint(np.array([0.25, -0.5, 0, 1]) / scale))
    assert len(network.neurons[0].thresholds) == 1


def test_bias_off_the_grid_makes_tables_of_its_own() -> None:
    layer = linear(bias=True, bias_quant=Int8BiasPerTensorFixedPointInternalScaling)
    layer.bias.data = torch.tensor([0.013, -0.02, 0.3, 0.11])
    network = sd.lower(nn.Sequential(layer, leaky()), SPEC, 5)
    assert network.certificate.layers[0].rule == "exact grid"
    assert not network.layers[0].bias.any() and len(network.neurons[0].thresholds) > 1


def unlucky() -> QuantLinear:
    """A scale at which a common synaptic sum lies on the spike boundary."""
    layer = linear(weight_quant=Int8WeightPerTensorFloat, weight_bit_width=8)
    layer.weight.data = torch.round(layer.weight.data * 100)
    layer.weight.data[0, 0] = 127
    layer.weight.data *= 0.98 / 22 / 4
    return layer


def test_unproven_is_refused_or_carried_with_its_reason() -> None:
    quantizer = state_quant(8, uniform=False)
    model = nn.Sequential(unlucky(), leaky(state_quant=quantizer, beta=0.5))
    with pytest.raises(NotProvenError) as caught:
        sd.lower(model, SPEC, 5)
    text = str(caught.value)
    assert "not proven: rule 'error bound'" in text and "combinations within it of a decision" in text
    instead = "use power-of-two weight scales (Int8WeightPerTensorFixedPoint)"
    assert f"lower sd.exact(model, spec, steps) (--exact), or {instead}" in text
    proof = sd.lower(model, SPEC, 5, allow_unproven=True).certificate.layers[0]
    assert not proof.proven and proof.at_risk > 0 and proof.examples and proof.error_bound > 0
    assert proof.note == "the trained model's float32 sum may round across a decision"


def test_int_then_scale_proves_what_a_float_scale_cannot() -> None:
    torch.manual_seed(0)
    layer = IntThenScaleLinear(6, 4, bias=True, weight_quant=Int8WeightPerTensorFloat, weight_bit_width=8)
    layer.weight.data = unlucky().weight.data
    network = sd.lower(nn.Sequential(layer, leaky(state_quant=state_quant(8, False), beta=0.5)), SPEC, 5)
    assert network.certificate.layers[0].rule == "int-then-scale" and network.certificate.proven


def test_a_module_in_two_places_is_lowered_in_both() -> None:
    """A batch norm that two layers share; `named_children` would show it once."""
    torch.manual_seed(1)
    norm = nn.BatchNorm1d(6)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    model = nn.Sequential(linear(6, 6), norm, leaky(), linear(6, 6), norm, leaky()).eval()
    network = sd.lower(model, SPEC, 8, allow_unproven=True)
    inputs = np.random.default_rng(0).integers(0, 2, (50, 6))
    for neuron in (model[2], model[5]):
        neuron.mem = torch.zeros(0)
    with torch.no_grad():
        counts = sum(model(torch.from_numpy(inputs).float()) for _ in range(8)).numpy()
    assert np.array_equal(sd.simulate(network, inputs).scores, counts)


def test_int_then_scale_on_an_inexact_input_grid_counts_the_scaled_error() -> None:
    torch.manual_seed(0)
    layer = IntThenScaleLinear(6, 4, bias=False, weight_quant=Int8WeightPerTensorFloat, weight_bit_width=8)
    layer.weight.data *= 1000
    model = nn.Sequential(layer, leaky(state_quant=state_quant(4), beta=0.5))
    proof = sd.lower(model, sd.InputSpec((6,), 0, 15, 0.1), 5, allow_unproven=True).certificate.layers[0]
    largest = float(layer.quant_weight().value.detach().abs().sum(dim=1).max()) * 1.5
    assert proof.rule == "error bound" and proof.error_bound > largest * 2.0**-24


def test_int_then_scale_trains() -> None:
    layer = IntThenScaleLinear(6, 4, weight_quant=Int8WeightPerTensorFloat, weight_bit_width=4)
    stock = QuantLinear(6, 4, weight_quant=Int8WeightPerTensorFloat, weight_bit_width=4)
    stock.load_state_dict(layer.state_dict())
    inputs = torch.randint(0, 2, (9, 6)).float()
    assert torch.allclose(layer(inputs), stock(inputs), atol=1e-5)
    for module in (layer, stock):
        module(inputs).square().sum().backward()
    cosine = nn.functional.cosine_similarity(layer.weight.grad.flatten(), stock.weight.grad.flatten(), dim=0)
    assert cosine > 0.99


def test_sums_too_wide_for_float32_are_refused() -> None:
    layer = linear(2000, 2, weight_bit_width=8)
    with pytest.raises(LoweringError, match=r"synaptic sums span less than 33554432, all that float32 tells apart"):
        sd.lower(nn.Sequential(layer, leaky()), sd.InputSpec((2000,), 0, 65535), 2)


def test_quantizers_that_cannot_be_copied_before_their_first_use() -> None:
    model = nn.Sequential(linear(weight_quant=Int8WeightPerTensorFixedPointMSE), leaky())
    assert sd.lower(model, SPEC, 4).certificate.proven


def test_a_float_bias_leaves_the_exact_grid() -> None:
    """0.1 has bits far below the weights' grid: terms of 24 bits and more do not add exactly in any order."""
    layer = linear(bias=True)
    layer.bias.data = torch.full((4,), 0.1)
    proof = sd.lower(nn.Sequential(layer, leaky()), SPEC, 4, allow_unproven=True).certificate.layers[0]
    assert proof.rule == "error bound" and proof.error_bound > 0
    layer.bias.data = torch.full((4,), 0.125)
    assert sd.lower(nn.Sequential(layer, leaky()), SPEC, 4).certificate.layers[0].rule == "exact grid"


def test_sums_of_24_bits_and_more_are_not_exact() -> None:
    layer = linear(3, 1, weight_bit_width=8)
    layer.weight.data = torch.full((1, 3), 0.9)
    for high, rule in ((2**14, "exact grid"), (2**16 - 1, "error bound")):
        spec = sd.InputSpec((3,), 0, high, 2.0**-14)
        model = nn.Sequential(layer, leaky())
        assert sd.lower(model, spec, 2, allow_unproven=True).certificate.layers[0].rule == rule


def test_batch_norm_counts_its_own_roundings() -> None:
    norm = nn.BatchNorm1d(4)
    norm.running_mean.fill_(0.3)
    model = nn.Sequential(linear(), norm, leaky())
    proof = sd.lower(model, SPEC, 4, allow_unproven=True).certificate.layers[0]
    assert proof.rule == "exact grid + batch norm" and 2.0**-24 < proof.error_bound < 1e-5


def test_names_with_spaces_stay_apart() -> None:
    model = nn.Sequential()
    for name, module in (("fc 1", linear(6, 4)), ("lif 1", leaky()), ("fc 2", linear(4, 3)), ("lif 2", leaky())):
        model.add_module(name, module)
    assert [neuron.name for neuron in sd.lower(model, SPEC, 4).neurons] == ["lif 1", "lif 2"]


def test_integers_are_frozen() -> None:
    network = sd.lower(nn.Sequential(linear(), leaky()), SPEC, 4)
    with pytest.raises(ValueError, match="read-only"):
        network.layers[0].weight[0, 0] = 7


def test_all_zero_weights_are_noted() -> None:
    layer = linear()
    layer.weight.data.zero_()
    assert sd.lower(nn.Sequential(layer, leaky()), SPEC, 3).certificate.layers[0].note == "all weights are zero"


def test_every_table_at_risk_gives_an_example_first() -> None:
    """So that all channels at risk can be moved clear at once, however many examples one of them has."""
    risks = [[AtRisk(neuron, 0, total, 1) for total in range(neuron % 6)] for neuron in range(300)]
    found = extract._examples([SimpleNamespace(examples=tuple(own)) for own in risks])  # type: ignore[misc]
    assert len(found) == 256 and [(x.neuron, x.synaptic_sum) for x in found[:2]] == [(1, 0), (2, 0)]
    assert {x.neuron for x in found} == {neuron for neuron in range(300) if neuron % 6}
    assert extract._examples([]) == ()


def test_modules_that_list_others_are_refused() -> None:
    """What a model says that it has must be what it has."""

    class Hiding(nn.Sequential):
        def modules(self):
            yield from list(super().modules())[:-1]

    model = Hiding(QuantLinear(4, 3, bias=False, weight_quant=Int8WeightPerTensorFixedPoint), leaky()).eval()
    with pytest.raises(LoweringError, match=r"torch lists the modules of a model; got its own modules\(\)"):
        sd.lower(model, sd.InputSpec((4,)), 3)
