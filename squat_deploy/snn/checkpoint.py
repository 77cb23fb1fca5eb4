"""Checkpoints as safetensors: model, optimizer, schedule and random state, nothing to unpickle."""

from __future__ import annotations

import json
import pickle  # for the name of an error; nothing is unpickled
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from squat_deploy.errors import FileFormatError, SquatWarning, translated
from squat_deploy.files import kind_of, unreadable, write_file
from squat_deploy.snn.adopting import note_of_unlisted
from squat_deploy.snn.state_dicts import found_in, judged
from squat_deploy.snn.wrappers import settle_lazy

_FORMAT = "squat_deploy.checkpoint"


def save_model(model: nn.Module, path: str | Path, metadata: dict[str, Any] | None = None) -> None:
    """Writes the model's state dict, whole or not at all."""
    tensors = {key: value.detach().contiguous().clone() for key, value in model.state_dict().items()}
    write_file(Path(path), save_tensors(tensors, {_FORMAT: json.dumps(metadata or {})}))


def model_metadata(path: Path) -> dict[str, Any]:
    """What `save_model` wrote beside the weights. Raises: FileFormatError."""
    _check_file(path)
    with (
        translated(FileFormatError, f"{path}: not a model of this project's training"),
        safe_open(path, framework="numpy") as file,
    ):
        found = json.loads((file.metadata() or {})[_FORMAT])
    if not isinstance(found, dict):
        raise FileFormatError(f"{path}: not a model of this project's training")
    return found


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Loads a state dict from safetensors, or from a torch file with `weights_only=True`.

    It may be an entry of what a training script saved, and have the names that wrappers give it (`state_dicts.py`).

    Raises: FileFormatError for a file that is missing, broken, or made for another model.
    Warns: SquatWarning of all that was done to fit it.
    """
    path = Path(path)
    _check_file(path)
    kind = kind_of(path) or ""
    if kind and "torch" not in kind:
        raise FileFormatError(
            f"{path}: cannot be loaded into this model: it is {kind}; give safetensors or a torch file"
        )
    unlisted = note_of_unlisted(model)
    with translated(FileFormatError, f"{path}: cannot be loaded into this model"):
        content = _torch_file(path) if kind else load_file(path)
        if unlisted and not content and not model.state_dict():
            warnings.warn(f"{path.name}: {unlisted}", SquatWarning, stacklevel=2)
            return
        found = found_in(path, content, model)
        state = {key: _shaped(model, key, value) for key, value in found.state.items()}
        missing, extra = model.load_state_dict(state, strict=False)
        notes = [*judged(path, model, found, missing, extra), *([unlisted] if unlisted else [])]
        settle_lazy(model)
    if notes:
        warnings.warn(f"{path.name}: {'; '.join(notes)}", SquatWarning, stacklevel=2)


def _check_file(path: Path) -> None:
    if (why := unreadable(path)) is not None:
        raise FileFormatError(f"{path}: {why}")


def _torch_file(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:  # torch packs nothing; what is packed could become anything
            if sum(member.file_size for member in archive.infolist()) > path.stat().st_size:
                raise FileFormatError(f"{path}: a packed archive, which torch.save does not write")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # its text tells people to load whatever is in the file
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"holds Python objects ({named[1]})" if named else "is broken, or holds Python objects"
        raise FileFormatError(
            f"{path}: {what}, which are never loaded; where it was made, save model.state_dict() instead, or the state "
            "dict alone of what was saved"
        ) from error


def _shaped(model: nn.Module, key: str, value: Any) -> Any:
    """snnTorch's scalars are stored with shape (1,) by some writers; no other shapes are one."""
    own = model.state_dict().get(key)
    if own is None or is_lazy(own) or not isinstance(value, Tensor):
        return value
    sizes, wanted = ([n for n in tensor.shape if n != 1] for tensor in (value, own))
    return value.reshape(own.shape) if sizes == wanted else value


def save_training(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: dict[str, Any]) -> None:
    """Writes all that `load_training` needs to go on as if nothing had happened."""
    tensors = {f"model.{key}": value.detach().cpu().clone() for key, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value).cpu().clone() for key, value in state.items()}
    tensors["random"] = torch.get_rng_state()
    write_file(Path(path), save_tensors(tensors, {_FORMAT: json.dumps(progress)}))


def load_training(
    path: Path, model: nn.Module, make: Callable[[nn.Module], torch.optim.Optimizer]
) -> tuple[dict[str, Any], torch.optim.Optimizer]:
    """Restores model, optimizer and random state.

    Args: make: an optimizer of the model as it is after loading, since Brevitas makes learned scales anew then.

    Returns: the progress, and the optimizer. Raises: FileFormatError.
    """
    _check_file(path)
    with translated(FileFormatError, f"{path}: not a checkpoint of this training run"):
        with safe_open(path, framework="pt") as file:
            progress = dict(json.loads(file.metadata()[_FORMAT]))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        model.load_state_dict({key[6:]: value for key, value in tensors.items() if key.startswith("model.")})
        optimizer, states = make(model), dict[int, dict[str, Tensor]]()
        shapes = [value.shape for group in optimizer.param_groups for value in group["params"]]
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".", 2)
                if value.ndim and value.shape != shapes[int(index)]:
                    raise ValueError(f"{key} has shape {tuple(value.shape)}")
                states.setdefault(int(index), {})[name] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
        torch.set_rng_state(tensors["random"])
    return progress, optimizer
