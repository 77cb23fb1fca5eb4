"""How near the sums of a layer of synapses came to another outcome, through the layers between it and its neurons."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.coverage.flows import Flows
from squat_deploy.hardware.coverage.margins import FAR
from squat_deploy.network import IntArray, Network
from squat_deploy.network.layers import Add, Concat, Conv2d, ConvTranspose2d, Delay, NeuronLayer, Pool2d, Synapses

Margins = tuple[IntArray, IntArray]  # (T, B, N) least that a value would have to be more, and less


def counted(network: Network, index: int, searched: set[int]) -> bool:
    """Whether what a changed weight of a layer does can be told from margins, those of the neurons `searched`.

    It cannot where other synapses take what it gives, nor where sums that one weight moves up and down are pooled.
    """
    layer, low = network.layers[index], network.taken(index)[0][0].min()
    behind = list(followers(network, index))
    mixed = low < 0 and isinstance(layer, Conv2d | ConvTranspose2d)
    pooled = any(isinstance(network.layers[place], Pool2d) for place in behind)
    return bool(behind) and not (mixed and pooled) and not any(_stops(network, place, searched) for place in behind)


def _stops(network: Network, index: int, searched: set[int]) -> bool:
    layer = network.layers[index]
    return isinstance(layer, Synapses) or (isinstance(layer, NeuronLayer) and index not in searched)


def followers(network: Network, index: int) -> Iterable[int]:
    """All layers behind one, up to the first neurons or synapses."""
    for place, wire in enumerate(network.wires):
        if index in wire and place > index:
            yield place
            if not isinstance(network.layers[place], NeuronLayer | Synapses):
                yield from followers(network, place)


def margins_of(flows: Flows, index: int, neurons: dict[int, Margins]) -> Margins:
    """Of what a layer gives, by those of what the neurons behind it take."""
    network = flows.network
    found: list[Margins] = []
    for place, wire in enumerate(network.wires):
        for port, source in enumerate(wire):
            if source == index and place > index:
                found.append(neurons[place] if place in neurons else _through(flows, place, port, neurons))
    up, down = (np.minimum.reduce(list(side)) for side in zip(*found, strict=True))
    return up, down


def _through(flows: Flows, place: int, port: int, neurons: dict[int, Margins]) -> Margins:
    """Of one input of a layer without weights."""
    layer, behind = flows.network.layers[place], margins_of(flows, place, neurons)
    if isinstance(layer, Add):
        up, down = (np.where(side < FAR, -(-side // layer.factors[port]), FAR) for side in behind)
        return up, down
    if isinstance(layer, Concat):
        start = sum(layer.sizes[:port])
        return behind[0][..., start : start + layer.sizes[port]], behind[1][..., start : start + layer.sizes[port]]
    if isinstance(layer, Delay):
        return _later(behind[0], layer.steps), _later(behind[1], layer.steps)
    assert isinstance(layer, Pool2d)
    return _of_window(layer, flows.taken(place)[0], behind)


def _later(margin: IntArray, delays: IntArray) -> IntArray:
    """What is given in a step arrives so many steps later, if there are as many."""
    found, steps = np.full_like(margin, FAR), len(margin)
    for delay in np.unique(delays).tolist():
        places = delays == delay
        found[: max(0, steps - delay), :, places] = margin[delay:, :, places]
    return found


def _of_window(layer: Pool2d, values: NDArray[np.int64], behind: Margins) -> Margins:
    """Of a sum: those behind it. Of a maximum: a value must get past it, or be the only one that holds it up."""
    steps = len(behind[0])
    places = layer.windows(np.arange(layer.input_sizes[0])[None], -1).reshape(layer.outputs, -1)
    found = np.full((2, steps, values.shape[1], layer.input_sizes[0] + 1), FAR)  # one for what lies outside
    most = second = None
    if layer.kind == "max":
        padded = np.concatenate([values, np.full((*values.shape[:2], 1), -FAR)], axis=2)
        seen = np.sort(padded[..., places], axis=3)
        most, second = seen[..., -1], seen[..., -2] if seen.shape[3] > 1 else np.full_like(seen[..., -1], -FAR)
    for tap in places.T:
        sides = list(behind)
        if most is not None and second is not None:
            own = padded[..., tap]
            alone = (own == most) & (second <= most - np.minimum(behind[1], FAR // 2))
            sides = [np.minimum(behind[0] + (most - own), FAR), np.where(alone, behind[1], FAR)]
        for side, margin in enumerate(sides):
            found[side][..., tap] = np.minimum(found[side][..., tap], margin)
    return found[0][..., :-1], found[1][..., :-1]
