"""The grid of the inputs is stated, derived from data that the user gives, or refused; and told wherever it counts."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import snntorch as snn
import torch
from typer.testing import CliRunner

import squat_deploy as sd
from squat_deploy.cli.app import app
from squat_deploy.errors import ConfigError, SquatWarning
from squat_deploy.lowering import infer_input
from squat_deploy.network.grid import as_integers, doubts, grid_of, step_of
from squat_deploy.snn.checkpoint import save_model
from tests.test_cli import document, invoke
from tests.test_lowering import leaky, linear

MODELS = """
import snntorch as snn
import torch
from brevitas.nn import QuantLinear
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from torch import nn
from squat_deploy.snn.quantizers import InputQuantizer, state_quant

def linear(inputs, outputs):
    return QuantLinear(inputs, outputs, bias=False, weight_quant=Int8WeightPerTensorFixedPoint, weight_bit_width=4)

def leaky(hidden=True):
    return snn.Leaky(beta=0.9, init_hidden=hidden, state_quant=state_quant(4))

def plain():
    torch.manual_seed(1)
    model = nn.Sequential(linear(16, 12), leaky(), linear(12, 4), leaky())
    for layer in (0, 2):
        model[layer].weight.data.abs_()
    return model

def gridded():
    return nn.Sequential(InputQuantizer(2.0**-4, 0, 15), *plain())

def random():
    return nn.Sequential(linear(16, 12), leaky())

def silent():
    torch.manual_seed(1)
    model = nn.Sequential(linear(16, 12), leaky())
    model[0].weight.data.abs_().neg_()
    return model

class Looped(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.lif = linear(16, 4), leaky(False)

    def forward(self, x):
        mem, out = self.lif.init_leaky(), []
        for step in range(5):
            spk, mem = self.lif(self.fc(x[step]), mem)
            out.append(spk)
        return torch.stack(out)

class Any(Looped):
    def forward(self, x):
        mem, out = self.lif.init_leaky(), []
        for step in range(x.shape[0]):
            spk, mem = self.lif(self.fc(x[step]), mem)
            out.append(spk)
        return torch.stack(out)

class Still(Looped):
    def forward(self, x):
        mem, out = self.lif.init_leaky(), []
        for step in range(5):
            spk, mem = self.lif(self.fc(x.flatten(1)), mem)
            out.append(spk)
        return torch.stack(out)

class Unused(Still):
    def __init__(self):
        super().__init__()
        self.quantizer = InputQuantizer(2.0**-4, 0, 15)

class Used(Unused):
    def forward(self, x):
        return super().forward(self.quantizer(x))

def unused():
    return seeded(Unused)

def used():
    return seeded(Used)

def seeded(kind):
    torch.manual_seed(1)
    return kind()

def looped():
    return seeded(Looped)

def any_steps():
    return seeded(Any)

def still():
    return seeded(Still)
"""
FLOAT = """
import snntorch as snn
import torch
from torch import nn

def factory():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(16, 8), snn.Leaky(beta=0.9, init_hidden=True), nn.Linear(8, 3), snn.Leaky(beta=0.9, init_hidden=True)
    )
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(MODELS)
    (tmp_path / "float.py").write_text(FLOAT)
    return tmp_path


def pixels(count: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 16)).astype(np.uint8)


# ---- stated, derived, refused


@pytest.mark.parametrize("command", ["lower", "check"])
def test_a_grid_that_nobody_stated_is_refused(command: str, work: Path) -> None:
    text = str(document(command, "net.py:plain", "--steps", 4, code=1)["error"])
    assert text.startswith("inputs: the model has no InputQuantizer, and nobody said which integers enter it")
    assert all(way in text for way in ("--high 1 for spikes", "--high 255 --input-step 1/256", "--calibration"))
    for ways in (("--high", 1), ("--high", 255, "--step", "1/256")):
        invoke(command, "net.py:plain", "--steps", 4, *ways)
    assert "nobody said" in invoke(command, "net.py:plain", "--steps", 4, "--step", "1/256", code=1)
    invoke(command, "net.py:gridded", "--steps", 4)
    with pytest.raises(ConfigError, match="a grid is never assumed"):
        infer_input(torch.nn.Sequential(linear(), leaky()), None, None, None, None, "direct")


