"""Witnesses: inputs that reach combinations at risk, run on the model and on the integers."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from brevitas.nn import QuantConv2d, QuantLinear
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import FileFormatError
from squat_deploy.lowering import reaching, witnesses
from squat_deploy.lowering.ways import Ways
from squat_deploy.network.certificate import Certificate, Witness
from squat_deploy.network.storage import load
from squat_deploy.snn.calling import Calling
from squat_deploy.snn.copying import deep_copy
from squat_deploy.snn.quantizers import StateQuantizer, state_quant
from tests.test_cli import document, invoke, work
from tests.test_lowering import leaky

__all__ = ["work"]  # a fixture


def carried(model: nn.Module, spec: sd.InputSpec, steps: int) -> sd.Network:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sd.lower(model.eval(), spec, steps, allow_unproven=True)


def on_the_edge(outputs: int = 4) -> nn.Sequential:
    """A sum of 70 lies on the boundary between two levels, so that the order of its terms decides."""
    torch.manual_seed(0)
    quantizer = StateQuantizer(np.array([0.0, 1.5], dtype=np.float32))
    layer = QuantLinear(100, outputs, bias=False, weight_bit_width=8)
    with torch.no_grad():
        integers = torch.randint(-127, 128, (outputs, 100)).float()
        integers[0, 0] = 127
        layer.weight.copy_(integers * float(quantizer.boundaries[0]) / 70)
    return nn.Sequential(layer, leaky(state_quant=quantizer, beta=0.5))


def reaches(network: sd.Network, witness: Witness) -> bool:
    """Whether the integers are in its state and meet its sum at its step."""
    inputs = witness.sequence(network.input, network.steps)
    assert inputs is not None and witness.step is not None
    place = [neuron.name for neuron in network.neurons].index(witness.layer)
    trace = sd.simulate(network, inputs, trace=True).trace
    assert trace is not None
    before, now = [network.neurons[place].initial_state, *trace[place].states[:, 0, witness.neuron]], witness.step
    return bool(trace[place].sums[now, 0, witness.neuron] == witness.synaptic_sum and before[now] == witness.state)


@pytest.mark.parametrize("encoding", ["direct", "sequence"])
def test_inputs_on_which_the_trained_model_differs(encoding: str) -> None:
    model, spec = on_the_edge(), sd.InputSpec((100,), encoding=encoding)  # type: ignore[arg-type]
    network = carried(model, spec, 6)
    found = network.certificate.witnesses
    at_risk = network.certificate.layers[0].at_risk
    assert len(found) == at_risk == 4 and all(one.differs and reaches(network, one) for one in found)
    assert found[0].told.endswith("reached at step 0, found in 8 tries; the trained model differs there")
    assert network.certificate.looked_for.endswith("inputs reach 4, and the trained model differs on 4 of them")
    assert [one.told for one in network.certificate.searched] == ["1: all of 4 combinations at risk looked for"]
    own = [found[0].sequence(spec, 6)] * 64
    batch = np.concatenate(own, axis=0 if encoding == "direct" else 1)  # type: ignore[arg-type]
    alone = sd.verify(network, model, found[0].sequence(spec, 6), executors=["torch"])  # type: ignore[arg-type]
    assert not (alone.agrees and sd.verify(network, model, batch, executors=["torch"]).agrees)


def test_what_was_not_looked_for_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches that end early, and sequences that are too long; the model is copied twice, whatever is looked for."""
    copies = []
    monkeypatch.setattr(witnesses, "deep_copy", lambda model: (copies.append(model), deep_copy(model))[1])
    network = carried(on_the_edge(20), sd.InputSpec((100,)), 3)
    (row,), (said,) = network.certificate.layers, network.certificate.searched
    assert len(network.certificate.witnesses) == said.looked_for == reaching.LOOKED_FOR < row.at_risk == said.at_risk
    assert said.told == f"1: 8 of {row.at_risk} combinations at risk looked for: a search ends after 8 of a layer"
    assert len(copies) <= 2
    monkeypatch.setattr(witnesses, "MAX_WITNESS_VALUES", 299)
    spec = sd.InputSpec((100,), encoding="sequence")
    long = carried(on_the_edge(3), spec, 3)
    assert not long.certificate.witnesses
    told = "1: none of 3 combinations at risk looked for: a sequence has 300 integers, and a search takes sequences of "
    assert [one.told for one in long.certificate.searched] == [told + "at most 299"]
    assert long.certificate.looked_for == "none of 3 combinations at risk were looked for"
    assert Certificate.from_dict(long.certificate.to_dict()) == long.certificate


def test_a_sequence_in_a_batch_is_judged_by_its_own_rows() -> None:
    """One that the model differs on stands beside one on which it does not."""
    model, spec = on_the_edge(), sd.InputSpec((100,))
    network = carried(model, spec, 3)
    differing, alike = network.certificate.witnesses[0].sequence(spec, 3), np.zeros((1, 100), dtype=np.int64)
    assert differing is not None
    trials = witnesses.Trials(network, model, Calling(looped=False))
    assert trials.differ([alike, differing, alike], 64) == [False, True, False]
    assert trials.differ([alike], 1) == [False]


