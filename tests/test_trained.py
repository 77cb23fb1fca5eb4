"""The trained networks of examples/trained: convolutional and recurrent, in every executor, with 0 differences."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import squat_deploy as sd
from squat_deploy.cli.sources import made_by_training
from squat_deploy.configs import read_yaml
from squat_deploy.errors import ConfigError, DatasetError, FileFormatError
from squat_deploy.lab import bundled
from squat_deploy.lab.data import VARIABLES, read_data
from squat_deploy.lab.datasets import available
from squat_deploy.lab.events import Events, read_cochlea, read_nmnist
from squat_deploy.lab.loop import TrainConfig, train, trained_model
from tests.cycles import cycles_compared
from tests.law import ROWS, assert_agrees
from tests.test_cli import document, invoke
from tests.test_hls import make

FOLDER = Path(__file__).parents[1] / "examples" / "trained"
SHAPES = {"fashion_conv": (1, 28, 28), "nmnist_conv": (2, 34, 34), "fsdd_recurrent": (700,)}
ACCURACY = {"fashion_conv": 0.84, "nmnist_conv": 0.84, "fsdd_recurrent": 0.68}


@cache
def lowered(name: str) -> tuple[sd.Network, object, TrainConfig]:
    """As `squat-deploy lower examples/trained/NAME.safetensors` does it."""
    model, config = trained_model(FOLDER / f"{name}.safetensors")
    images = config.encoding == "direct"
    spec = sd.InputSpec(SHAPES[name], 0, 15 if images else 1, 2.0**-4 if images else 1.0, config.encoding)
    assert made_by_training(str(FOLDER / f"{name}.safetensors"))[1:] == (spec, config.steps)
    return sd.lower(model, spec, config.steps, name=name), model, config


@pytest.mark.parametrize("name", SHAPES)
def test_one_command_lowers_each_of_them(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the README says it."""
    monkeypatch.chdir(tmp_path)
    found = document("lower", FOLDER / f"{name}.safetensors")
    assert found["proven"] and found["input"]["shape"] == list(SHAPES[name])  # type: ignore[index]
    assert sd.load("network.safetensors").digest == found["digest"]


