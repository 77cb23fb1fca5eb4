"""The user's own model: `path/to/file.py:factory` and a checkpoint; and the inputs that it expects."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from torch import nn

from squat_deploy.errors import ConfigError
from squat_deploy.network import Encoding, InputSpec
from squat_deploy.quantizers import InputQuantizer
from squat_deploy.training.checkpoint import load_weights
from squat_deploy.training.sequence import is_plain, leaves


def load_model(reference: str, checkpoint: Path | None) -> nn.Module:
    """Calls the factory in the user's file (which runs that file) and loads the checkpoint into what it returns.

    Raises:
        ConfigError: no such file or factory, a file that fails, or a factory that returns no module.
        FileFormatError: a checkpoint that does not fit.
    """
    path, _, name = reference.rpartition(":")
    if not path or not name.isidentifier():
        raise ConfigError(f"model: expected path/to/file.py:factory; got {reference!r}")
    factory = getattr(_import(Path(path)), name, None)
    if not callable(factory):
        raise ConfigError(f"{path}: has no callable {name!r}")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            model = factory()
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{path}: {name}() failed: {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise ConfigError(f"{path}: {name}() must return a torch module; got {type(model).__name__}")
    if checkpoint is not None:
        load_weights(model, checkpoint)
    return model


def _import(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location("squat_user_model", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what the user's file prints is not our answer
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{path}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    return module


def infer_input(
    model: nn.Module,
    shape: tuple[int, ...] | None,
    low: int | None,
    high: int | None,
    step: float | None,
    encoding: Encoding,
) -> InputSpec:
    """The InputSpec of a model: what the user gave, else what its InputQuantizer and first linear layer say."""
    modules = [module for _, module in leaves(model)] if is_plain(model) else list(model.modules())
    own = next((module for module in modules if isinstance(module, InputQuantizer)), None)
    layer = next((module for module in modules if isinstance(module, nn.Linear | nn.Conv2d)), None)
    first = layer.in_features if isinstance(layer, nn.Linear) else None
    if shape is None and first is None:
        raise ConfigError("inputs: the model does not begin with a linear layer to tell their shape; give --shape")
    return InputSpec(
        shape=shape or (int(first or 0),),
        low=low if low is not None else own.low if own else 0,
        high=high if high is not None else own.high if own else 1,
        step=step if step is not None else own.step if own else 1.0,
        encoding=encoding,
    )
