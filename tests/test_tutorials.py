"""The networks of the snnTorch tutorials, quantized as they are and lowered; what `model(x)` returns is the oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch import utils
from torch import Tensor, nn

import squat_deploy as sd
from squat_deploy.errors import ConfigError, LoweringError
from squat_deploy.network.simulator import simulate
from squat_deploy.snn.additions import coarse_levels
from squat_deploy.snn.levels import Kind, level_table
from squat_deploy.snn.ptq import input_spec
from tests import tutorials as models
from tests.test_lowering import leaky, linear

Encoding = Literal["direct", "sequence"]


@dataclass(frozen=True)
class Tutorial:
    """One of them: how the model is made, what it takes, and how its answer is read."""

    model: Callable[[], nn.Module]
    data: Callable[[], Tensor]
    steps: int
    encoding: Encoding = "direct"
    readout: Any = "count"
    state_bits: int = 4
    looped: bool = True
    exact: bool = False  # integers first, as batch norms want it


def images(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.rand(6, *shape)


def curve(steps: int) -> Tensor:
    return torch.linspace(0, 1, steps)[:, None, None] * torch.rand(1, 6, 1)


TUTORIALS = {
    "2 and 3: spikes given": Tutorial(lambda: models.Given(60), lambda: models.rates(20, 6, 784), 20, "sequence"),
    "4: synaptic currents": Tutorial(
        lambda: models.SecondOrder(30), lambda: models.rates(12, 6, 784), 12, "sequence", state_bits=3
    ),
    "5: an image at every step": Tutorial(lambda: models.Shown(12, 60), images(784), 12),
    "6: looped over": Tutorial(lambda: models.PassedForward(models.convolutional(), 12), images(1, 28, 28), 12),
    "6: called once a step": Tutorial(models.convolutional, images(1, 28, 28), 12, looped=False),
    "6: a forward of one step": Tutorial(models.OneStep, images(1, 28, 28), 1, looped=False),
    "7: an event camera": Tutorial(
        lambda: models.OverEvents(models.of_events()), lambda: models.rates(10, 6, 2, 34, 34), 10, "sequence"
    ),
    "regression 1": Tutorial(
        lambda: models.FollowedMembrane(20, 30, published=False), lambda: curve(20), 20, "sequence", "last-membrane"
    ),
    "regression 1, as published": Tutorial(
        lambda: models.FollowedMembrane(10, 30), lambda: curve(10), 10, "sequence", "last-membrane"
    ),
    "regression 2": Tutorial(lambda: models.Recurrent(10, 40), images(784), 10),
    "autoencoder": Tutorial(
        lambda: models.Autoencoder(5, width=4), images(1, 32, 32), 5, readout="last-membrane", exact=True
    ),
    "population coding": Tutorial(lambda: models.population(100), images(1, 28, 28), 1, looped=False),
}


def louder(model: nn.Module) -> nn.Module:
    """Untrained nets are silent beyond their first layers."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("weight") and value.dim() > 1 and "recurrent" not in name:
                value *= 4
        for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
            norm.bias.fill_(0.4)
    return model.eval()


def called(model: nn.Module, inputs: Tensor, tutorial: Tutorial) -> Any:
    """What the tutorial's own loop gives."""
    with torch.no_grad():
        if tutorial.looped:
            return model(inputs)
        utils.reset(model)
        steps = [model(inputs) for _ in range(tutorial.steps)]
        return tuple(torch.stack(parts) for parts in zip(*steps, strict=True))


@pytest.mark.parametrize("name", TUTORIALS)
def test_tutorials(name: str) -> None:
    tutorial = TUTORIALS[name]
    torch.manual_seed(0)
    data = tutorial.data()
    model = sd.quantize(
        louder(tutorial.model()),
        data,
        steps=tutorial.steps,
        encoding=tutorial.encoding,
        state_bits=tutorial.state_bits,
    )
    spec = input_spec(model, data, tutorial.encoding)
    if tutorial.exact:
        model = sd.exact(model, spec, tutorial.steps)
    network = sd.lower(model, spec, tutorial.steps, readout=tutorial.readout)
    assert network.certificate.proven
    integers = spec.quantize(data.numpy())
    trace = simulate(network, integers, trace=True).trace
    assert trace is not None and all(layer.spikes.any() for layer in trace[:-1])
    answer = called(model, torch.from_numpy((integers * spec.step).astype(np.float32)), tutorial)
    *spikes, membranes = answer if isinstance(answer, tuple) else (answer,)
    own = network.neurons[-1]
    known = own.membranes_of(trace[-1].states)
    if tutorial.readout == "count":
        shown = (*spikes, membranes)[0]
        assert np.array_equal(shown.flatten(2).numpy() != 0, trace[-1].spikes)
    if membranes.dim() == 4:  # an image, of the last step alone
        assert np.array_equal(membranes.flatten(1).numpy(), known[-1])
    elif spikes or tutorial.readout != "count":
        assert np.array_equal(membranes.flatten(2).numpy(), known)
    assert sd.verify(network, model, integers, executors=("torch", "numpy")).agrees