def test_a_quantizer_that_is_never_called_states_nothing(work: Path) -> None:
    assert "never calls it" in invoke("lower", "net.py:unused", "--steps", 5, code=1)
    assert document("lower", "net.py:used", "--steps", 5)["input"]["high"] == 15  # type: ignore[index]
    invoke("lower", "net.py:unused", "--steps", 5, "--high", 1)


@pytest.mark.parametrize("text", ["1/256", "2^-8", "2**-8", "0.00390625", " 1/256 "])
def test_steps_as_people_write_them(text: str) -> None:
    assert step_of(text) == 2.0**-8


@pytest.mark.parametrize(
    "text", ["", "x", "1/0", "-1/4", "0", "nan", "inf", "2^", "1/256/2", "1e999999999", "1e-999999999"]
)
def test_steps_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--input-step: "):
        step_of(text)


GRIDS = {
    "spikes": (np.array([0.0, 1.0]), (0, 1, 1.0)),
    "booleans": (np.array([True, False]), (0, 1, 1.0)),
    "integers": (np.array([3, 200], dtype=np.uint8), (0, 200, 1.0)),
    "signed": (np.array([-3, 2]), (-3, 2, 1.0)),
    "halves": (np.array([-0.5, 1.5], dtype=np.float32), (-1, 3, 0.5)),
    "sixteenths": (np.arange(16) / 16, (0, 15, 2.0**-4)),
    "pixels": ((np.arange(256) / np.float32(255)).astype(np.float32), (0, 255, 1 / 255)),
    "pixels in float64": (np.arange(256) / 255, (0, 255, 1 / 255)),
}


