"""Readouts: four ways from spikes and states to a class, the same in torch and in every executor."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import ExportError, FileFormatError, LoweringError
from squat_deploy.hardware.graph import graph_of
from squat_deploy.lab.models import dense_lif_net, recurrent_lif_net
from squat_deploy.network import INPUT
from squat_deploy.network.certificate import Certificate
from squat_deploy.network.readout import READOUTS, scores_of
from squat_deploy.snn.quantizers import StateQuantizer, state_quant
from tests.graph_drawing import _Drawing
from tests.law import ROWS, assert_agrees
from tests.test_hls import make
from tests.test_storage import altered

SPEC = sd.InputSpec((16,), 0, 15, 2.0**-4)


@pytest.fixture(scope="module")
def model() -> nn.Sequential:
    torch.manual_seed(0)
    return dense_lif_net((16, 8, 4), beta=0.9, state_bits=3).eval()


@pytest.mark.parametrize("readout", READOUTS)
def test_every_executor_names_the_class_of_torch(
    readout: str, model: nn.Sequential, rng: np.random.Generator, compiler: None, tmp_path: Path
) -> None:
    network = sd.lower(model, SPEC, 6, readout=readout)
    agreement = sd.verify(network, model, rng.integers(0, 16, (60, 16)))
    assert [row.label for row in agreement.rows] == ROWS
    assert_agrees(agreement)
    sd.save(network, tmp_path / "n.safetensors")
    sd.emit_qonnx(network, tmp_path / "n.onnx", form="sequence")
    for name in ("n.safetensors", "n.onnx"):
        read = sd.load(tmp_path / name)
        assert read.readout == readout and read.digest == network.digest


def test_a_class_that_differs_is_noticed(model: nn.Sequential, rng: np.random.Generator) -> None:
    """The model's own class is compared, not only what it is made of."""
    network = sd.lower(model, SPEC, 6)
    inputs = rng.integers(0, 16, (60, 16))
    reference = sd.simulate(network, inputs, trace=True)
    other = sd.simulate(dataclasses.replace(network, readout="last-membrane"), inputs)
    assert (reference.classes != other.classes).any()


def test_scores_and_ties() -> None:
    spikes = np.array([[[0, 0, 0]], [[0, 1, 1]], [[1, 0, 1]], [[1, 0, 0]]], dtype=bool)
    states = np.array([[[3, 1, 0]], [[0, 5, 5]], [[2, 2, 1]], [[1, 2, 2]]])
    wanted = {
        "count": ([2, 1, 2], 0),
        "first": ([2, 3, 3], 1),  # the first spike in step 1, twice: the lower class
        "highest-membrane": ([3, 5, 5], 1),
        "last-membrane": ([1, 2, 2], 1),
    }
    for readout, (scores, winner) in wanted.items():
        found = scores_of(readout, spikes, states)
        assert found.tolist() == [scores] and found.argmax(axis=1) == winner, readout
    silent = scores_of("first", np.zeros((4, 1, 3), dtype=bool), states)
    assert silent.tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("readout", ["highest-membrane", "last-membrane"])
def test_readout_neurons_need_not_spike(readout: str, rng: np.random.Generator, compiler: None) -> None:
    """A leaky integrator without reset whose threshold nothing reaches: its membrane is the result."""
    torch.manual_seed(0)
    model = dense_lif_net((16, 8, 4), beta=0.9, state_bits=3).eval()
    levels = StateQuantizer.of(5, "uniform", lower_limit=2.0, upper_limit=1.0)
    model.lif2 = snn.Leaky(beta=0.9, threshold=100.0, reset_mechanism="none", init_hidden=True, state_quant=levels)
    network = sd.lower(model, SPEC, 6, readout=readout)
    assert network.certificate.proven
    inputs = rng.integers(0, 16, (60, 16))
    assert_agrees(sd.verify(network, model, inputs))
    trace = sd.simulate(network, inputs, trace=True).trace
    assert trace is not None and not trace[-1].spikes.any() and len(np.unique(trace[-1].states)) > 8


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_graded_spikes(factor: float, rng: np.random.Generator, compiler: None) -> None:
    """What a spike is worth goes into the following sums, the neuron's own recurrent ones too."""
    torch.manual_seed(0)
    model = recurrent_lif_net((16, 8, 4), beta=0.9, state_bits=3).eval()
    inputs = rng.integers(0, 2, (6, 60, 16))
    spec = sd.InputSpec((16,), encoding="sequence")
    plain = sd.simulate(sd.lower(model, spec, 6), inputs).scores
    model.lif1.graded_spikes_factor.fill_(factor)
    network = sd.lower(model, spec, 6)
    assert_agrees(sd.verify(network, model, inputs))
    assert (sd.simulate(network, inputs).scores != plain).any()


