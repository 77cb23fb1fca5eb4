"""The user's own model: `path/to/file.py:factory` and a checkpoint; and the inputs that it expects."""

from __future__ import annotations

import contextlib
import importlib.util
import random
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from brevitas.nn import QuantIdentity
from pydantic import TypeAdapter, ValidationError
from torch import nn
from torch.nn.modules.conv import _ConvNd

from squat_deploy.errors import ConfigError, FileFormatError, SquatError, SquatWarning, printable
from squat_deploy.lowering.drafting import program_of
from squat_deploy.lowering.trial import apart
from squat_deploy.network import Encoding, InputSpec
from squat_deploy.network.grid import STATE_IT
from squat_deploy.progress import report
from squat_deploy.snn.activations import grid_of_quantizer
from squat_deploy.snn.batch_first import time_first
from squat_deploy.snn.checkpoint import load_weights, model_metadata
from squat_deploy.snn.copying import frozen_copy
from squat_deploy.snn.identity import model_digest
from squat_deploy.snn.ptq import Recipe
from squat_deploy.snn.quantizers import InputQuantizer
from squat_deploy.snn.running import is_plain, leaves
from squat_deploy.snn.states import made_state
from squat_deploy.snn.wrappers import opened, warn_of_wrappers

_RECIPE = TypeAdapter(Recipe)
_OTHER_SEED = 1_234_567
_WEIGHTS = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")  # what people name checkpoints
_SLOW_FACTORY = 5.0  # seconds; a slower one is not called a second time


def load_model(reference: str, checkpoint: Path | None, *, trained: bool = False) -> nn.Module:
    """The model alone of `load_with_state`."""
    return load_with_state(reference, checkpoint, trained=trained)[0]


def load_with_state(reference: str, checkpoint: Path | None, *, trained: bool = False) -> tuple[nn.Module, Any]:
    """Calls the factory in the user's file (which runs that file) and loads the checkpoint into what it returns.

    A factory may return a pair: the model, and the `initial_state` of `lower`; else that is None.

    A checkpoint that `quantize` saved makes the quantized model of the float one.

    Args: trained: the weights matter; warn (SquatWarning) where the factory makes others each time it is called.

    Raises:
        ConfigError: no such file or factory, a file that fails, or a factory that returns no module.
        FileFormatError: a checkpoint that does not fit.
    """
    path, _, name = reference.rpartition(":")
    if not path or not name.isidentifier():
        weights = "; weights go with --checkpoint" if Path(reference).suffix in _WEIGHTS else ""
        raise ConfigError(f"model: expected path/to/file.py:factory; got {reference!r}{weights}")
    report(f"{Path(path).name}: {name}()", 0, 0)
    factory = _factory(_import(Path(path)), path, name)
    began = time.monotonic()
    made, state = _made(factory, path, name)
    warn_of_wrappers(made)
    model = opened(made)
    if checkpoint is not None:
        model = with_checkpoint(model, checkpoint)
    elif trained and time.monotonic() - began < _SLOW_FACTORY and _is_random(factory, model):
        text = f"random weights: {name}() makes new ones each time it is called, and no --checkpoint was given"
        warnings.warn(text, SquatWarning, stacklevel=2)
    return model, state


def _factory(module: ModuleType, path: str, name: str) -> Callable[[], object]:
    """What makes a model. Raises: ConfigError for names of nothing that does."""
    found = getattr(module, name, None)
    if isinstance(found, nn.Module):
        way = f"def factory(): return {name}"
        raise ConfigError(f"{path}: {name} is a model, not what makes one; name its class, or a function: {way}")
    if not callable(found):
        own = [key for key, value in vars(module).items() if _makes_models(value, module.__name__)]
        hint = f"; it defines {printable(', '.join(own[:10]))}" if own else "; it defines none"
        raise ConfigError(f"{path}: has no callable {name!r}{hint}")
    return found


def _makes_models(value: object, module: str) -> bool:
    """Whether it may be meant: a class of modules, or a function, of the file itself."""
    return getattr(value, "__module__", None) == module and (
        isinstance(value, FunctionType) or (isinstance(value, type) and issubclass(value, nn.Module))
    )


