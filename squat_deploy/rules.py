"""The rules of a Network that every executor and back end relies on; files of others must keep them too."""

from __future__ import annotations

import math

import numpy as np

from squat_deploy.joins import Add, Concat, Pool2d
from squat_deploy.network import INPUT, MAX_NEURONS, Layer, Network, Neuron, range_of
from squat_deploy.readout import OF_MEMBRANES, READOUTS, order_rule
from squat_deploy.synapses import Conv2d, Dense, IntArray, Synapses

MAX_PATCH_VALUES = 2**25  # what a sample of a convolution takes in memory
MAX_VALUES = 2**20  # between synapses and neurons
MAX_SUM = 2**47
MAX_STATES = 1024
MAX_INPUTS = 2**24  # of one sample and step
MAX_NAME = 1024
MAX_STEPS = 2**16 - 1  # of one sequence


def broken_rule(network: Network) -> str | None:
    """The first rule that a network breaks, with the layer's name, or None."""
    if not network.layers or not isinstance(network.layers[-1], Neuron):
        return "the last layer must be neurons"
    if rule := _broken_name(network):
        return rule
    if network.input.size > MAX_INPUTS:
        return f"the input has {network.input.size} values; at most {MAX_INPUTS}"
    if not 1 <= network.steps <= MAX_STEPS:
        return f"steps must be 1 to {MAX_STEPS}; got {network.steps}"
    if [row.layer for row in network.certificate.layers] != [neuron.name for neuron in network.neurons]:
        return "the certificate must have one row a neuron layer, in order"
    for row in network.certificate.layers:
        if row.proven != (row.at_risk == 0):
            return f"{row.layer}: proven with combinations at risk, or the reverse"
    if rule := _broken_wire(network):
        return rule
    for index, layer in enumerate(network.layers):  # in order: ranges of later layers are made of earlier ones
        for rule in _rules(network, index):
            return f"{layer.name}: {rule}"
    return broken_readout(network.readout, network.neurons[-1])


def _broken_name(network: Network) -> str | None:
    """Names are text that files can hold."""
    for name in (network.name, *(layer.name for layer in network.layers)):
        if not isinstance(name, str) or len(name) > MAX_NAME:
            return f"a name must be text of at most {MAX_NAME} characters; got {str(name)[:40]!a}"
        if any("\ud800" <= c <= "\udfff" for c in name):
            return f"a name must be text that UTF-8 can hold; got {name[:40]!a}"
    return None


def broken_readout(readout: str, output: Neuron) -> str | None:
    """Why these output neurons cannot be read out so, or None."""
    if readout not in READOUTS:
        return f"readout must be one of {', '.join(READOUTS)}; got {readout!r}"
    used = np.unique(output.table)
    rule = order_rule(output.membranes[used], output.successor[used]) if readout in OF_MEMBRANES else None
    return rule and f"{output.name}: {rule}"


def _broken_wire(network: Network) -> str | None:
    """Layers take earlier layers, or the last spikes of neurons; nothing is left over."""
    if len(network.wires) != len(network.layers):
        return f"{len(network.layers)} layers, but wires of {len(network.wires)}"
    for index, (layer, wire) in enumerate(zip(network.layers, network.wires, strict=True)):
        for source in wire:
            if not INPUT <= source < len(network.layers):
                return f"{layer.name}: takes layer {source}, which is none"
            if source >= index and not isinstance(network.layers[source], Neuron):
                return f"{layer.name}: takes {network.layers[source].name} before it has run; only spikes may come late"
    used = {source for wire in network.wires for source in wire}
    idle = [layer.name for index, layer in enumerate(network.layers[:-1]) if index not in used]
    if INPUT not in used:
        return "no layer takes the input"
    return f"{idle[0]}: nothing takes what it gives" if idle else None


def _rules(network: Network, index: int) -> list[str]:
    layer, sources = network.layers[index], network.wires[index]
    given = [network.input.size if source == INPUT else network.layers[source].outputs for source in sources]
    sizes = _input_sizes(layer)
    if tuple(given) != sizes:
        return [f"takes {', '.join(map(str, sizes))} values; gets {', '.join(map(str, given))}"]
    if isinstance(layer, Neuron):
        return _neuron_rules(network, layer, index)
    if isinstance(layer, Dense | Conv2d) and (rules := _synapse_rules(layer)):
        return rules
    if isinstance(layer, Pool2d | Add | Concat) and layer.outputs > MAX_VALUES:
        return [f"gives {layer.outputs} values; at most {MAX_VALUES}"]
    if isinstance(layer, Pool2d) and layer.outputs * math.prod(layer.kernel) > MAX_PATCH_VALUES:
        return [f"a pooling of windows of more than {MAX_PATCH_VALUES} values in all"]
    low, high = range_of(layer, [network.range_at(source) for source in sources])
    return [] if _within(low, -MAX_SUM, MAX_SUM) and _within(high, -MAX_SUM, MAX_SUM) else ["sums exceed 48 bits"]


def _input_sizes(layer: Layer) -> tuple[int, ...]:
    if isinstance(layer, Dense | Conv2d):
        return (layer.inputs,) if layer.weight.size and layer.weight.ndim >= 2 else (-1,)
    return (layer.neurons,) if isinstance(layer, Neuron) else layer.input_sizes


def _synapse_rules(layer: Synapses) -> list[str]:
    weight = layer.weight
    if weight.ndim != (2 if isinstance(layer, Dense) else 4) or layer.bias.shape != weight.shape[:1]:
        return [f"weights {weight.shape} and bias {layer.bias.shape} do not take {layer.inputs} inputs"]
    if isinstance(layer, Conv2d) and max(layer.patch_values, layer.padded_values) > MAX_PATCH_VALUES:
        return [f"a convolution of more than {MAX_PATCH_VALUES} products a channel, or inputs with their padding"]
    if not 1 <= layer.outputs <= MAX_VALUES:
        return [f"gives {layer.outputs} values; at most {MAX_VALUES}"]
    if not (_within(weight, -(2**15), 2**15) and _within(layer.bias, -(2**40), 2**40)):
        return ["weights exceed 16 bits or the bias 40"]
    return []


def _neuron_rules(network: Network, neuron: Neuron, index: int) -> list[str]:
    thresholds = neuron.thresholds
    if not 1 <= neuron.neurons <= MAX_NEURONS:
        return [f"{neuron.neurons} neurons; at most {MAX_NEURONS}"]
    if thresholds.ndim != 3 or not len(thresholds):
        return [f"threshold tables of shape {thresholds.shape}"]
    if not 1 <= thresholds.shape[2] <= 255 or not 2 <= neuron.states <= MAX_STATES:
        return [f"threshold tables of shape {thresholds.shape}"]
    tables = len(thresholds)
    if neuron.membranes.shape != (tables, neuron.states):
        return [f"membranes of shape {neuron.membranes.shape}"]
    if neuron.successor.shape != (tables, neuron.states, neuron.level_count) or neuron.fire_level.shape != (tables,):
        return ["successor or fire level of another shape than the thresholds"]
    if not np.isfinite(neuron.membranes).all():
        return ["membranes must be finite"]
    lows, highs = network.range_at(network.wires[index][0])
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