def test_digests_of_readouts_differ(model: nn.Sequential) -> None:
    assert len({sd.lower(model, SPEC, 6, readout=readout).digest for readout in READOUTS}) == len(READOUTS)


def test_states_that_are_no_membranes_are_refused() -> None:
    """An immediate reset takes membranes down again: index and membrane part."""
    torch.manual_seed(0)
    layers = dense_lif_net((16, 4))
    layers.lif1 = snn.Synaptic(alpha=0.5, beta=0.9, reset_delay=False, init_hidden=True, state_quant=state_quant(2))
    with pytest.raises(LoweringError) as caught:
        sd.lower(layers, SPEC, 3, readout="highest-membrane")
    assert "readout: " in str(caught.value) and "state indices that ascend with the membrane" in str(caught.value)
    assert 'or readout="count"' in str(caught.value)


def test_classes_with_tables_of_their_own_are_refused(model: nn.Sequential) -> None:
    network = sd.lower(model, SPEC, 3)
    neuron = network.neurons[-1]
    arrays = {key: np.repeat(getattr(neuron, key), 2, axis=0) for key in ("thresholds", "successor", "fire_level")}
    membranes = np.stack([neuron.membranes[0], neuron.membranes[0] * 2])
    own = dataclasses.replace(neuron, **arrays, membranes=membranes, table=np.array([0, 1, 0, 1]))
    changed = dataclasses.replace(network, layers=(*network.layers[:-1], own), readout="last-membrane")
    from squat_deploy.network.rules import broken_rule

    assert "the same level table for every class" in str(broken_rule(changed))


def test_unknown_readouts_in_files_are_refused(model: nn.Sequential, tmp_path: Path) -> None:
    network, rule = sd.lower(model, SPEC, 3), "readout must be one of count, first, highest-membrane, last-membrane"
    with pytest.raises(ExportError, match=rule):
        sd.save(dataclasses.replace(network, readout="mean"), tmp_path / "n.safetensors")
    sd.save(network, tmp_path / "n.safetensors")
    altered(tmp_path / "n.safetensors", lambda document, _: document.update(readout="mean"))
    with pytest.raises(FileFormatError, match=rule):
        sd.load(tmp_path / "n.safetensors")


def test_output_neurons_need_not_run_last(tmp_path: Path, compiler: None) -> None:
    """Neurons that nobody takes run after them; the readout takes the output's states all the same."""
    rng = np.random.default_rng(0)
    drawing = _Drawing(rng, sd.InputSpec((6,), 0, 3, encoding="sequence"), classes=2, timing=rng)
    hidden = drawing.neurons(drawing.synapses(INPUT))
    drawing.neurons(drawing.synapses(drawing.neurons(drawing.synapses(hidden))))
    drawing.neurons(drawing.synapses(hidden, (2,)))
    certificate = Certificate(tuple(drawing.rows))
    network = sd.Network(
        drawing.spec, tuple(drawing.layers), 4, certificate, "", tuple(drawing.wires), readout="highest-membrane"
    )
    assert graph_of(network).processes[-1].nodes[-1].number < len(network.layers)
    assert make(sd.emit_hls(network, tmp_path / "project"), "csim").startswith("PASS: 0 mismatches")
