"""The law of agreement: every network, every executor, whole traces, no difference."""

from __future__ import annotations

import dataclasses
from itertools import islice

import numpy as np
import pytest
import torch

import squat_deploy as sd
from squat_deploy import bundled
from squat_deploy.backends.hls import HlsConfig
from squat_deploy.errors import ConfigError, ToolError
from squat_deploy.training.datasets import available, fashion_mnist
from squat_deploy.training.models import dense_lif_net
from tests.conftest import need
from tests.law import assert_agrees, assert_law, drawn_for, lowered

CI_SEEDS = range(80)  # `make fuzz` draws any number


@pytest.mark.parametrize("seed", CI_SEEDS)
def test_random_networks(seed: int, compiler: None) -> None:
    """Drawn over every option; those that float32 rounding could decide otherwise must be refused, with examples."""
    drawn = drawn_for(seed)
    network = lowered(drawn)
    if network is not None:
        assert_law(drawn, network)


def test_unproven_networks_are_carried_on_demand() -> None:
    refused = list(islice((drawn for drawn in map(drawn_for, range(0, 80, 2)) if lowered(drawn) is None), 5))
    assert refused
    for drawn in refused:
        carried = sd.lower(drawn.model, drawn.spec, drawn.steps, allow_unproven=True)
        assert not carried.certificate.proven
        assert sum(row.at_risk for row in carried.certificate.layers) > 0


def test_bundled_model(fashion: sd.Network, compiler: None) -> None:
    """Proven in every layer, equal everywhere on the bundled images, and as good as promised."""
    assert fashion.certificate.proven
    assert [row.rule for row in fashion.certificate.layers] == ["exact grid", "exact grid"]
    real, labels = bundled.images()
    agreement = sd.verify(fashion, bundled.model(), fashion.input.quantize(real), labels=labels)
    assert_agrees(agreement)
    assert len({row.accuracy for row in agreement.rows if row.executor != "qonnx"}) == 1
    assert agreement.rows[0].accuracy is not None and agreement.rows[0].accuracy > 0.8


def test_bundled_model_on_the_whole_test_set(fashion: sd.Network, compiler: None) -> None:
    """All 10,000 images, every step, every layer, three executors: 0 mismatches, and the promised accuracy."""
    need(available(), "Fashion-MNIST (Debian package dataset-fashion-mnist)")
    test = fashion_mnist("test")
    inputs = fashion.input.quantize(test.real())
    agreement = sd.verify(fashion, bundled.model(), inputs, labels=test.labels)
    assert_agrees(agreement)
    assert {row.samples for row in agreement.rows if row.executor != "qonnx"} == {10_000}
    assert agreement.rows[0].accuracy is not None and agreement.rows[0].accuracy >= 0.85


def test_batch_size_does_not_matter(small: sd.Network, small_model: torch.nn.Module, rng: np.random.Generator) -> None:
    inputs = rng.integers(0, 16, (33, 16))
    whole = sd.simulate(small, inputs, trace=True)
    for batch in (1, 7):
        part = sd.simulate(small, inputs, trace=True, batch=batch)
        for a, b in zip(whole.trace or (), part.trace or (), strict=True):
            assert all(np.array_equal(getattr(a, key), getattr(b, key)) for key in ("sums", "states", "spikes"))
        assert np.array_equal(whole.scores, part.scores)


def with_flipped_threshold(network: sd.Network) -> sd.Network:
    neuron = network.neurons[0]
    wrong = neuron.thresholds.copy()
    wrong[0, neuron.initial_state] -= 3
    layers = tuple(dataclasses.replace(neuron, thresholds=wrong) if x is neuron else x for x in network.layers)
    return dataclasses.replace(network, layers=layers)


def test_a_wrong_table_is_noticed(small: sd.Network, small_model: torch.nn.Module, rng: np.random.Generator) -> None:
    """The oracle is torch: integers that differ from it must show as mismatches with a place."""
    agreement = sd.verify(
        with_flipped_threshold(small), small_model, rng.integers(0, 16, (200, 16)), executors=("torch", "numpy")
    )
    row = agreement.rows[0]
    assert not agreement.agrees and row.mismatches > 0
    assert row.first is not None and row.first.startswith("sequence ") and "lif1 neuron" in row.first


def test_verify_gives_every_module_its_mode_back(small: sd.Network) -> None:
    model = dense_lif_net((16, 8, 4), beta=0.9).train()
    model.fc2.eval()
    before = [module.training for module in model.modules()]
    sd.verify(small, model, np.zeros((1, 16), int), executors=("torch",))
    assert [module.training for module in model.modules()] == before and len(set(before)) == 2


def test_verify_refuses_a_model_of_other_widths(small: sd.Network) -> None:
    model = dense_lif_net((16, 7, 4))
    with pytest.raises(ConfigError, match=r"neuron layers of \[7, 4\], the network of \[8, 4\]: not the same"):
        sd.verify(small, model, np.zeros((1, 16), int), executors=("torch",))


def test_verify_names_what_it_cannot_do(small: sd.Network) -> None:
    with pytest.raises(ConfigError, match="unknown executor verilog; there are torch, numpy, c\\+\\+, onnxruntime"):
        sd.verify(small, None, np.zeros((1, 16), int), executors=("verilog",))
    with pytest.raises(ConfigError, match="'torch' needs the trained model"):
        sd.verify(small, None, np.zeros((1, 16), int), executors=("torch",))


def test_verify_says_what_it_left_out(small: sd.Network, monkeypatch: pytest.MonkeyPatch, compiler: None) -> None:
    """By default what is here runs and the rest is named; what was asked for by name must be here."""
    monkeypatch.setattr(sd.toolchain, "has_package", lambda name: name != "qonnx")
    agreement = sd.verify(small, None, np.zeros((1, 16), int))
    assert [row.executor for row in agreement.rows] == ["numpy", "c++", "onnxruntime", "onnxruntime"]
    reason = "qonnx: needs qonnx (pip install 'squat_deploy[qonnx]')"
    assert agreement.not_run == ("torch: no trained model was given", reason)
    with pytest.raises(ToolError) as error:
        sd.verify(small, None, np.zeros((1, 16), int), executors=("numpy", "qonnx"))
    assert str(error.value) == f"verify: {reason}"


@pytest.mark.parametrize("form", ["offset", "threshold"])
@pytest.mark.parametrize("pe", [1, 3, 8])
def test_every_folding_and_form(
    small: sd.Network, form: str, pe: int, rng: np.random.Generator, compiler: None
) -> None:
    config = HlsConfig(form=form, pe={"lif1": pe, "lif2": min(pe, 4)})
    assert_agrees(sd.verify(small, None, rng.integers(0, 16, (9, 16)), executors=("numpy", "c++"), config=config))
