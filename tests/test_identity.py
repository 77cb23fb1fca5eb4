"""Which model is this? The same in every process, and another where anything that counts is another."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import snntorch as snn
import torch
from brevitas.nn import QuantLinear
from brevitas.quant import Int8WeightPerChannelFloat, Int8WeightPerTensorFloat
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint, Int8WeightPerTensorFixedPointMSE
from safetensors import safe_open
from safetensors.numpy import save_file
from snntorch.functional import quant
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import FileFormatError, SquatWarning
from squat_deploy.lowering import load_model
from squat_deploy.network.origin import Origin
from squat_deploy.snn.checkpoint import load_weights, save_model
from squat_deploy.snn.identity import model_digest
from squat_deploy.snn.quantizers import InputQuantizer, state_quant
from tests.conftest import ROOT

QUANTIZERS = {
    "fixed point": Int8WeightPerTensorFixedPoint,
    "least squares": Int8WeightPerTensorFixedPointMSE,
    "float": Int8WeightPerTensorFloat,
    "per channel": Int8WeightPerChannelFloat,
}


def made(quantizer: object = Int8WeightPerTensorFixedPoint, *, bits: int = 4, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    options = {"weight_quant": quantizer, "weight_bit_width": bits, "bias": False}
    return nn.Sequential(
        InputQuantizer(2.0**-4, 0, 15),
        QuantLinear(6, 4, **options), nn.BatchNorm1d(4),
        snn.Leaky(beta=0.9, init_hidden=True, state_quant=state_quant(3)),
        QuantLinear(4, 3, **options), snn.Leaky(beta=0.9, init_hidden=True, state_quant=quant.state_quant(3)),
    ).eval()  # fmt: skip


@pytest.mark.parametrize("kind", QUANTIZERS)
def test_what_changes_nothing(kind: str, tmp_path: Path) -> None:
    """Runs, modes, a copy through a checkpoint into a fresh model: it stays the same."""
    model = made(QUANTIZERS[kind])
    want = model_digest(model)
    model(torch.rand(5, 6))  # leaves membranes behind
    assert model_digest(model) == model_digest(model.train()) == want
    save_model(model, tmp_path / "m.safetensors")
    other = made(QUANTIZERS[kind], seed=7)
    assert model_digest(other) != want
    load_weights(other, tmp_path / "m.safetensors")
    assert model_digest(other) == want


CHANGES = {
    "a weight": lambda model: model[1].weight.data[0, 0].add_(1),
    "a norm": lambda model: model[2].running_mean[0].add_(0.5),
    "a beta": lambda model: model[3].beta.fill_(0.5),
    "a level": lambda model: model[3].state_quant.take(np.linspace(-1, 2, 8, dtype=np.float32)),
    "levels in a closure": lambda model: setattr(model[5], "state_quant", quant.state_quant(3, upper_limit=0.3)),
    "the grid": lambda model: setattr(model[0], "high", 7),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_counts(what: str) -> None:
    model = made()
    want = model_digest(model)
    CHANGES[what](model)
    assert model_digest(model) != want


def test_widths_count_though_weights_are_the_same() -> None:
    assert torch.equal(made().get_parameter("1.weight"), made(bits=3).get_parameter("1.weight"))
    assert model_digest(made()) != model_digest(made(bits=3))


def test_another_process_finds_the_same() -> None:
    script = (
        "from tests.test_identity import made; from squat_deploy.snn.identity import model_digest as d;"
        "import torch; m = made(); m(torch.rand(3, 6)); print(d(m))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == model_digest(made())


def test_the_network_says_which_model_it_is_and_verify_which_it_is_not(tmp_path: Path) -> None:
    model, spec = made(), sd.InputSpec((6,), 0, 15, 2.0**-4)
    network = sd.lower(model, spec, 4)
    assert network.origin.model == model_digest(model)
    inputs = np.random.default_rng(0).integers(0, 16, (6, 6))
    told = sd.verify(network, model, inputs, executors=("torch",))
    assert told.agrees and not any("another model" in text for text in told.warnings)
    told = sd.verify(network, made(seed=1), inputs, executors=("torch",))
    assert not told.agrees and told.warnings[0].startswith("this is another model: its weights and levels (digest ")
    assert model_digest(made(seed=1))[:12] in told.warnings[0] and network.origin.model[:12] in told.warnings[0]


def test_claims_are_kept_and_no_part_of_the_digest(small: sd.Network, tmp_path: Path) -> None:
    claim = Origin(small.origin.model, "net.py:factory", 0, 12)
    network = dataclasses.replace(small, origin=claim)
    assert network.digest == small.digest
    sd.save(network, tmp_path / "n.safetensors")
    assert sd.load(tmp_path / "n.safetensors").origin == claim
    pytest.importorskip("onnx")
    from squat_deploy.backends.qonnx import write_model

    write_model(sd.emit_qonnx(network), tmp_path / "n.onnx")
    assert sd.load(tmp_path / "n.onnx").origin == claim


def rewritten(path: Path, origin: object) -> Path:
    with safe_open(path, framework="numpy") as file:
        document = json.loads(file.metadata()["squat_deploy.network"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    document = {key: value for key, value in document.items() if key != "origin"}
    document |= {} if origin is None else {"origin": origin}
    save_file(tensors, path, {"squat_deploy.network": json.dumps(document)})
    return path


def test_files_of_before_say_nothing_and_wrong_claims_are_refused(small: sd.Network, tmp_path: Path) -> None:
    sd.save(small, tmp_path / "n.safetensors")
    assert sd.load(rewritten(tmp_path / "n.safetensors", None)).origin == Origin()
    for claim in (3, {"model": "x"}, {"who": 1}, {"source": "a\nb"}, {"lowest": 2**40}, {"lowest": True}, {"model": 5}):
        with pytest.raises(FileFormatError, match="origin: "):
            sd.load(rewritten(tmp_path / "n.safetensors", claim))


FACTORIES = """
import torch
from torch import nn

def random():
    return nn.Linear(3, 3)

def fixed():
    torch.manual_seed(0)
    return nn.Linear(3, 3)

one = nn.Linear(3, 3)

def same():
    return one

calls = []

def once():
    calls.append(1)
    assert len(calls) == 1
    return nn.Linear(3, 3)
"""


def test_random_weights_are_told(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    (tmp_path / "net.py").write_text(FACTORIES)
    state = torch.get_rng_state()
    with pytest.warns(SquatWarning, match=r"^random weights: random\(\) makes new ones each time it is called"):
        first = load_model(f"{tmp_path}/net.py:random", None, trained=True)
    torch.set_rng_state(state)
    assert model_digest(load_model(f"{tmp_path}/net.py:random", None)) == model_digest(first)
    save_model(first, tmp_path / "w.safetensors")
    recwarn.clear()
    load_model(f"{tmp_path}/net.py:random", tmp_path / "w.safetensors", trained=True)
    for name in ("fixed", "same", "once"):
        load_model(f"{tmp_path}/net.py:{name}", None, trained=True)
    assert not [entry for entry in recwarn if issubclass(entry.category, SquatWarning)]
