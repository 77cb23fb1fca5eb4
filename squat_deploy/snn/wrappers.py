"""Wrappers of torch around a model, which compute nothing of their own: what is inside is the model."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from squat_deploy.errors import SquatWarning
from squat_deploy.snn.functions import Reached, lines_in

_COMPILED = "torch._dynamo.eval_frame.OptimizedModule"
_INSIDE = {  # by name: some take long to import
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch.optim.swa_utils.AveragedModel": "module",
    _COMPILED: "_orig_mod",
}
_EAGER = "; what torch.compile makes of it may round otherwise, and is not looked at"


def is_wrapper(module: nn.Module) -> bool:
    """Whether calling it is calling what is inside; hooks, and a forward of the user's, would be no part of that."""
    hooks = module._forward_hooks or module._forward_pre_hooks
    return _name(module) in _INSIDE and not hooks and _is_torchs(module)


def _is_torchs(module: nn.Module) -> bool:
    """Whether its forward is its class's, and that torch's; what is compiled has one of its own, made by torch."""
    own = vars(module).get("forward")
    if own is not None and not (_name(module) == _COMPILED and hasattr(own, "_torchdynamo_orig_callable")):
        return getattr(own, "__func__", None) is getattr(type(module), "_call_lazy_check", module)
    made = getattr(type(module).forward, "__globals__", {}).get("__name__", "")
    return bool(made.split(".")[0] == "torch")


def _name(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


def _inside(module: nn.Module) -> nn.Module:
    inner: nn.Module = getattr(module, _INSIDE[_name(module)])
    return inner


def open_wrappers(model: nn.Module, memo: dict[int, Any]) -> None:
    """Lets `copy.deepcopy(model, memo)` put copies of what is inside in the places of wrappers, one in another too."""
    for module in reversed(list(model.modules())):
        if is_wrapper(module):
            memo[id(module)] = copy.deepcopy(_inside(module), memo)


def opened(model: nn.Module) -> nn.Module:
    """The model without wrappers: itself where it has none, what is inside of it, or a copy."""
    while is_wrapper(model):
        model = _inside(model)
    if not any(map(is_wrapper, model.modules())):
        return model
    memo: dict[int, Any] = {}
    open_wrappers(model, memo)
    return copy.deepcopy(model, memo)


def wrappers_looked_at(model: nn.Module) -> Iterator[tuple[str, str, str]]:
    """Lines of the user's that ask for a wrapper inside of the model: (its name, the line, what it names)."""
    found = {name: module for name, module in model.named_modules() if name and is_wrapper(module)}
    if not found:
        return
    own = {key for module in model.modules() if not is_wrapper(module) for key in (*vars(module), *module._modules)}
    kinds = {type(module).__name__: name for name, module in found.items()}
    inside = {_INSIDE[_name(module)]: name for name, module in found.items()}
    for function in Reached(model.modules()).functions.values():
        for name, line in lines_in(function.__code__):
            if name in kinds or (name in inside and name not in own):
                where = f"{Path(function.__code__.co_filename).name}:{line}"
                yield kinds.get(name) or inside[name], where, name


def warn_of_wrappers(model: nn.Module) -> None:
    """Warns: SquatWarning of every wrapper that is opened."""
    for name, module in model.named_modules():
        if is_wrapper(module):
            compiled = _EAGER if _name(module) == _COMPILED else ""
            text = f"{name or 'model'}: the model inside of its {type(module).__name__} is taken, that in its "
            warnings.warn(f"{text}{_INSIDE[_name(module)]}{compiled}", SquatWarning, stacklevel=3)


@torch.no_grad()
def settle_lazy(model: nn.Module) -> None:
    """Lazy linear layers whose weights were loaded become the layers that their first call would make of them."""
    for module in model.modules():
        if isinstance(module, nn.LazyLinear) and not module.has_uninitialized_params():
            module._infer_parameters(module, (torch.zeros(1, module.weight.shape[1]),))
