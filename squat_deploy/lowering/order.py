"""Recurrent neurons add two currents one after the other; the integers add them first. Where can that differ?"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from squat_deploy.errors import Fault, LoweringError
from squat_deploy.lowering.draft import PendingNeuron
from squat_deploy.lowering.enumeration import Row
from squat_deploy.lowering.probe import NeuronProbe
from squat_deploy.lowering.rounding import lowest_bit, order_error, sums_exactly
from squat_deploy.network import IntArray
from squat_deploy.network.certificate import AtRisk
from squat_deploy.snn.levels import FloatArray

MAX_PAIRS = 2**28
_CHUNK = 2**22


def order_risks(
    layer: PendingNeuron, probe: NeuronProbe, table: Row, thresholds: IntArray
) -> tuple[int, list[AtRisk], int]:
    """Runs the trained neuron on every pair of input and recurrent sums that could be rounded across a decision.

    Args:
        table: one neuron and its machine; thresholds: (states, levels - 1), those of that machine on its sums.

    Raises: LoweringError where there are too many.

    Returns: (combinations that differ from the table, the first of them, combinations run).
    """
    assert layer.branches is not None
    index, machine = table.neuron, table.machine
    values = layer.current.values(index, np.arange(layer.lows.min(), layer.highs.max() + 1))
    reach = order_slack(layer, index, machine.states)
    wrong, examples, count, tried = 0, [], 0, 0
    for state in table.live.tolist():
        near = np.flatnonzero(_distance(values, machine.boundaries[state]) <= reach) + int(layer.lows.min())
        tried += near.size * _recurrent_sums(layer).size
        if tried > MAX_PAIRS:
            rule, got = f"at most {MAX_PAIRS} pairs of input and recurrent sums near decisions", f"{tried} and more"
            hint = "use recurrent weights of fewer bits, or fewer bits for inputs, weights or states"
            raise LoweringError((Fault(layer.name, rule, got, hint),))
        own, back = pairs_of_sums(layer, near)
        if not own.size:
            continue
        sums = own * layer.branches.factors[0] + back * layer.branches.factors[1]
        level = np.searchsorted(thresholds[state], sums, side="right")
        given, recurrent = (c.values(index, ints) for c, ints in zip(layer.branches.currents, (own, back), strict=True))
        stepped = probe.step(given, machine.states[state], recurrent, chosen=table.chosen)
        differs = (stepped.carried != machine.states[machine.successor[state, level]]).any(axis=-1)
        differs |= stepped.fired != (level >= machine.fire_level)
        count += sums.size
        wrong += int(differs.sum())
        examples += [AtRisk(index, state, int(sums[i]), int(level[i])) for i in np.flatnonzero(differs)[:5]]
    return wrong, examples, count


def order_slack(layer: PendingNeuron, index: int, states: FloatArray) -> float:
    """Bound of the rounding of both orders of addition from states (S, D), in membrane units; 0 if nothing rounds."""
    if layer.branches is None:
        return 0.0
    threshold = float(torch.as_tensor(layer.module.threshold).detach().abs().max())
    size = 2 * _largest(layer, index) + float(np.abs(states).sum(axis=1).max()) + threshold
    return 0.0 if sums_exactly(size, _grid(layer, index, states)) else order_error(size)


def _grid(layer: PendingNeuron, index: int, states: FloatArray) -> float:
    """Value of the lowest bit of all that is added: states times decays, thresholds, and both currents."""
    assert layer.branches is not None
    decays = [getattr(layer.module, name, None) for name in ("alpha", "beta")]
    factors = np.concatenate(
        [decay.detach().clamp(0, 1).double().numpy().reshape(-1) for decay in decays if decay is not None]
    )
    threshold = torch.as_tensor(layer.module.threshold).detach().double().numpy().reshape(-1)
    parts = [threshold, np.multiply.outer(factors, states.astype(np.float64)).reshape(-1)]
    for current, (low, high) in zip(layer.branches.currents, layer.branches.ranges, strict=True):
        parts.append(current.values(index, np.arange(low.min(), high.max() + 1)).astype(np.float64))
    return float(min(lowest_bit(part).min() for part in parts))


def _numbers(values: Any) -> NDArray[np.float64]:
    return torch.as_tensor(values).detach().double().numpy().reshape(-1)


def _largest(layer: PendingNeuron, index: int) -> float:
    """Largest magnitude of the two currents together."""
    assert layer.branches is not None
    total = 0.0
    for current, (low, high) in zip(layer.branches.currents, layer.branches.ranges, strict=True):
        total += float(np.abs(current.values(index, np.array([low.min(), high.max()]))).max())
    return total


def _distance(values: FloatArray, boundaries: FloatArray) -> FloatArray:
    """Distance of every current from the nearest boundary."""
    finite = np.sort(boundaries[np.isfinite(boundaries)].astype(np.float64))
    if not finite.size:
        return np.full(values.shape, np.inf, dtype=np.float32)
    padded = np.concatenate([[-np.inf], finite, [np.inf]])
    place = np.searchsorted(padded, values)
    return np.minimum(values - padded[place - 1], padded[place] - values)


def pairs_of_sums(layer: PendingNeuron, sums: IntArray) -> tuple[IntArray, IntArray]:
    """Every reachable (input sum, recurrent sum) that makes one of these synaptic sums."""
    assert layer.branches is not None
    (low, high), _ = layer.branches.ranges
    first, second = layer.branches.factors
    back = _recurrent_sums(layer)
    found = []
    for part in np.array_split(sums, max(1, sums.size * back.size // _CHUNK)):
        rest = part[:, None] - second * back
        fits = (rest % first == 0) & (rest >= low.min() * first) & (rest <= high.max() * first)
        rows, columns = np.nonzero(fits)
        found.append((rest[rows, columns] // first, back[columns]))
    own, others = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return own, others


def _recurrent_sums(layer: PendingNeuron) -> IntArray:
    """All that lie between the lowest and the highest one."""
    assert layer.branches is not None
    least, most = layer.branches.ranges[1]
    return np.arange(least.min(), most.max() + 1)