@pytest.mark.parametrize("kind", GRIDS)
def test_grids_of_data(kind: str) -> None:
    data, want = GRIDS[kind]
    assert grid_of(data) == want
    low, high, step = want
    spec = sd.InputSpec((1,), low, high, step)
    assert np.allclose(spec.quantize(data) * step, data.astype(float), rtol=1e-6)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.random.default_rng(0).random(50), "lie on no grid"),
        (np.array([0.0, np.nan]), "expected finite numbers"),
        (np.array(["a"]), "expected finite numbers"),
        (np.zeros(0), "expected finite numbers"),
        (np.array([0, 70_000]), "within 16 bits"),
        (np.array([0.0, 2.0**-16, 4.0]), "within 16 bits"),
    ],
)
def test_data_on_no_grid(data: np.ndarray, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        grid_of(data)


def test_calibration_says_the_grid_and_the_shape(work: Path) -> None:
    np.save("x.npy", pixels() / np.float32(256))
    made = document("lower", "net.py:plain", "--steps", 4, "--calibration", "x.npy")
    top = int(pixels().max())
    assert made["input"] == {"shape": [16], "low": 0, "high": top, "step": 2.0**-8, "encoding": "direct"}
    assert made["origin"]["lowest"] == 0 and made["origin"]["highest"] == top  # type: ignore[index]
    np.save("r.npy", np.random.default_rng(0).random((3, 16)))
    for arguments, message in (
        (("--calibration", "r.npy"), "put an InputQuantizer in front of the model"),
        (("--calibration", "x.npy", "--high", "3"), "inputs: --calibration says the grid; leave out --low, --high and"),
    ):
        assert message in invoke("lower", "net.py:plain", "--steps", 4, *arguments, code=1)
    np.save("s.npy", np.zeros((5, 2, 16)))
    made = document("lower", "net.py:looped", "--steps", 5, "--calibration", "s.npy", "--encoding", "sequence")
    assert made["input"] == {"shape": [16], "low": 0, "high": 1, "step": 1.0, "encoding": "sequence"}


def test_a_step_that_is_no_power_of_two_is_named(work: Path) -> None:
    """Weights are what they should be; `check` and `lower` agree on the exit code, and `--allow-unproven`."""
    given = ("net.py:plain", "--steps", 4, "--high", 255, "--step", "0.00392156862")
    rows = document("check", *given, code=1)["layers"]
    hints = [row["hint"] for row in rows if row["verdict"] == "not proven"]  # type: ignore[union-attr, index]
    assert len(hints) == 1 and hints[0].startswith("make the step of the inputs a power of two: it is 0.00392156862")
    assert "--input-step 2**-8" in hints[0] and "weight scales" not in hints[0]
    assert hints[0] in str(document("lower", *given, code=1)["error"])
    for command in ("check", "lower"):
        assert document(command, *given, "--allow-unproven")["ok"] is True
        assert document(command, *given[:-1], "2**-8", *(("--overwrite",) * (command == "lower")))["ok"] is True


# ---- told everywhere


def test_the_grid_stands_in_every_table_and_file(work: Path) -> None:
    grid, words = (
        {"shape": [16], "low": 0, "high": 15, "step": 2.0**-4, "encoding": "direct"},
        "16 integers 0..15, each",
    )
    np.save("x.npy", np.arange(32).reshape(2, 16) % 16)
    commands = [
        ("lower", "net.py:gridded", "--steps", 4),
        ("check", "net.py:gridded", "--steps", 4),
        ("certify", "network.safetensors", "--out", "c.json"),
        ("simulate", "network.safetensors", "--inputs", "x.npy"),
        ("verify", "network.safetensors", "--executor", "numpy"),
        ("hls", "network.safetensors", "--inputs", "x.npy"),
        ("qonnx", "network.safetensors"),
    ]
    for command in commands:
        assert f"inputs: {words} worth 0.0625, the same at every step" in " ".join(invoke(*command).split())
        assert document(*command)["input"] == grid
    assert json.loads((work / "c.json").read_text())["input"] == grid


def test_what_it_was_run_on_is_said(work: Path) -> None:
    invoke("lower", "net.py:gridded", "--steps", 4)
    np.save("x.npy", np.arange(32).reshape(2, 16) % 16)
    for arguments, words in ((("--samples", 9), "9 random sequences"), (("--inputs", "x.npy"), "2 given sequences")):
        for command in (("simulate",), ("verify", "--executor", "numpy")):
            assert document(command[0], "network.safetensors", *command[1:], *arguments)["inputs"] == words
            assert words in invoke(command[0], "network.safetensors", *command[1:], *arguments)


# ---- what users have


def test_real_inputs_are_rounded_on_the_networks_own_grid(work: Path) -> None:
    invoke("lower", "net.py:gridded", "--steps", 4)
    real = np.random.default_rng(1).random((30, 16)).astype(np.float32)
    real[0, :3] = 1.0, 40.0, -2.0
    np.save("real.npy", real)
    np.save("whole.npy", np.clip(np.rint(real * 16), 0, 15).astype(int))
    want = document("simulate", "network.safetensors", "--inputs", "whole.npy")
    found = document("simulate", "network.safetensors", "--inputs", "real.npy", "--real")
    assert found["scores"] == want["scores"]
    over = int((np.rint(real * 16) > 15).sum() + (real < 0).sum())
    assert found["notes"] == [f"inputs: real values rounded to the grid; {over} of 480 clipped"]
    assert document("verify", "network.safetensors", "--inputs", "real.npy", "--real", "--executor", "numpy")["agrees"]
    assert document("hls", "network.safetensors", "--inputs", "real.npy", "--real")["notes"] == found["notes"]
    text = invoke("simulate", "network.safetensors", "--inputs", "real.npy", code=1)
    assert "the grid is 16 integers 0..15, each worth 0.0625" in text and "--real" in text
    assert "give --inputs" in invoke("simulate", "network.safetensors", "--real", code=1)


def test_pixels_that_are_no_integers_of_the_grid(work: Path) -> None:
    invoke("lower", "net.py:gridded", "--steps", 4)
    np.save("u8.npy", pixels())
    text = invoke("simulate", "network.safetensors", "--inputs", "u8.npy", code=1)
    assert "must lie in 0..15" in text and "look like 8-bit pixels" in text and "--real" in text
    told = document("simulate", "network.safetensors", "--inputs", "u8.npy", "--real")["warnings"]
    assert "of them lie beyond 0..0.9375, all that the grid holds" in str(told)


def test_floats_that_may_be_integers_of_the_grid_or_real_values() -> None:
    """A black and white picture: 1.0 is the code 1, or the value that the code 255 stands for."""
    spec, picture = sd.InputSpec((2,), 0, 255, 1 / 255), np.array([[0.0, 1.0]])
    with pytest.raises(
        ConfigError, match=r"may be integers worth 0.00392156863 each, or real values: give integers of"
    ):
        as_integers(spec, picture, real=False)
    assert as_integers(spec, picture.astype(int), real=False)[0].tolist() == [[0, 1]]
    assert as_integers(spec, picture, real=True)[0].tolist() == [[0, 255]]


def test_floats_that_hold_integers() -> None:
    spec = sd.InputSpec((2,), 0, 15, 2.0**-4)
    made, told, doubtful = as_integers(spec, np.array([[0.0, 15.0]]), real=False)
    assert made.dtype.kind == "i" and made.tolist() == [[0, 15]]
    assert "all of them integers" in told[0] and "give --real if they are real values" in doubtful[0]
    assert as_integers(sd.InputSpec((2,)), np.array([[0.0, 1.0]]), real=False)[2] == []
    for bad, message in ((0.51, "values that are none"), (np.nan, "values that are none"), (16.0, "must lie in 0..15")):
        with pytest.raises(ConfigError, match=message):
            as_integers(spec, np.array([[0.0, bad]]), real=False)
    with pytest.raises(ConfigError, match="expected real numbers"):
        as_integers(spec, np.array([["a"]]), real=True)


def test_inputs_that_use_a_small_part_of_the_range(small: sd.Network) -> None:
    wide = sd.Network(sd.InputSpec((16,), 0, 255, 2.0**-7), small.layers, small.steps)
    assert "they use 0..15 of 0..255 only" in doubts(wide, np.arange(320).reshape(-1, 16) % 16)[0]
    assert doubts(wide, np.arange(320).reshape(-1, 16) % 200) == ()
    assert doubts(wide, np.zeros((1, 16), dtype=int)) == ()  # too few to tell
    assert "0..0 of 0..15" in sd.verify(small, None, np.zeros((20, 16), int), executors=("numpy",)).warnings[0]


def test_inputs_of_another_unit_than_those_of_the_calibration(work: Path) -> None:
    """Floats 0..1 make a grid of 1/128: pixels and 4-bit integers both lie in it, and are told apart."""
    np.save("real.npy", pixels() / np.float32(255))
    given = ("quantize", "float.py:factory", "--steps", 5, "--calibration", "real.npy")
    made = document(*given)
    assert made["input"]["step"] == 2.0**-7 and made["origin"]["highest"] == 128  # type: ignore[index]
    assert "each worth 0.0078125" in " ".join(invoke(*given).split())
    for data, doubtful in ((pixels(), True), (pixels() // 16, True), (pixels() // 2, False)):
        np.save("x.npy", data)
        for command in (("simulate",), ("verify", "--executor", "numpy")):
            told = document(command[0], "network.safetensors", *command[1:], "--inputs", "x.npy")["warnings"]
            assert any("those of the calibration lay in 0..128" in text for text in told) is doubtful  # type: ignore[union-attr]
    told = document("simulate", "network.safetensors", "--inputs", "real.npy", "--real")
    assert not any(text.startswith("inputs: ") for text in told["warnings"])  # type: ignore[union-attr]


# ---- models


@pytest.mark.parametrize(("factory", "steps"), [("looped", 5), ("any_steps", 3), ("any_steps", 5)])
def test_a_model_of_sequences_with_direct_inputs_says_so(factory: str, steps: int, work: Path) -> None:
    for command in ("lower", "check"):
        text = invoke(command, f"net.py:{factory}", "--steps", steps, "--high", 1, code=1).replace("\n", " ")
        assert "--encoding sequence" in " ".join(text.split())
    invoke("lower", f"net.py:{factory}", "--steps", steps, "--high", 1, "--encoding", "sequence")


def test_a_model_of_direct_inputs_with_sequences_says_so(work: Path) -> None:
    text = invoke("lower", "net.py:still", "--steps", 5, "--high", 1, "--encoding", "sequence", code=1)
    assert "--encoding direct" in text
    invoke("lower", "net.py:still", "--steps", 5, "--high", 1)


def test_whose_weights_these_are(work: Path) -> None:
    given = ("lower", "net.py:random", "--steps", 3, "--high", 1, "--overwrite")
    made = document(*given)
    assert made["weights"] == "weights: those that random() made (no --checkpoint)"
    assert made["warnings"][0].startswith("random weights: random() makes new ones")  # type: ignore[index]
    assert "warning: random weights" in invoke(*given) and "(no --checkpoint)" in invoke(*given)
    made = document("lower", "net.py:plain", "--steps", 3, "--high", 1, "--overwrite")
    assert made["weights"] == "weights: those that plain() made (no --checkpoint)" and made["warnings"] == []


def test_verify_says_first_that_the_model_is_another(work: Path) -> None:
    from squat_deploy.lowering import load_model

    save_model(load_model("net.py:gridded", None), work / "w.safetensors")
    other = load_model("net.py:gridded", None)
    other.get_parameter("1.weight").data.mul_(0.5)
    save_model(other, work / "other.safetensors")
    invoke("lower", "net.py:gridded", "--checkpoint", "other.safetensors", "--steps", 4)
    given = ("verify", "network.safetensors", "--model", "net.py:gridded", "--executor", "torch")
    text = invoke(*given, code=1)
    assert text.startswith("warning: this is another model: ") and "was a checkpoint left out (--checkpoint)" in text
    assert "this is another model" in document(*given, "--checkpoint", "w.safetensors", code=1)["warnings"][0]  # type: ignore[index]
    assert document(*given, "--checkpoint", "other.safetensors")["warnings"] == []


WRAPPED = """
import torch
from collections import OrderedDict
from torch import nn
import snntorch as snn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(16, 20), snn.Leaky(beta=0.9)
        self.fc2, self.lif2 = nn.Linear(20, 4), snn.Leaky(beta=0.9)

    def forward(self, x):
        mem1, mem2, out = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for step in range(5):
            spk1, mem1 = self.lif1(self.fc1(x), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            out.append(spk2)
        return torch.stack(out)

def looped():
    return Net()

def named():
    leaky = lambda: snn.Leaky(beta=0.9, init_hidden=True)
    return nn.Sequential(OrderedDict(a=nn.Linear(16, 8), b=leaky(), c=nn.Linear(8, 3), d=leaky()))
"""


@pytest.mark.parametrize("factory", ["looped", "named"])
@pytest.mark.parametrize("whole", [False, True])
def test_the_quantized_model_is_saved_and_is_the_one_that_was_lowered(factory: str, whole: bool, work: Path) -> None:
    """A checkpoint for the factory of the float model, whose own weights are random; inputs on a grid or integers."""
    (work / "float.py").write_text(WRAPPED)
    np.save("x.npy", pixels() // 128 if whole else pixels() / np.float32(255))
    made = document("quantize", f"float.py:{factory}", "--steps", 5, "--calibration", "x.npy", "--weight-bits", 5)
    assert made["model"] == "network.model.safetensors"
    given = ("verify", "network.safetensors", "--model", f"float.py:{factory}", "--executor", "torch")
    found = document(*given, "--checkpoint", "network.model.safetensors", "--inputs", "x.npy", "--real")
    assert found["agrees"] is True and not any("another" in text for text in found["warnings"])  # type: ignore[union-attr]
    text = invoke(*given, code=1)
    assert text.startswith("warning: this is another model") and "*.model.safetensors" in text
    again = (
        "lower",
        f"float.py:{factory}",
        "--checkpoint",
        "network.model.safetensors",
        "--steps",
        5,
        "--out",
        "n.safetensors",
    )
    assert document(*again, *(("--high", made["input"]["high"]) if whole else ()))["digest"] == made["digest"]  # type: ignore[index]


def test_recipes_that_do_not_fit(work: Path) -> None:
    (work / "float.py").write_text(WRAPPED)
    np.save("x.npy", pixels() / np.float32(255))
    invoke("quantize", "float.py:looped", "--steps", 5, "--calibration", "x.npy")
    given = ("lower", "float.py:named", "--steps", 5, "--out", "n.safetensors", "--checkpoint")
    assert "fc1 is no float layer of this model" in invoke(*given, "network.model.safetensors", code=1)
    for recipe, message in (
        ({"weight_bits": {"a": 99}, "state_bits": {}, "grid": None}, "a: weights have 2 to 8 bits; got 99"),
        ({"weight_bits": {}, "state_bits": {"a": 3}, "grid": None}, "a are no float neurons of this model"),
        ({"weight_bits": {}, "state_bits": {"b": 99}, "grid": None}, "1 to 8"),
        ({"weight_bits": {}, "state_bits": {}, "grid": [0.3, 0, 1]}, "must be a power of two"),
        ({"weight_bits": {}, "state_bits": {}, "grid": ["x", 0, 1]}, "quantized: "),
        ({}, "quantized: "),
    ):
        save_model(torch.nn.Linear(1, 1), work / "bad.safetensors", {"quantized": recipe})
        assert message in invoke(*given, "bad.safetensors", code=1)


def test_a_quantized_layer_that_went_silent_is_told() -> None:
    """Its weights are too small for the grid of one outlier; a readout without reset may be silent."""
    torch.manual_seed(0)
    layers = [torch.nn.Linear(12, 6, bias=False), snn.Leaky(beta=0.9, init_hidden=True)]
    layers += [torch.nn.Linear(6, 2), snn.Leaky(beta=0.9, init_hidden=True, threshold=50.0, reset_mechanism="none")]
    model = torch.nn.Sequential(*layers)
    model[0].weight.data = torch.full((6, 12), 0.1)  # type: ignore[operator]
    data = torch.ones(20, 12) / 2
    sd.quantize(model, data, steps=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SquatWarning)
        sd.quantize(model, data, steps=5)
    model[0].weight.data[:, 0] = -30.0  # type: ignore[index, operator]
    with pytest.warns(SquatWarning, match=r"^\d: none of its neurons fires on the first 20 calibration inputs"):
        sd.quantize(model, torch.cat([data[:, :1] * 0, data[:, 1:]], dim=1), steps=5)


def test_silent_layers_are_warned_of_by_every_command(work: Path) -> None:
    warning = "1: none of its 12 neurons can ever fire"
    given = ("net.py:silent", "--steps", 3, "--high", 1)
    commands = [
        ("lower", *given),
        ("check", *given),
        ("certify", "network.safetensors"),
        ("simulate", "network.safetensors"),
        ("verify", "network.safetensors", "--model", "net.py:silent", "--executor", "torch"),
    ]
    for command in commands:
        assert document(*command)["warnings"][0].startswith(warning)  # type: ignore[index]
        assert f"warning: {warning}" in invoke(*command)
    invoke("lower", *given, "--readout", "last-membrane")
    assert document("certify", "network.safetensors")["warnings"] == []


def test_files_in_the_way(work: Path) -> None:
    """A network of the same file of the user's is replaced; anything else only if that is said."""
    given = ("lower", "net.py:plain", "--steps", 3, "--high", 1)
    invoke(*given)
    invoke("lower", "net.py:gridded", "--steps", 3)
    (work / "other.py").write_text(MODELS)
    elsewhere = ("lower", "other.py:plain", "--steps", 3, "--high", 1)
    before = (work / "network.safetensors").read_bytes()
    text = invoke(*elsewhere, code=1)
    assert "network.safetensors exists and is a network that was made from net.py:gridded" in text
    np.save("x.npy", pixels() / np.float32(255))
    quantized = ("quantize", "float.py:factory", "--steps", 3, "--calibration", "x.npy")
    assert "give --overwrite" in invoke(*quantized, code=1)
    assert (work / "network.safetensors").read_bytes() == before
    invoke(*elsewhere, "--overwrite")
    assert sd.load(work / "network.safetensors").origin.source == "other.py:plain"
    (work / "network.safetensors").write_text("my notes")
    assert "exists and is no network of squat_deploy" in invoke(*given, code=1)
    assert (work / "network.safetensors").read_text() == "my notes"
    invoke(*quantized, "--overwrite")
    made = sd.load(work / "network.safetensors")
    assert made.origin.source == "float.py:factory"
    (work / "new.model.safetensors").write_text("mine")
    text = invoke(*quantized, "--out", "new.safetensors", code=1)
    assert "new.model.safetensors exists and is no model that quantize made from float.py:factory" in text
    assert not (work / "new.safetensors").exists() and (work / "new.model.safetensors").read_text() == "mine"
    sd.save(sd.Network(made.input, made.layers, made.steps, made.certificate), work / "network.safetensors")
    assert "a network that names no model" in invoke(*given, code=1)


def test_the_second_file_of_quantize_is_none_that_it_reads(work: Path) -> None:
    """Not even with --overwrite: a float checkpoint may well be called NAME.model.safetensors."""
    np.save("x.npy", pixels() / np.float32(255))
    shutil.copy("x.npy", "net.model.safetensors")
    quantized = ("quantize", "float.py:factory", "--steps", 3, "--out", "net.safetensors", "--overwrite")
    for option in (
        ("--checkpoint", "net.model.safetensors", "--calibration", "x.npy"),
        ("--calibration", "net.model.safetensors"),
    ):
        text = invoke(*quantized, *option, code=1)
        assert f"net.model.safetensors is also what {option[0]} reads" in text
    assert Path("net.model.safetensors").read_bytes() == Path("x.npy").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--steps", 0), "steps must be 1 to 65535; got 0"),
        (("--steps", 99_999_999), "steps must be 1 to 65535; got 99999999"),
        (("--steps", 3, "--out", ""), "it is a folder; name a file"),
        (("--steps", 3, "--out", "/"), "it is a folder; name a file"),
        (("--steps", 3, "--labels", "y.npy"), "labels must be integers; got float64"),
    ],
)
def test_what_quantize_cannot_do_is_said(options: tuple[object, ...], message: str, work: Path) -> None:
    np.save("x.npy", pixels() / np.float32(255))
    np.save("y.npy", np.full(len(pixels()), np.nan))
    assert message in invoke("quantize", "float.py:factory", "--calibration", "x.npy", *options, code=1)


@pytest.mark.parametrize("answer", ["y", "n"])
def test_people_are_asked(answer: str, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "network.safetensors").write_text("my notes")
    monkeypatch.setattr("squat_deploy.cli.targets._is_terminal", lambda: True)
    given = ["lower", "net.py:plain", "--steps", "3", "--high", "1"]
    done = CliRunner().invoke(app, given, input=f"{answer}\n")
    assert "network.safetensors is no network of squat_deploy; replace it? [y/N]" in done.output
    kept = (work / "network.safetensors").read_bytes() == b"my notes"
    assert kept is (answer == "n") and done.exit_code == kept
    again = CliRunner().invoke(app, [*given, "--json"])  # nobody to ask
    assert again.exit_code == kept and ("error" in json.loads(again.stdout)) is kept
