"""The proof: the trained neuron itself, run on every (reachable state, sum), against the integers.

Combinations are run in batches of `probe.BATCH`: rows are states, columns are sums. What the integers say of a row is a
run of sums a level, so that a batch is compared with whole runs instead of with a search an element. How many
combinations are run, and which, does not depend on the size of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import Fault, InternalError, LoweringError
from squat_deploy.lowering.draft import PendingNeuron
from squat_deploy.lowering.neuron import NeuronMachine
from squat_deploy.lowering.probe import BATCH, NeuronProbe
from squat_deploy.network import IntArray, Neuron
from squat_deploy.progress import report
from squat_deploy.snn.neurons import own_surrogate

ENUMERATION_LIMIT = 2**25  # (state, sum) combinations a layer on which the neuron itself is run
_SAMPLE = 256  # sums of a row beside those next to its thresholds, above that


@dataclass(frozen=True, eq=False)
class Row:
    """One distinct table of a layer.

    Attributes:
        neuron: one that has it, with the parameters of the set `chosen`.
        live: its reachable states.
        low, high: its sums.
    """

    neuron: int
    chosen: int
    machine: NeuronMachine
    live: IntArray
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class _Combinations:
    """A batch: states (R,), and ascending sums, (M,) or (R, M), which may repeat."""

    states: IntArray
    sums: IntArray


def enumerate_layer(layer: PendingNeuron, probe: NeuronProbe, neuron: Neuron, rows: Sequence[Row]) -> tuple[int, bool]:
    """Runs the trained neuron on every (reachable state, sum) of every table and compares with the integers.

    Above the limit, on both sides of every threshold and on a sample: currents are monotone in the sum and IEEE
    rounding is monotone, so the two sides of each threshold decide all between.

    Raises: LoweringError at a difference where the spike function is the user's, InternalError at any other.

    Returns: (combinations, whether they are all).
    """
    work = sum((row.high - row.low + 1) * len(row.machine.states) for row in rows)
    whole = work <= ENUMERATION_LIMIT
    count = 0
    for number, row in enumerate(rows):
        table = int(neuron.table[row.neuron])
        alone = own_surrogate(layer.module)  # what the user computes may depend on what it is computed with
        for batch in _all(row, alone) if whole else _samples(row, neuron.thresholds[table], alone):
            report(f"{layer.name}: proof", number, len(rows))
            _compare(layer, probe, neuron, row, batch)
            count += _distinct(batch)
    return count, whole


def _all(row: Row, alone: bool) -> Iterator[_Combinations]:
    size = row.high - row.low + 1
    for start in range(row.low, row.high + 1, BATCH):
        sums = np.arange(start, min(start + BATCH, row.high + 1))
        for states in _parts(row.live, 1 if alone else max(1, BATCH // min(size, BATCH))):
            yield _Combinations(states, sums)


def _samples(row: Row, thresholds: IntArray, alone: bool) -> Iterator[_Combinations]:
    width = 2 * thresholds.shape[1] + 2 + _SAMPLE
    for states in _parts(row.live, 1 if alone else max(1, BATCH // width)):
        sums = np.empty((states.size, width), dtype=np.int64)
        sums[:, 0], sums[:, 1] = row.low, row.high
        sums[:, 2 : 2 + _SAMPLE] = row.low + (_shares(states) * (row.high - row.low + 1)).astype(np.int64)
        above = thresholds[states]
        np.concatenate([above - 1, above], axis=1, out=sums[:, 2 + _SAMPLE :])
        sums.clip(row.low, row.high, out=sums)
        sums.sort(axis=1)
        yield _Combinations(states, sums)


def _shares(states: IntArray) -> NDArray[np.float64]:
    """Random shares of a range of sums, (R, samples): other ones in every state, the same ones in every table."""
    return _random(-(-int(states.max() + 1) // _SAMPLE) * _SAMPLE)[states]


@lru_cache(maxsize=1)
def _random(states: int) -> NDArray[np.float64]:
    return np.stack([np.random.default_rng(state).random(_SAMPLE) for state in range(states)])


def _parts(states: IntArray, size: int) -> Iterator[IntArray]:
    for start in range(0, states.size, size):
        yield states[start : start + size]


def _distinct(batch: _Combinations) -> int:
    if batch.sums.ndim == 1:
        return batch.states.size * batch.sums.size
    return int(np.count_nonzero(batch.sums[:, 1:] != batch.sums[:, :-1])) + batch.states.size


def _runs(thresholds: IntArray, sums: IntArray) -> IntArray:
    """How many of the ascending sums of every row lie at each level, (R, L)."""
    rows, size = len(thresholds), sums.shape[-1]
    if sums.ndim == 1:  # all integers from the first to the last one
        first = (thresholds - sums[0]).clip(0, size)
    else:
        span = int(sums[:, -1].max()) - int(sums[:, 0].min()) + 2
        start = np.arange(rows)[:, None] * span  # rows one after the other ascend too
        steps = thresholds.clip(sums[:, :1], sums[:, -1:] + 1)
        first = np.searchsorted((sums + start).reshape(-1), steps + start) - np.arange(rows)[:, None] * size
    edges = np.concatenate([np.zeros((rows, 1), int), first, np.full((rows, 1), size)], axis=1)
    return np.diff(edges, axis=1)


def _compare(layer: PendingNeuron, probe: NeuronProbe, neuron: Neuron, row: Row, batch: _Combinations) -> None:
    machine, table = row.machine, int(neuron.table[row.neuron])
    values = layer.current.values(row.neuron, batch.sums.reshape(-1)).reshape(batch.sums.shape)
    stepped = probe.step(values, machine.states[batch.states][:, None], chosen=row.chosen)
    runs = _runs(neuron.thresholds[table, batch.states], batch.sums)
    after = machine.states[neuron.successor[table, batch.states]].reshape(runs.size, -1)
    fires = np.broadcast_to(np.arange(runs.shape[1]) >= machine.fire_level, runs.shape)
    wrong = stepped.fired.reshape(-1) != np.repeat(fires, runs.reshape(-1))
    for place, carried in enumerate(stepped.states):
        wrong |= carried.reshape(-1) != np.repeat(after[:, place], runs.reshape(-1))
    if wrong.any():
        at = np.unravel_index(int(wrong.argmax()), stepped.fired.shape)
        level = np.repeat(np.tile(np.arange(runs.shape[1]), len(runs)), runs.reshape(-1)).reshape(stepped.fired.shape)
        sums = np.broadcast_to(batch.sums, stepped.fired.shape)
        _refuse(
            layer,
            f"the table differs from the trained neuron {row.neuron} at state {batch.states[at[0]]}, "
            f"sum {sums[at]}: level {level[at]}, neuron {stepped.levels[at].tolist()}",
        )


def _refuse(layer: PendingNeuron, got: str) -> None:
    if own_surrogate(layer.module):
        rule = "spike_grad decides each neuron alone, and the same each time"
        hint = "use a surrogate of snntorch.surrogate whose forward is (x > 0)"
        raise LoweringError((Fault(layer.name, rule, got, hint),))
    raise InternalError(f"{layer.name}: {got}")
