"""Inputs that drive one neuron: those that raise its sum, by the weights of all layers before it taken together."""

from __future__ import annotations

from functools import lru_cache
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network import INPUT, IntArray, Network
from squat_deploy.network.layers import Add, Concat, Delay, Dense, NeuronLayer, Plain, Pool2d, Synapses, Weighted

Worth = NDArray[np.float64]


def worth_of_inputs(network: Network, index: int, neuron: int) -> Worth:
    """(inputs,) by how much every input raises the sum of a neuron, as if all layers before it were linear.

    What comes a step late counts for nothing.
    """
    worth = {place: np.zeros(layer.outputs) for place, layer in enumerate(network.layers)}
    worth[INPUT] = np.zeros(network.input.size)
    worth[index][neuron] = 1.0
    for place in range(index, -1, -1):
        if not worth[place].any():
            continue
        wire, layer = network.wires[place], network.layers[place]
        if isinstance(layer, NeuronLayer):
            worth[wire[0]] += worth[place]
            continue
        for port, source in enumerate(wire):
            if source < place:
                worth[source] += _before(layer, port, worth[place])
    return worth[INPUT]


def _before(layer: Plain, port: int, worth: Worth) -> Worth:
    """Of one input of a layer."""
    match layer:
        case Synapses():
            return _synapses(layer, worth)
        case Pool2d():
            places = layer.windows(np.arange(1, layer.input_sizes[0] + 1)[None], 0).reshape(layer.outputs, -1)
            spread = np.broadcast_to(worth[:, None], places.shape)
            return _gathered(places, spread, layer.input_sizes[0])
        case Add():
            return worth * layer.factors[port]
        case Concat():
            start = sum(layer.sizes[:port])
            return worth[start : start + layer.sizes[port]]
        case Delay():
            return worth
        case _:
            assert_never(layer)


def _synapses(layer: Weighted, worth: Worth) -> Worth:
    if isinstance(layer, Dense):
        return worth @ layer.weight
    places, kernels = _places(layer), layer.weight.reshape(layer.groups, len(layer.weight) // layer.groups, -1)
    sums = worth.reshape(layer.groups, kernels.shape[1], layer.positions)
    spread = np.einsum("gop,gok->gpk", sums, kernels.astype(np.float64))
    return _gathered(places, spread, layer.inputs)


def _gathered(places: IntArray, worth: Worth, inputs: int) -> Worth:
    """Sums by the input that each place is, counted from 1."""
    return np.bincount(places.reshape(-1), worth.reshape(-1), inputs + 1)[1:].astype(np.float64)


@lru_cache(maxsize=8)
def _places(layer: Weighted) -> IntArray:
    """(groups, positions, weights an output) number of the input that each weight meets, from 1; 0 for none."""
    assert not isinstance(layer, Dense)
    return np.asarray(layer.patches(np.arange(1, layer.inputs + 1)[None])[0])
