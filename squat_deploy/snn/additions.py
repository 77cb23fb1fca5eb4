"""Recurrent neurons add their two currents one after the other; on coarse grids both orders give the same float32.

`(beta * mem + input) + recurrent` is exact where levels and decays are multiples of powers of two that leave room in 24
bits for the largest sum. What is quantized after training may choose them so, as it chooses the scales of weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from squat_deploy.snn.levels import FloatArray
from squat_deploy.snn.neurons import kind_of

DECAY_STEPS = 32  # in 1
_FEWEST, _MOST = 6, 16  # bits behind the point of a level


def coarse_levels(levels: FloatArray, threshold: float) -> FloatArray:
    """The levels on the coarsest power-of-two grid that moves none by a quarter of a gap next to it.

    Where not even 2**-16 does, as for 8 bits crowded around the threshold, they stay as they are.
    """
    gaps = np.diff(levels.astype(np.float64))
    room = np.minimum(np.append(np.inf, gaps), np.append(gaps, np.inf)) / 4
    for bits in range(_FEWEST, _MOST + 1):
        rounded = np.rint(levels.astype(np.float64) * 2**bits) / 2**bits
        same_side = ((rounded > threshold) == (levels > threshold)).all()
        if same_side and (np.abs(rounded - levels) <= room).all():
            return rounded.astype(np.float32)
    return levels


def coarsen_decays(module: nn.Module) -> None:
    """Puts the decays of recurrent neurons on thirty-seconds; those below 1 stay below it."""
    for name in ("alpha", "beta"):
        if name in kind_of(module).parameters:
            decay: Any = getattr(module, name)
            with torch.no_grad():
                rounded = torch.round(decay * DECAY_STEPS).clamp(min=0) / DECAY_STEPS
                decay.copy_(torch.where(decay < 1, rounded.clamp(max=1 - 1 / DECAY_STEPS), rounded.clamp(max=1)))
