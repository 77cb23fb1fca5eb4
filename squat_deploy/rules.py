"""The rules of a Network that every executor and back end relies on; files of others must keep them too."""

from __future__ import annotations

import numpy as np

from squat_deploy.network import MAX_NEURONS, Network, Neuron
from squat_deploy.synapses import Conv2d, Dense, IntArray, Synapses

MAX_PATCH_VALUES = 2**25  # what a sample of a convolution takes in memory


def broken_rule(network: Network) -> str | None:
    """The first rule that a network breaks, with the layer's name, or None."""
    kinds = [isinstance(layer, Neuron) for layer in network.layers]
    if not kinds or kinds != [False, True] * (len(kinds) // 2):
        return "layers must alternate synapses and neurons"
    if not 1 <= network.steps < 2**16:
        return f"steps must be 1 to 65535; got {network.steps}"
    if [row.layer for row in network.certificate.layers] != [neuron.name for neuron in network.neurons]:
        return "the certificate must have one row a neuron layer, in order"
    for row in network.certificate.layers:
        if row.proven != (row.at_risk == 0):
            return f"{row.layer}: proven with combinations at risk, or the reverse"
    width = network.input.size
    for dense, neuron, low, high in network.pairs():
        for rule in _broken_rules(dense, neuron, width, low, high):
            return f"{neuron.name}: {rule}"
        width = neuron.neurons
    return None


def _broken_rules(dense: Synapses, neuron: Neuron, width: int, low: int, high: int) -> list[str]:
    weight, thresholds = dense.weight, neuron.thresholds
    rank = 2 if isinstance(dense, Dense) else 4
    if weight.ndim != rank or not weight.size or dense.inputs != width or dense.bias.shape != weight.shape[:1]:
        return [f"weights {weight.shape} and bias {dense.bias.shape} do not take {width} inputs"]
    if isinstance(dense, Conv2d) and max(dense.patch_values, dense.padded_values) > MAX_PATCH_VALUES:
        return [f"a convolution of more than {MAX_PATCH_VALUES} products a channel, or inputs with their padding"]
    if not 1 <= dense.outputs <= MAX_NEURONS or neuron.table.shape != (dense.outputs,):
        return [f"{neuron.table.shape} neurons behind weights {weight.shape}"]
    if not (_within(weight, -(2**15), 2**15) and _within(dense.bias, -(2**40), 2**40)):
        return ["weights exceed 16 bits or the bias 40"]
    if thresholds.ndim != 3 or not len(thresholds):
        return [f"threshold tables of shape {thresholds.shape}"]
    if not 1 <= thresholds.shape[2] <= 255 or not 2 <= neuron.states <= 1024:
        return [f"threshold tables of shape {thresholds.shape}"]
    tables = len(thresholds)
    if neuron.membranes.shape != (tables, neuron.states):
        return [f"membranes of shape {neuron.membranes.shape}"]
    if neuron.successor.shape != (tables, neuron.states, neuron.level_count) or neuron.fire_level.shape != (tables,):
        return ["successor or fire level of another shape than the thresholds"]
    if not np.isfinite(neuron.membranes).all():
        return ["membranes must be finite"]
    lows, highs = dense.sum_range(low, high)
    rules = {
        "thresholds must ascend": (np.diff(thresholds, axis=2) >= 0).all(),
        "thresholds must lie in the reachable range of sums": lows.min() <= thresholds.min()
        and thresholds.max() <= highs.max() + 1,
        "successors must be states": _within(neuron.successor, 0, neuron.states - 1),
        "fire levels must be levels": _within(neuron.fire_level, 0, neuron.level_count),
        "every neuron must have a table": _within(neuron.table, 0, tables - 1),
        "the initial state must be a state": 0 <= neuron.initial_state < neuron.states,
    }
    return [rule for rule, holds in rules.items() if not holds]


def _within(array: IntArray, low: int, high: int) -> bool:
    return bool(array.min() >= low and array.max() <= high)
