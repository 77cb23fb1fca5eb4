"""Saved networks: round trip, and one clear error for every kind of bad file."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import squat_deploy as sd
from squat_deploy.backends import hls
from squat_deploy.errors import ConfigError, ExportError, FileFormatError
from tests.conftest import ROOT
from tests.drawing import draw

KEY = "squat_deploy.network"


@pytest.fixture
def saved(small: sd.Network, tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    sd.save(small, path)
    return path


@pytest.mark.parametrize("seed", [1, 7, 30])
def test_round_trip(seed: int, tmp_path: Path) -> None:
    drawn = draw(seed)
    network = sd.lower(drawn.model, drawn.spec, drawn.steps, allow_unproven=True)
    sd.save(network, tmp_path / "n.safetensors")
    loaded = sd.load(tmp_path / "n.safetensors")
    assert loaded.digest == network.digest and loaded.certificate == network.certificate
    assert (loaded.input, loaded.steps, loaded.name) == (network.input, network.steps, network.name)
    for a, b in zip(network.layers, loaded.layers, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a.arrays().values(), b.arrays().values(), strict=True))
    for before, after in zip(network.neurons, loaded.neurons, strict=True):
        assert np.array_equal(before.membranes, after.membranes)
    assert hls.render(loaded, drawn.config) == hls.render(network, drawn.config)


def test_digest_covers_every_integer_and_no_name(small: sd.Network) -> None:
    assert dataclasses.replace(small, name="other").digest == small.digest
    assert dataclasses.replace(small, steps=small.steps + 1).digest != small.digest
    for index, layer in enumerate(small.layers):
        for key, array in layer.arrays().items():
            changed = array.copy()
            changed.flat[0] += 1
            value = int(changed[0]) if key == "initial_state" else changed
            layers = list(small.layers)
            layers[index] = dataclasses.replace(layer, **{key: value})
            assert dataclasses.replace(small, layers=tuple(layers)).digest != small.digest, key


def test_no_torch_is_needed(saved: Path, tmp_path: Path) -> None:
    """Load, simulate, emit and the command line, with torch, snntorch and brevitas made unimportable."""
    script = f"""
import sys
for name in ("torch", "snntorch", "brevitas"):
    sys.modules[name] = None
import numpy as np, squat_deploy as sd
net = sd.load({str(saved)!r})
x = np.ones((3, 16), int)
assert sd.simulate(net, x).scores.shape == (3, 4)
sd.emit_hls(net, {str(tmp_path / "out")!r})
from squat_deploy.cli.app import app
app(["certify", {str(saved)!r}], standalone_mode=False)
app(["simulate", {str(saved)!r}], standalone_mode=False)
try:
    app(["lower", "x.py:f", "--steps", "3"], standalone_mode=False)
except SystemExit as error:
    sys.exit(0 if error.code == 1 else 3)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "this command needs the package torch: pip install 'squat_deploy[train]'" in done.stderr, done.stderr


def altered(path: Path, change: Callable[[dict[str, Any], dict[str, np.ndarray]], object]) -> None:
    """Rewrites a saved network with its description or arrays changed."""
    with safe_open(path, framework="numpy") as file:
        document = json.loads(file.metadata()[KEY])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    change(document, tensors)
    save_file(tensors, path, {KEY: json.dumps(document)})


