"""How a neuron gets into a state: ranges of sums, step by step from rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from squat_deploy.network import INPUT, AnyNeuron, Network
from squat_deploy.network.certificate import AtRisk
from squat_deploy.network.layers import Conv2d, NeuronLayer

Way = list[tuple[int, int]]  # the lowest and the highest sum of every step
_UNREACHABLE = "it cannot be reached: this layer sees the same sum at every step"


class Ways:
    """The states of one layer's neurons, and what leads there."""

    def __init__(self, network: Network, place: int) -> None:
        """Args: place: of the layer among the network's neurons."""
        self.network, self.place = network, place
        self.index = [i for i, layer in enumerate(network.layers) if isinstance(layer, NeuronLayer)][place]
        self.neuron: AnyNeuron = network.neurons[place]
        self.direct, self.steps = network.input.encoding == "direct", network.steps
        self.known: dict[int, dict[int, Way]] = {}  # of neurons

    def in_reach(self, example: AtRisk) -> AtRisk:
        """The same for the first neuron of its channel that meets such sums: those at an edge see fewer inputs."""
        layer = self.network.layers[max(self.network.wires[self.index])]
        size = layer.outputs // len(layer.bias) if isinstance(layer, Conv2d) else 1
        first = example.neuron // size * size
        ends = ((place, self.ends(place)) for place in (example.neuron, *range(first, first + size)))
        found = (place for place, (low, high) in ends if low <= example.synaptic_sum <= high)
        return replace(example, neuron=next(found, example.neuron))

    def why_not(self, example: AtRisk) -> str:
        low, high = self.ends(example.neuron)
        if not low <= example.synaptic_sum <= high:  # it shares its table with neurons of other weights
            return f"it cannot be reached: the sums of this neuron are {low}..{high}"
        return _UNREACHABLE if self.direct else f"it cannot be reached within {self.steps} steps"

    def ends(self, neuron: int) -> tuple[int, int]:
        ((lows, highs),) = self.network.taken(self.index)
        return int(lows[neuron]), int(highs[neuron])

    def is_first(self) -> bool:
        """Whether no neuron's spikes reach it, and nothing remembers on the way."""
        seen, open_ends = set[int](), [*self.network.wires[self.index]]
        while open_ends:
            source = open_ends.pop()
            if source != INPUT and source not in seen:
                if self.network.layers[source].remembers:
                    return False
                seen.add(source)
                open_ends += self.network.wires[source]
        return True

    def way_to(self, example: AtRisk) -> Way | None:
        """Ranges of the sums that lead from rest to the state, the sum itself at the end; None where none do."""
        total, (low, high) = example.synaptic_sum, self.ends(example.neuron)
        if not low <= total <= high:
            return None
        if not self.direct:
            way = self._ways_of(example.neuron).get(example.state)
            return None if way is None else [*way, (total, total)]
        state = self.neuron.initial_state
        for step in range(self.steps):
            if state == example.state:
                return [(total, total)] * (step + 1)
            ((state, _),) = self.neuron.following(int(self.neuron.table[example.neuron]), state, total, total)
        return None

    def _ways_of(self, neuron: int) -> dict[int, Way]:
        """The shortest way to every state that a neuron can be in before its last step."""
        if neuron not in self.known:
            ways = self.known[neuron] = {self.neuron.initial_state: []}
            frontier = [self.neuron.initial_state]
            for _ in range(self.steps - 1):
                reached = [(state, *step) for state in frontier for step in self._next(neuron, state)]
                frontier = []
                for state, after, ends in reached:
                    if after not in ways:
                        ways[after] = [*ways[state], ends]
                        frontier.append(after)
        return self.known[neuron]

    def _next(self, neuron: int, state: int) -> Iterator[tuple[int, tuple[int, int]]]:
        """Every state one step later, and the lowest and the highest sum that leads there."""
        return self.neuron.following(int(self.neuron.table[neuron]), state, *self.ends(neuron))
