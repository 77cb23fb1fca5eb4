"""Errors that no other test causes, each with what it says; one row a rule."""

from __future__ import annotations

import fcntl
import os
import re
import threading
import warnings
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from brevitas.nn import QuantLinear
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from brevitas.quant.scaled_int import Int8WeightPerTensorFloat
from snntorch.functional import quant
from torch import nn

import squat_deploy as sd
from squat_deploy import toolchain
from squat_deploy.arrays import read_npy, read_npz
from squat_deploy.backends.cpp import native_int
from squat_deploy.backends.hls.project import render
from squat_deploy.backends.qonnx.builder import INT8, GraphBuilder
from squat_deploy.backends.qonnx.picture import draw
from squat_deploy.cli.support import _model_with
from squat_deploy.engines.csim import parse_testbench
from squat_deploy.errors import (
    ConfigError,
    DatasetError,
    ExportError,
    FileFormatError,
    InternalError,
    LoweringError,
    ToolError,
)
from squat_deploy.files import make_folder, write_folder
from squat_deploy.hardware.design import design_of
from squat_deploy.lab import bundled
from squat_deploy.lab.config import TrainConfig
from squat_deploy.lab.data import read_data
from squat_deploy.lab.datasets import fashion_mnist, read_idx
from squat_deploy.lab.events import Events, read_nmnist
from squat_deploy.lab.loop import CHECKPOINT, _begun, _check_batches, _optimizer
from squat_deploy.lab.models import dense_lif_net
from squat_deploy.lab.recordings import _gathered
from squat_deploy.lab.study.config import Study
from squat_deploy.lab.study.results import check_result
from squat_deploy.lab.study.running import read_study
from squat_deploy.lowering.current import Current
from squat_deploy.lowering.ladder import Ladder
from squat_deploy.lowering.loading import infer_input, load_model
from squat_deploy.lowering.program import Call, Program
from squat_deploy.lowering.selftest import self_test
from squat_deploy.network.encoders import EventEncoder, RateEncoder
from squat_deploy.network.grid import as_integers, grid_of, step_of
from squat_deploy.network.layers import delay
from squat_deploy.network.layers.add import Add
from squat_deploy.network.layers.concat import Concat
from squat_deploy.network.layers.dense import Dense
from squat_deploy.network.layers.pool2d import Pool2d
from squat_deploy.network.origin import Origin
from squat_deploy.network.rules import broken_rule
from squat_deploy.readers.nir.model import NirOptions
from squat_deploy.snn.checkpoint import load_weights, save_model, save_training
from squat_deploy.snn.delay import Delay
from squat_deploy.snn.fitting import membrane_histogram
from squat_deploy.snn.levels import check_levels, level_table
from squat_deploy.snn.neurons import kind_of, reset_neurons
from squat_deploy.snn.ptq import calibrated
from squat_deploy.snn.quantizers import InputQuantizer, closure_levels, state_quant
from tests.test_effects import SPEC, STEPS, STILL, Called, Looped, OwnMode
from tests.test_files import NEW, OLD, with_manifest
from tests.test_hardware import convolution, network_of
from tests.test_models import FLAT, PLANES, Feedback, conv, leaky, linear
from tests.test_models import STEPS as STEPS_OF_MODELS
from tests.test_nir_files import write

ZEROS = np.zeros(3, dtype=np.int64)
CELLS = Study.model_validate(
    {"name": "s", "grids": [{"methods": ["float"]}, {"methods": ["PTQ"], "bits": [2]}]}
).cells()
LAYER = {"name": "lif", "rate": 0.5, "dead": 0.0, "flips": 0.0, "levels": None, "raster": [[0]]}
MEASURED = {"accuracy": 0.5, "layers": [LAYER], "seconds": 1.0}
LOWERED = {"digest": "", "proven": True, "values": 1, "mismatches": 0}


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


def declared(name: str) -> GraphBuilder:
    """A graph with one parameter, of one signed byte."""
    graph = GraphBuilder("g")
    graph.parameter(name, INT8, (1, 1), (-128, 127))
    return graph


def doubtful(net: sd.Network) -> sd.Network:
    first, *others = net.certificate.layers
    return replace(net, certificate=replace(net.certificate, layers=(replace(first, margin=np.float32(1)), *others)))


