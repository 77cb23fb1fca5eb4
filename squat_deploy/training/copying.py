"""Copies of models that leave the user's own as it is."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import torch
from brevitas.nn.quant_layer import QuantWeightBiasInputOutputLayer
from torch import Tensor, nn


def frozen_copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode on the CPU, without gradients; the user's model keeps its mode, device and states."""
    warm_up(model)
    return copy.deepcopy(model, _detached_states(model)).cpu().eval().requires_grad_(False)


def warm_up(model: nn.Module) -> None:
    """Some Brevitas quantizers change at their first use, so that they cannot be copied or compiled before it."""
    for module in model.modules():
        if isinstance(module, QuantWeightBiasInputOutputLayer):
            with torch.no_grad(), contextlib.suppress(Exception):
                module.quant_weight()


def _detached_states(model: nn.Module) -> dict[int, Any]:
    """A memo for deepcopy: membranes left over from training hang in its autograd graph, which cannot be copied."""
    memo: dict[int, Any] = {}
    for module in model.modules():
        for value in (*vars(module).values(), *module._buffers.values()):
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    return memo
