"""The range of a level table, taken from the membranes that a network has in float."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from squat_deploy.errors import ConfigError
from squat_deploy.snn.fitting import BINS, MembraneHistogram, best_levels, membrane_histogram
from squat_deploy.snn.levels import FloatArray, Kind, level_table
from squat_deploy.snn.neurons import NEURONS
from squat_deploy.snn.quantizers import StateQuantizer
from squat_deploy.snn.running import run_model
from squat_deploy.snn.sharing import uses_of

_LOW_TAIL, _HIGH_TAIL = 0.001, 0.999  # of the membranes seen; what lies beyond is clipped
_TAIL_SAMPLE = 2**20


def sampled_membranes(
    model: nn.Module, names: list[str], data: Tensor, steps: int, *, direct: bool, initial_state: Any = None
) -> dict[str, Tensor]:
    """Membranes (T, N) that a model has on the data, some of its trajectories (a neuron on a sample), on the CPU.

    Neurons that forward never calls have none.

    Raises: ConfigError for neurons that are called for several layers.
    """
    with torch.no_grad():
        traces = run_model(model, data, steps, direct=direct, initial_state=initial_state)
    found = {}
    for name in (name for name in names if name in traces):
        uses = [traces[use] for use in uses_of(name, traces)]  # of one module that serves several layers
        if (calls := max(len(trace.membranes) for trace in uses)) != steps:
            got = f"{calls} calls in {steps} steps"
            way = "; where forward loops over its inputs, encoding='sequence' (--encoding sequence)" if direct else ""
            raise ConfigError(
                f"{name}: neurons are called once a time step; got {got}: make a module for each layer{way}"
            )
        whole = torch.cat([torch.stack(trace.membranes).flatten(1) for trace in uses], dim=1)
        found[name] = whole[:, :: max(1, whole.numel() // _TAIL_SAMPLE)].cpu()
    return found


def neuron_histogram(neuron: nn.Module, membranes: Tensor, bins: int = BINS) -> MembraneHistogram:
    """What rounding costs one neuron layer with these membranes (T, N); its mean beta and largest threshold count."""
    beta = float(torch.as_tensor(getattr(neuron, "beta", 1.0)).mean())
    threshold = float(torch.as_tensor(neuron.threshold).max())
    resets = getattr(neuron, "reset_mechanism", "subtract") == "zero"
    return membrane_histogram(membranes.numpy(), beta, threshold, resets=resets, bins=bins)


def calibrated_limits(membranes: Tensor, threshold: float) -> tuple[float, float]:
    """(lower_limit, upper_limit) of `levels.level_table` that leave out a thousandth of the membranes at either end."""
    low, high = (float(torch.quantile(membranes, share)) / threshold for share in (_LOW_TAIL, _HIGH_TAIL))
    return max(-low - 1, -0.75), max(high - 1, 0.05)


def calibrated_levels(neuron: nn.Module, membranes: Tensor, bits: int, kind: Kind | None, **options: Any) -> FloatArray:
    """A table of `kind` over the membranes (T, N) of a neuron layer; None for the one that flips the fewest spikes."""
    if kind is None:
        return best_levels(neuron_histogram(neuron, membranes), bits)
    threshold = float(torch.as_tensor(neuron.threshold).max())
    lower, upper = calibrated_limits(membranes, threshold)
    return level_table(bits, kind, threshold, lower_limit=lower, upper_limit=upper, **options)


def calibrate_states(
    model: nn.Module, kind: Kind | None, data: Tensor, steps: int, *, direct: bool, **options: Any
) -> None:
    """Gives every state quantizer the table of `kind` whose range is that of its membranes in float.

    Args:
        kind: None for the levels that flip the fewest spikes.
        data: (B, ...) shown at every step when `direct`, else (T, B, ...).
        options: `base` of `levels.level_table`.
    """
    tables = {
        name: module.state_quant
        for name, module in model.named_modules()
        if isinstance(module, NEURONS) and isinstance(module.state_quant, StateQuantizer)
    }
    for table in tables.values():
        table.enabled = False
    membranes = sampled_membranes(model, list(tables), data, steps, direct=direct)
    for name, table in tables.items():
        bits = table.levels.numel().bit_length() - 1
        table.enabled = True
        table.take(calibrated_levels(model.get_submodule(name), membranes[name], bits, kind, **options))