def descend(document: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    tensors["1.thresholds"] = tensors["1.thresholds"][:, :, ::-1].copy()


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


BAD: dict[str, tuple[Callable[[dict[str, Any], dict[str, np.ndarray]], object], str]] = {
    "weight changed": (lambda d, t: t["0.weight"].__setitem__((0, 0), 1 - t["0.weight"][0, 0]), "the file was altered"),
    "schema": (lambda d, t: d.update(schema=99), "schema 99; this version reads 1"),
    "array missing": (
        lambda d, t: t.pop("1.table"),
        "the description does not fit the arrays: LookupError('there is no array 1.table')",
    ),
    "float weights": (
        lambda d, t: t.update({"0.weight": t["0.weight"].astype(np.float32)}),
        "must hold signed integers",
    ),
    "unknown layer": (lambda d, t: d["layers"][0].update(kind="Conv9"), "layer kind 'Conv9'"),
    "order": (lambda d, t: d["layers"].pop(), "the last layer must be neurons"),
    "steps": (lambda d, t: d.update(steps=0), "steps must be 1 to 65535; got 0"),
    "input": (lambda d, t: d["input"].update(low=5, high=5), "needs low < high within 16 bits"),
    "width": (lambda d, t: d["input"].update(shape=[17]), "fc1: takes 16 values; gets 17"),
    "descending": (descend, "lif1: thresholds must ascend"),
    "range": (lambda d, t: t["1.thresholds"].__iadd__(30000), "thresholds must lie in the reachable range of sums"),
    "successor": (lambda d, t: t["1.successor"].__iadd__(100), "lif1: successors must be states"),
    "table": (lambda d, t: t["1.table"].__isub__(1), "lif1: every neuron must have a table"),
    "initial": (lambda d, t: t["1.initial_state"].__iadd__(50), "lif1: the initial state must be a state"),
    "no digest": (lambda d, t: d.pop("digest"), "the file was altered"),
    "infinite steps": (
        lambda d, t: d.update(steps=float("inf")),
        "does not fit the arrays: steps: Input should be a valid",
    ),
    "steps as text": (
        lambda d, t: d.update(steps="6"),
        "does not fit the arrays: steps: Input should be a valid",
    ),
    "a boolean as a size": (
        lambda d, t: d["input"].update(shape=[True, 16]),
        "does not fit the arrays: input.shape.0: Input",
    ),
    "a float as a size": (
        lambda d, t: d["input"].update(shape=[16.0]),
        "does not fit the arrays: input.shape.0: Input should",
    ),
    "a boolean as an end": (
        lambda d, t: d["input"].update(low=False),
        "does not fit the arrays: input.low: Input should be",
    ),
    "a boolean as a step": (
        lambda d, t: d["input"].update(step=True),
        "does not fit the arrays: input.step: Input should be",
    ),
    "a boolean as a wire": (lambda d, t: d["layers"][1].update(takes=[False]), "layers.1.takes.0: Input should be a"),
    "a number as a name": (
        lambda d, t: d.update(name=7),
        "does not fit the arrays: name: Input should be a valid string",
    ),
    "a field that nobody reads": (lambda d, t: d.update(gain=2), "arrays: gain: Extra inputs are not"),
    "half a character": (
        lambda d, t: d.update(name="\ud800"),
        "fit the arrays: all of it: Invalid JSON",
    ),
    "no input": (lambda d, t: d.pop("input"), "arrays: input: Field required"),
    "no document": (lambda d, t: d.clear(), "schema None; this version reads 1"),
    "deep": (lambda d, t: d["certificate"].update(layers=nested(900)), "the description"),
    "an array of nobody": (lambda d, t: t.update(x=np.zeros(1, np.int8)), "holds arrays that no layer has: x"),
    "unsigned": (
        lambda d, t: t.update({"1.table": t["1.table"].astype(np.uint8)}),
        "must hold signed integers; got U8",
    ),
    "booleans": (lambda d, t: t.update({"1.table": t["1.table"] > 0}), "must hold signed integers; got BOOL"),
    "proven in words": (lambda d, t: d["certificate"]["layers"][0].update(proven="yes"), "certificate: not of this"),
    "two initial states": (lambda d, t: t.update({"1.initial_state": np.zeros(2, np.int8)}), "does not fit the arrays"),
    "a large input": (lambda d, t: d["input"].update(shape=[2**30, 2**30]), "the input has"),
    "no initial state": (lambda d, t: t.update({"1.initial_state": np.zeros(0, np.int8)}), "does not fit the arrays"),
    "no tables": (lambda d, t: t.update({"1.thresholds": t["1.thresholds"][:0].copy()}), "threshold tables of shape"),
    "a row of the certificate": (lambda d, t: d["certificate"]["layers"].pop(), "one row a neuron layer, in order"),
    "a false claim": (lambda d, t: d["certificate"]["layers"][0].update(at_risk=4), "proven with combinations at risk"),
    "a wrong type": (lambda d, t: d["certificate"]["layers"][0].update(margin="x"), "certificate: not of this form"),
    "certificate": (lambda d, t: d["certificate"]["layers"][0].pop("rule"), "certificate: not of this form"),
}


@pytest.mark.parametrize("case", BAD)
def test_altered_files(case: str, saved: Path) -> None:
    change, message = BAD[case]
    altered(saved, change)
    with pytest.raises(FileFormatError) as caught:
        sd.load(saved)
    assert message in str(caught.value)


@pytest.mark.parametrize("length", [0, 5, 100, 2000])
def test_truncated(length: int, saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(FileFormatError, match="cannot be read as a network"):
        sd.load(saved)


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"nowhere.safetensors: cannot be read: No such file .*; `lower`"):
        sd.load(tmp_path / "nowhere.safetensors")
    save_file({"x": np.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(
        FileFormatError, match="not a squat_deploy network; `lower` makes one of a file that `train` wrote, or of a"
    ):
        sd.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize("code", ["F8_E4M3", "BF16", "F16", "F64", "U64", "BOOL"])
def test_element_types_that_are_not_read(code: str, saved: Path) -> None:
    """NumPy has no word for some of them."""
    content = saved.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["0.weight"]["dtype"] = code
    size = {"F16": 2, "BF16": 2, "F64": 8, "U64": 8}.get(code, 1)
    shape, offsets = header["0.weight"]["shape"], header["0.weight"]["data_offsets"]
    length = shape[0] * shape[1]
    added = length * size - (offsets[1] - offsets[0])
    for key, entry in header.items():
        if key != "__metadata__" and entry["data_offsets"][0] >= offsets[1]:
            entry["data_offsets"] = [place + added for place in entry["data_offsets"]]
    data = content[end:]
    header["0.weight"]["data_offsets"] = [offsets[0], offsets[0] + length * size]
    data = data[: offsets[1]] + bytes(added) + data[offsets[1] :]
    text = json.dumps(header).encode()
    saved.write_bytes(len(text).to_bytes(8, "little") + text + data)
    with pytest.raises(FileFormatError, match=f"every array must hold signed integers; got {code}"):
        sd.load(saved)


@pytest.mark.parametrize("shape", [(True,), (16.0,), ("16",), (0,), (-1,), (2**31,), (), (1,) * 9])
def test_sizes_of_inputs_are_integers(shape: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigError, match="InputSpec: shape must be 1 to 8 positive sizes"):
        sd.InputSpec(shape)
    with pytest.raises(ConfigError, match=r"InputSpec: shape is a tuple of sizes, as \(784,\); got 784"):
        sd.InputSpec(784)  # type: ignore[arg-type]
    assert sd.InputSpec((np.int64(16),)) == sd.InputSpec((16,))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["\ud800", "a\udcffb", "x" * 2000, 7])
def test_names_that_no_file_can_hold(name: Any, small: sd.Network, tmp_path: Path) -> None:
    layers = (dataclasses.replace(small.layers[0], name=name), *small.layers[1:])
    for network in (dataclasses.replace(small, name=name), dataclasses.replace(small, layers=layers)):
        with pytest.raises(ExportError, match="a name must be text"):
            sd.save(network, tmp_path / "n.safetensors")
        with pytest.raises(ExportError, match="a name must be text"):
            sd.emit_qonnx(network, tmp_path / "n.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(2))
    np.save(tmp_path / "a.npy", np.zeros(2))
    for name, message in (
        ("a.npz", "a zip archive, as torch files"),
        ("a.npy", "a NumPy array"),
    ):
        with pytest.raises(FileFormatError, match=f"cannot be read as a network: .*{message}"):
            sd.load(tmp_path / name)
    with pytest.raises(FileFormatError, match="no: cannot be read: No such file or directory; `lower` writes networks"):
        sd.load(tmp_path / "no")


def test_a_failed_save_keeps_the_old_file(saved: Path, small: sd.Network, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ExportError, match=r"cannot write .*: No space left on device"):
        sd.save(small, saved)
    assert saved.read_bytes() == before and len(list(saved.parent.iterdir())) == 1
    with pytest.raises(ExportError, match="No such file or directory"):
        sd.save(small, saved.parent / "missing" / "n.safetensors")