def test_one_command_lowers_a_file_of_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file says weights, steps and inputs itself; the same network as in Python."""
    monkeypatch.chdir(tmp_path)
    file, want = FOLDER.parent / "fashion_mnist" / "model.safetensors", bundled.input_spec()
    found = document("lower", file)
    assert found["digest"] == sd.lower(bundled.model(), want, bundled.STEPS).digest
    checked = document("verify", "network.safetensors", "--model", file, "--samples", 2, "--executor", "torch")
    assert checked["agrees"] and not checked["warnings"]
    told = invoke("lower", file, "--steps", 5, code=1)
    assert "says its weights, steps and inputs itself; leave those options out" in told
    told = invoke("verify", "network.safetensors", "--model", file, "--checkpoint", file, code=1)
    assert "has its weights in it; leave out --checkpoint" in told


@pytest.mark.parametrize("name", SHAPES)
def test_trained_networks_agree(name: str, rng: np.random.Generator, ap_headers: None, tmp_path: Path) -> None:
    """Native and ap_int C++, both graphs, the simulator and the trained model, on inputs as dense as real ones."""
    network, model, _ = lowered(name)
    assert network.certificate.proven
    spec = network.input
    lead = (3,) if spec.encoding == "direct" else (network.steps, 3)
    inputs = rng.integers(1, spec.high + 1, (*lead, *spec.shape)) * (rng.random((*lead, *spec.shape)) < 0.2)
    with cycles_compared(network, inputs):
        agreement = sd.verify(network, model, inputs, folder=tmp_path / "hls")
        assert_agrees(agreement)
    assert [row.label for row in agreement.rows] == ROWS
    assert make(tmp_path / "hls", "csim-ap").startswith("PASS: 0 mismatches")
    assert "The design fits by this estimate" in (tmp_path / "hls/reports/estimate.txt").read_text()


@pytest.mark.parametrize("name", SHAPES)
def test_trained_networks_on_their_test_sets(name: str, compiler: None) -> None:
    """As accurate as promised, where the data is at hand."""
    network, model, config = lowered(name)
    here = available() if config.dataset == "fashion-mnist" else VARIABLES[config.dataset] in os.environ
    if not here:
        pytest.skip(f"{config.dataset} is not here: set {VARIABLES[config.dataset]}")
    _, test = read_data(config)
    direct = config.encoding == "direct"
    inputs = network.input.quantize(test.inputs[:1000]) if direct else test.inputs.swapaxes(0, 1).astype(np.int64)
    labels = test.labels[: len(inputs)] if direct else test.labels
    agreement = sd.verify(network, model, inputs, labels=labels, executors=("torch", "numpy"))
    assert_agrees(agreement)
    assert agreement.rows[0].accuracy is not None and agreement.rows[0].accuracy > ACCURACY[name]


@pytest.mark.parametrize("name", SHAPES)
def test_recipes_are_those_of_the_models(name: str) -> None:
    assert read_yaml(FOLDER / f"{name}.yaml", TrainConfig) == trained_model(FOLDER / f"{name}.safetensors")[1]


def events(shape: tuple[int, ...] = (3,)) -> Events:
    """Two recordings: three events and one."""
    return Events(
        np.array([0, 40, 99, 250]), np.array([0, 2, 2, 1]), np.array([0, 3, 4]), np.array([1, 0]),
        np.array([False, True]), shape,
    )  # fmt: skip


def test_frames_of_events() -> None:
    training, test = events().frames(2, 100), events().frames(2, 100, split="test")
    assert training.inputs.tolist() == [[[1, 0, 1], [0, 0, 1]]] and training.labels.tolist() == [1]
    assert test.inputs.tolist() == [[[0, 0, 0], [0, 0, 0]]]  # later than the windows
    assert events().frames(1, 100, high=1).inputs.tolist() == [[[1, 0, 1]]]
    assert events().frames(1, 100, high=2).inputs.tolist() == [[[1, 0, 2]]]


def test_events_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"an address outside \(2,\)"):
        events((2,))
    with pytest.raises(DatasetError, match="offsets must ascend from 0"):
        Events(np.array([0]), np.array([0]), np.array([0, 2]), np.array([1]), np.array([False]), (1,))
    path = tmp_path / "x.npz"
    with pytest.raises(DatasetError, match="no such file"):
        read_nmnist(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(DatasetError, match="plain arrays"):
        read_nmnist(path)
    np.savez(path, t=np.zeros(1))
    with pytest.raises(DatasetError, match="expected the arrays t, x, y, p, offsets"):
        read_nmnist(path)
    np.savez(path, t_half_ms=np.array([object()]))
    with pytest.raises(DatasetError, match="plain arrays"):
        read_cochlea(path)


def nmnist_file(path: Path, count: int) -> None:
    """Recordings of two classes, in the published layout: events in the upper or the lower half."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, count)
    each = 60
    y = rng.integers(0, 17, (count, each)) + 17 * labels[:, None]
    arrays = {"x": rng.integers(0, 34, count * each), "y": y.reshape(-1), "p": rng.integers(0, 2, count * each)}
    t = rng.integers(0, 300_000, count * each)
    is_test = np.arange(count) % 4 == 0
    np.savez(path, t=t, **arrays, offsets=np.arange(count + 1) * each, labels=labels, is_test=is_test)


@pytest.mark.parametrize("net", ["conv", "recurrent"])
def test_networks_of_events_learn(net: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nmnist_file(tmp_path / "n.npz", 160)
    monkeypatch.setenv("SQUAT_NMNIST", str(tmp_path / "n.npz"))
    sizes = {"conv": {"sizes": (2, 2, 2), "features": 450}, "recurrent": {"sizes": (2312, 8, 2)}}[net]
    config = TrainConfig(
        dataset="n-mnist", net=net, **sizes, steps=4, epochs=6, batch=20, state_bits=4, kind="uniform",
        learning_rate=5e-3, flip=False, shift=1, clip=1.0, clipped=True, lower_limit=1.0,
    )  # fmt: skip
    model, history = train(config, *read_data(config), tmp_path / "run", quiet=True)
    assert history[-1]["accuracy"] > 0.85
    again, saved = trained_model(tmp_path / "run" / "model.safetensors")
    assert saved == config and str(again) == str(model)
    monkeypatch.delenv("SQUAT_FSDD_SPIKES", raising=False)
    with pytest.raises(DatasetError, match="--data PATH, or SQUAT_FSDD_SPIKES=PATH"):
        read_data(TrainConfig(dataset="fsdd-spikes"))


def test_recipes_with_faults_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("net: dense\nepoch: 3\n")
    with pytest.raises(ConfigError, match="epoch: Extra inputs are not permitted"):
        read_yaml(tmp_path / "x.yaml", TrainConfig)
    (tmp_path / "x.yaml").write_text("sizes: [2]\nepochs: 3\nepochs: 4\n")
    with pytest.raises(ConfigError, match=r"x\.yaml: line 3: epochs is given twice"):
        read_yaml(tmp_path / "x.yaml", TrainConfig)
    (tmp_path / "x.safetensors").write_bytes(b"12345678")
    with pytest.raises(FileFormatError, match="not a model of this project's training"):
        trained_model(tmp_path / "x.safetensors")
