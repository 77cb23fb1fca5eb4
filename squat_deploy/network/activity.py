"""Which neurons can never fire, and which fire at every step: what a network of integers says of its own life.

Derived, never stored. Over all inputs: every state that a neuron can reach within the network's steps, with every sum
in its range; neurons that cannot fire are 0 for those behind them, so that the ranges narrow from front to back. On the
user's own data: what a trace shows. Ranges take every input apart, so that what is called silent is, and more may be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network.layers import AnyNeuron, IntArray, NeuronLayer, Range, TwoStateNeuron
from squat_deploy.network.network import INPUT, Network
from squat_deploy.network.readout import OF_MEMBRANES
from squat_deploy.network.simulator import LayerTrace, Result, simulate
from squat_deploy.network.transition import reachable_states
from squat_deploy.network.two_state_reach import fires

_MANY = 0.5  # share of a layer's neurons from which on they are counted in a warning
_WINDOW = 256  # sequences whose whole traces are kept at a time
_ENOUGH = 32  # sequences from which on single neurons that never fired say something


@dataclass(frozen=True, eq=False)
class Activity:
    """What the neurons of one layer can do.

    Attributes:
        never, always: (N,) neurons that fire at no step, and at every step.
        low, high: of all sums of the layer, as narrow as the layers before it make them.
    """

    name: str
    never: NDArray[np.bool_]
    always: NDArray[np.bool_]
    low: int
    high: int


def activity(network: Network) -> tuple[Activity, ...]:
    """Of every neuron layer, over all inputs and every step."""
    return _settled(network)[0]


def narrowed(network: Network) -> dict[int, Range]:
    """What every layer gives, and what enters, by its position; neurons that never fire are 0."""
    return _settled(network)[1]


def _settled(network: Network) -> tuple[tuple[Activity, ...], dict[int, Range]]:
    spec = network.input
    given: dict[int, Range] = {INPUT: (np.full(spec.size, spec.low), np.full(spec.size, spec.high))}
    rows, silent = _pass(network, given), -1
    late = any(source >= index for index, wire in enumerate(network.wires) for source in wire)
    while late and silent < (now := sum(int(row.never.sum()) for row in rows)):
        rows, silent = _pass(network, given), now  # what never fires is known to those that take it a step later
    return rows, given


def _pass(network: Network, given: dict[int, Range]) -> tuple[Activity, ...]:
    """Front to back; `given` is what every layer gives, for layers that come later as the pass before found it."""
    rows = []
    for index, (layer, wire) in enumerate(zip(network.layers, network.wires, strict=True)):
        taken = [given[source] if source < index else _late(network, source, given) for source in wire]
        if isinstance(layer, NeuronLayer):
            row = _of_layer(layer, taken[0], network.steps)
            rows.append(row)
            given[index] = row.always.astype(np.int64), (~row.never).astype(np.int64)
        else:
            given[index] = layer.range(*taken)
    return tuple(rows)


def _late(network: Network, source: int, given: dict[int, Range]) -> Range:
    """Spikes of the step before: none in the first step, so that they are not always there."""
    nothing = np.zeros(network.layers[source].outputs, dtype=np.int64)
    return nothing, given[source][1] if source in given else nothing + 1


def _of_layer(neuron: AnyNeuron, sums: Range, steps: int) -> Activity:
    """One look for every table, and for every range of sums where the sums that all of them have do not tell."""
    verdicts = np.zeros((neuron.neurons, 2), dtype=bool)
    for table in np.unique(neuron.table).tolist():
        places = np.flatnonzero(neuron.table == table)
        ranges, which = np.unique(np.stack(sums)[:, places], axis=1, return_inverse=True)
        low, high = int(ranges[0].max()), int(ranges[1].min())
        if low <= high and _fires(neuron, table, low, high, steps=steps) == (True, False):  # so do all wider ranges
            verdicts[places] = True, False
        else:
            found = [_fires(neuron, table, *ends, steps=steps) for ends in ranges.T.tolist()]
            verdicts[places] = np.array(found)[which.reshape(-1)]
    return Activity(neuron.name, ~verdicts[:, 0], verdicts[:, 1], int(sums[0].min()), int(sums[1].max()))


def _fires(neuron: AnyNeuron, table: int, low: int, high: int, *, steps: int) -> tuple[bool, bool]:
    """Whether it fires in any state that it can reach with any sum, and whether in all of them with all sums."""
    first = int(neuron.fire_level[table])
    if first == 0 or first >= neuron.level_count:
        return first == 0, first == 0
    if isinstance(neuron, TwoStateNeuron):
        return fires(neuron, table, low, high, steps=steps)
    states = reachable_states(neuron, table, low, high, steps=steps)
    needed = neuron.thresholds[table][states, first - 1]
    return bool((needed <= high).any()), bool((needed <= low).all())


def warnings_of(network: Network) -> tuple[str, ...]:
    """What a user should know of the neurons over all inputs, and of a readout of membranes without values.

    Nothing of an output layer whose spikes nobody reads.
    """
    rows = activity(network)
    told = (text for row in rows[: -1 if _unread(network) else None] for text in _told(row, network.steps))
    return (*told, *_without_values(network))


def _without_values(network: Network) -> Iterable[str]:
    if network.readout in OF_MEMBRANES and network.why_no_values:
        yield f'{network.neurons[-1].name}: "{network.readout}" gives classes and no values: {network.why_no_values}'


def _unread(network: Network) -> bool:
    """Whether nobody reads the spikes of the output layer: its membranes tell the class, and no layer takes it."""
    last = len(network.layers) - 1
    return network.readout in OF_MEMBRANES and not any(last in wire for wire in network.wires)


def _told(row: Activity, steps: int) -> Iterable[str]:
    never, always, size = int(row.never.sum()), int(row.always.sum()), row.never.size
    where = f"sums {row.low}..{row.high}, {steps} steps"
    if never > _MANY * size:
        hint = "compare weights with threshold, and the input grid with what the model was trained on"
        who = (
            f"none of its {size} neurons can ever fire"
            if never == size
            else f"{never} of {size} neurons can never fire"
        )
        yield f"{row.name}: {who} ({where}); {hint}"
    if always > _MANY * size:
        who = f"all of its {size} neurons fire" if always == size else f"{always} of {size} neurons fire"
        yield f"{row.name}: {who} at every step, whatever comes in ({where}); look at bias, threshold and input grid"


def warnings_on(network: Network, counts: Sequence[IntArray], sequences: int, described: str) -> tuple[str, ...]:
    """What the neurons did on some data, where it is less than they can do.

    Args:
        counts: (N,) of every neuron layer, how often each neuron fired in all `sequences`.
        described: the data, e.g. "the 8 sequences given".
    """
    quiet = _unread(network)
    layers = [
        (neuron.name, count == 0, count == sequences * network.steps)
        for neuron, count in list(zip(network.neurons, counts, strict=True))[: -1 if quiet else None]
    ]
    if not any(never.mean() > _MANY or always.all() for _, never, always in layers):
        return ()
    return tuple(
        text
        for (name, never, always), row in zip(layers, activity(network), strict=False)
        if (text := _seen(name, never, always, row, sequences, described))
    )


def _seen(
    name: str,
    never: NDArray[np.bool_],
    always: NDArray[np.bool_],
    row: Activity,
    sequences: int,
    described: str,
) -> str:
    """What one layer did on some data, where its ranges do not say so already."""
    if never.all():
        return "" if row.never.all() else f"{name}: none of its {never.size} neurons fired on {described}"
    if always.all():
        return (
            "" if row.always.all() else f"{name}: all of its {always.size} neurons fired at every step on {described}"
        )
    if never.mean() > _MANY >= row.never.mean() and sequences >= _ENOUGH:
        return f"{name}: {never.sum()} of {never.size} neurons never fired on {described}"
    return ""


def fired(trace: Iterable[LayerTrace]) -> list[IntArray]:
    """(N,) how often each neuron of every layer fired."""
    return [layer.spikes.sum(axis=(0, 1), dtype=np.int64) for layer in trace]


def counted(network: Network, inputs: NDArray[Any], *, trace: bool = False) -> tuple[Result, list[IntArray]]:
    """A simulation, and how often each neuron of every layer fired; whole traces are kept only if asked for."""
    axis = 0 if network.input.encoding == "direct" else 1
    values = network.input.check(inputs, network.steps)
    samples = values.shape[axis]
    window = samples if trace else _WINDOW
    parts, counts = [], [np.zeros(layer.neurons, dtype=np.int64) for layer in network.neurons]
    for start in range(0, samples, window):
        part = values.take(range(start, min(start + window, samples)), axis=axis)
        result = simulate(network, part, trace=True)
        counts = [have + more for have, more in zip(counts, fired(result.trace or ()), strict=True)]
        parts.append(result if trace else Result(result.scores))
    return parts[0] if trace else Result(np.concatenate([part.scores for part in parts])), counts
