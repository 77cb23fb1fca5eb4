"""The model that ships with the project: 784-256-10 on Fashion-MNIST, and a slice of its test images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from squat_deploy.errors import FileFormatError
from squat_deploy.network import InputSpec

if TYPE_CHECKING:
    from torch import nn

STEPS = 10
_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (_PACKAGE / "examples" / "fashion_mnist", _PACKAGE.parent / "examples" / "fashion_mnist")


def folder() -> Path:
    """Where the bundled files are, in a wheel or in a checkout. Raises: FileFormatError."""
    for place in _FOLDERS:
        if (place / "model.safetensors").is_file():
            return place
    raise FileFormatError("the bundled model is missing from this installation")


def input_spec() -> InputSpec:
    """4-bit pixels, shown at every step."""
    return InputSpec((784,), low=0, high=15, step=2.0**-4, encoding="direct")


def model() -> nn.Sequential:
    """The trained torch model, in eval mode (needs the `train` extra)."""
    from squat_deploy.lab.loop import trained_model

    return trained_model(folder() / "model.safetensors")[0]


def images() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The slice of test images (256, 784) in [0, 1], and their labels (256,)."""
    with safe_open(folder() / "test_images.safetensors", framework="numpy") as file:
        pixels, labels = file.get_tensor("pixels"), file.get_tensor("labels")
    return (pixels.reshape(len(pixels), -1) / np.float32(255)).astype(np.float32), labels.astype(np.int64)
