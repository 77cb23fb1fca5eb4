"""Weights, biases and steps at the ends of what a float can be: exact, or refused by name; never wrapped around."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import snntorch as snn
import torch
from brevitas.nn import QuantConv2d, QuantLinear
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import ConfigError, LoweringError
from squat_deploy.network import Network, Neuron
from squat_deploy.network.certificate import Certificate, LayerProof
from squat_deploy.network.layers import Dense
from squat_deploy.snn.layers import IntThenScaleLinear
from squat_deploy.snn.quantizers import state_quant
from tests.law import assert_agrees

FIXED = {"weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4}


def dense(weight: float, bias: float, kind: type[nn.Module] = QuantLinear) -> nn.Module:
    layer = kind(2, 3, bias=True, **FIXED)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.5], [-1.0, 1.0], [0.25, 0.75]]) * weight)
        layer.bias.copy_(torch.tensor([1.0, -0.5, 0.25]) * bias)
    return layer


def leaky() -> nn.Module:
    return snn.Leaky(beta=0.5, state_quant=state_quant(3), init_hidden=True)


def recurrent(weight: float, bias: float) -> nn.Module:
    neuron = snn.RLeaky(beta=0.9, linear_features=3, state_quant=state_quant(3, False), init_hidden=True)
    neuron.recurrent = QuantLinear(3, 3, bias=False, **FIXED)
    return nn.Sequential(dense(weight, bias), neuron)


def residual(weight: float, bias: float) -> nn.Module:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.lif = dense(weight, bias), dense(1.0, 0.25), leaky()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lif(self.a(x) + self.b(x))

    return Residual()


FORMS = {
    "dense": lambda w, b: nn.Sequential(dense(w, b), leaky()),
    "integers first": lambda w, b: nn.Sequential(dense(w, b, IntThenScaleLinear), leaky()),
    "recurrent": recurrent,
    "residual": residual,
    "norm": lambda w, b: nn.Sequential(dense(w, b), nn.BatchNorm1d(3), leaky()),
}
FLOORS = {"dense": 8, "integers first": 10, "recurrent": 2, "residual": 1, "norm": 8}
SIZES = list(itertools.product([1e-38, 1e-20, 1e-11, 1.0, 1e6, 1e38], [1e-30, 1e-6, 0.25, 1e30]))


@pytest.mark.parametrize("form", FORMS)
def test_exact_or_refused(form: str) -> None:
    torch.manual_seed(0)
    proven, inputs = 0, np.stack(np.meshgrid(range(4), range(4)), -1).reshape(-1, 2)
    for weight, bias in SIZES:
        model = FORMS[form](weight, bias).eval()
        try:
            network = sd.lower(model, sd.InputSpec((2,), 0, 3), 4)
        except LoweringError:
            continue
        assert_agrees(sd.verify(network, model, inputs, executors=["torch", "numpy"]))
        proven += 1
    assert proven >= FLOORS[form]


def test_vanished_weights_and_an_ordinary_bias_lower() -> None:
    """The bias is no multiple of the weights that a register could hold, so it makes tables of its own."""
    model = FORMS["dense"](1e-11, 0.25).eval()
    network = sd.lower(model, sd.InputSpec((2,)), 4)
    assert not network.layers[0].bias.any() and len(network.neurons[0].thresholds) > 1
    assert_agrees(sd.verify(network, model, np.array([[0, 0], [0, 1], [1, 1]])))


@pytest.mark.parametrize("offset", [2**31 - 5, -(2**39)])
def test_sums_beyond_32_bits_run_everywhere(offset: int) -> None:
    """Networks of others may have such biases: the rules allow 40 bits."""
    weight = np.array([[3, -2], [1, 1]])
    layer = Dense("fc", weight, np.array([offset, offset]))
    thresholds = offset + np.array([[[-1, 1, 3]] * 5])
    successor = np.tile(np.arange(4), (1, 5, 1))
    neuron = Neuron("lif", thresholds, successor, np.array([2]), np.zeros(2, dtype=np.int64), 4, np.zeros((1, 5)))
    row = LayerProof("lif", True, "exact grid", offset - 2, offset + 3, 42, 5, 4, 1, None, 0.0, 1, True)
    network = Network(sd.InputSpec((2,)), (layer, neuron), 3, Certificate((row,)))
    inputs = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    spikes = inputs @ weight.T >= 1
    assert np.array_equal(sd.simulate(network, inputs).scores, 3 * spikes)
    assert_agrees(sd.verify(network, None, inputs))


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), float("inf"), 1e-45, 1e300])
def test_steps_that_float32_does_not_keep(step: float) -> None:
    with pytest.raises(ConfigError, match="step must be"):
        sd.InputSpec((2,), step=step)


@pytest.mark.parametrize("values", [(1e30, 1e-30), (1e38, 1.0), (2.0**40, 2.0**-40)])
def test_recurrent_weights_of_all_sizes_are_refused(values: tuple[float, float]) -> None:
    neuron = snn.RLeaky(
        beta=0.5, V=torch.tensor(values), all_to_all=False, state_quant=state_quant(3), init_hidden=True
    )
    layer = QuantLinear(2, 2, bias=False, **FIXED)
    with pytest.raises(LoweringError, match="V holds multiples of one power of two"):
        sd.lower(nn.Sequential(layer, neuron), sd.InputSpec((2,)), 4)


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_recurrent_weights_take_what_a_spike_is_worth(factor: float) -> None:
    neuron = snn.RLeaky(
        beta=0.7, V=torch.tensor([0.25, -0.5, 0.75]), all_to_all=False, state_quant=state_quant(3), init_hidden=True
    )
    neuron.graded_spikes_factor.data.fill_(factor)
    torch.manual_seed(0)
    model = nn.Sequential(QuantLinear(6, 3, bias=False, **FIXED), neuron).eval()
    with torch.no_grad():
        model[0].weight.mul_(4)
    network = sd.lower(model, sd.InputSpec((6,)), 6)
    inputs = np.random.default_rng(0).integers(0, 2, (40, 6))
    assert sd.simulate(network, inputs).scores.any()
    assert_agrees(sd.verify(network, model, inputs, executors=["torch", "numpy"]))
    neuron.graded_spikes_factor.data.fill_(0.7)
    with pytest.raises(LoweringError, match=r"spikes times V are exact; got graded_spikes_factor 0\.7"):
        sd.lower(model, sd.InputSpec((6,)), 6)


@pytest.mark.parametrize("eps", [1e-60, 1e-46, -1e-3])
def test_norms_without_a_spread_are_refused(eps: float) -> None:
    """What is above zero in double precision may be zero in float32."""
    norm = nn.BatchNorm1d(3, eps=eps)
    norm.running_var[0] = 0.0 if eps > 0 else 1e-2
    with pytest.raises(LoweringError, match="variances positive"):
        sd.lower(nn.Sequential(dense(1.0, 0.25), norm, leaky()).eval(), sd.InputSpec((2,)), 4)


def test_a_kernel_that_is_an_integer_of_numpy() -> None:
    front = [QuantConv2d(1, 1, 1, bias=False, **FIXED), leaky(), nn.MaxPool2d(np.int64(2)), nn.Flatten()]
    model = nn.Sequential(*front, QuantLinear(4, 2, bias=False, **FIXED), leaky()).eval()
    network = sd.lower(model, sd.InputSpec((1, 4, 4)), 4)
    inputs = np.random.default_rng(0).integers(0, 2, (5, 1, 4, 4))
    assert_agrees(sd.verify(network, model, inputs, executors=["torch", "numpy"]))


def test_too_many_pairs_of_sums_are_refused() -> None:
    neuron = snn.RLeaky(beta=0.9, V=32767 / 2**22, all_to_all=False, state_quant=state_quant(8), init_hidden=True)
    layer = QuantLinear(6, 3, bias=False, weight_quant=Int8WeightPerTensorFixedPoint, weight_bit_width=8)
    with pytest.raises(LoweringError, match="pairs of input and recurrent sums near decisions"):
        sd.lower(nn.Sequential(layer, neuron).eval(), sd.InputSpec((6,), 0, 255, 2.0**-8), 4)


@pytest.mark.parametrize(("name", "value"), [("time_step", -1.0), ("R", -2.0), ("C", 0.0)])
def test_lapicque_of_odd_parameters_is_refused(name: str, value: float) -> None:
    neuron = snn.Lapicque(R=2, C=3, time_step=1, state_quant=state_quant(3), init_hidden=True)
    getattr(neuron, name).fill_(value) if name == "time_step" else setattr(neuron, name, torch.tensor([value]))
    layer = QuantLinear(2, 2, bias=False, **FIXED)
    with pytest.raises(LoweringError, match=f"{name} is positive"):
        sd.lower(nn.Sequential(layer, neuron), sd.InputSpec((2,)), 4)


@pytest.mark.parametrize("kind", [snn.Leaky, snn.Synaptic])
def test_neurons_that_always_fire_beside_others(kind: type[nn.Module]) -> None:
    """One threshold below the lowest level, one between them, one above the highest."""
    two = {"alpha": 0.9} if kind is snn.Synaptic else {}
    levels = state_quant(1, threshold=1.0, lower_limit=-1.75)  # 0.75 and 1.2
    thresholds = torch.tensor([0.7, 0.9, 1.3])
    neuron = kind(beta=0.9, threshold=thresholds, reset_mechanism="none", init_hidden=True, state_quant=levels, **two)
    torch.manual_seed(0)
    model = nn.Sequential(QuantLinear(6, 3, bias=False, **FIXED), neuron).eval()
    network = sd.lower(model, sd.InputSpec((6,)), 5)
    inputs = np.random.default_rng(0).integers(0, 2, (40, 6))
    assert_agrees(sd.verify(network, model, inputs, executors=["torch", "numpy", "c++"]))
    scores = sd.simulate(network, inputs).scores
    assert (scores[:, 0] == 5).all() and 0 < scores[:, 1].sum() < 200 and not scores[:, 2].any()


@pytest.mark.parametrize("kind", [snn.Leaky, snn.Synaptic, snn.RSynaptic, snn.RLeaky])
@pytest.mark.parametrize("threshold", [5.0, -5.0])
@pytest.mark.parametrize("reset", ["none", "zero", "subtract"])
def test_neurons_that_never_or_always_fire(kind: type[nn.Module], threshold: float, reset: str) -> None:
    """As a readout of membranes, or by mistake: exact, or refused by name, one state or two."""
    two = {"alpha": 0.5} if kind in (snn.Synaptic, snn.RSynaptic) else {}
    own = {"all_to_all": False, "V": 0.5} if kind in (snn.RLeaky, snn.RSynaptic) else {}
    neuron = kind(
        beta=0.5, threshold=threshold, reset_mechanism=reset, state_quant=state_quant(2), init_hidden=True, **two, **own
    )
    torch.manual_seed(0)
    layer = QuantLinear(5, 4, bias=False, **FIXED)
    model = nn.Sequential(layer, neuron).eval()
    try:
        network = sd.lower(model, sd.InputSpec((5,)), 4)
    except LoweringError as error:
        assert "it could never fire" in str(error) and threshold > 0 and reset != "none"
        return
    inputs = np.random.default_rng(0).integers(0, 2, (30, 5))
    compiled = ["c++"] if kind is snn.Synaptic and reset == "none" else []
    agreement = sd.verify(network, model, inputs, executors=["torch", "numpy", *compiled])
    assert_agrees(agreement)
    assert sd.simulate(network, inputs).scores.min() == sd.simulate(network, inputs).scores.max() == 4 * (threshold < 0)
