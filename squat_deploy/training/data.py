"""The data sets that a training configuration can name."""

from __future__ import annotations

import os
from pathlib import Path

from squat_deploy.errors import DatasetError
from squat_deploy.training.datasets import Samples, fashion_mnist
from squat_deploy.training.events import read_cochlea, read_nmnist
from squat_deploy.training.loop import Dataset, TrainConfig

_READERS = {"n-mnist": read_nmnist, "fsdd-spikes": read_cochlea}
VARIABLES: dict[Dataset, str] = {
    "fashion-mnist": "SQUAT_FASHION_MNIST",
    "n-mnist": "SQUAT_NMNIST",
    "fsdd-spikes": "SQUAT_FSDD_SPIKES",
}


def read_data(config: TrainConfig, place: Path | None = None, *, download: bool = False) -> tuple[Samples, Samples]:
    """Training and test samples.

    Args:
        place: the folder of Fashion-MNIST, or the .npz file of event data; by default what VARIABLES name in the
            environment.
        download: fetch Fashion-MNIST where it is missing.

    Raises: DatasetError.
    """
    if config.dataset == "fashion-mnist":
        return (
            fashion_mnist("train", place, download=download).samples(),
            fashion_mnist("test", place, download=download).samples(),
        )
    path = place or os.environ.get(VARIABLES[config.dataset])
    if not path:
        raise DatasetError(f"{config.dataset}: name its .npz file (--data FILE, or {VARIABLES[config.dataset]}=FILE)")
    events = _READERS[config.dataset](path)
    return events.frames(config.steps, config.duration), events.frames(config.steps, config.duration, split="test")
