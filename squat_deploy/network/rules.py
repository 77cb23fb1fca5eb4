"""The rules of a Network that every executor and back end relies on; files of others must keep them too."""

from __future__ import annotations

import numpy as np

from squat_deploy.network.layers import NeuronLayer
from squat_deploy.network.limits import MAX_INPUTS, MAX_NAME, MAX_STEPS
from squat_deploy.network.network import INPUT, Network
from squat_deploy.network.readout import OF_MEMBRANES, READOUTS, order_rule
from squat_deploy.network.values import values_of


def broken_rule(network: Network) -> str | None:
    """The first rule that a network breaks, with the layer's name, or None."""
    if not network.layers or not isinstance(network.output, NeuronLayer):
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
    return broken_readout(network.readout, network.neurons[-1], network.steps)


def _broken_name(network: Network) -> str | None:
    """Names are text that files can hold."""
    for name in (network.name, *(layer.name for layer in network.layers)):
        if not isinstance(name, str) or len(name) > MAX_NAME:
            return f"a name must be text of at most {MAX_NAME} characters; got {str(name)[:40]!a}"
        if any("\ud800" <= c <= "\udfff" for c in name):
            return f"a name must be text that UTF-8 can hold; got {name[:40]!a}"
    return None


def broken_readout(readout: str, output: NeuronLayer, steps: int) -> str | None:
    """Why these output neurons cannot be read out so, or None."""
    if readout not in READOUTS:
        return f"readout must be one of {', '.join(READOUTS)}; got {readout!r}"
    used = np.unique(output.table)
    rule = order_rule(output.membranes[used], output.successor[used]) if readout in OF_MEMBRANES else None
    if rule is None and readout == "mean-membrane":
        rule = _broken_mean(output, steps)
    return rule and f"{output.name}: {rule}"


def _broken_mean(output: NeuronLayer, steps: int) -> str | None:
    used = np.unique(output.successor[np.unique(output.table)])
    found = values_of("mean-membrane", output.membranes[output.table[0]], used, steps)
    return f"a mean of membranes is one of values: {found}" if isinstance(found, str) else None


def _broken_wire(network: Network) -> str | None:
    """Layers take earlier layers, or the last spikes of neurons; nothing is left over."""
    if len(network.wires) != len(network.layers):
        return f"{len(network.layers)} layers, but wires of {len(network.wires)}"
    for index, (layer, wire) in enumerate(zip(network.layers, network.wires, strict=True)):
        for source in wire:
            if not INPUT <= source < len(network.layers):
                return f"{layer.name}: takes layer {source}, which is none"
            if source >= index and not network.layers[source].late:
                return f"{layer.name}: takes {network.layers[source].name} before it has run; only spikes may come late"
    used = {source for wire in network.wires for source in wire}
    idle = [layer.name for index, layer in enumerate(network.layers[:-1]) if index not in used]
    if INPUT not in used:
        return "no layer takes the input"
    return f"{idle[0]}: nothing takes what it gives" if idle else None


def _rules(network: Network, index: int) -> list[str]:
    layer, sources = network.layers[index], network.wires[index]
    given = [network.input.size if source == INPUT else network.layers[source].outputs for source in sources]
    if tuple(given) != layer.input_sizes:
        return [f"takes {', '.join(map(str, layer.input_sizes))} values; gets {', '.join(map(str, given))}"]
    return layer.rules(network.taken(index))