def test_witnesses_of_later_layers_and_states() -> None:
    """Convolutions, states that are not rest, and layers whose inputs are spikes."""
    torch.manual_seed(1)
    first = QuantConv2d(1, 3, 3, weight_bit_width=6)
    second = QuantLinear(48, 6, bias=False, weight_bit_width=3)
    quantizer = StateQuantizer(np.array([0.0, 1.5], dtype=np.float32))
    with torch.no_grad():
        second.weight.copy_(torch.randint(-3, 4, (6, 48)) * float(quantizer.boundaries[0]) / 9)
    fine = state_quant(8, uniform=False)
    model = nn.Sequential(first, leaky(state_quant=fine), nn.Flatten(), second, leaky(state_quant=quantizer))
    network = carried(model, sd.InputSpec((1, 6, 6), 0, 255, 1 / 255, "sequence"), 5)
    found = [one for one in network.certificate.witnesses if one.step is not None]
    assert {one.layer for one in found} == {"1", "4"} and all(reaches(network, one) for one in found)
    assert any(one.state != network.neurons[0].initial_state for one in found)
    assert max(one.tries for one in found) > 8


def test_what_cannot_be_reached_and_what_was_not_found() -> None:
    """The same sum at every step never leads a neuron into most of its states; sums of few inputs are few."""
    from tests.test_lowering import unlucky

    model = nn.Sequential(unlucky(), leaky(state_quant=state_quant(8, uniform=False), beta=0.5))
    network = carried(model, sd.InputSpec((6,)), 5)
    told = [one.told for one in network.certificate.witnesses]
    assert told and all("it cannot be reached: this layer sees the same sum at every step" in text for text in told)
    example = network.certificate.layers[0].examples[0]
    every = np.stack(np.meshgrid(*[[0, 1]] * 6, indexing="ij"), axis=-1).reshape(-1, 6)
    (trace,) = sd.simulate(network, every, trace=True).trace or ()
    before = np.concatenate([np.full((1, 64, 4), network.neurons[0].initial_state), trace.states[:-1]])
    assert not ((trace.sums == example.synaptic_sum) & (before == example.state))[..., example.neuron].any()
    network = carried(model, sd.InputSpec((6,), encoding="sequence"), 5)
    assert any("no witness in" in one.told for one in network.certificate.witnesses)
    assert all(one.differs is None and one.sequence(network.input, 5) is None for one in network.certificate.witnesses)


def test_witnesses_are_kept_in_files(tmp_path: Path) -> None:
    model = on_the_edge(3)
    network = carried(model, sd.InputSpec((100,)), 4)
    sd.save(network, tmp_path / "n.safetensors")
    sd.emit_qonnx(network, tmp_path / "n.onnx")
    for loaded in (load(tmp_path / "n.safetensors"), sd.load(tmp_path / "n.onnx")):
        assert loaded.certificate == network.certificate and loaded.digest == network.digest
    bare = replace(network, certificate=replace(network.certificate, witnesses=(), searched=()))
    assert bare.digest == network.digest and not {"witnesses", "searched"} & set(bare.certificate.to_dict())
    assert Certificate.from_dict(bare.certificate.to_dict()) == bare.certificate  # as files of before
    broken = network.certificate.to_dict()
    broken["witnesses"][0]["tries"] = "many"
    with pytest.raises(FileFormatError, match="certificate: not of this form"):
        Certificate.from_dict(broken)
    sd.emit_hls(network, tmp_path / "hls")
    readme = (tmp_path / "hls" / "README.md").read_text()
    assert "NOT PROVEN in every layer, see manifest.json; of 3 combinations at risk 3 were looked for" in readme
    assert '"witnesses"' in (tmp_path / "hls" / "manifest.json").read_text()


def test_witnesses_on_the_command_line(work: Path) -> None:
    invoke("lower", "model.py:seeded", "--steps", 3, "--allow-unproven")
    told = invoke("certify", "network.safetensors", code=1)
    assert "tries" in told or "cannot be reached" in told
    lowered = document("lower", "model.py:seeded", "--steps", 3, "--allow-unproven")
    assert len(lowered["witnesses"]) >= 1  # type: ignore[arg-type]
    exact = document("lower", "model.py:seeded", "--steps", 3, "--exact")
    assert "witnesses" not in exact


def test_a_neuron_at_an_edge_stands_for_those_that_see_more() -> None:
    """An example names the first neuron of a table, here one whose own sums are small."""
    torch.manual_seed(0)
    quantizer = StateQuantizer(np.array([0.0, 1.5], dtype=np.float32))
    layer = QuantConv2d(1, 1, 3, padding=1, bias=False, weight_bit_width=4)
    with torch.no_grad():
        layer.weight.fill_(7 * float(quantizer.boundaries[0]) / 490)
    network = carried(nn.Sequential(layer, leaky(state_quant=quantizer, beta=0.5)), sd.InputSpec((1, 5, 5), 0, 15), 3)
    assert [one.neuron for one in network.certificate.layers[0].examples] == [0]
    (found,) = network.certificate.witnesses
    assert found.synaptic_sum == 490 and found.neuron > 0 and reaches(network, found)
    text = Ways(network, 0).why_not(network.certificate.layers[0].examples[0])
    assert text == "it cannot be reached: the sums of this neuron are 0..420"
