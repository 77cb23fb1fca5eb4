"""Delays of whole time steps in a trained model: this package's module, and snnTorch's where it has one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import snntorch as snn
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from squat_deploy.errors import ConfigError
from squat_deploy.network.layers.delay import MAX_DELAY


class Delay(nn.Module):
    """Every element as it was `delay` time steps before, 0 until then; called once a step, as neurons are.

    It remembers the last steps in the buffer `past`, which no checkpoint holds. `reset_delay` before a sequence puts it
    to rest, as `reset_mem` does with neurons.

    Args:
        delay: whole steps, 0 to 255: one for all, or an array of any shape that spreads over one sample.

    Shape: (B, *shape) to the same; values are passed on as they are, and gradients with them.
    Raises: ConfigError for delays that are no whole numbers, or out of range.
    """

    delay: Tensor
    past: Tensor

    def __init__(self, delay: int | Sequence[int] | Tensor) -> None:
        super().__init__()
        try:
            values = torch.as_tensor(delay)
        except (TypeError, ValueError, RuntimeError):  # no numbers, ragged, or beyond 64 bits
            values = torch.zeros(0)
        if values.dtype not in _WHOLE or not values.numel() or values.min() < 0 or values.max() > MAX_DELAY:
            raise ConfigError(f"Delay: expected whole steps, 0 to {MAX_DELAY}; got {str(delay)[:60]}")
        self.register_buffer("delay", values.long())
        self.register_buffer("past", torch.zeros(0), persistent=False)

    def reset_delay(self) -> None:
        """Forgets the steps before."""
        self.past = torch.zeros(0, dtype=self.past.dtype, device=self.past.device)

    def forward(self, values: Tensor) -> Tensor:
        """One time step."""
        depth = int(self.delay.max()) + 1
        if self.past.shape != (depth, *values.shape):
            self.past = values.new_zeros((depth, *values.shape))
        self.past = torch.cat((values[None], self.past[:-1]))
        return self.past.gather(0, self.delay.expand(values.shape)[None])[0]

    def extra_repr(self) -> str:
        return f"delay={self.delay.tolist() if self.delay.numel() < 5 else tuple(self.delay.shape)}"


_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_OF_SNNTORCH: type[nn.Module] | None = getattr(snn, "SynapticDelay", None)  # after 1.0
DELAYS: tuple[type[nn.Module], ...] = (Delay,) if _OF_SNNTORCH is None else (Delay, _OF_SNNTORCH)
REMEMBERING: dict[type[nn.Module], tuple[str, ...]] = dict(
    zip(DELAYS, (("past",), ("_buffer",)), strict=False)
)  # the buffers of layers beside neurons that hold something from step to step; empty ones are at rest


def delays_of(module: nn.Module, shape: tuple[int, ...]) -> tuple[NDArray[np.int64] | None, str, str]:
    """Steps (N,) of every element of a sample (*shape), or None, why it delays by no whole steps, and a hint."""
    if not isinstance(module, Delay):
        told = {"kernel": module.kernel, "step_mode": module.step_mode}
        if told != {"kernel": "linear", "step_mode": True} or len(shape) != 1:
            return None, f"{told} for values {shape}", _ROUND
    delay = module.delay.detach().double()  # type: ignore[operator,union-attr]
    spread = "one for all, or an array that spreads over one sample, without the batch axis"
    try:
        steps = np.broadcast_to(delay.numpy(), shape).reshape(-1)
    except ValueError:
        return None, f"delays {tuple(delay.shape)} for values {shape}", f"use {spread}"
    most = MAX_DELAY if isinstance(module, Delay) else min(MAX_DELAY, int(module.max_delay))  # type: ignore[arg-type]
    if (steps != steps.round()).any() or steps.min() < 0 or steps.max() > most:
        return None, f"{steps.min():g} to {steps.max():g} steps, at most {most}", _ROUND
    return steps.astype(np.int64), "", ""


_ROUND = "round it: delay.delay.data.round_(), with the kernel 'linear', one step a call"
