"""Errors that no other test causes, each with what it says; one row a rule."""

from __future__ import annotations

import fcntl
import os
import re
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from brevitas.nn import QuantLinear
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from brevitas.quant.scaled_int import Int8WeightPerTensorFloat
from torch import nn

import squat_deploy as sd
from squat_deploy import toolchain
from squat_deploy.backends.qonnx import document
from squat_deploy.engines.csim import parse_testbench
from squat_deploy.errors import (
    ConfigError,
    DatasetError,
    ExportError,
    FileFormatError,
    LoweringError,
    SquatError,
    ToolError,
)
from squat_deploy.files import make_folder, write_folder
from squat_deploy.hardware.design import design_of
from squat_deploy.lab.datasets import read_idx
from squat_deploy.lab.events import Events, read_nmnist
from squat_deploy.lab.models import dense_lif_net
from squat_deploy.lowering.loading import infer_input, load_model
from squat_deploy.network.encoders import EventEncoder, RateEncoder
from squat_deploy.network.grid import as_integers, grid_of, step_of
from squat_deploy.network.layers.add import Add
from squat_deploy.network.layers.concat import Concat
from squat_deploy.network.layers.pool2d import Pool2d
from squat_deploy.readers.nir.model import NirOptions
from squat_deploy.snn.checkpoint import load_weights, save_model
from squat_deploy.snn.fitting import membrane_histogram
from squat_deploy.snn.levels import check_levels, level_table
from squat_deploy.snn.ptq import calibrated
from tests.test_effects import SPEC, STEPS, Looped, OwnMode
from tests.test_files import NEW, OLD, with_manifest
from tests.test_models import FLAT, PLANES, conv, leaky, linear
from tests.test_nir_files import write

ZEROS = np.zeros(3, dtype=np.int64)


def events(**changes: object) -> Events:
    """Two recordings: two events and one."""
    made: dict[str, Any] = {"times": ZEROS, "addresses": ZEROS, "offsets": np.array([0, 2, 3]), "shape": (2,)}
    made |= {"labels": np.array([0, 1]), "is_test": np.array([False, True])}
    return Events(**{**made, **changes})


def packed(path: Path) -> Path:
    with zipfile.ZipFile(path / "m.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.pkl", bytes(10_000))
    return path / "m.pt"


def pickled(path: Path) -> Path:
    torch.save(path, path / "m.pt")
    return path / "m.pt"


def unequal(path: Path) -> Path:
    arrays = {key: np.zeros(2, dtype=np.int64) for key in ("x", "y", "p", "offsets", "labels", "is_test")}
    np.savez(path / "n.npz", t=ZEROS, **arrays)
    return path / "n.npz"


def uncopied() -> nn.Module:
    model = dense_lif_net((6, 3))
    model.numbers = (number for number in range(3))
    return model


def exported(path: Path, change: Callable[[Path], object]) -> None:
    """An export over a project that was changed."""
    write_folder(path / "p", with_manifest(OLD))
    change(path / "p")
    write_folder(path / "p", with_manifest(NEW))


def factory(path: Path) -> str:
    (path / "model.py").write_text("from torch import nn\ndef f():\n    return nn.Linear(2, 1)\n")
    return f"{path}/model.py:f"


def saved(path: Path) -> Path:
    save_model(nn.Linear(2, 1), path / "m.safetensors", {"quantized": {"state_bits": "many"}})
    return path / "m.safetensors"


