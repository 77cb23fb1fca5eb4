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


def compare(tally: Tally, network: Network, reference: Result, observed: Observed) -> None:
    """All that was observed, value by value, with the NumPy trace of all sequences."""
    start, window = observed.start, slice(observed.start, observed.start + observed.samples)
    layers = [layer.part(window) for layer in reference.trace or ()]
    for neuron, layer, seen in zip(network.neurons, layers, observed.layers, strict=True):
        for what, got in seen.values.items():
            tally.compare(what, _expected(what, neuron, layer, seen), got, neuron.name, start)
        currents = seen.values.get("synaptic current")
        if isinstance(neuron, Neuron) and currents is not None and currents.shape == layer.states.shape:
            _compare_pairs(tally, neuron, layer, currents, start)
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


def _expected(what: What, neuron: AnyNeuron, layer: LayerTrace, seen: Seen) -> NDArray[Any]:
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
            return _currents(neuron, layer, seen.values[what])
        case _:
            assert_never(what)


def _membranes(neuron: AnyNeuron, layer: LayerTrace) -> NDArray[np.float32]:
    return neuron.membranes_of(layer.states)


def _currents(neuron: AnyNeuron, layer: LayerTrace, currents: NDArray[Any]) -> NDArray[Any]:
    """The synaptic currents of two-state neurons; a table of pairs does not name them: one state comes with one."""
    if isinstance(neuron, TwoStateNeuron):
        return neuron.currents_of(layer.states)
    if currents.shape != layer.states.shape:
        return layer.states
    _, first, place = np.unique(_keys(neuron, layer), return_index=True, return_inverse=True)
    expected: NDArray[Any] = currents.reshape(-1)[first][place].reshape(currents.shape)
    return expected


def _compare_pairs(tally: Tally, neuron: Neuron, layer: LayerTrace, currents: NDArray[Any], start: int) -> None:
    """States stand for pairs of a current and a membrane: two with the same membrane never come with one current."""
    found, first = np.unique(_keys(neuron, layer), return_index=True)
    table, state = np.divmod(found, neuron.states)
    pairs = np.stack([table, neuron.membranes[table, state], currents.reshape(-1)[first] + 0.0], axis=1)
    distinct = np.full(1, len(found)), np.full(1, len(np.unique(pairs, axis=0)))
    tally.compare("number of states", *distinct, neuron.name, start)


def _keys(neuron: Neuron, layer: LayerTrace) -> NDArray[np.int64]:
    keys: NDArray[np.int64] = neuron.table * neuron.states + layer.states
    return keys
