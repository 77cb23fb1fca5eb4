"""From a trained two-state neuron to integers: its layer by offsets, with the proof that goes with it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np

from squat_deploy.lowering.draft import PendingNeuron
from squat_deploy.lowering.neuron import first_sums
from squat_deploy.lowering.offsets import Offsets, Rows, Sums, find_offsets
from squat_deploy.lowering.pair_order import order_risks_of_pairs, order_slack_of_pairs
from squat_deploy.lowering.pair_proof import Candidate, check_candidate, reached_pairs
from squat_deploy.lowering.pair_risks import margin, near_boundaries
from squat_deploy.lowering.pairs import Pairs, bisected, pairs_of
from squat_deploy.lowering.probe import NeuronProbe
from squat_deploy.network import IntArray, Neuron, TwoStateNeuron, int_bits
from squat_deploy.network.certificate import AtRisk, LayerProof
from squat_deploy.network.limits import MAX_STATES
from squat_deploy.network.transition import OffsetForm, offset_form, reachable_states
from squat_deploy.snn.neurons import own_surrogate

_EVERY_SUM = 2**25  # (pair of states, sum) combinations of a table up to which all of them are run
_EXAMPLES = 5  # of one table
_EXAMPLES_OF_A_LAYER = 256


@dataclass(frozen=True, eq=False)
class _Table:
    """One distinct neuron of a layer and how sure it is."""

    neuron: int
    candidate: Candidate
    following: OffsetForm
    enumerated: int
    exhaustive: bool
    margin: float | None
    error: float
    at_risk: int
    examples: tuple[AtRisk, ...]


def two_state_layer(
    layer: PendingNeuron, groups: Sequence[IntArray], probe: Callable[[int], NeuronProbe], limit: float
) -> tuple[TwoStateNeuron, LayerProof] | None:
    """The layer by offsets and its proof; None where no offsets were found for one of its tables.

    Args:
        groups: neurons that share a table; probe: of a neuron; limit: bound of all input currents.
    """
    if own_surrogate(layer.module):
        return None  # may decide by anything: a table of all states says what it did
    tables = []
    for members in groups:
        low, high = int(layer.lows[members].min()), int(layer.highs[members].max())
        table = _table(layer, int(members[0]), probe(int(members[0])), low, high, np.float32(limit))
        if table is None:
            return None
        tables.append(table)
    neuron = _neuron(layer, groups, tables)
    return neuron, _proof(layer, neuron, tables)


def _table(
    layer: PendingNeuron, index: int, probe: NeuronProbe, low: int, high: int, limit: np.float32
) -> _Table | None:
    pairs = pairs_of(probe, MAX_STATES)
    sums = Sums(low, layer.current.values(index, np.arange(low, high + 1)))
    if pairs is None or (np.diff(sums.currents) < 0).any():
        return None
    following, form = _following(probe, pairs, sums, limit)
    if form is None:
        return None
    pairs = pairs.among(_seen(pairs, following, sums))
    every = int(pairs.reachable.sum()) * sums.currents.size <= _EVERY_SUM
    ran = 0

    def candidate_of(offsets: Offsets) -> Candidate:
        return Candidate(probe, pairs, sums, offsets, following)

    def wrong(offsets: Offsets) -> Rows | None:
        nonlocal ran
        rows, ran = check_candidate(candidate_of(offsets), every=every)
        return rows

    offsets = find_offsets(probe, pairs, sums, wrong)
    if offsets is None:
        return None
    candidate = candidate_of(offsets)
    if every:
        candidate = replace(candidate, pairs=replace(pairs, reachable=reached_pairs(candidate)))
    return _Table(index, candidate, form, ran, every, margin(candidate), *_risks(layer, index, candidate))


def _following(probe: NeuronProbe, pairs: Pairs, sums: Sums, limit: np.float32) -> tuple[IntArray, OffsetForm | None]:
    """Thresholds (A, levels - 1) of the synaptic current by itself, and offsets for them if there are any."""
    states = np.stack(np.broadcast_arrays(pairs.currents, pairs.membranes[pairs.rest[1]]), axis=1)
    thresholds = sums.low + first_sums(sums.currents, bisected(probe, states, limit, 0))
    return thresholds, offset_form(_alone(pairs, thresholds), sums.low, sums.high)


def _alone(pairs: Pairs, thresholds: IntArray) -> Neuron:
    """The synaptic current as a neuron with one state, which never fires."""
    levels, zero = thresholds.shape[1] + 1, np.zeros(1, dtype=np.int64)
    successor = np.broadcast_to(np.arange(levels), (1, len(thresholds), levels))
    return Neuron("current", thresholds[None], successor, zero + levels, zero, pairs.rest[0], pairs.currents[None])


def _seen(pairs: Pairs, thresholds: IntArray, sums: Sums) -> np.ndarray:
    return np.isin(np.arange(pairs.currents.size), reachable_states(_alone(pairs, thresholds), 0, sums.low, sums.high))


def _risks(layer: PendingNeuron, index: int, candidate: Candidate) -> tuple[float, int, tuple[AtRisk, ...]]:
    """Largest error near a decision, combinations that rounding could decide otherwise, and some of them."""
    sums = candidate.sums
    error = layer.current.error(index, np.arange(sums.low, sums.high + 1))
    if layer.branches is not None and not layer.branches.exact:
        error = error + order_slack_of_pairs(layer, index, candidate)
    elif layer.branches is not None:
        return 0.0, *order_risks_of_pairs(layer, index, candidate)
    if not error.any():
        return 0.0, 0, ()
    examples: list[AtRisk] = []
    count, width = 0, candidate.pairs.membranes.size
    for near in near_boundaries(candidate, error):
        count += near.count
        for i in np.flatnonzero(near.last > near.first)[: _EXAMPLES - len(examples)].tolist():
            state = int(near.current[i]) * width + int(near.membrane[i])
            examples.append(AtRisk(index, state, int(near.first[i]), int(near.level[i])))
    return float(error.max()), count, tuple(examples)


def _neuron(layer: PendingNeuron, groups: Sequence[IntArray], tables: Sequence[_Table]) -> TwoStateNeuron:
    """Tables that came out equal are one."""
    bits = max(table.candidate.offsets.bits for table in tables)
    next_bits = max(table.following.fraction_bits for table in tables)
    most = max(table.candidate.pairs.membranes.size for table in tables)
    distinct: dict[Hashable, int] = {}
    table_of = np.zeros(layer.neurons, dtype=np.int64)
    kept: list[dict[str, np.ndarray]] = []
    for members, table in zip(groups, tables, strict=True):
        arrays = _arrays(table, bits, next_bits, most)
        key = tuple(array.tobytes() for array in arrays.values())
        if key not in distinct:
            distinct[key] = len(kept)
            kept.append(arrays)
        table_of[members] = distinct[key]
    (current, membrane) = tables[0].candidate.pairs.rest
    return TwoStateNeuron(
        name=layer.name,
        fraction_bits=bits,
        next_fraction_bits=next_bits,
        table=table_of,
        initial_state=current * most + membrane,
        **{key: np.stack([arrays[key] for arrays in kept]) for key in kept[0]},
    )


def _arrays(table: _Table, bits: int, next_bits: int, membranes: int) -> dict[str, np.ndarray]:
    """The arrays of one table, padded with copies of rest to so many membrane states."""
    pairs, offsets = table.candidate.pairs, table.candidate.offsets.with_bits(bits)
    rows = np.r_[np.arange(pairs.membranes.size), np.full(membranes - pairs.membranes.size, pairs.rest[1])]
    more = next_bits - table.following.fraction_bits
    return {
        "follows": pairs.follows[rows].astype(np.int64),
        "membrane_offset": offsets.membrane[rows],
        "current_offset": offsets.current,
        "boundaries": offsets.boundaries,
        "next_offset": table.following.offset[0] << more,
        "next_boundaries": table.following.boundaries[0] << more,
        "successor": pairs.successor[rows],
        "fire_level": np.array(pairs.fire, dtype=np.int64),
        "membranes": pairs.membranes[rows],
        "currents": pairs.currents,
    }


def _examples(table: _Table, membranes: int) -> list[AtRisk]:
    """With the state indices of a layer of so many membrane states."""
    found = ((one, divmod(one.state, table.candidate.pairs.membranes.size)) for one in table.examples)
    return [replace(one, state=current * membranes + membrane) for one, (current, membrane) in found]


def _proof(layer: PendingNeuron, neuron: TwoStateNeuron, tables: Sequence[_Table]) -> LayerProof:
    at_risk = sum(table.at_risk for table in tables)
    ranked = zip_longest(*(_examples(table, neuron.membrane_state_count) for table in tables))
    examples = [example for row in ranked for example in row if example is not None]
    notes = [f"two offsets, {neuron.fraction_bits} bits after the point"]
    if layer.silent:
        notes.append("all weights are zero")
    if at_risk:
        notes.append("the trained model's float32 sum may round across a decision")
    margins = [table.margin for table in tables]
    return LayerProof(
        layer=layer.name,
        proven=at_risk == 0,
        rule=layer.current.rule,
        sum_low=min(table.candidate.sums.low for table in tables),
        sum_high=max(table.candidate.sums.high for table in tables),
        accumulator_bits=int_bits(min(layer.partial[0], -1), layer.partial[1]),
        states=neuron.states,
        levels=neuron.level_count,
        tables=neuron.tables,
        margin=min((m for m in margins if m is not None), default=None) if None not in margins[:1] else None,
        error_bound=max(table.error for table in tables),
        enumerated=sum(table.enumerated for table in tables),
        exhaustive=all(table.exhaustive for table in tables),
        at_risk=at_risk,
        examples=tuple(examples[:_EXAMPLES_OF_A_LAYER]),
        note="; ".join(notes),
    )
