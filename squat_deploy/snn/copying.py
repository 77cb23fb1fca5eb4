"""Copies of models that leave the user's own as it is."""

from __future__ import annotations

import contextlib
import copy
import copyreg
import random
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from brevitas.nn.quant_layer import QuantWeightBiasInputOutputLayer
from torch import Tensor, nn

from squat_deploy.errors import ConfigError
from squat_deploy.snn.adopting import adopted
from squat_deploy.snn.wrappers import open_wrappers

_ONE_AT_A_TIME = threading.RLock()


def check_model(model: object) -> None:
    """Raises: ConfigError for what is none, a factory for one."""
    if not isinstance(model, nn.Module):
        got, hint = type(model).__name__, "of a function that makes one, give what it returns"
        raise ConfigError(f"a model is an nn.Module; got {got}; {hint}")


def frozen_copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode on the CPU, without gradients or wrappers; the user's model stays as it is.

    Layers that the model does not list are among the modules of the copy (`adopting.py`).

    Raises: ConfigError for a model that cannot be copied, or is none.
    """
    check_model(model)
    model = adopted(model)
    warm_up(model)
    try:
        memo = _copied_already(model)
        open_wrappers(model, memo)
        copied = deep_copy(model, memo)
    except Exception as error:
        text = f"the model cannot be copied: copy.deepcopy(model) says {type(error).__name__}: {error}"
        raise ConfigError(
            f"{text}; keep generators, locks, compiled functions and the like out of its attributes"
        ) from error
    return copied.cpu().eval().requires_grad_(False)


def deep_copy(model: nn.Module, memo: dict[int, Any] | None = None) -> nn.Module:
    """`copy.deepcopy`, several times faster: most that a model holds are modules, and tables of hooks without any.

    Args: memo: of `copy.deepcopy`; holds the copies of all modules afterwards, by the id of what they are copies of.
    """
    memo = {} if memo is None else memo
    before = dict(memo)
    try:
        _copy_modules(model, memo)
        return copy.deepcopy(model, memo)
    except Exception:  # noqa: BLE001 (an object that looks at a module which is not whole yet)
        memo.clear()
        memo.update(before)
        return copy.deepcopy(model, memo)


def _copy_modules(model: nn.Module, memo: dict[int, Any]) -> None:
    """Makes the modules themselves: what they are first, then what they hold."""
    every = list(model.modules())
    kinds = {kind for kind in map(type, every) if _is_its_dict(kind)}
    alone = [m for m in every if type(m) in kinds and id(m) not in memo and "__deepcopy__" not in vars(m)]
    for module in every:
        for value in vars(module).values():
            if type(value) in _TABLES and not value:
                memo[id(value)] = type(value)()
    for module in alone:
        made = memo[id(module)] = type(module).__new__(type(module))
        atoms = {key: value for key, value in vars(module).items() if type(value) in _ATOMS}
        vars(made).update(atoms)
    for module in alone:
        held = vars(memo[id(module)])
        for key, value in module.__getstate__().items():  # type: ignore[no-untyped-call]
            if type(value) in _ATOMS:
                held[key] = value
            else:
                held[key] = memo[id(value)] if id(value) in memo else copy.deepcopy(value, memo)


_TABLES = {OrderedDict, dict, set, list}
_ATOMS = {bool, int, float, str, type(None)}
_OF_OBJECTS = ("__deepcopy__", "__reduce__", "__reduce_ex__", "__getnewargs__", "__getnewargs_ex__", "__new__")
_OF_MODULES = ("__getstate__", "__setstate__")


def _is_its_dict(kind: type[nn.Module]) -> bool:
    """Whether `copy.deepcopy` makes an empty object of a class and copies what `__dict__` holds, and no more."""
    plain = all(getattr(kind, way, None) is getattr(object, way, None) for way in _OF_OBJECTS)
    plain &= all(getattr(kind, way) is getattr(nn.Module, way) for way in _OF_MODULES)
    slots = any(vars(base).get("__slots__") for base in kind.__mro__)
    return plain and not slots and kind not in copyreg.dispatch_table


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Random numbers go on afterwards as if nothing had been drawn meanwhile.

    One thread at a time: while a model is run, functions of torch and lists of snnTorch are exchanged for all of them.
    Not in inference mode, where torch counts no changes in place.
    """
    with _ONE_AT_A_TIME, torch.inference_mode(mode=False), _random_numbers_kept():
        yield


@contextlib.contextmanager
def _random_numbers_kept() -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def warm_up(model: nn.Module) -> None:
    """Some Brevitas quantizers change at their first use, so that they cannot be copied or compiled before it.

    Some also clamp the weights in place then, as they do at every use; those stay the user's here.
    """
    for module in model.modules():
        if isinstance(module, QuantWeightBiasInputOutputLayer):
            with torch.no_grad(), contextlib.suppress(Exception):
                weight = module.weight.detach().clone()
                module.quant_weight()
                if not torch.equal(weight, module.weight):
                    module.weight.copy_(weight)


def _copied_already(model: nn.Module) -> dict[int, Any]:
    """A memo for deepcopy: what it should not copy itself.

    Membranes left over from training hang in its autograd graph, which cannot be copied; what is on a GPU is copied to
    the CPU alone.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for value in (*vars(module).values(), *module._buffers.values(), *module._parameters.values()):
            if isinstance(value, Tensor) and not (value.is_leaf and value.device.type == "cpu"):
                copied = value.detach().to("cpu", copy=True)
                trained = isinstance(value, nn.Parameter)
                memo[id(value)] = nn.Parameter(copied, value.requires_grad) if trained else copied
    return memo
