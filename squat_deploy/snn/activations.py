"""The grid of Brevitas' quantizers of values."""

from __future__ import annotations

import math

import torch
from brevitas.quant_tensor import IntQuantTensor
from torch import nn

_FAR = 2.0**100
_MOST = 2**16


@torch.no_grad()
def grid_of_quantizer(quantizer: nn.Module) -> tuple[int, int, float] | None:
    """(lowest, highest integer, step) of an activation quantizer, found by giving it very large values.

    None where that is no grid of integers within 16 bits.
    """
    try:
        result = quantizer(torch.tensor([[-_FAR], [_FAR]]))
    except RuntimeError:  # one that is not set up
        return None
    if not isinstance(result, IntQuantTensor) or result.scale.numel() != 1 or float(result.zero_point) != 0:
        return None
    step = float(result.scale)
    ends = (result.value[:, 0].double() / step).round().tolist()
    if not all(math.isfinite(end) and abs(end) < _MOST for end in ends) or not step > 0:
        return None
    return int(ends[0]), int(ends[1]), step
