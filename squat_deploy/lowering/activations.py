"""Brevitas' quantizers of values: taken where they change none of the integers that reach them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from brevitas.quant_tensor import IntQuantTensor, QuantTensor
from torch import Tensor, nn

from squat_deploy.lowering.draft import Currents, Draft, Integers, Value
from squat_deploy.network import INPUT
from squat_deploy.snn.activations import grid_of_quantizer

_RULE = "a quantizer of values changes none of them"
_MOST = 2**17  # integers that are tried


def quant_identity(draft: Draft, name: str, module: Any, value: Value | None) -> Value | None:
    """Handler of QuantIdentity: at the front it is an input quantizer, behind neurons it must do nothing.

    It is run on every integer that can reach it.
    """
    if value is None or not module.act_quant.is_quant_enabled:
        return value
    if isinstance(value, Currents):
        hint = "remove it: the state_quant of the neurons rounds their membranes"
        draft.fault(name, "synaptic sums are not rounded before neurons", "a QuantIdentity behind them", hint)
        return None
    return unchanged(draft, name, module.act_quant, value, hands_on=module.return_quant_tensor)


def unchanged(draft: Draft, name: str, quantizer: nn.Module, value: Integers, *, hands_on: bool) -> Integers | None:
    """The same integers behind a quantizer that leaves them as they are. Args: hands_on: whether as a QuantTensor."""
    low, high = (int(end) for end in (draft.range_at(value.source)[0].min(), draft.range_at(value.source)[1].max()))
    if high - low >= _MOST or (value.error and value.source != INPUT):  # an input is rounded as it is here
        got = f"{high - low + 1} integers" if high - low >= _MOST else "averages that float32 rounds"
        draft.fault(name, _RULE, got, "remove it, or put it behind the inputs")
        return None
    real = torch.from_numpy((np.arange(low, high + 1) * value.unit).astype(np.float32))
    with torch.no_grad():
        result = quantizer(real[:, None])
    if not isinstance(result, IntQuantTensor) or result.scale.numel() != 1 or bool((result.zero_point != 0).any()):
        hint = "use one with one scale and no zero point, as Int8ActPerTensorFixedPoint"
        draft.fault(name, "quantized values are integers times one scale", _kind(result), hint)
        return None
    changed = (result.value[:, 0] != real).nonzero()
    if len(changed):
        first = int(changed[0])
        got = f"{float(real[first]):.9g}, which becomes {float(result.value[first, 0]):.9g}"
        draft.fault(name, _RULE, got, _hint(quantizer, value))
        return None
    return replace(value, quantized=result if hands_on else None)


def _kind(result: Any) -> str:
    if not isinstance(result, IntQuantTensor):
        return type(result).__name__
    return f"{result.scale.numel()} scales, zero point {result.zero_point.flatten().tolist()[:1]}"


def _hint(quantizer: nn.Module, value: Integers) -> str:
    grid = grid_of_quantizer(quantizer)
    if value.source != INPUT or grid is None:
        return "remove it: spikes are integers already"
    # all digits of the step, so that `k * step` rounds as the quantizer's own product does
    return f"use its own grid: InputSpec(low={grid[0]}, high={grid[1]}, step={grid[2]!r})"


def silent_like(value: Value) -> Any:
    """One sample of zeros, as what enters a layer: a QuantTensor where Brevitas hands one on."""
    zeros = torch.zeros(1, *value.shape)
    quantized = value.quantized if isinstance(value, Integers) else None
    return zeros if quantized is None else quantized.set(value=zeros)


def numbers(result: Any) -> Tensor:
    """The values of what a layer returned."""
    found: Tensor = result.value if isinstance(result, QuantTensor) else result
    return found