def with_checkpoint(model: nn.Module, checkpoint: Path) -> nn.Module:
    """A model with the weights of a checkpoint; quantized first where `quantize` saved it. Raises: FileFormatError."""
    recipe = _recipe(checkpoint)
    model = model if recipe is None else recipe.applied(model)
    load_weights(model, checkpoint)
    return model


def _recipe(checkpoint: Path) -> Recipe | None:
    """How the model of a checkpoint was quantized, if `quantize` wrote it. Raises: FileFormatError."""
    try:
        stated = model_metadata(checkpoint).get("quantized")
    except FileFormatError:  # of anybody else's
        return None
    try:
        return None if stated is None else _RECIPE.validate_python(stated)
    except ValidationError as error:
        raise FileFormatError(f"{checkpoint}: quantized: {error.errors()[0]['msg']}") from error


def _made(factory: Callable[[], object], path: str, name: str) -> tuple[nn.Module, Any]:
    """What a factory returns: a model, and where its sequences start."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            model, state = _pair(factory())
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{path}: {name}() failed: {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise ConfigError(f"{path}: {name}() must return a torch module; got {type(model).__name__}")
    return model, state


def _pair(made: object) -> tuple[Any, Any]:
    return made if isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], nn.Module) else (made, None)


def _is_random(factory: Callable[[], object], model: nn.Module) -> bool:
    """Whether the factory makes another model from another seed."""
    states = random.getstate(), np.random.get_state()
    try:
        with contextlib.redirect_stdout(sys.stderr), torch.random.fork_rng(devices=[]):
            torch.manual_seed(_OTHER_SEED)
            random.seed(_OTHER_SEED)
            np.random.seed(_OTHER_SEED)
            again, _ = _pair(factory())
        return isinstance(again, nn.Module) and model_digest(again) != model_digest(model)
    except (Exception, SystemExit):  # noqa: BLE001 (one that can be called but once says nothing)
        return False
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


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
    batch_first: bool = False,
) -> InputSpec:
    """The InputSpec of a model: what the user gave, else what its InputQuantizer and first linear layer say.

    Raises: ConfigError where nobody says what the shape is, or the grid: none is ever assumed.
    """
    modules = [module for _, module in leaves(model)] if is_plain(model) else list(model.modules())
    own = own_grid(model)
    layer = next((module for module in modules if isinstance(module, nn.Linear | _ConvNd)), None)
    first = layer.in_features if isinstance(layer, nn.Linear) else None
    if shape is None and first is None:
        raise ConfigError("inputs: the model does not begin with a linear layer to tell their shape; give --shape")
    if own is None and high is None:
        rule = (
            "inputs: the model has no InputQuantizer, and nobody said which integers enter it; a grid is never assumed"
        )
        raise ConfigError(f"{rule}; {STATE_IT}")
    return InputSpec(
        shape=shape or (int(first or 0),),
        low=low if low is not None else own[0] if own else 0,
        high=high if high is not None else own[1] if own else 1,
        step=step if step is not None else own[2] if own else 1.0,
        encoding=encoding,
        time_first=not batch_first,
    )


def own_grid(model: nn.Module) -> tuple[int, int, float] | None:
    """Lowest and highest integer, and its value, of an InputQuantizer, or of a QuantIdentity before all weights."""
    module: Any
    for module in model.modules():
        if isinstance(module, InputQuantizer):
            return module.low, module.high, module.step
        if isinstance(module, nn.Linear | _ConvNd):
            break
        if type(module) is QuantIdentity:
            return grid_of_quantizer(module.act_quant.eval())
    return next(((x.low, x.high, x.step) for x in model.modules() if isinstance(x, InputQuantizer)), None)


def check_own_grid(model: nn.Module, spec: InputSpec, steps: int, initial_state: Any = None) -> None:
    """Raises: ConfigError where a model has an InputQuantizer, which was taken for the grid, and never calls it."""
    if is_plain(model) or own_grid(model) is None:
        return
    try:
        first = made_state(initial_state)
        called = apart(time_first(frozen_copy(model), spec), spec, steps, first)
        calls = program_of(called, spec, steps, first).calls()
    except SquatError:  # told when it is lowered
        return
    if not any(isinstance(call.module, InputQuantizer | QuantIdentity) for call in calls):
        rule = "the model has an InputQuantizer, but never calls it on the way to its output; a grid is never assumed"
        raise ConfigError(f"inputs: {rule}; {STATE_IT}")
