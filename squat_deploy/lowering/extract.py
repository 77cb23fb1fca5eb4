"""From a trained layer to its table of integers, with the proof that goes with it."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest

import numpy as np
import torch
from numpy.typing import NDArray

from squat_deploy.errors import Fault, InternalError, LoweringError
from squat_deploy.lowering.current import Current
from squat_deploy.lowering.draft import PendingNeuron
from squat_deploy.lowering.neuron import NeuronMachine, NeuronProbe, extract_machine, first_sums
from squat_deploy.lowering.order import order_risks, order_slack
from squat_deploy.lowering.two_state import two_state_layer
from squat_deploy.network import AnyNeuron, IntArray, Neuron, int_bits
from squat_deploy.network.certificate import AtRisk, LayerProof
from squat_deploy.network.transition import reachable_states
from squat_deploy.snn.levels import FloatArray, safe_magnitude
from squat_deploy.snn.neurons import own_surrogate

ENUMERATION_LIMIT = 2**25  # (state, sum) combinations a layer on which the neuron itself is run
MAX_SUM_RANGE = 2**25
_CHUNK = 2**18
_EXAMPLES = 5  # of one table
_EXAMPLES_OF_A_LAYER = 256  # enough to move every channel at risk clear at once (`settle_norms`)


@dataclass(frozen=True, eq=False)
class _Table:
    """One distinct finite-state machine of a layer and how sure it is."""

    neuron: int
    machine: NeuronMachine
    thresholds: IntArray
    low: int
    high: int
    margin: float | None
    error: float
    at_risk: int
    examples: tuple[AtRisk, ...]


def extract_layer(layer: PendingNeuron) -> tuple[AnyNeuron, LayerProof] | Fault:
    """Runs the trained neuron on every reachable combination and returns its tables and their proof."""
    lows, highs = layer.lows, layer.highs
    if fault := _width_fault(layer, int(lows.min()), int(highs.max())):
        return fault
    limit = _current_limit(layer, lows, highs)
    if fault := _range_fault(layer, limit):
        return fault
    groups = _groups(layer)
    few = layer.quantizer.levels.numel() <= 16
    by_offsets = (
        None if layer.state_count == 1 or few else two_state_layer(layer, groups, partial(_probe, layer), limit)
    )
    if by_offsets is not None and by_offsets[1].proven:
        return by_offsets
    try:
        return _by_tables(layer, groups, lows, highs, limit)
    except LoweringError:
        if by_offsets is None:
            raise
        return by_offsets


def _by_tables(
    layer: PendingNeuron, groups: list[list[int]], lows: IntArray, highs: IntArray, limit: float
) -> tuple[Neuron, LayerProof]:
    """A table of thresholds for every state, or for every pair of states."""
    machines = _machines(layer, limit)
    tables = []
    for members in groups:
        low, high = int(lows[members].min()), int(highs[members].max())
        machine = machines[_parameters(layer, members[0])]
        exact = layer.branches is None or layer.branches.exact
        slack = 0.0 if exact else order_slack(layer, members[0], machine)
        tables.append(_table(layer.current, machine, members[0], low, high, slack))
    if layer.branches is not None and layer.branches.exact:
        tables = [_with_order_risks(layer, table) for table in tables]
    neuron = _neuron(layer, groups, tables)
    enumerated, exhaustive = _enumerate(layer, neuron, tables)
    return neuron, _proof(layer, neuron, tables, enumerated, exhaustive)


def _groups(layer: PendingNeuron) -> list[list[int]]:
    """Neurons that share one table: equal currents, of branches too, and equal parameters."""
    currents = (layer.current, *(layer.branches.currents if layer.branches else ()))
    groups: dict[Hashable, list[int]] = {}
    for index in range(layer.neurons):
        key = (*(current.key(index) for current in currents), _parameters(layer, index))
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def _parameters(layer: PendingNeuron, index: int) -> tuple[float, ...]:
    values = ((getattr(layer.module, key), places[index]) for key, places in layer.parameter_index.items())
    return tuple(float(value.detach().reshape(-1)[place]) for value, place in values)


def _probe(layer: PendingNeuron, index: int) -> NeuronProbe:
    places = {key: int(values[index]) for key, values in layer.parameter_index.items()}
    return NeuronProbe(layer.module, places, layer.quantizer, layer.name)


def _machines(layer: PendingNeuron, limit: float) -> dict[tuple[float, ...], NeuronMachine]:
    """One extraction for every distinct (beta, threshold), padded to one number of states."""
    found: dict[tuple[float, ...], NeuronMachine] = {}
    for index in range(layer.neurons):
        key = _parameters(layer, index)
        if key not in found:
            found[key] = extract_machine(_probe(layer, index), limit)
    most = max(len(machine.states) for machine in found.values())
    return {key: _padded(machine, most) for key, machine in found.items()}


def _padded(machine: NeuronMachine, states: int) -> NeuronMachine:
    """Unreachable copies of the rest state, so that all tables of a layer have one shape."""
    rows = np.r_[np.arange(len(machine.states)), np.full(states - len(machine.states), machine.initial_state)]
    return replace(
        machine, states=machine.states[rows], boundaries=machine.boundaries[rows], successor=machine.successor[rows]
    )


def _current_limit(layer: PendingNeuron, lows: IntArray, highs: IntArray) -> float:
    """Largest |input current| of any neuron, rounding included, with a little room."""
    largest = 0.0
    for index in range(layer.neurons):
        ends = np.array([lows[index], highs[index]])
        current = np.abs(layer.current.values(index, ends).astype(np.float64)) + layer.current.error(index, ends)
        largest = max(largest, float(current.max())) if np.isfinite(current).all() else math.inf
    return float(np.float32(largest * 1.01 + 1e-6))


def _width_fault(layer: PendingNeuron, low: int, high: int) -> Fault | None:
    if high - low < MAX_SUM_RANGE:
        return None
    return Fault(
        layer.name,
        f"synaptic sums span less than {MAX_SUM_RANGE}, all that float32 tells apart",
        f"{low}..{high}",
        "use fewer bits for inputs or weights",
    )


def _range_fault(layer: PendingNeuron, limit: float) -> Fault | None:
    """The nearest-level rule is monotone only where |u| stays far below 2**23 gaps of the table."""
    levels = layer.quantizer.levels.numpy()
    threshold = float(torch.as_tensor(layer.module.threshold).detach().abs().max())
    kept = layer.leak * layer.state_count * float(np.abs(levels).max())
    largest = limit * layer.gain + kept + 2 * threshold
    if largest < safe_magnitude(levels):
        return None
    return Fault(
        layer.name,
        f"|membrane| must stay below {safe_magnitude(levels):.3g}, where float32 still tells the levels apart",
        f"up to {largest:.3g}",
        "scale the weights down or use fewer state bits",
    )


def _table(current: Current, machine: NeuronMachine, neuron: int, low: int, high: int, slack: float) -> _Table:
    """Thresholds on the sum, in low..high + 1, and the combinations that rounding could decide otherwise."""
    sums = np.arange(low, high + 1)
    values = current.values(neuron, sums)
    if (np.diff(values) < 0).any():
        raise InternalError(f"neuron {neuron}: the current is not monotone in the synaptic sum")
    thresholds = low + first_sums(values, machine.boundaries)
    error = current.error(neuron, sums) + slack
    live = _live_rows(machine, thresholds, low, high)
    boundaries, steps = machine.boundaries[live], thresholds[live]
    margin, near = _margin(values, boundaries, steps - low)
    at_risk = 0
    examples: tuple[AtRisk, ...] = ()
    if error.any():
        at_risk, examples = _at_risk(values, error, boundaries, live, neuron, low)
    worst = float(error[near].max()) if near.size else 0.0
    return _Table(neuron, machine, thresholds, low, high, margin, worst, at_risk, examples)


def _with_order_risks(layer: PendingNeuron, table: _Table) -> _Table:
    """Also counts what the trained neuron decides otherwise because it adds its two currents one after the other."""
    live = _live_rows(table.machine, table.thresholds, table.low, table.high)
    probe = _probe(layer, table.neuron)
    wrong, examples, _ = order_risks(layer, table.neuron, probe, table.machine, table.thresholds, live)
    return replace(table, at_risk=table.at_risk + wrong, examples=(*table.examples, *examples))


def _live_rows(machine: NeuronMachine, thresholds: IntArray, low: int, high: int) -> IntArray:
    zero = np.array([0])
    neuron = Neuron(
        "", thresholds[None], machine.successor[None], zero, zero, machine.initial_state, machine.membranes[None]
    )
    return reachable_states(neuron, 0, low, high)


def _margin(values: FloatArray, boundaries: FloatArray, first: IntArray) -> tuple[float | None, IntArray]:
    """Smallest distance of a current from a decision, and the positions of the currents next to decisions."""
    near = np.stack([np.maximum(first - 1, 0), np.minimum(first, values.size - 1)])
    distance = np.abs(values[near].astype(np.float64) - boundaries)
    finite = np.isfinite(distance)
    return (float(distance[finite].min()) if finite.any() else None), np.unique(near)


def _at_risk(
    values: FloatArray, error: NDArray[np.float64], boundaries: FloatArray, live: IntArray, neuron: int, low: int
) -> tuple[int, tuple[AtRisk, ...]]:
    """Combinations whose current could fall on either side of a boundary: value - error < boundary <= value + error."""
    least = np.minimum.accumulate((values - error)[::-1])[::-1]
    most = np.maximum.accumulate(values + error)
    first = np.searchsorted(most, boundaries.astype(np.float64), side="left")
    last = np.searchsorted(least, boundaries.astype(np.float64), side="left")
    count = int((last - first).sum())
    rows, levels = np.nonzero(last > first)
    examples = tuple(
        AtRisk(neuron, int(live[row]), low + int(first[row, level]), int(level))
        for row, level in list(zip(rows, levels, strict=True))[:_EXAMPLES]
    )
    return count, examples


def _neuron(layer: PendingNeuron, groups: list[list[int]], tables: list[_Table]) -> Neuron:
    """Merges tables that came out equal: different floats often make one table of integers."""
    distinct: dict[Hashable, int] = {}
    table = np.zeros(layer.neurons, dtype=np.int64)
    kept: list[_Table] = []
    low, high = min(t.low for t in tables), max(t.high for t in tables)
    for members, found in zip(groups, tables, strict=True):
        wide = _widened(found, low, high)
        machine = found.machine
        key = (wide.tobytes(), machine.successor.tobytes(), machine.states.tobytes(), machine.fire_level)
        if key not in distinct:
            distinct[key] = len(kept)
            kept.append(replace(found, thresholds=wide))
        table[members] = distinct[key]
    return Neuron(
        name=layer.name,
        thresholds=np.stack([t.thresholds for t in kept]),
        successor=np.stack([t.machine.successor for t in kept]),
        fire_level=np.array([t.machine.fire_level for t in kept], dtype=np.int64),
        table=table,
        initial_state=kept[0].machine.initial_state,
        membranes=np.stack([t.machine.membranes for t in kept]),
    )


def _widened(table: _Table, low: int, high: int) -> IntArray:
    """Thresholds beyond the table's own range moved to the ends of the layer's range, where they mean the same."""
    moved = np.where(table.thresholds > table.high, high + 1, table.thresholds)
    return np.where(table.thresholds <= table.low, low, moved)


def _enumerate(layer: PendingNeuron, neuron: Neuron, tables: list[_Table]) -> tuple[int, bool]:
    """Runs the trained neuron on every (reachable state, sum) of every table and compares with the integers.

    Above the limit, on both sides of every threshold and on a sample: currents are monotone in the sum and IEEE
    rounding is monotone, so the two sides of each threshold decide all between.
    """
    work = sum((t.high - t.low + 1) * len(t.machine.states) for t in tables)
    count = 0
    for table in tables:
        probe = _probe(layer, table.neuron)
        index = int(neuron.table[table.neuron])
        for state in reachable_states(neuron, index, table.low, table.high).tolist():
            sums = np.arange(table.low, table.high + 1)
            if work > ENUMERATION_LIMIT:
                sums = _sample(table, state)
            for part in np.array_split(sums, max(1, sums.size // _CHUNK)):
                _compare(layer, neuron, table, probe, index, state, part)
            count += sums.size
    return count, work <= ENUMERATION_LIMIT


def _sample(table: _Table, state: int) -> IntArray:
    edges = np.concatenate([table.thresholds[state] - 1, table.thresholds[state], [table.low, table.high]])
    random = np.random.default_rng(state).integers(table.low, table.high + 1, 256)
    return np.unique(np.concatenate([edges, random]).clip(table.low, table.high))


def _compare(
    layer: PendingNeuron, neuron: Neuron, table: _Table, probe: NeuronProbe, index: int, state: int, sums: IntArray
) -> None:
    machine = table.machine
    stepped = probe.step(layer.current.values(table.neuron, sums), machine.states[state])
    want = np.searchsorted(neuron.thresholds[index, state], sums, side="right")
    after = machine.states[neuron.successor[index, state, want]]
    wrong = np.flatnonzero((stepped.carried != after).any(axis=-1) | (stepped.fired != (want >= machine.fire_level)))
    if wrong.size:
        at = wrong[0]
        got = (
            f"the table differs from the trained neuron {table.neuron} at state {state}, "
            f"sum {sums[at]}: level {want[at]}, neuron {stepped.levels[at].tolist()}"
        )
        if own_surrogate(layer.module):
            rule = "spike_grad decides each neuron alone, and the same each time"
            hint = "use a surrogate of snntorch.surrogate whose forward is (x > 0)"
            raise LoweringError((Fault(layer.name, rule, got, hint),))
        raise InternalError(f"{layer.name}: {got}")


def _proof(layer: PendingNeuron, neuron: Neuron, tables: list[_Table], enumerated: int, exhaustive: bool) -> LayerProof:
    at_risk = sum(t.at_risk for t in tables)
    notes = []
    if layer.silent:
        notes.append("all weights are zero")
    if at_risk:
        notes.append("the trained model's float32 sum may round across a decision")
    return LayerProof(
        layer=layer.name,
        proven=at_risk == 0,
        rule=layer.current.rule,
        sum_low=min(t.low for t in tables),
        sum_high=max(t.high for t in tables),
        accumulator_bits=int_bits(*_signed(layer.partial)),
        states=neuron.states,
        levels=neuron.level_count,
        tables=len(neuron.thresholds),
        margin=min((t.margin for t in tables if t.margin is not None), default=None),
        error_bound=max(t.error for t in tables),
        enumerated=enumerated,
        exhaustive=exhaustive,
        at_risk=at_risk,
        examples=_examples(tables),
        note="; ".join(notes),
    )


def _examples(tables: list[_Table]) -> tuple[AtRisk, ...]:
    """The first of every table, then the second ones, and so on."""
    ranked = zip_longest(*(table.examples for table in tables))
    return tuple(example for row in ranked for example in row if example is not None)[:_EXAMPLES_OF_A_LAYER]


def _signed(bounds: tuple[int, int]) -> tuple[int, int]:
    """Accumulators are signed registers, also where no sum is negative."""
    return min(bounds[0], -1), bounds[1]
