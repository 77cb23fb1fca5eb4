"""Checkpoints as safetensors: model, optimizer, schedule and random state, nothing to unpickle."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from squat_deploy.errors import FileFormatError
from squat_deploy.files import write_file

_FORMAT = "squat_deploy.checkpoint"


def save_model(model: nn.Module, path: Path, metadata: dict[str, Any] | None = None) -> None:
    """Writes the model's state dict, whole or not at all."""
    tensors = {key: value.detach().contiguous().clone() for key, value in model.state_dict().items()}
    write_file(path, save_tensors(tensors, {_FORMAT: json.dumps(metadata or {})}))


def model_metadata(path: Path) -> dict[str, Any]:
    """What `save_model` wrote beside the weights. Raises: FileFormatError."""
    try:
        with safe_open(path, framework="numpy") as file:
            found = json.loads((file.metadata() or {})[_FORMAT])
    except (OSError, SafetensorError, LookupError, ValueError, RecursionError) as error:
        raise FileFormatError(f"{path}: not a model of this project's training: {error}") from error
    if not isinstance(found, dict):
        raise FileFormatError(f"{path}: not a model of this project's training")
    return found


def load_weights(model: nn.Module, path: Path) -> None:
    """Loads a state dict from safetensors, or from a torch file with `weights_only=True`.

    Raises: FileFormatError for a file that is missing, broken, or made for another model.
    """
    try:
        if path.suffix == ".safetensors":
            tensors: dict[str, Any] = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(tensors, dict):
            raise FileFormatError(f"{path}: holds {type(tensors).__name__}, not a state dict")
        tensors = tensors.get("state_dict", tensors)
        model.load_state_dict({key: _shaped(model, key, value) for key, value in tensors.items()})
    except FileFormatError:
        raise
    except Exception as error:  # torch raises many types for a bad file; all mean the same to the user
        reasons = " ".join(line.strip() for line in str(error).splitlines()[:4])
        raise FileFormatError(f"{path}: cannot be loaded into this model: {reasons}") from error


def _shaped(model: nn.Module, key: str, value: Any) -> Any:
    """snnTorch's scalars are stored with shape (1,) by some writers."""
    own = model.state_dict().get(key)
    if own is None or not isinstance(value, Tensor) or own.numel() != value.numel():
        return value
    return value.reshape(own.shape)


def save_training(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: dict[str, Any]) -> None:
    """Writes all that `load_training` needs to go on as if nothing had happened."""
    tensors = {f"model.{key}": value.detach().cpu().clone() for key, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value).cpu().clone() for key, value in state.items()}
    tensors["random"] = torch.get_rng_state()
    write_file(path, save_tensors(tensors, {_FORMAT: json.dumps(progress)}))


def load_training(
    path: Path, model: nn.Module, make: Callable[[nn.Module], torch.optim.Optimizer]
) -> tuple[dict[str, Any], torch.optim.Optimizer]:
    """Restores model, optimizer and random state.

    Args: make: an optimizer of the model as it is after loading, since Brevitas makes learned scales anew then.

    Returns: the progress, and the optimizer. Raises: FileFormatError.
    """
    try:
        with safe_open(path, framework="pt") as file:
            progress = json.loads(file.metadata()[_FORMAT])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        model.load_state_dict({key[6:]: value for key, value in tensors.items() if key.startswith("model.")})
        optimizer, states = make(model), dict[int, dict[str, Tensor]]()
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".", 2)
                states.setdefault(int(index), {})[name] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
        torch.set_rng_state(tensors["random"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FileFormatError(f"{path}: not a checkpoint of this training run: {error}") from error
    return dict(progress), optimizer
