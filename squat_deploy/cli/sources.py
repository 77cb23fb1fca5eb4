"""Where models come from: path/to/file.py:factory, or an export of Brevitas with its neurons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from squat_deploy.errors import ConfigError
from squat_deploy.network import InputSpec

if TYPE_CHECKING:
    from torch import nn


def is_export(model: str | None) -> TypeGuard[str]:
    """Whether it is an ONNX file, not a file in Python."""
    return model is not None and model.endswith(".onnx")


def name_of(model: str) -> str:
    """The factory, or the file of an export without its ending."""
    return Path(model).stem if is_export(model) else model.rsplit(":", 1)[-1]


def source_of(model: str) -> str:
    """The file and the factory as a network records them, without folders."""
    name = Path(model).name
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:255]


def stem_of(network: Path) -> str:
    """Name of a network's file, the form of a graph left out."""
    return network.stem.removesuffix(".step").removesuffix(".sequence").removesuffix(".finn")


def weights_line(model: str, checkpoint: Path | None) -> str:
    """Where the weights came from."""
    if is_export(model) or checkpoint is not None:
        return f"weights: those of {checkpoint or model}"
    return f"weights: those that {name_of(model)}() made (no --checkpoint)"


def imported(weights: str, neurons: Path | None) -> tuple[nn.Sequential, InputSpec, int]:
    """Model, inputs and time steps of a QONNX export of Brevitas and its neuron file. Raises: ConfigError."""
    from squat_deploy.readers.brevitas.model import imported_model

    if neurons is None:
        raise ConfigError(f"{weights}: an .onnx file has weights only; give the neurons as a YAML file with --neurons")
    return imported_model(Path(weights), neurons)
