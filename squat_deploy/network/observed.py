"""What an engine was seen to do, and the one comparison of it with the reference trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network.layers import AnyNeuron, Neuron, TwoStateNeuron
from squat_deploy.network.network import Network
from squat_deploy.network.simulator import LayerTrace, Result
from squat_deploy.network.tally import Tally

What = Literal["synaptic sum", "state", "spike", "membrane", "synaptic current"]


@dataclass(frozen=True, eq=False)
class Seen:
    """What one neuron layer did.

    Attributes:
        values: (T, B, N) each; whatever an engine does not give is left out.
        worth: of one spike.
    """

    values: Mapping[What, NDArray[Any]] = field(default_factory=dict)
    worth: float = 1.0


@dataclass(frozen=True, eq=False)
class Derived:
    """Values that follow from a neuron layer's whole trace, as what a model returns.

    Attributes:
        layer: its place among the network's neuron layers.
        of: what they must be, from that layer's spikes, bool, and membranes, float32, (T, B, N) each.
    """

    what: str
    layer: int
    values: NDArray[Any]
    of: Callable[[NDArray[np.bool_], NDArray[np.float32]], NDArray[Any]]


@dataclass(frozen=True)
class Verdict:
    """What an engine that judges itself says: values that it compared, how many differ, and the first of them."""

    values: int
    mismatches: int = 0
    first: str | None = None


@dataclass(frozen=True, eq=False)
class Observed:
    """Some sequences in one engine, in the types in which it gave them: a cast could hide what differs.

    Attributes:
        start: the first of them.
        samples: how many there should be.
        layers: of every neuron layer of the network.
        scores: (samples, classes); `classes`: (samples,); None where an engine does not give them.
        values: (samples, classes) of membranes, float64; of a mean, the sum over all steps.
        seconds: that it took.
        notes: what a reader should know although nothing differs.
    """

    start: int
    samples: int
    layers: tuple[Seen, ...]
    scores: NDArray[Any] | None = None
    classes: NDArray[Any] | None = None
    derived: tuple[Derived, ...] = ()
    seconds: float = 0.0
    verdict: Verdict | None = None
    notes: tuple[str, ...] = ()
    values: NDArray[Any] | None = None

    def only(self, sample: int) -> Observed:
        """What the layers did in one of the sequences."""
        part = slice(sample, sample + 1)
        layers = (
            {key: got[:, part] if got.ndim == 3 else got for key, got in one.values.items()} for one in self.layers
        )
        seen = tuple(Seen(values, one.worth) for values, one in zip(layers, self.layers, strict=True))
        return Observed(self.start + sample, 1, seen)


def compare(tally: Tally, network: Network, reference: Result, observed: Observed) -> None:
    """All that was observed, value by value, with the NumPy trace of all sequences."""
    start, window = observed.start, slice(observed.start, observed.start + observed.samples)
    layers = [layer.part(window) for layer in reference.trace or ()]
    for neuron, layer, seen in zip(network.neurons, layers, observed.layers, strict=True):
        pairs = Pairs(neuron)
        compare_layer(tally, neuron, layer, seen, pairs, start=start)
        pairs.compare(tally, start)
    for part in observed.derived:
        neuron, layer = network.neurons[part.layer], layers[part.layer]
        tally.compare(part.what, part.of(layer.spikes, _membranes(neuron, layer)), part.values, neuron.name, start)
    if observed.scores is not None:
        tally.compare("score", reference.scores[window], observed.scores, start=start)
    if observed.values is not None and network.values is not None:
        expected = network.values.integers(reference.scores[window]) * network.values.step
        tally.compare("value", expected, observed.values, start=start)
    if observed.classes is not None:
        tally.compare("class", reference.classes[window], observed.classes, start=start)


class Pairs:
    """The synaptic currents of two-state neurons; a table of pairs does not name them: one state comes with one.

    States of a table stand for pairs of a current and a membrane: two with the same membrane never have one current.
    """

    def __init__(self, neuron: AnyNeuron) -> None:
        self.neuron = neuron
        self._known: NDArray[Any] = np.zeros(0)

    def expected(self, layer: LayerTrace, currents: NDArray[Any]) -> NDArray[Any]:
        """What the network says, or what came with these states before; what comes with a new one is remembered."""
        if isinstance(self.neuron, TwoStateNeuron):
            return self.neuron.currents_of(layer.states)
        if currents.shape != layer.states.shape:
            return layer.states
        if not self._known.size:
            self._known = np.full(self.neuron.membranes.size, np.nan)
        keys = self.neuron.table * self.neuron.states + layer.states
        new = np.isnan(self._known[keys])
        self._known[keys[new]] = currents[new]
        return self._known[keys]

    def compare(self, tally: Tally, start: int = 0) -> None:
        """Whether as many pairs as states were seen."""
        found = np.flatnonzero(~np.isnan(self._known))
        if isinstance(self.neuron, Neuron) and found.size:
            pairs = np.stack([self.neuron.membranes.reshape(-1)[found], self._known[found] + 0.0], axis=1)
            table = np.column_stack([found // self.neuron.states, pairs])
            distinct = np.full(1, len(found)), np.full(1, len(np.unique(table, axis=0)))
            tally.compare("number of states", *distinct, self.neuron.name, start)


def compare_layer(
    tally: Tally, neuron: AnyNeuron, layer: LayerTrace, seen: Seen, pairs: Pairs, *, start: int = 0, step: int = 0
) -> None:
    """What was seen of one layer, in all steps or from one step on, with the trace of the same steps."""
    for what, got in seen.values.items():
        tally.compare(what, _expected(what, neuron, layer, seen, pairs), got, neuron.name, start, step)


def _expected(what: What, neuron: AnyNeuron, layer: LayerTrace, seen: Seen, pairs: Pairs) -> NDArray[Any]:
    match what:
        case "synaptic sum":
            return layer.sums
        case "state":
            return layer.states
        case "spike":
            return layer.spikes if seen.worth == 1 else layer.spikes * np.float32(seen.worth)
        case "membrane":
            return _membranes(neuron, layer)
        case "synaptic current":
            return pairs.expected(layer, seen.values[what])
        case _:
            assert_never(what)


def _membranes(neuron: AnyNeuron, layer: LayerTrace) -> NDArray[np.float32]:
    return neuron.membranes_of(layer.states)
