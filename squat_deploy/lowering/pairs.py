"""The states of a two-state neuron, a synaptic current and a membrane, each found by itself by running the neuron."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from squat_deploy.lowering.bisecting import boundaries_of
from squat_deploy.lowering.probe import NeuronProbe
from squat_deploy.network import IntArray
from squat_deploy.snn.levels import FloatArray, safe_magnitude


@dataclass(frozen=True, eq=False)
class Pairs:
    """All pairs of states of one trained neuron.

    Attributes:
        currents: (A,) synaptic currents, levels first, then rest where it is no level.
        membranes: (B,) membranes, levels first, then rest, and what a reset leaves.
        rest: places of both at the start of a sequence.
        successor: (B, levels) place of the next membrane; arbitrary where that pair cannot occur.
        follows: (B,) whether the next membrane depends on the input at all.
        fixed_levels: (B,) the level that it takes where it does not.
        fire: first level that spikes; the number of levels if none does.
        reachable: (A, B) pairs that can occur, and perhaps others.
    """

    currents: FloatArray
    membranes: FloatArray
    rest: tuple[int, int]
    successor: IntArray
    follows: NDArray[np.bool_]
    fixed_levels: IntArray
    fire: int
    reachable: NDArray[np.bool_]

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(A,) currents that can occur."""
        return np.any(self.reachable, axis=1)

    def among(self, currents: NDArray[np.bool_]) -> Pairs:
        """With these currents only; a rest that is no level comes with the other rest only."""
        found = np.repeat(currents[:, None], self.membranes.size, axis=1)
        (current, membrane), levels = self.rest, self.successor.shape[1]
        if current >= levels:
            found[current] = False
            found[:, membrane] &= membrane < levels or bool((self.successor == membrane).any())
            found[current, membrane] = True
        return replace(self, reachable=found)


def pairs_of(probe: NeuronProbe, most: int) -> Pairs | None:
    """The states of a neuron, or None where they are more than `most`, or float32 cannot tell levels that far apart."""
    levels = probe.levels
    currents, place = _with_rest(levels)
    threshold = float(probe.module.threshold.detach().abs())
    wide = np.float32(4 * (float(np.abs(levels).max()) + threshold) + 1)
    if not wide < safe_magnitude(levels):
        return None
    membranes, start = _with_rest(levels)
    states = {value: index for index, value in enumerate(membranes.tolist())}
    successors: list[IntArray] = []
    boundaries: list[FloatArray] = []
    while sum(map(len, successors)) < len(states):
        new = np.array([*states][sum(map(len, successors)) :], dtype=np.float32)
        found = bisected(probe, np.stack([np.zeros_like(new), new], axis=1), wide, -1)
        boundaries.append(found)
        successors.append(_successors(probe, new, found, wide, states))
        if len(states) > most:
            return None
    membranes, found = np.array([*states], dtype=np.float32), np.concatenate(boundaries)
    follows = np.any(np.isfinite(found), axis=1)
    fixed = (found == -np.inf).sum(axis=1)
    after = np.concatenate(successors)
    every = np.ones((currents.size, membranes.size), dtype=bool)
    return Pairs(currents, membranes, (place, start), after, follows, fixed, int(probe.fire_levels()[0]), every)


def bisected(probe: NeuronProbe, states: FloatArray, limit: np.float32, place: int) -> FloatArray:
    """Smallest current in (-limit, limit] that takes one state above level j, (states, levels - 1), or infinities."""
    return boundaries_of(probe, states, np.zeros(len(states), dtype=np.int64), limit, place)


def _with_rest(levels: FloatArray) -> tuple[FloatArray, int]:
    """The levels, and zero behind them where it is none; and the place of zero."""
    at = np.flatnonzero(levels == 0)
    if at.size:
        return levels + np.float32(0), int(at[0])
    return np.append(levels, np.float32(0)), levels.size


def _successors(
    probe: NeuronProbe, membranes: FloatArray, found: FloatArray, wide: np.float32, states: dict[float, int]
) -> IntArray:
    """(M, levels) places of the next membranes; new ones are added to `states`."""
    edges = np.concatenate([np.full((len(found), 1), -wide, dtype=np.float32), found], axis=1).clip(-wide, wide)
    given = np.stack(np.broadcast_arrays(np.float32(0), membranes[:, None]), axis=-1)
    stepped = probe.step(edges, given)
    carried, reached = stepped.carried[..., -1].tolist(), stepped.levels[..., -1]
    result = np.tile(np.arange(probe.levels.size), (len(found), 1))
    for row, level in np.ndindex(*edges.shape):
        result[row, reached[row, level]] = states.setdefault(carried[row][level], len(states))
    return result
