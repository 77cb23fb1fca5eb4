"""SHD and DVS Gesture from small files in their published layouts, through tonic, up to a network that trains."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from squat_deploy.configs import read_yaml
from squat_deploy.errors import DatasetError
from squat_deploy.lab.data import read_data
from squat_deploy.lab.loop import TrainConfig, train
from squat_deploy.lab.recordings import read_dvs_gesture, read_shd

RECIPES = Path(__file__).parent.parent / "examples" / "recipes"


@pytest.fixture
def shd(tmp_path: Path) -> Path:
    """As zenkelab publishes it: ragged arrays of times in seconds and of units, labels, speakers."""
    rng = np.random.default_rng(0)
    (tmp_path / "SHD").mkdir()
    for name, count in (("shd_train.h5", 12), ("shd_test.h5", 5)):
        with h5py.File(tmp_path / "SHD" / name, "w") as file:
            spikes = file.create_group("spikes")
            times = spikes.create_dataset("times", (count,), dtype=h5py.vlen_dtype(np.float16))
            units = spikes.create_dataset("units", (count,), dtype=h5py.vlen_dtype(np.uint16))
            for index in range(count):
                times[index] = np.sort(rng.random(40)).astype(np.float16)
                units[index] = rng.integers(0, 700, 40).astype(np.uint16)
            file["labels"] = (np.arange(count) % 20).astype(np.uint16)
            file["extra/speaker"] = np.zeros(count, np.uint16)
            file["extra/keys"] = np.array([b"zero", b"one"])
    return tmp_path


@pytest.fixture
def gestures(tmp_path: Path) -> Path:
    """As tonic keeps it: user01_fluorescent/LABEL.npy with rows (x, y, polarity, milliseconds)."""
    rng = np.random.default_rng(0)
    for split, users in (("ibmGestureTrain", (1, 2)), ("ibmGestureTest", (24,))):
        for user in users:
            folder = tmp_path / "DVSGesture" / split / f"user{user:02d}_fluorescent"
            folder.mkdir(parents=True)
            for label in (0, 3, 10):
                columns = rng.integers(0, 128, 60), rng.integers(0, 128, 60), rng.integers(0, 2, 60)
                rows = np.stack([*columns, 500 + np.sort(rng.integers(0, 900, 60))], axis=1)
                np.save(folder / f"{label}.npy", rows.astype(np.float32))
    return tmp_path


def test_shd(shd: Path) -> None:
    events = read_shd(shd)
    assert events.shape == (700,) and len(events.labels) == 17 and events.is_test.sum() == 5
    assert events.labels[:12].tolist() == list(range(12)) and len(events.times) == 17 * 40
    with h5py.File(shd / "SHD" / "shd_train.h5") as file:
        times, units = file["spikes/times"][3], file["spikes/units"][3]
    assert events.addresses[120:160].tolist() == units.tolist()
    assert events.times[120:160].tolist() == [int(t * 1e6) for t in times.astype(float)]
    assert np.array_equal(read_shd(shd / "SHD").times, events.times)


def test_dvs_gesture(gestures: Path) -> None:
    events = read_dvs_gesture(gestures)
    assert events.shape == (2, 128, 128) and sorted(events.labels.tolist()) == [0, 0, 0, 3, 3, 3, 10, 10, 10]
    first = int(np.flatnonzero((events.labels == 3) & events.is_test)[0])
    part = slice(events.offsets[first], events.offsets[first + 1])
    rows = np.load(gestures / "DVSGesture" / "ibmGestureTest" / "user24_fluorescent" / "3.npy").astype(int)
    assert events.addresses[part].tolist() == [(p * 128 + y) * 128 + x for x, y, p, _ in rows]
    assert events.times[part].tolist() == ((rows[:, 3] - rows[0, 3]) * 1000).tolist()
    small = events.pooled(4)
    assert small.shape == (2, 32, 32)
    assert small.addresses[part].tolist() == [(p * 32 + y // 4) * 32 + x // 4 for x, y, p, _ in rows]
    with pytest.raises(DatasetError, match="squares of 5 x 5 pixels do not cover"):
        events.pooled(5)


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_train(recipe: Path, shd: Path, gestures: Path, tmp_path: Path) -> None:
    """The whole recipe, on the small files and with one epoch."""
    config = read_yaml(recipe, TrainConfig).model_copy(update={"epochs": 1, "float_epochs": 0, "batch": 4})
    training, test = read_data(config, {"shd": shd, "dvs-gesture": gestures}[config.dataset])
    assert training.inputs.shape[1] == config.steps and training.inputs.any()
    _, history = train(config, training, test, tmp_path / "run", quiet=True)
    assert np.isfinite(history[0]["loss"])


def test_faults_are_named(shd: Path, gestures: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nothing: expected SHD/shd_train.h5 and SHD/shd_test.h5"):
        read_shd(tmp_path / "nothing")
    with pytest.raises(DatasetError, match="expected DVSGesture/ibmGestureTrain"):
        read_dvs_gesture(tmp_path / "nothing")
    path = shd / "SHD" / "shd_test.h5"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DatasetError, match="not in the published layout"):
        read_shd(shd)
    bad = gestures / "DVSGesture" / "ibmGestureTest" / "user24_fluorescent" / "3.npy"
    np.save(bad, np.full((4, 4), 200.0, dtype=np.float32))
    with pytest.raises(DatasetError, match="not in the published layout: a pixel outside 128 x 128"):
        read_dvs_gesture(gestures)
    np.save(bad, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DatasetError, match="not in the published layout"):
        read_dvs_gesture(gestures)
