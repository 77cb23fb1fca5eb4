"""What low bits do to a network: spikes that rounding the states flips, dead neurons, gradients that turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import snntorch as snn
import torch
from torch import Tensor, nn

from squat_deploy.lab.loop import count_loss, set_state_quantization
from squat_deploy.snn.calibrating import neuron_histogram, sampled_membranes
from squat_deploy.snn.fitting import best_levels, expected_flips
from squat_deploy.snn.levels import level_table
from squat_deploy.snn.neurons import NEURONS, reset_neurons
from squat_deploy.snn.quantizers import StateQuantizer
from squat_deploy.snn.running import run_model, run_sequence

_SHOWN = 64  # neurons of a raster
_BINS = 128
_CURRENTS = 40_001


def layers_measured(model: nn.Module, inputs: Tensor, steps: int, *, direct: bool) -> list[dict[str, Any]]:
    """One row a neuron layer.

    Args: inputs: (B, ...) shown at every step when `direct`, else (T, B, ...).

    Returns: name; rate (spikes a neuron and step); dead (share of neurons without a spike on any of the inputs); flips
        (share of spikes, neuron by neuron and step by step, that differ from those of the same network with float
        states); levels of its table; raster, which of the first neurons fire at every step of the first input.
    """
    with torch.no_grad():
        own = run_model(model, inputs, steps, direct=direct)
        set_state_quantization(model, False)
        other = run_model(model, inputs, steps, direct=direct)
        set_state_quantization(model, True)
    rows = []
    for name, trace in own.items():
        fired, free = torch.stack(trace.spikes) > 0, torch.stack(other[name].spikes) > 0
        table = getattr(model.get_submodule(name), "state_quant", None)
        rows.append(
            {
                "name": name,
                "rate": float(fired.float().mean()),
                "dead": float((~fired.flatten(0, 1).any(dim=0)).float().mean()),
                "flips": float((fired != free).float().mean()),
                "levels": table.levels.tolist() if isinstance(table, StateQuantizer) else None,
                "raster": [row.nonzero().flatten().tolist() for row in fired[:, 0].flatten(1)[:, :_SHOWN]],
            }
        )
    reset_neurons(model)
    return rows


def membranes_measured(model: nn.Module, inputs: Tensor, steps: int, *, direct: bool) -> list[dict[str, Any]]:
    """One row a neuron layer of a float network: where its membranes are, what rounding them there costs, best levels.

    Returns: name; centres, density, cost and level_density as in `MembraneHistogram`; fitted: by bits, the levels that
        flip the fewest spikes; expected: by bits and kind, the flips that a table costs by that model.
    """
    names = [name for name, module in model.named_modules() if isinstance(module, NEURONS)]
    membranes = sampled_membranes(model, names, inputs, steps, direct=direct)
    rows = []
    for name, values in membranes.items():
        measured = neuron_histogram(model.get_submodule(name), values, bins=_BINS)
        tables: dict[int, dict[str, Any]] = {
            bits: {kind: level_table(bits, kind) for kind in ("uniform", "threshold-centred", "rest")}
            | {"fitted": best_levels(measured, bits)}
            for bits in (2, 3, 4)
        }
        rows.append(
            {
                "name": name,
                **{key: _short(getattr(measured, key)) for key in ("centres", "density", "cost", "level_density")},
                "fitted": {bits: _short(own["fitted"]) for bits, own in tables.items()},
                "expected": {
                    bits: {kind: expected_flips(measured, table) for kind, table in own.items()}
                    for bits, own in tables.items()
                },
            }
        )
    reset_neurons(model)
    return rows


def spike_counts(levels: Sequence[float], beta: float, steps: int) -> list[int]:
    """How often a leaky neuron at rest can fire in some steps of a constant current, whatever that is.

    Args: levels: of its membrane, the threshold being 1; beta: membrane decay a step.
    """
    quantizer = StateQuantizer(np.asarray(levels, dtype=np.float32), 1.0)
    neuron = snn.Leaky(beta=beta, state_quant=quantizer, init_hidden=True)
    most = 2 * max(1.0, *map(abs, levels))
    currents = torch.linspace(-most, most, _CURRENTS)
    spikes = sum(neuron(currents) for _ in range(steps))
    return [int(count) for count in torch.unique(torch.as_tensor(spikes))]


def _short(values: Any) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def gradient_cosine(
    model: nn.Module, inputs: Tensor, classes: Tensor, steps: int, *, direct: bool
) -> dict[str, float] | None:
    """Per weight, the cosine between its gradient and the one that it has with float states; None without any.

    One says that the quantizer leaves the way down as it is, zero that it hides it.
    """
    weights = {name: value for name, value in model.named_parameters() if value.ndim > 1 and value.requires_grad}
    if not weights:
        return None
    found = []
    tables = [module for module in model.modules() if isinstance(module, StateQuantizer)]
    for table in tables:
        table.train()  # gradients at the membrane are those of training
    for enabled in (True, False):
        set_state_quantization(model, enabled)
        loss = count_loss(run_sequence(model, inputs, steps, direct=direct), classes)
        found.append(torch.autograd.grad(loss, list(weights.values()), allow_unused=True))
    set_state_quantization(model, True)
    for table in tables:
        table.eval()
    reset_neurons(model)
    return {
        name: float(nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0))
        for name, a, b in zip(weights, *found, strict=True)
        if a is not None and b is not None
    }
