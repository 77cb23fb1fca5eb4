"""Branches whose channels have units of their own: their weights are multiplied until one integer of both is worth
the same in every channel.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from squat_deploy.lowering.draft import Currents, Draft
from squat_deploy.lowering.rounding import Floats, lowest_bit
from squat_deploy.lowering.weights import MAX_WEIGHT
from squat_deploy.network import IntArray
from squat_deploy.network.layers import Weighted

_ONE_SCALE = "use one weight scale a layer (Int8WeightPerTensorFixedPoint)"
_WIDTH = "weights of 16 bits hold the scales of all channels of both branches of a sum"


def with_common_units(draft: Draft, label: str, first: Currents, second: Currents) -> tuple[Currents, Currents] | None:
    """The same currents, both linear, with one unit for all elements each, or the same units in both.

    Adds layers with multiplied weights; None and a fault where no weights hold that.
    """
    units = [branch.current.unit for branch in (first, second)]
    if all(np.unique(unit).size == 1 for unit in units):
        return first, second
    bit: Floats = np.minimum(*map(lowest_bit, units))
    if (apart := max(float((unit / bit).max()) for unit in units)) >= MAX_WEIGHT**2:
        draft.fault(label, _WIDTH, f"scales that are {apart:.2g} of their common step", _ONE_SCALE)
        return None
    wholes = [np.rint(unit / bit).astype(np.int64) for unit in units]
    common = np.gcd(*wholes)
    one, other = (
        _multiplied(draft, label, branch, whole // common)
        for branch, whole in zip((first, second), wholes, strict=True)
    )
    return None if one is None or other is None else (one, other)


def _multiplied(draft: Draft, label: str, branch: Currents, factors: IntArray) -> Currents | None:
    """The branch with so many times the integers in every element, each worth so much less."""
    if (factors == 1).all():
        return branch
    layer = draft.layers[branch.source] if branch.source >= 0 else None
    if not isinstance(layer, Weighted):
        rule = "where channels have scales of their own, both branches of a sum are synapses"
        draft.fault(label, rule, "a branch without weights of its own", _ONE_SCALE)
        return None
    channels = factors.reshape(len(layer.bias), -1)
    weight = layer.weight * channels[:, :1].reshape(-1, *[1] * (layer.weight.ndim - 1))
    largest = int(np.abs(weight).max(initial=0))
    if largest >= MAX_WEIGHT or (channels != channels[:, :1]).any():
        draft.fault(label, _WIDTH, f"weights up to {largest}", f"{_ONE_SCALE}, or weights of fewer bits")
        return None
    wider = replace(layer, weight=weight, bias=layer.bias * channels[:, 0])
    source = draft.add(wider, *draft.wires[branch.source])
    return Currents(source, branch.shape, replace(branch.current, unit=branch.current.unit / factors))
