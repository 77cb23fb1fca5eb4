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
from squat_deploy.errors import ExportError, FileFormatError
from squat_deploy.network import arrays_of
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
        assert all(np.array_equal(x, y) for x, y in zip(arrays_of(a).values(), arrays_of(b).values(), strict=True))
    for before, after in zip(network.neurons, loaded.neurons, strict=True):
        assert np.array_equal(before.membranes, after.membranes)
    assert hls.render(loaded, drawn.config) == hls.render(network, drawn.config)


def test_digest_covers_every_integer_and_no_name(small: sd.Network) -> None:
    assert dataclasses.replace(small, name="other").digest == small.digest
    assert dataclasses.replace(small, steps=small.steps + 1).digest != small.digest
    for index, layer in enumerate(small.layers):
        for key, array in arrays_of(layer).items():
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
from squat_deploy.cli import app
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


BAD: dict[str, tuple[Callable[[dict[str, Any], dict[str, np.ndarray]], object], str]] = {
    "weight changed": (lambda d, t: t["0.weight"].__setitem__((0, 0), 1 - t["0.weight"][0, 0]), "the file was altered"),
    "schema": (lambda d, t: d.update(schema=99), "schema 99; this version reads 1"),
    "array missing": (lambda d, t: t.pop("1.table"), "the description does not fit the arrays: KeyError('1.table')"),
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
    "infinite steps": (lambda d, t: d.update(steps=float("inf")), "the description does not fit the arrays"),
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
    with pytest.raises(FileFormatError, match="cannot be read as a network"):
        sd.load(tmp_path / "nowhere.safetensors")
    save_file({"x": np.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(FileFormatError, match="a safetensors file, but not a squat_deploy network"):
        sd.load(tmp_path / "other.safetensors")


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
