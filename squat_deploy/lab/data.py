"""The data sets that a training configuration can name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from squat_deploy.errors import DatasetError
from squat_deploy.lab.config import Dataset, TrainConfig
from squat_deploy.lab.datasets import Samples, fashion_mnist
from squat_deploy.lab.events import Events, read_cochlea, read_nmnist
from squat_deploy.lab.recordings import read_dvs_gesture, read_shd

_READERS: dict[Dataset, Callable[[str | Path], Events]] = {
    "n-mnist": read_nmnist,
    "fsdd-spikes": read_cochlea,
    "shd": read_shd,
    "dvs-gesture": read_dvs_gesture,
}
VARIABLES: dict[Dataset, str] = {
    "fashion-mnist": "SQUAT_FASHION_MNIST",
    "n-mnist": "SQUAT_NMNIST",
    "fsdd-spikes": "SQUAT_FSDD_SPIKES",
    "shd": "SQUAT_SHD",
    "dvs-gesture": "SQUAT_DVS_GESTURE",
}


def read_data(config: TrainConfig, place: Path | None = None, *, download: bool = False) -> tuple[Samples, Samples]:
    """Training and test samples.

    Args:
        place: the folder of Fashion-MNIST, SHD or DVS Gesture, or the .npz file of other event data; by default what
            VARIABLES name in the environment.
        download: fetch Fashion-MNIST where it is missing.

    Raises: DatasetError.
    """
    training, test = _splits(config, place, download=download)
    for samples in (training, test):
        low, high = int(samples.labels.min()), int(samples.labels.max())
        if low < 0 or high >= config.sizes[-1]:
            raise DatasetError(
                f"{config.dataset}: labels {low}..{high}, but the network has {config.sizes[-1]} classes"
            )
    return training, test


def _splits(config: TrainConfig, place: Path | None, *, download: bool) -> tuple[Samples, Samples]:
    if config.dataset == "fashion-mnist":
        return (
            fashion_mnist("train", place, download=download).samples(),
            fashion_mnist("test", place, download=download).samples(),
        )
    path = place or os.environ.get(VARIABLES[config.dataset])
    if not path:
        raise DatasetError(
            f"{config.dataset}: name its .npz file or its folder (--data PATH, or {VARIABLES[config.dataset]}=PATH)"
        )
    events = _READERS[config.dataset](path).pooled(config.pixels)
    return events.frames(config.steps, config.duration), events.frames(config.steps, config.duration, split="test")