Case = tuple[type[SquatError], str, Callable[[sd.Network, Path], object]]
CASES: dict[str, Case] = {
    "testbench": (
        ToolError,
        "the testbench did not finish:\n    Segmentation fault",
        lambda net, path: parse_testbench("Segmentation fault\n"),
    ),
    "exit code": (
        ToolError,
        "exit code 3: sh -c echo why >&2; exit 3  (in {path})\n    why",
        lambda net, path: toolchain.run(["sh", "-c", "echo why >&2; exit 3"], path),
    ),
    "no end": (
        ToolError,
        "no end after 0 s: sleep 9  (in {path})",
        lambda net, path: toolchain.run(["sleep", "9"], path, timeout_s=0.01),
    ),
    "wide input": (
        ExportError,
        "inputs: at most 65535 a time step; got 65536",
        lambda net, path: design_of(replace(net, input=sd.InputSpec((2**16,))), sd.HlsConfig()),
    ),
    "rates": (
        ConfigError,
        "rate coding: 65536 steps of 65536 inputs; at most 134217728 numbers in all",
        lambda net, path: RateEncoder().thresholds(2**16, 2**16),
    ),
    "intensities": (
        ConfigError,
        "intensities: expected integers (B, *shape); got float64 of shape (1, 4)",
        lambda net, path: RateEncoder()(np.ones((1, 4)), 5),
    ),
    "addresses": (
        ConfigError,
        "events: one time an address; got shapes (3,) and (2,)",
        lambda net, path: EventEncoder(window=5)(ZEROS, ZEROS[:2], net.input, 3),
    ),
    "times": (
        ConfigError,
        "events: times from 0, addresses 0..15",
        lambda net, path: EventEncoder(window=5)(ZEROS, ZEROS + 16, net.input, 3),
    ),
    "folder": (
        ExportError,
        "cannot make the folder {path}/file/x: Not a directory",
        lambda net, path: (path / "file").write_text("") or make_folder(path / "file" / "x"),
    ),
    "stage": (
        ExportError,
        "{path}/p/.squat-export: in the way of the export; remove it",
        lambda net, path: exported(path, lambda p: (p / ".squat-export").write_text("")),
    ),
    "another process": (
        ExportError,
        "{path}/p: another process is writing there; nothing was changed",
        lambda net, path: exported(path, lambda p: fcntl.flock(os.open(p, os.O_RDONLY), fcntl.LOCK_EX)),
    ),
    "no digests": (
        ExportError,
        "{path}/p/manifest.json: names no files, so that nobody knows which are yours; choose another folder",
        lambda net, path: exported(path, lambda p: (p / "manifest.json").write_text('{"generator": "squat_deploy"}')),
    ),
    "folder for a file": (
        ExportError,
        "{path}/p/src/a.h: a folder where a generated file goes; nothing was changed",
        lambda net, path: exported(path, lambda p: (p / "src/a.h").unlink() or (p / "src/a.h").mkdir()),
    ),
    "file for a folder": (
        ExportError,
        "{path}/p/src: a link where a folder of generated files goes; nothing was changed",
        lambda net, path: exported(path, lambda p: (p / "src").rename(path / "x") and (p / "src").symlink_to("../x")),
    ),
    "no executor": (
        ConfigError,
        "verify: name at least one executor of torch, numpy, c++, onnxruntime, qonnx",
        lambda net, path: sd.verify(net, None, np.ones((1, 16), int), executors=()),
    ),
    "one branch": (
        ConfigError,
        "a: (1,) times 3 values is no sum of branches",
        lambda net, path: Add("a", 3, (1,)),
    ),
    "one-bit grid": (
        ConfigError,
        "levels: fixed-point states take 2 bits or more: 1 bit has no level above zero",
        lambda net, path: level_table(1, "fixed-point"),
    ),
    "no factory": (
        ConfigError,
        "model: expected path/to/file.py:factory; got 'model.py'",
        lambda net, path: load_model("model.py", None),
    ),
    "no Python": (
        ConfigError,
        "{path}/model: not a Python file",
        lambda net, path: (path / "model").write_text("") or load_model(f"{path}/model:f", None),
    ),
    "no recipe": (
        FileFormatError,
        "{path}/m.safetensors: quantized: Field required",
        lambda net, path: load_model(factory(path), saved(path)),
    ),
    "no linear layer": (
        ConfigError,
        "inputs: the model does not begin with a linear layer to tell their shape; give --shape",
        lambda net, path: infer_input(nn.Flatten(), None, 0, 1, None, "direct"),
    ),
    "calibration of nan": (
        ConfigError,
        "calibration: expected finite numbers; got float64 of shape (1,)",
        lambda net, path: grid_of(np.array([np.nan])),
    ),
    "step of zero": (ConfigError, "--step: must be positive; got '0'", lambda net, path: step_of("0")),
    "inputs of text": (
        ConfigError,
        "inputs: expected real numbers; got <U1",
        lambda net, path: as_integers(net.input, np.array(["x"]), real=True),
    ),
    "encoding": (
        ConfigError,
        "InputSpec: encoding must be 'direct' or 'sequence'; got 'rate'",
        lambda net, path: sd.InputSpec((2,), encoding="rate"),  # type: ignore[arg-type]
    ),
    "pooling": (
        ConfigError,
        "p: sum of [0, 1, 2, 2, 0, 1, 1, 1, 0, 0] is no pooling",
        lambda net, path: Pool2d("p", "sum", (1, 2, 2), (0, 1), (1, 1)),
    ),
    "padding": (
        ConfigError,
        "p: padding (1, 0) is more than half of its kernel (1, 1)",
        lambda net, path: Pool2d("p", "sum", (1, 2, 2), (1, 1), (1, 1), (1, 0)),
    ),
    "concatenation": (ConfigError, "c: nothing to concatenate in (3,)", lambda net, path: Concat("c", (3,))),
    "ternary": (
        ConfigError,
        "levels: ternary states take 2 bits; got 3",
        lambda net, path: level_table(3, "ternary"),
    ),
    "one level": (
        ConfigError,
        "levels: a table has 2 to 256 values in one dimension; got shape (1,)",
        lambda net, path: check_levels([2.0], 1.0),
    ),
    "still membranes": (
        ConfigError,
        "levels: membranes stay at 0: nothing to fit",
        lambda net, path: membrane_histogram(np.zeros((4, 3), np.float32), 0.9, -1.0),
    ),
    "reset of NIR": (
        ConfigError,
        "NirOptions: reset is one of subtract, zero, none; got 'other'",
        lambda net, path: sd.read_nir(write(path / "n.nir"), NirOptions(reset="other")),  # type: ignore[arg-type]
    ),
    "delay of NIR": (
        ConfigError,
        "NirOptions: reset_delay is True or False; got 1",
        lambda net, path: sd.read_nir(write(path / "n.nir"), NirOptions(reset_delay=1)),  # type: ignore[arg-type]
    ),
    "generator": (
        ConfigError,
        "the model cannot be copied: copy.deepcopy(model) says TypeError: cannot pickle 'generator' object; keep "
        "generators, locks, compiled functions and the like out of its attributes",
        lambda net, path: sd.lower(uncopied(), sd.InputSpec((6,)), 3),
    ),
    "packed weights": (
        FileFormatError,
        "{path}/m.pt: a packed archive, which torch.save does not write",
        lambda net, path: load_weights(nn.Linear(1, 1), packed(path)),
    ),
    "pickled weights": (
        FileFormatError,
        "{path}/m.pt: holds Python objects (pathlib.PosixPath), which are never loaded; where it was made, "
        "save model.state_dict() instead",
        lambda net, path: load_weights(nn.Linear(1, 1), pickled(path)),
    ),
    "no dimension": (DatasetError, "x: 0 dimensions; from 1 to 8", lambda net, path: read_idx(b"\0\0\x08\0", "x")),
    "truncated": (
        DatasetError,
        "x: truncated: (2,) needs 2 bytes, 1 are there",
        lambda net, path: read_idx(b"\0\0\x08\x01\0\0\0\x02a", "x"),
    ),
    "planes of events": (
        DatasetError,
        "events: times, addresses, offsets, labels and is_test must have one dimension",
        lambda net, path: events(times=ZEROS[None]),
    ),
    "labels of events": (
        DatasetError,
        "events: as many labels as recordings, and as many times as addresses, are needed",
        lambda net, path: events(labels=ZEROS),
    ),
    "late events": (
        DatasetError,
        "events: a time beyond 35184372088832 microseconds",
        lambda net, path: events(times=ZEROS + 2**60),
    ),
    "many frames": (
        DatasetError,
        "events: 68719476736 frames of (2,) take 137438953472 bytes in all; choose fewer steps",
        lambda net, path: events().frames(2**36, 100),
    ),
    "unequal events": (
        DatasetError,
        "{path}/n.npz: t, x, y and p must have one length",
        lambda net, path: read_nmnist(unequal(path)),
    ),
    "shared scale": (
        ConfigError,
        "weight_scale shared: needs states with equal gaps (uniform, rest, ternary, fixed-point); got 2 bits, "
        "threshold-centred",
        lambda net, path: dense_lif_net((4, 2), weight_scale="shared", state_bits=2, kind="threshold-centred"),
    ),
    "surrogate": (
        ConfigError,
        "surrogate_at membrane: needs neurons with one state; got synaptic",
        lambda net, path: dense_lif_net((4, 2), surrogate_at="membrane", neuron="synaptic"),
    ),
    "steps of the calibration": (
        ConfigError,
        "calibration: expected 5 time steps; got 4",
        lambda net, path: calibrated(np.zeros((4, 2, 3)), None, 5, "sequence"),
    ),
    "another model": (
        ConfigError,
        "verify: this model does not take the network's inputs: mat1 and mat2 shapes cannot be multiplied "
        "(1x16 and 9x8)",
        lambda net, path: sd.verify(net, dense_lif_net((9, 8, 4)), np.ones((2, 16), int), executors=("torch",)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_messages(name: str, small: sd.Network, tmp_path: Path) -> None:
    kind, message, act = CASES[name]
    with pytest.raises(kind) as caught:
        act(small, tmp_path)
    assert str(caught.value) == message.replace("{path}", str(tmp_path))


def test_metadata_that_would_not_be_read_back(small: sd.Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_CHARACTERS", 100)
    with pytest.raises(ExportError, match=r"^qonnx: \d{4,} characters of level tables; at most 100$"):
        sd.emit_qonnx(small)


class Branches(nn.Module):
    """Two synapses side by side, and what is done with their currents."""

    def __init__(self, join: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], **options: object) -> None:
        super().__init__()
        self.fc1, self.fc2, self.lif = linear(12, 4), QuantLinear(12, 4, bias=False, **options), leaky()
        self.join = join

    def forward(self, x):
        return self.lif(self.join(self.fc1(x), self.fc2(x)))


class Early(Branches):
    """Gives the spikes of a layer to which a later one feeds back."""

    def __init__(self) -> None:
        super().__init__(torch.add, weight_quant=Int8WeightPerTensorFixedPoint)
        self.back, self.late = linear(4, 4), leaky()

    def forward(self, x):
        spikes, late = [], torch.zeros(x.size(1), 4)
        for frame in x:
            spikes.append(self.lif(self.fc1(frame) + self.back(late)))
            late = self.late(self.back(spikes[-1]))
        return torch.stack(spikes)


def tiny() -> nn.Module:
    model = Branches(torch.add, weight_quant=Int8WeightPerTensorFixedPoint)
    model.fc2.weight.data *= 2.0**-30
    return model


def turned() -> nn.Module:
    norm = nn.BatchNorm2d(2)
    norm.weight.data[1] = -1.0
    return nn.Sequential(conv(1, 2, 3), nn.MaxPool2d(2), norm, leaky())


def effect(act: Callable[..., Any]) -> Looped:
    """A model whose `effect` is one act; it stands in this file, so that messages name a line of it."""
    return type("Acting", (Looped,), {"effect": act})()


def within(context: Callable[[], AbstractContextManager[object]]) -> Looped:
    """A model that calls its first layer once more, in a context."""

    def act(self: Looped, step: int, x: torch.Tensor, current: torch.Tensor) -> torch.Tensor:
        with context():
            return self.fc1(x[step])

    return effect(act)


FAULTS: dict[str, tuple[Callable[[], nn.Module], sd.InputSpec, int, str]] = {
    "divisor": (
        lambda: nn.Sequential(conv(1, 2, 3), nn.AvgPool2d(2, divisor_override=2**24), leaky()),
        PLANES, 6, "1 (AvgPool2d): the divisor of an average is 1 to 16777215; got 16777216; use divisor_override=None",
    ),
    "negative norm": (
        turned, PLANES, 6,
        "2 (BatchNorm2d): slopes are positive behind a pooling, a sum or a delay; got a negative weight; "
        "put the batch norm directly behind the synapses, or keep its weights positive",
    ),
    "many neurons": (
        lambda: nn.Sequential(conv(1, 7, 1), leaky()),
        sd.InputSpec((1, 100, 100)), 2,
        "1 (Leaky): at most 65535 neurons a layer; got 70000; use a larger stride or fewer channels",
    ),
    "other width": (
        lambda: nn.Sequential(linear(11, 4), leaky()),
        FLAT, 6, "0 (QuantLinear): takes (11,) values; got (12,); make the sizes match",
    ),
    "far apart": (tiny, FLAT, 6, "add at {}: the steps of both branches are less than 2**24 apart; got "),
    "float scales joined": (
        lambda: Branches(lambda a, b: torch.cat([a, b], 1), weight_quant=Int8WeightPerTensorFloat),
        FLAT, 6, "cat at {}: all parts of a concatenation follow the rule 'exact grid'; got exact grid, error bound; ",
    ),
    "an early output": (
        Early, sd.InputSpec((12,), encoding="sequence"), 6,
        "model: no layer runs after the output layer; got late; return the spikes of the layer that runs last",
    ),
    "a view from outside": (
        lambda: effect(lambda self, step, x, current: torch.tensor(current)),
        SPEC, STEPS, "{}: nothing reads a value behind its record; got ",
    ),
    "forward by name": (
        lambda: effect(lambda self, step, x, current: self.fc1.forward(x[step])),
        SPEC, STEPS, "{}: layers are called, so that hooks and records see them; got fc1.forward(...); call the layer",
    ),
    "autocast": (
        lambda: within(lambda: torch.autocast("cpu", dtype=torch.bfloat16)),
        SPEC, STEPS, "fc1 (QuantLinear): layers compute in float32; got autocast at {}; "
        "leave autocast, half() and double() out of forward",
    ),
    "a mode": (
        lambda: within(OwnMode), SPEC, STEPS,
        "{}: functions of torch do what torch says; got a OwnMode around them; leave modes out of forward",
    ),
    "written": (
        lambda: effect(lambda self, step, x, current: torch.zeros_like(current).copy_(current)),
        SPEC, STEPS, "{}: values are used as they were made; got a tensor into which others were written; "
        "use the values themselves, or torch.stack of them",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_faults(name: str) -> None:
    make, spec, steps, message = FAULTS[name]
    torch.manual_seed(0)
    with pytest.raises(LoweringError) as caught:
        sd.lower(make().eval(), spec, steps)
    text = re.sub(r"test_messages\.py:\d+", "{}", str(caught.value.faults[0]))
    assert text.startswith(message), text
