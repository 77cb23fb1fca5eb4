"""Recurrent two-state neurons add two currents one after the other; the integers add them first."""

from __future__ import annotations

import numpy as np

from squat_deploy.errors import Fault, LoweringError
from squat_deploy.lowering.draft import PendingNeuron
from squat_deploy.lowering.order import MAX_PAIRS, order_slack, pairs_of_sums
from squat_deploy.lowering.pair_proof import Candidate, Run
from squat_deploy.lowering.pair_risks import near_boundaries
from squat_deploy.network import IntArray
from squat_deploy.network.certificate import AtRisk

_EXAMPLES = 5
_CHUNK = 2**20


def order_slack_of_pairs(layer: PendingNeuron, index: int, candidate: Candidate) -> float:
    """Bound of the rounding of both orders of addition, in membrane units."""
    both = candidate.pairs.currents, candidate.pairs.membranes
    largest = [values[np.abs(values).argmax()] for values in both]
    rows = [np.broadcast_arrays(both[0], largest[1]), np.broadcast_arrays(largest[0], both[1])]
    return order_slack(layer, index, np.concatenate([np.stack(row, axis=1) for row in rows]))


def order_risks_of_pairs(layer: PendingNeuron, index: int, candidate: Candidate) -> tuple[int, tuple[AtRisk, ...]]:
    """Runs the trained neuron on every pair of input and recurrent sums that could be rounded across a decision.

    Raises: LoweringError where there are too many.

    Returns: (combinations that differ from the integers, the first of them).
    """
    reach = np.full(candidate.sums.currents.size, order_slack_of_pairs(layer, index, candidate))
    wrong, tried = 0, 0
    examples: list[AtRisk] = []
    places = _places(candidate, reach)
    for total in np.unique(places[:, 2]).tolist():
        own, back = pairs_of_sums(layer, np.array([total]))
        rows = places[places[:, 2] == total]
        tried += own.size * len(rows)
        if tried > MAX_PAIRS:
            rule, got = f"at most {MAX_PAIRS} pairs of input and recurrent sums near decisions", f"{tried} and more"
            hint = "use recurrent weights of fewer bits, or fewer bits for inputs, weights or states"
            raise LoweringError((Fault(layer.name, rule, got, hint),))
        for current, membrane, _ in rows.tolist() if own.size else ():
            differs, level = _differs(layer, index, candidate, current, membrane, total, own, back)
            wrong += differs
            if differs and len(examples) < _EXAMPLES:
                state = current * candidate.pairs.membranes.size + membrane
                examples.append(AtRisk(index, state, total, level))
    return wrong, tuple(examples)


def _places(candidate: Candidate, reach: np.ndarray) -> IntArray:
    """(R, 3) distinct (current, membrane, sum) near a decision."""
    found = [np.zeros((0, 3), dtype=np.int64)]
    for near in near_boundaries(candidate, reach):
        many = near.last - near.first
        which = np.repeat(np.arange(many.size), many)
        step = np.arange(which.size) - np.repeat(np.cumsum(many) - many, many)
        found.append(np.stack([near.current[which], near.membrane[which], near.first[which] + step], axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _differs(
    layer: PendingNeuron,
    index: int,
    candidate: Candidate,
    current: int,
    membrane: int,
    total: int,
    own: IntArray,
    back: IntArray,
) -> tuple[int, int]:
    """(how many of the pairs differ, the level by the integers) in one state."""
    assert layer.branches is not None
    run = Run(candidate, current, np.array([membrane]), np.array([[total]]))
    both = zip(layer.branches.currents, (own, back), strict=True)
    given, recurrent = (source.values(index, sums) for source, sums in both)
    return int(run.wrong(given[None], recurrent[None]).sum()), int(run.levels()[0, 0])