class NoGraph:
    """A model that cannot be drawn."""

    asked = False

    @property
    def graph(self) -> Any:
        if self.asked:
            raise ValueError("no graph")
        self.asked = True
        return SimpleNamespace(node=())


class Anew(Called):
    """Its neurons are put to rest in each call."""

    def forward(self, x):
        reset_neurons(self)
        return super().forward(x)


class Tiring(Looped):
    """Its second sequence is another than its first."""

    def effect(self, step, x, current):
        self.count += 1
        return 3 * current if self.count > STEPS else None


class Unlisted(Looped):
    """Its neurons are attributes, and no modules of it."""

    def __init__(self) -> None:
        super().__init__()
        vars(self).update({name: self._modules.pop(name) for name in ("lif1", "lif2")})


def against(model: nn.Module, other: nn.Module, *, looped: bool) -> None:
    """The network of one model against another one, as if that had not been noticed before."""
    self_test(sd.lower(model.eval(), SPEC, STEPS), other.eval(), Program((), Call("input", "input"), looped=looped))


def resumed(path: Path, history: object, shape: tuple[int, ...]) -> None:
    """A training that goes on from this history, with moments of this shape."""
    config = TrainConfig(sizes=(4, 2), epochs=1)
    model, progress = config.model(), {"config": config.model_dump(mode="json"), "history": history}
    optimizer = _optimizer(config, model)
    optimizer.state[next(model.parameters())] = {
        "step": torch.zeros(()),
        "exp_avg": torch.zeros(shape),
        "exp_avg_sq": torch.zeros(2, 4),
    }
    save_training(path / CHECKPOINT, model, optimizer, progress)
    _begun(config, path, model, True)


def float_row(**changes: object) -> None:
    """A result of a float cell whose only row of membranes was changed."""
    whole = {"centres": [0.0, 1.0], "density": [0.0, 1.0], "cost": [0.0, 1.0], "level_density": [0.0, 1.0]}
    tables = {"fitted": {key: [0.0] for key in "234"}, "expected": {key: {"a": 0.0} for key in "234"}}
    membranes = [{"name": "lif", **whole, **tables, **changes}]
    check_result(CELLS[0], {**MEASURED, "membranes": membranes})


