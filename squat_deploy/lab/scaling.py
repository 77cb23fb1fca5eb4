"""Initial weights on the scale of a level table: currents below half a gap are rounded away, and neurons stay dead."""

from __future__ import annotations

import torch
from brevitas.nn.quant_layer import QuantWeightBiasInputOutputLayer
from torch import Tensor, nn

from squat_deploy.errors import ConfigError
from squat_deploy.snn.neurons import NEURONS
from squat_deploy.snn.running import leaves, run_sequence


@torch.no_grad()
def match_currents(model: nn.Sequential, inputs: Tensor, steps: int, std: float, *, direct: bool = True) -> None:
    """Scales the weights before every neuron layer so that its currents have a standard deviation of `std` thresholds.

    Layer after layer, since spikes of one are what the next one sees (layer-sequential unit variance,
    arXiv 1511.06422, with the threshold as the unit).

    Args:
        inputs: (B, ...) shown at every step when `direct`, else (T, B, ...).

    Raises: ConfigError for a layer that nothing reaches.
    """
    before: list[tuple[str, nn.Module]] = []
    scaled: nn.Linear | nn.Conv2d | nn.BatchNorm1d | nn.BatchNorm2d | None = None
    for name, module in leaves(model):
        if isinstance(module, nn.Linear | nn.Conv2d | nn.BatchNorm1d | nn.BatchNorm2d):
            scaled = module  # behind a batch-norm, the weights change nothing
        elif isinstance(module, NEURONS) and scaled is not None:
            own = nn.Sequential(*(part for _, part in before))
            wanted = std * float(torch.as_tensor(module.threshold).max())
            for quantized in (False, True):  # where a scale is given, all weights may round to zero at first
                spread = float(run_sequence(own, inputs, steps, direct=direct, quantize_weights=quantized).std())
                if not spread:
                    raise ConfigError(f"{name}: no current reaches it with current_std={std:g}; raise it")
                scaled.weight *= wanted / spread
                _refresh_scale(scaled)
            scaled = None
        before.append((name, module))


def _refresh_scale(module: nn.Module) -> None:
    """A learned weight scale starts from the weights as they are at first use: let it start anew."""
    if isinstance(module, QuantWeightBiasInputOutputLayer):
        for part in module.modules():
            if hasattr(part, "init_done"):
                part.init_done = False