class OfOneState(models.FollowedMembrane):
    """Both layers go on from what the module holds."""

    def forward(self, x: Tensor) -> Tensor:
        self.li_out.reset_mem()
        recorded = []
        for step in range(self.steps):
            spikes, _ = self.li_out(self.fc_hidden(self.lif_in(self.fc_in(x[step]))[0]))
            recorded.append(self.li_out(self.fc_out(spikes))[1])
        return torch.stack(recorded)


def test_neurons_that_serve_two_layers_of_one_state_are_named() -> None:
    """Regression 1 as published has one module for two layers; here without states."""
    torch.manual_seed(0)
    data, options = curve(8), {"steps": 8, "encoding": "sequence"}
    with pytest.raises(ConfigError, match=r"li_out: .*once a time step; got 16 calls in 8 steps: make a module for"):
        sd.quantize(OfOneState(8, 6), data, **options)  # type: ignore[arg-type]
    mended = sd.quantize(models.FollowedMembrane(8, 6, published=False), data, **options)  # type: ignore[arg-type]
    assert sd.lower(mended, input_spec(mended, data, "sequence"), 8, readout="last-membrane").certificate.proven


def test_regression_3_is_refused_for_what_it_is() -> None:
    """A spiking LSTM computes sigmoids of sums in float32: no table of thresholds on one sum says what it does."""
    model = nn.Sequential(nn.Linear(8, 4), snn.SLSTM(4, 4, init_hidden=True), nn.Linear(4, 2), snn.Leaky(0.9))
    with pytest.raises(LoweringError, match=r"1 \(SLSTM\): .*use snn.Leaky: its gates are real-valued"):
        sd.lower(model, sd.InputSpec((8,)), 4)


@pytest.mark.parametrize("beta", [0.9, 0.95, 0.99, 1.0])
def test_recurrent_neurons_are_quantized_so_that_both_orders_of_addition_agree(beta: float) -> None:
    torch.manual_seed(0)
    model, data = louder(models.Recurrent(4, 8)), torch.rand(6, 784)
    for neuron in (model.rlif1, model.rlif2):
        neuron.beta.fill_(beta)  # type: ignore[operator,union-attr]
    made = sd.quantize(model, data, steps=4)
    inner = made.model
    assert 0 <= beta - float(inner.rlif1.beta) <= 1 / 32 or abs(beta - float(inner.rlif1.beta)) <= 1 / 64  # type: ignore[union-attr,arg-type]
    assert float(inner.rlif1.beta) < 1 or beta == 1  # type: ignore[union-attr,arg-type]
    assert sd.lower(made, input_spec(made, data, "direct"), 4).certificate.proven


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("kind", ["uniform", "threshold-centred", "zero-centred"])
def test_levels_on_a_coarse_grid(kind: Kind, bits: int) -> None:
    levels = level_table(bits, kind, 1.0, upper_limit=0.3)
    coarse = coarse_levels(levels, 1.0)
    gaps = np.diff(levels)
    assert (np.diff(coarse) > 0).all() and ((coarse > 1) == (levels > 1)).all()
    assert np.abs(coarse - levels).max() <= gaps.max() / 4
    assert (coarse * 2**16 == np.rint(coarse * 2**16)).all() or np.array_equal(coarse, levels)
    assert not np.array_equal(coarse, levels) or bits > 4


def test_steps_that_were_stacked_are_taken_out_again() -> None:
    """Two loops, one behind the other: along any axis, by index, select or unbind."""

    class Twice(nn.Module):
        def __init__(self, way: str, axis: int) -> None:
            super().__init__()
            self.way, self.axis = way, axis
            self.fc1, self.lif1 = linear(6, 5), leaky(init_hidden=True)
            self.fc2, self.lif2 = linear(5, 3), leaky(init_hidden=True)

        def taken(self, kept: Tensor, step: int) -> Tensor:
            if self.way == "select":
                return kept.select(self.axis, step)
            if self.way == "unbind":
                return kept.unbind(self.axis)[step]
            index = [slice(None)] * kept.dim()
            index[self.axis] = step  # type: ignore[call-overload]
            return kept[..., step] if self.axis == -1 else kept[tuple(index)]

        def forward(self, x: Tensor) -> Tensor:
            utils.reset(self)
            kept = torch.stack([self.lif1(self.fc1(x)) for _ in range(4)], dim=self.axis)
            return torch.stack([self.lif2(self.fc2(self.taken(kept, step))) for step in range(4)])

    torch.manual_seed(0)
    for way, axis in (("index", 0), ("index", 1), ("index", 2), ("index", -1), ("select", 1), ("unbind", 2)):
        model = Twice(way, axis)
        network = sd.lower(model, sd.InputSpec((6,), 0, 3), 4)
        assert sd.verify(network, model, rng_inputs(6), executors=("torch", "numpy")).agrees

    class Backwards(Twice):
        def taken(self, kept: Tensor, step: int) -> Tensor:
            return kept[..., 3 - step]

    with pytest.raises(LoweringError, match="spikes of step 3 in step 0"):
        sd.lower(Backwards("index", -1), sd.InputSpec((6,), 0, 3), 4)


def rng_inputs(size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4, (8, size))