def archived(path: Path, *contents: bytes) -> Path:
    """An archive whose members have one name."""
    with warnings.catch_warnings(), zipfile.ZipFile(path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")
        for content in contents:
            archive.writestr("a.npy", content)
    return path / "a.npz"


def cut(path: Path) -> Path:
    """An archive with an array of three numbers of which one is there; the directory says three."""
    np.save(path / "a.npy", ZEROS)
    whole = (path / "a.npy").read_bytes()
    content = archived(path, whole[:-16]).read_bytes()
    place = content.rindex(b"PK\x01\x02") + 24  # the size of the member
    (path / "a.npz").write_bytes(content[:place] + len(whole).to_bytes(4, "little") + content[place + 4 :])
    return path / "a.npz"


def closure(levels: object) -> Callable[[torch.Tensor], torch.Tensor]:
    """One of snnTorch's, with another table in it."""
    made = quant.state_quant(2)
    made.__closure__[0].cell_contents = levels
    return made


def two_state() -> snn.Synaptic:
    return snn.Synaptic(alpha=0.5, beta=0.5, init_hidden=True, state_quant=state_quant(2))


def back_and_forth() -> sd.Network:
    """Two layers of neurons that must run one after the other."""
    return sd.lower(Feedback().eval(), sd.InputSpec((12,), encoding="sequence"), STEPS_OF_MODELS, allow_unproven=True)


def convolved() -> sd.Network:
    """One layer of neurons behind a convolution."""
    layer = convolution(0)
    return network_of(layer.input_shape, layer)


Case = tuple[type[Exception], str, Callable[[sd.Network, Path], object]]
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
    "no such tool": (
        ToolError,
        "cannot run {path}/tool x  (in {path}): No such file or directory",
        lambda net, path: toolchain.run([f"{path}/tool", "x"], path),
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
        "verify: name at least one executor of torch, numpy, c++, onnxruntime, qonnx, rtlsim",
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
    "checkpoint for a model": (
        ConfigError,
        "model: expected path/to/file.py:factory; got 'weights.pt'; weights go with --checkpoint",
        lambda net, path: load_model("weights.pt", None),
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
    "step of zero": (ConfigError, "--input-step: must be positive; got '0'", lambda net, path: step_of("0")),
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
        "save model.state_dict() instead, or the state dict alone of what was saved",
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
    "lanes of one process": (
        ConfigError,
        "pe: lif1 and lif2 run in one process and share their lanes; give them one PE",
        lambda net, path: design_of(back_and_forth(), sd.HlsConfig(pe={"lif1": 1, "lif2": 2})),
    ),
    "events of one process": (
        ConfigError,
        "events: lif1 and lif2 run in one process; give them one number",
        lambda net, path: design_of(back_and_forth(), sd.HlsConfig(events={"lif1": 1, "lif2": 2})),
    ),
    "two events of a convolution": (
        ConfigError,
        "events: lif is not behind fully connected synapses, which take 2; give it 1",
        lambda net, path: design_of(convolved(), sd.HlsConfig(events={"lif": 2})),
    ),
    "array that does not fit": (
        ExportError,
        "fc.weight: its values do not fit int8",
        lambda net, path: declared("fc.weight").graph_with({"fc.weight": np.array([[300]])}),
    ),
    "numbers for no file": (
        ExportError,
        "qonnx: the network has numbers that no file holds: Object of type float32 is not JSON serializable",
        lambda net, path: sd.emit_qonnx(doubtful(net)),
    ),
    "wide words": (
        OverflowError,
        "0..18446744073709551616 needs more than 64 bits",
        lambda net, path: native_int(0, 2**64),
    ),
    "small model": (
        LookupError,
        "support: a small model with Conv3d is missing",
        lambda net, path: _model_with(nn.Conv3d),
    ),
    "no norm of one": (
        ConfigError,
        "norms: every batch needs two samples or more; got 5 in batches of 4; choose another batch",
        lambda net, path: _check_batches(TrainConfig(sizes=(4, 3, 2), norms=True, batch=4), 5),
    ),
    "no recordings": (
        DatasetError,
        "{path}: no recordings in it",
        lambda net, path: _gathered(lambda train: (), lambda event: (ZEROS, ZEROS), (2,), path),
    ),
    "many recordings": (
        DatasetError,
        "{path}: not in the published layout: 1000001 recordings; at most 1000000",
        lambda net, path: _gathered(lambda train: range(10**6 + 1), lambda event: (ZEROS, ZEROS), (2,), path),
    ),
    "columns of a study": (
        ValueError,
        "membranes of lif: columns of unequal length",
        lambda net, path: float_row(cost=[1.0]),
    ),
    "tables of a study": (
        ValueError,
        "membranes of lif: expected tables of 2, 3 and 4 bits",
        lambda net, path: float_row(fitted={"2": [0.0]}),
    ),
    "kinds of a study": (
        ValueError,
        "membranes of lif: other kinds of tables at other bits",
        lambda net, path: float_row(expected={"2": {"a": 0}, "3": {"a": 0}, "4": {"b": 0}}),
    ),
    "levels of a study": (
        ValueError,
        "lif: no levels",
        lambda net, path: check_result(CELLS[-1], MEASURED | LOWERED),
    ),
    "mark of a study": (
        FileFormatError,
        "{path}/study.json: not the mark of a study: cannot be read: No such file or directory",
        lambda net, path: read_study(path),
    ),
    "steps": (
        ConfigError,
        "lower: steps must be 1 to 65535; got 65536",
        lambda net, path: sd.lower(dense_lif_net((6, 3)), sd.InputSpec((6,)), 2**16),
    ),
    "steps of quantize": (
        ConfigError,
        "quantize: steps must be 1 to 65535; got 0",
        lambda net, path: sd.quantize(dense_lif_net((6, 3)), np.zeros((4, 6)), steps=0),
    ),
    "falling current": (
        InternalError,
        "neuron 3: the current is not monotone in the synaptic sum",
        lambda net, path: Ladder(Current.exact(4, -1.0), 3, 0, 4).below(np.zeros((1, 1), np.float32)),
    ),
    "calibration beyond 16 bits": (
        ConfigError,
        "calibration: steps of 1 make integers 0..70000; they must lie within 16 bits",
        lambda net, path: grid_of(np.array([70_000.0])),
    ),
    "step of text": (
        ConfigError,
        "--input-step: expected a number like 1/256, 2^-8 or 0.125; got 'a'",
        lambda net, path: step_of("a"),
    ),
    "input range": (
        ConfigError,
        "InputSpec: low and high must be integers, and step a number; got 0.0, 1 and 1.0",
        lambda net, path: sd.InputSpec((2,), 0.0, 1),  # type: ignore[arg-type]
    ),
    "input step": (
        ConfigError,
        "InputSpec: step must be positive; got -1.0",
        lambda net, path: sd.InputSpec((2,), step=-1.0),
    ),
    "small input step": (
        ConfigError,
        "InputSpec: step must be an ordinary float32, 2**-126 to 2**100; got 1e-40",
        lambda net, path: sd.InputSpec((2,), step=1e-40),
    ),
    "inputs of nan": (
        ConfigError,
        "inputs: every value must be finite; got NaN or infinity",
        lambda net, path: net.input.quantize(np.full(16, np.nan)),
    ),
    "delays": (
        ConfigError,
        "d: delays are one an element; got an array (2, 3)",
        lambda net, path: delay.Delay("d", np.zeros((2, 3), dtype=np.int64)),
    ),
    "origin": (FileFormatError, "origin: not of this form", lambda net, path: Origin.from_dict({"other": 1})),
    "array for a network": (
        FileFormatError,
        "{path}/n.npy: cannot be read as a network: it is a NumPy array; `lower` makes networks of models",
        lambda net, path: sd.load(np.save(path / "n.npy", ZEROS) or path / "n.npy"),
    ),
    "Python for a network": (
        FileFormatError,
        "{path}/net.py: cannot be read as a network: it is a Python file; `lower` makes networks of models",
        lambda net, path: (path / "net.py").write_text("") or sd.load(path / "net.py"),
    ),
    "array for weights": (
        FileFormatError,
        "{path}/n.npy: cannot be loaded into this model: it is a NumPy array; give safetensors or a torch file",
        lambda net, path: load_weights(nn.Linear(1, 1), np.save(path / "n.npy", ZEROS) or path / "n.npy"),
    ),
    "archive for an array": (
        FileFormatError,
        "{path}/a.npz: not a NumPy array file: it is a zip archive, as torch files and .npz files are; "
        "expected one .npy array",
        lambda net, path: np.savez(path / "a.npz", a=ZEROS) or read_npy(path / "a.npz"),
    ),
    "members of one name": (
        FileFormatError,
        "{path}/a.npz: more than 10000 members, or two of one name",
        lambda net, path: read_npz(archived(path, bytes(8), bytes(8)), ["a"]),
    ),
    "member that ends early": (
        FileFormatError,
        "{path}/a.npz: a.npy: truncated: 16 of 24 bytes are missing",
        lambda net, path: read_npz(cut(path), ["a"]),
    ),
    "numbers in a state dict": (
        FileFormatError,
        "{path}/m.pt: not a state dict: 'weight' is int, not a tensor; save model.state_dict()",
        lambda net, path: torch.save({"weight": 3}, path / "m.pt") or load_weights(nn.Linear(1, 1), path / "m.pt"),
    ),
    "time of NIR": (
        ConfigError,
        "NirOptions: dt is a number above 0; got -1.0",
        lambda net, path: sd.read_nir(write(path / "n.nir"), NirOptions(dt=-1.0)),
    ),
    "no neuron": (LookupError, "Linear is no neuron that is known", lambda net, path: kind_of(nn.Linear(1, 1))),
    "levels of a closure": (
        ConfigError,
        "state_quant: a level table has at most 256 levels; got 3",
        lambda net, path: closure_levels(closure(3)),
    ),
    "type of levels": (
        ConfigError,
        "state_quant: levels are float32; got torch.float64; make it while torch's default is float32",
        lambda net, path: closure_levels(closure(torch.zeros(3, dtype=torch.float64))),
    ),
    "input quantizer": (
        ConfigError,
        "InputQuantizer: needs low < high within 16 bits; got 3 and 3",
        lambda net, path: InputQuantizer(1.0, 3, 3),
    ),
    "states made anew": (
        LoweringError,
        "the model cannot be lowered, 1 fault:\n  - lif1: neurons keep their own states; got states made anew in each "
        "call of one step, so at {any}; let the neurons keep their states (init_hidden=True, no reset_mem or "
        "init_leaky in forward) and reset them before a sequence, or loop over the steps in forward",
        lambda net, path: against(Called(), Anew(), looped=False),
    ),
    "batches of some sizes": (
        LoweringError,
        "the model cannot be lowered, 1 fault:\n  - model: the model runs in batches of any size; got KeyError: 3, "
        "with a batch of 1; let forward take its sizes from the tensors that it is given",
        lambda net, path: against(Looped(), effect(lambda self, step, x, current: {}[3]), looped=True),
    ),
    "second sequence": (
        LoweringError,
        "the model cannot be lowered, 1 fault:\n  - model: every sequence starts as the first one; "
        "got another result in the second sequence, with all neurons at rest again; "
        "keep all states in the neurons, and let nothing depend on the calls before or on chance",
        lambda net, path: against(Looped(), Tiring(), looped=True),
    ),
    "no modules": (
        LoweringError,
        "the model cannot be lowered, 1 fault:\n  - lif1: every module is registered in the model; got neurons that it "
        "runs and its modules() do not have; keep modules as attributes, in nn.ModuleList or in nn.ModuleDict, "
        "not in a list or dict",
        lambda net, path: against(Looped(), Unlisted(), looped=True),
    ),
    "rule of all networks": (
        LoweringError,
        "the model cannot be lowered, 1 fault:\n  - model: a network keeps the rules of every back end; "
        "got a name must be text of at most 1024 characters; "
        f"got '{'n' * 40}'; change that layer",
        lambda net, path: sd.lower(dense_lif_net((6, 3)), sd.InputSpec((6,), 0, 15, 2.0**-4), 3, name="n" * 9999),
    ),
    "no archive": (
        FileFormatError,
        "{path}/a.npz: not an .npz file of plain arrays: File is not a zip file",
        lambda net, path: (path / "a.npz").write_text("a") and read_npz(path / "a.npz", ["a"]),
    ),
    "history": (
        FileFormatError,
        "{path}/checkpoint.safetensors: no history of 1 epochs or fewer in it",
        lambda net, path: resumed(path, [{}], (2, 4)),
    ),
    "moments": (
        FileFormatError,
        "{path}/checkpoint.safetensors: not a checkpoint of this training run: optimizer.0.exp_avg has shape (9,)",
        lambda net, path: resumed(path, [], (9,)),
    ),
    "readout": (
        LoweringError,
        "the model cannot be lowered, 1 fault:\n  - readout: the class follows from states and spikes; "
        "got 1: a membrane readout needs state indices that ascend with the membrane; "
        'use reset_delay=True and neurons with one state, or readout="count"',
        lambda net, path: sd.lower(
            nn.Sequential(linear(6, 3), leaky(reset_delay=False)), sd.InputSpec((6,)), 3, readout="last-membrane"
        ),
    ),
    "attribute": (
        AttributeError,
        "module 'squat_deploy' has no attribute 'lowering_of'",
        lambda net, path: sd.lowering_of,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_messages(name: str, small: sd.Network, tmp_path: Path) -> None:
    kind, message, act = CASES[name]
    with pytest.raises(kind) as caught:
        act(small, tmp_path)
    parts = message.replace("{path}", str(tmp_path)).split("{any}")
    assert re.fullmatch(".*".join(map(re.escape, parts)), str(caught.value)), str(caught.value)


# the same where something is otherwise than here: what, and its value
ELSEWHERE: dict[str, tuple[str, object, Case]] = {
    "classes": (
        "squat_deploy.lab.data._splits",
        lambda *_, **__: [SimpleNamespace(labels=np.array([0, 9]))] * 2,
        (
            DatasetError,
            "fashion-mnist: labels 0..9, but the network has 5 classes",
            lambda net, path: read_data(TrainConfig(sizes=(784, 5))),
        ),
    ),
    "metadata that would not be read back": (
        "squat_deploy.backends.qonnx.document.MAX_CHARACTERS",
        100,
        (ExportError, "qonnx: many characters of level tables; at most 100", lambda net, path: sd.emit_qonnx(net)),
    ),
    "file that would not be read back": (
        "squat_deploy.backends.qonnx.emitting.MAX_BYTES",
        100,
        (
            ExportError,
            "qonnx: many bytes; at most 100 are read back; save the network itself instead",
            lambda net, path: sd.emit_qonnx(net, path / "n.onnx"),
        ),
    ),
    "arrays that are missing": (
        "squat_deploy.backends.qonnx.reading.match",
        lambda *_: {},
        (
            FileFormatError,
            "{path}/n.onnx: malformed: KeyError('fc1.weight')",
            lambda net, path: sd.emit_qonnx(net, path / "n.onnx") and sd.load(path / "n.onnx"),
        ),
    ),
    "large tables": (
        "squat_deploy.hardware.tables.MAX_TABLE_ENTRIES",
        7,
        (
            ExportError,
            "lif1: its tables have 15 entries, the limit is 7; use fewer state bits, or a lower PE",
            lambda net, path: render(net, sd.HlsConfig()),
        ),
    ),
    "no picture": (
        "squat_deploy.backends.qonnx.picture.toolchain",
        SimpleNamespace(require=lambda command: command),
        (ToolError, "dot failed: no graph", lambda net, path: draw(NoGraph(), path / "n.svg")),
    ),
    "events": (
        "squat_deploy.hardware.design.MAX_EVENTS",
        7,
        (
            ExportError,
            "lif1: up to 8 events a time step, the limit is 7; use windows that overlap less",
            lambda net, path: design_of(net, sd.HlsConfig()),
        ),
    ),
    "installation": (
        "squat_deploy.lab.bundled._FOLDERS",
        (),
        (FileFormatError, "the bundled model is missing from this installation", lambda net, path: bundled.folder()),
    ),
    "download": (
        "squat_deploy.lab.datasets._SOURCE",
        "file:///nowhere/",
        (
            DatasetError,
            "Fashion-MNIST: cannot fetch file:///nowhere/t10k-images-idx3-ubyte.gz: "
            "<urlopen error [Errno 2] No such file or directory: '/nowhere/t10k-images-idx3-ubyte.gz'>; "
            "apt install dataset-fashion-mnist",
            lambda net, path: fashion_mnist("test", path, download=True),
        ),
    ),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_elsewhere(name: str, small: sd.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, value, (kind, message, act) = ELSEWHERE[name]
    monkeypatch.setattr(place, value)
    with pytest.raises(kind) as caught:
        act(small, tmp_path)
    # what is stored names versions, so that its length is not known
    text = re.sub(r"\d{4,}", "many", str(caught.value).replace(str(tmp_path), "{path}"))
    assert text == message


def changed(net: sd.Network, index: int, **values: object) -> sd.Network:
    """With one layer that has other values."""
    layers = list(net.layers)
    layers[index] = replace(layers[index], **values)
    return replace(net, layers=tuple(layers))


RANGE = np.zeros(1, dtype=np.int64), np.full(1, 2**40)
RULES: dict[str, Callable[[sd.Network], str | None]] = {
    "4 layers, but wires of 3": lambda net: broken_rule(replace(net, wires=net.wires[:3])),
    "no layer takes the input": lambda net: broken_rule(replace(net, wires=((1,), (0,), (1,), (2,)))),
    "lif1: nothing takes what it gives": lambda net: broken_rule(replace(net, wires=((-1,), (0,), (-1,), (2,)))),
    "lif1: membranes of shape (1, 2)": lambda net: broken_rule(changed(net, 1, membranes=np.zeros((1, 2)))),
    "lif1: fire levels must be levels": lambda net: broken_rule(changed(net, 1, fire_level=np.array([-1]))),
    "fc2: weights exceed 16 bits or the bias 40": lambda net: broken_rule(changed(net, 2, bias=np.full(4, 2**41))),
    "65536 neurons; at most 65535": lambda net: replace(net.output, table=np.zeros(2**16, int)).rules([RANGE])[0],
    "sums exceed 48 bits": lambda net: Dense("fc", np.array([[2**15]]), np.array([0])).rules([RANGE])[0],
    "a delay that keeps more than 33554432 values": lambda net: delay.Delay("d", np.full(2**18, 255)).rules([RANGE])[0],
}


@pytest.mark.parametrize("rule", RULES)
def test_rules(rule: str, small: sd.Network) -> None:
    assert RULES[rule](small) == rule


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


def effect(act: Callable[..., Any], kind: type[Looped] = Looped) -> Looped:
    """A model whose `effect` is one act; it stands in this file, so that messages name a line of it."""
    return type("Acting", (kind,), {"effect": act})()


class Twin(Looped):
    """More layers: one that takes two values, one with another number of outputs, and one that remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.two, self.one, self.wait = nn.Bilinear(6, 6, 6), linear(10, 1), Delay(1)

    def effect(self, step, x, current):
        return self.two(current, current)


class Answering(Called):
    """Returns the spikes of its first layer in the first step."""

    def forward(self, x):
        at_first = self.lif1.mem.numel() == 0
        first = self.lif1(self.fc1(x))
        last = self.lif2(self.fc2(first))
        return first if at_first else last


class Resting(Twin):
    """Its delay is put to rest in the middle of a sequence."""

    def effect(self, step, x, current):
        if step == 3:
            self.wait.reset_delay()
        return self.wait(current)


class NoBatch(Looped):
    def forward(self, x):
        sums = [self.lif1(self.fc1(x[0])) for _ in range(STEPS)]
        return torch.stack(sums)


class BatchFirst(Looped):
    def forward(self, x):
        return super().forward(x.transpose(0, 1))


def altered(**methods: object) -> Looped:
    model = Looped()
    vars(model.fc1).update(methods)
    return model


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
    "windows with gaps": (
        lambda: nn.Sequential(conv(1, 2, 3), nn.MaxPool2d(3, ceil_mode=True), leaky()),
        PLANES, 6, "1 (MaxPool2d): windows lie inside; got ceil_mode=True and windows that do not fit (8, 8); "
        "use ceil_mode=False",
    ),
    "large window": (
        lambda: nn.Sequential(conv(1, 2, 3), nn.MaxPool2d(9), leaky()),
        PLANES, 6, "1 (MaxPool2d): the windows of a pooling fit its inputs; got 1: its kernel does not fit into "
        "inputs of shape (2, 8, 8); change the kernel, padding or input",
    ),
    "two values": (
        lambda: effect(lambda self, step, x, current: nn.Bilinear(6, 6, 6)(current, current)),
        SPEC, STEPS, "{}: layers stay the same from call to call; "
        "got a Bilinear that is made anew in every call; make it once, in __init__: self.layer = ...",
    ),
    "several values": (Twin, SPEC, STEPS, "two (Bilinear): a layer takes one value; got 2 values; join them before it"),
    "a number for a current": (
        lambda: effect(lambda self, step, x, current: 1.0 if x.size(1) == 40 else None),
        SPEC, STEPS, "{}: neurons take a current; got float; call them with a tensor",
    ),
    "a thread": (
        lambda: effect(lambda self, step, x, current: threading.Thread(target=print).start()),
        SPEC, STEPS, "{}: forward runs in one thread; got a thread that it starts; call what it does in forward",
    ),
    "twice a step": (
        lambda: effect(lambda self, step, x, current: self.lif1(current) if step else None, Called),
        SPEC, STEPS, "lif1 (Leaky): what remembers runs once a time step; "
        "got several calls in one step; call every module that remembers once a step; make a second one",
    ),
    "more calls": (
        lambda: effect(lambda self, step, x, current: None if step else self.lif1(current)),
        SPEC, STEPS, "lif2 (Leaky): what remembers runs once a time step; "
        "got 14 calls, where lif1 (Leaky) has 15; call every module that remembers once a step",
    ),
    "a call that begins late": (
        lambda: effect(lambda self, step, x, current: self.wait(current) if step else None, Twin),
        SPEC, STEPS, "wait (Delay): what remembers runs once a time step; got call 0 in step 1; call every module",
    ),
    "many sizes": (
        lambda: effect(lambda self, step, x, current: [x.size(1) == size for size in range(5, 400)] and None),
        SPEC, STEPS, "model: nothing depends on the size of the batch; got comparisons with more than 24 sizes; "
        "compare it with nothing in forward",
    ),
    "a delay at rest": (
        Resting,
        SPEC, STEPS, "wait (Delay): layers remember what they took in the steps before; "
        "got put to rest or changed in step 3, at {}; let states be as the step before left them: ",
    ),
    "other spikes": (
        Answering,
        SPEC, STEPS, "output: every time step makes the same calls; "
        "got step 1 returns other spikes than the steps before; return the same spikes in every step",
    ),
    "a state made anew": (
        lambda: effect(lambda self, step, x, current: self.lif1.reset_mem() if step == 3 else None),
        SPEC, STEPS, "lif1 (Leaky): neurons keep their own states; got mem is zero again in step 3, at {}; "
        "let states be as the step before left them: ",
    ),
    "a counter": (
        lambda: effect(lambda self, step, x, current: setattr(self, "count", self.count + 1)),
        SPEC, STEPS, "{}: a sequence leaves the model as it was; got count changes with every sequence; "
        "keep counters and records outside the model",
    ),
    "another weight": (
        lambda: effect(lambda self, step, x, current: None if step < 3 else [None, self.fc1.weight.data.mul_(2)][0]),
        SPEC, STEPS, "fc1 (QuantLinear): layers stay as they are while a sequence runs; "
        "got weight is another than before the first step, at {}; "
        "set it before the sequence, outside forward, and leave it",
    ),
    "own method": (
        lambda: altered(forward=lambda x: x), SPEC, STEPS,
        "fc1 (QuantLinear): a module computes what its class says; got its own forward; "
        "delete it, or make a class with another forward",
    ),
    "a constant": (
        lambda: effect(lambda self, step, x, current: current + torch.ones(6)), SPEC, STEPS,
        "a constant at {}: values come from inputs, spikes and layers; got a constant; make it the bias of a layer",
    ),
    "shapes of branches": (
        lambda: effect(lambda self, step, x, current: current + self.one(x[step]), Twin), SPEC, STEPS,
        "add at {}: both branches of a sum have one shape; got (6,) and (1,); make the sizes match",
    ),
    "an average of three": (
        lambda: nn.Sequential(conv(1, 2, 3), leaky(), nn.AvgPool2d(3), leaky()), PLANES, 6,
        "3 (Leaky): values that are no synaptic sums are multiples of a power of two; got 0.1111111111111111; "
        "use windows of 2, 4, 8 ... inputs, or put synapses in between",
    ),
    "inputs of another step": (
        lambda: effect(lambda self, step, x, current: self.fc1(x[0])), SPEC, STEPS,
        "getitem at {}: each step takes its own inputs, x[step]; got x[0] in step 1; declare inputs as ",
    ),
    "an assignment": (
        lambda: effect(lambda self, step, x, current: setattr(current, "data", current * 2)), SPEC, STEPS,
        "{}: no value is changed in place; got an assignment to .data; give the new value a name of its own",
    ),
    "elements": (
        lambda: effect(lambda self, step, x, current: current.__setitem__(0, 1.0)), SPEC, STEPS,
        "{}: no value is changed in place; got an assignment to elements; leave it out; "
        "to collect values, append them to a list",
    ),
    "another name": (
        lambda: effect(lambda self, step, x, current: (current.view(-1), current.add_(1))[0].view(-1, 6)), SPEC, STEPS,
        "{}: no value is changed under another name; got the result of view at {}, changed in place "
        "after that; change it before",
    ),
    "batch first": (
        BatchFirst, SPEC, STEPS,
        "model: time is where the model takes it; got (steps, batch, ...), where it says: "
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied (1x7 and 10x6); it runs on (batch, steps, ...): ",
    ),
    "no batch axis": (NoBatch, STILL, STEPS, 'model: inputs are of the encoding that the model takes; '
        'got encoding="direct", and on (batch, ...) it says: '
        "neurons that have none; it runs on (steps, batch, ...): "),
    "a sequence as a batch": (
        Looped, STILL, STEPS,
        'model: inputs are of the encoding that the model takes; got encoding="direct", and on (batch, ...) it says: '
        "the model runs 7 time steps in one call; steps=14 were asked for; that is how many samples it was given: "
        'it takes sequences, not one frame for all steps; it runs on (steps, batch, ...): ',
    ),
    "a sequence behind the batch": (
        BatchFirst, STILL, STEPS,
        'model: inputs are of the encoding that the model takes; got encoding="direct", and on (batch, ...) it says: '
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied (1x7 and 10x6); it runs on (batch, steps, ...): "
        'InputSpec(encoding="sequence", time_first=False), --encoding sequence --batch-first',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_faults(name: str) -> None:
    make, spec, steps, message = FAULTS[name]
    torch.manual_seed(0)
    with pytest.raises(LoweringError) as caught:
        sd.lower(make().eval(), spec, steps)
    text = re.sub(r"test_(messages|effects)\.py:\d+", "{}", str(caught.value.faults[0]))
    assert text.startswith(message), text
