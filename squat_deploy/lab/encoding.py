"""Encoders in torch: the same bits as `squat_deploy.network.encoders` in NumPy and on the FPGA, on any device."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from squat_deploy.errors import ConfigError
from squat_deploy.network.encoders import LatencyEncoder, RateEncoder


class SpikeEncoder(nn.Module):
    """Real inputs in 0..1 to spikes, for training a network that takes sequences.

    Args:
        encoder: its `bits` are the grid of the inputs: x becomes `clamp(round(x * (2^bits - 1)))`, ties to even.
        steps: time steps of a sequence.
    """

    def __init__(self, encoder: RateEncoder | LatencyEncoder, steps: int) -> None:
        super().__init__()
        self.encoder, self.steps = encoder, steps

    def intensities(self, values: Tensor) -> Tensor:
        """(B, *shape) float32 in 0..1 to integers 0..2^bits - 1, int64: what the FPGA takes.

        Raises: ConfigError on NaN, which is no integer.
        """
        if bool(values.isnan().any()):
            raise ConfigError("intensities: every value must be a number; got NaN")
        highest = 2**self.encoder.bits - 1
        return torch.clamp(torch.round(values * highest), 0, highest).to(torch.int64)

    def forward(self, values: Tensor) -> Tensor:
        """(B, *shape) to (T, B, *shape), float32, 0 or 1."""
        frames = self.intensities(values)
        if isinstance(self.encoder, RateEncoder):
            numbers = self.encoder.thresholds(self.steps, frames[0].numel())
            drawn = torch.tensor(numbers, dtype=torch.int64, device=frames.device)
            return (frames > drawn.reshape(self.steps, 1, *frames.shape[1:])).float()
        times = torch.from_numpy(self.encoder.times(self.steps)).to(frames.device)[frames]
        return (times == torch.arange(self.steps, device=frames.device).reshape(-1, *[1] * frames.ndim)).float()
