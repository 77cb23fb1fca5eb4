"""Moving batch-norms of a trained network by a hair, so that no decision lies within float32 rounding of a level."""

from __future__ import annotations

import torch
from torch import nn

from squat_deploy.network import Network
from squat_deploy.snn.running import leaves

_MARGIN = 4  # times the rounding bound: well past the decision, far below what training notices


def settle_norms(model: nn.Module, network: Network) -> list[str]:
    """Shifts the bias of every batch-norm channel with a decision at risk; lower the model again afterwards.

    Args:
        model: an `nn.Sequential`, changed in place.
        network: `lower(model, ..., allow_unproven=True)`.

    Returns: "layer: channel", what was moved; empty where no batch-norm stands before the layers at risk.
    """
    moved = []
    norms: dict[str, nn.BatchNorm1d | nn.BatchNorm2d] = {}
    last: nn.BatchNorm1d | nn.BatchNorm2d | None = None
    for name, module in leaves(model):
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            last = module
        elif last is not None and hasattr(module, "state_quant"):
            norms[name], last = last, None
    for proof, neuron in zip(network.certificate.layers, network.neurons, strict=True):
        norm = norms.get(proof.layer)
        if proof.proven or norm is None:
            continue
        per_channel = neuron.neurons // norm.num_features
        channels = sorted({example.neuron // per_channel for example in proof.examples})
        with torch.no_grad():
            norm.bias[channels] += _MARGIN * proof.error_bound
        moved += [f"{proof.layer}: {channel}" for channel in channels]
    return moved
