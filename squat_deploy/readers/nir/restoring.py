"""Layers with the integers, levels and resets that the metadata of a NIR file says."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from squat_deploy.readers.nir.site import Site
from squat_deploy.readers.nir.stated import KEY, States, Weights
from squat_deploy.snn.layers import FixedConv2d, FixedLinear
from squat_deploy.snn.quantizers import StateQuantizer

_Kind = TypeVar("_Kind", Weights, States)


def stated_of(site: Site, kind: type[_Kind]) -> _Kind | None:
    """What the metadata of a node says, if this package wrote it."""
    found = site.node.metadata.get(KEY)
    if found is None:
        return None
    assert isinstance(found, kind)  # chosen by the type of the node
    return found


@torch.no_grad()
def in_integers(site: Site, layer: Any) -> nn.Module:
    """A float layer as integers and their scale, where the metadata says the scale. Raises: LoweringError."""
    stated = stated_of(site, Weights)
    if stated is None:
        return layer
    weight, scale = layer.weight.double().numpy(), np.array(stated.scale)
    if len(scale) not in (1, len(weight)) or isinstance(layer, nn.Conv1d):
        site.refuse("one scale, or one an output, of a Linear, Affine or Conv2d", f"{len(scale)}", "export it again")
    scale = np.broadcast_to(scale.astype(np.float32), len(weight)).copy()
    whole = np.rint(weight / scale.astype(np.float64).reshape(-1, *[1] * (weight.ndim - 1)))
    bias = None if layer.bias is None else layer.bias.detach()
    given = torch.from_numpy(whole.astype(np.int64)), torch.from_numpy(scale), bias
    if isinstance(layer, nn.Linear):
        made: FixedLinear | FixedConv2d = FixedLinear(*given)
    else:
        made = FixedConv2d(*given, layer.stride, layer.padding, layer.dilation, layer.groups)  # type: ignore[arg-type]
    if np.abs(whole).max(initial=0) > 128 or not torch.equal(made.weight, layer.weight):
        hint = "quantize it again: without the metadata of the nodes it is a float model"
        site.refuse("weights are 8-bit integers times the scale in the metadata", "other weights", hint)
    return made


def with_states(site: Site, neuron: Any) -> nn.Module:
    """Neurons with the levels that the metadata says. Raises: LoweringError, ConfigError."""
    stated = stated_of(site, States)
    if stated is None:
        return neuron
    if stated.threshold is not None:
        neuron.threshold = torch.tensor(stated.threshold)
    del neuron.state_quant
    least = -np.inf if stated.reset == "none" else float(torch.as_tensor(neuron.threshold).max())
    neuron.state_quant = StateQuantizer(np.array(stated.levels, dtype=np.float32), least)
    return neuron
