"""From a trained layer to its table of integers, with the proof that goes with it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import zip_longest

import numpy as np
import torch

from squat_deploy.errors import Fault, LoweringError
from squat_deploy.lowering.current import Current, alike
from squat_deploy.lowering.draft import PendingNeuron
from squat_deploy.lowering.enumeration import Row, enumerate_layer
from squat_deploy.lowering.ladder import Ladder
from squat_deploy.lowering.neuron import NeuronMachine, extract_machines
from squat_deploy.lowering.order import order_risks, order_slack
from squat_deploy.lowering.probe import NeuronProbe
from squat_deploy.lowering.rounding import Floats
from squat_deploy.lowering.two_state import two_state_layer
from squat_deploy.network import AnyNeuron, IntArray, Neuron, int_bits
from squat_deploy.network.certificate import AtRisk, LayerProof
from squat_deploy.network.transition import reachable_states
from squat_deploy.progress import report
from squat_deploy.snn.levels import FloatArray, safe_magnitude

MAX_SUM_RANGE = 2**25
_FEW_LEVELS = 2  # of two states, of which a table of all pairs takes less logic than offsets
_EXAMPLES = 5  # of one table
_EXAMPLES_OF_A_LAYER = 256  # enough to move every channel at risk clear at once (`settle_norms`)


@dataclass(frozen=True, eq=False)
class _Table(Row):
    """One distinct finite-state machine of a layer and how sure it is."""

    thresholds: IntArray
    margin: float | None
    error: float
    at_risk: int
    examples: tuple[AtRisk, ...]


def extract_layer(layer: PendingNeuron) -> tuple[AnyNeuron, LayerProof] | Fault:
    """Runs the trained neuron on every reachable combination and returns its tables and their proof.

    Two-state neurons are offsets where there are some; tables else.
    """
    lows, highs = layer.lows, layer.highs
    if fault := _width_fault(layer, int(lows.min()), int(highs.max())):
        return fault
    groups = _groups(layer)
    limit = _current_limit(layer, groups)
    if fault := _range_fault(layer, limit):
        return fault
    if layer.state_count == 1 or layer.quantizer.levels.numel() <= _FEW_LEVELS:
        return _by_tables(layer, groups, limit)
    by_offsets = two_state_layer(layer, groups, lambda index: _probe(layer, np.array([index])), limit)
    if by_offsets is not None and by_offsets[1].proven:
        return by_offsets
    try:
        by_tables = _by_tables(layer, groups, limit)
    except LoweringError:
        if by_offsets is None:
            raise
        return by_offsets
    return by_tables if by_offsets is None or by_tables[1].proven else by_offsets


def _by_tables(layer: PendingNeuron, groups: list[IntArray], limit: float) -> tuple[Neuron, LayerProof]:
    """A table of thresholds for every state, or every pair of states.

    One probe holds the parameters of all its neurons; those with equal parameters share a machine, those with equal
    currents too share a table. Machines are found, and tables proven, in batches (`neuron.py`, `enumeration.py`).
    """
    lows, highs = layer.lows, layer.highs
    sets = alike(_parameters(layer)[[members[0] for members in groups]])
    probe = _probe(layer, np.array([groups[members[0]][0] for members in sets]))
    machines = _machines(probe, limit)
    chosen = {int(group): number for number, members in enumerate(sets) for group in members}
    tables = []
    for group, members in enumerate(groups):
        report(f"{layer.name}: tables", group, len(groups))
        low, high, machine = int(lows[members].min()), int(highs[members].max()), machines[chosen[group]]
        exact = layer.branches is None or layer.branches.exact
        slack = 0.0 if exact else order_slack(layer, int(members[0]), machine.states)
        tables.append(_table(layer.current, machine, int(members[0]), chosen[group], low, high, slack))
    if layer.branches is not None and layer.branches.exact:
        tables = [_with_order_risks(layer, probe, table) for table in tables]
    neuron = _neuron(layer, groups, tables)
    enumerated, exhaustive = enumerate_layer(layer, probe, neuron, tables)
    return neuron, _proof(layer, neuron, tables, enumerated, exhaustive)


def _groups(layer: PendingNeuron) -> list[IntArray]:
    """Neurons that share one table: equal currents, of branches too, and equal parameters."""
    currents = (layer.current, *(layer.branches.currents if layer.branches else ()))
    return alike(np.hstack([*(current.columns() for current in currents), _parameters(layer)]))


def _parameters(layer: PendingNeuron) -> Floats:
    """The parameters of every neuron, (N, parameters)."""
    values = ((getattr(layer.module, key), places) for key, places in layer.parameter_index.items())
    columns = [value.detach().reshape(-1).double().cpu().numpy()[places] for value, places in values]
    return np.stack(columns, axis=1)


def _probe(layer: PendingNeuron, neurons: IntArray) -> NeuronProbe:
    """A probe with the parameters of each of these neurons."""
    places = {key: values[neurons] for key, values in layer.parameter_index.items()}
    return NeuronProbe(layer.module, places, layer.quantizer, layer.name)


def _machines(probe: NeuronProbe, limit: float) -> list[NeuronMachine]:
    """One extraction for every distinct (beta, threshold), padded to one number of states."""
    found = list(extract_machines(probe, limit))
    most = max(len(machine.states) for machine in found)
    return [_padded(machine, most) for machine in found]


def _padded(machine: NeuronMachine, states: int) -> NeuronMachine:
    """Unreachable copies of the rest state, so that all tables of a layer have one shape."""
    rows = np.r_[np.arange(len(machine.states)), np.full(states - len(machine.states), machine.initial_state)]
    return replace(
        machine, states=machine.states[rows], boundaries=machine.boundaries[rows], successor=machine.successor[rows]
    )


def _current_limit(layer: PendingNeuron, groups: list[IntArray]) -> float:
    """Largest |input current| of any neuron, rounding included, with a little room."""
    largest = 0.0
    for members in groups:
        ends, index = np.unique([layer.lows[members], layer.highs[members]]), int(members[0])
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


def _table(
    current: Current, machine: NeuronMachine, neuron: int, chosen: int, low: int, high: int, slack: float
) -> _Table:
    """Thresholds on the sum, in low..high + 1, and the combinations that rounding could decide otherwise."""
    ladder = Ladder(current, neuron, low, high, slack)
    thresholds = low + ladder.below(machine.boundaries)
    live = _live_rows(machine, thresholds, low, high)
    boundaries = machine.boundaries[live]
    values, error = ladder.beside(thresholds[live] - low)
    distance = np.abs(values.astype(np.float64) - boundaries)
    finite = np.isfinite(distance)
    margin = float(distance[finite].min()) if finite.any() else None
    at_risk, examples = _at_risk(ladder, boundaries, distance.min(axis=0), live)
    worst = float(error.max()) if error.size else 0.0
    return _Table(neuron, chosen, machine, live, low, high, thresholds, margin, worst, at_risk, examples)


def _with_order_risks(layer: PendingNeuron, probe: NeuronProbe, table: _Table) -> _Table:
    """Also counts what the trained neuron decides otherwise because it adds its two currents one after the other."""
    wrong, examples, _ = order_risks(layer, probe, table, table.thresholds)
    return replace(table, at_risk=table.at_risk + wrong, examples=(*table.examples, *examples))


def _live_rows(machine: NeuronMachine, thresholds: IntArray, low: int, high: int) -> IntArray:
    zero = np.array([0])
    neuron = Neuron(
        "", thresholds[None], machine.successor[None], zero, zero, machine.initial_state, machine.membranes[None]
    )
    return reachable_states(neuron, 0, low, high)


def _at_risk(
    ladder: Ladder, boundaries: FloatArray, distance: Floats, live: IntArray
) -> tuple[int, tuple[AtRisk, ...]]:
    """Combinations that rounding could decide otherwise: their number, and those nearest their boundaries."""
    rows, levels, first, count = ladder.unsure(boundaries, distance)
    nearest = np.argsort(distance[rows, levels], kind="stable")[:_EXAMPLES]
    found = [(int(live[rows[i]]), ladder.low + int(first[i]), int(levels[i])) for i in nearest]
    return count, tuple(AtRisk(ladder.neuron, *example) for example in found)


def _neuron(layer: PendingNeuron, groups: list[IntArray], tables: list[_Table]) -> Neuron:
    """Merges tables that came out equal: different floats often make one table of integers."""
    distinct: dict[bytes, int] = {}
    table = np.zeros(layer.neurons, dtype=np.int64)
    kept: list[_Table] = []
    low, high = min(t.low for t in tables), max(t.high for t in tables)
    for members, found in zip(groups, tables, strict=True):
        wide = _widened(found, low, high)
        machine = found.machine
        arrays = (wide, machine.successor, machine.states, np.array(machine.fire_level))
        key = b"".join(sha256(np.ascontiguousarray(array).data).digest() for array in arrays)
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
