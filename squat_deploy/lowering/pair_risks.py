"""Where float32 rounding in the trained model could decide a two-state neuron otherwise than its integers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squat_deploy.lowering.pair_proof import Candidate
from squat_deploy.lowering.pairs import bisected
from squat_deploy.network import IntArray
from squat_deploy.snn.levels import FloatArray

_MEASURED = 2**12  # pairs of states up to which the margin is measured
Reals = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Near:
    """Boundaries and the sums whose currents lie within some reach of them, `first` to before `last`, (R,) each.

    Attributes:
        level: that the boundary leads above, of the synaptic current where `place` is 0, of the membrane where -1.
    """

    place: int
    current: IntArray
    membrane: IntArray
    level: IntArray
    first: IntArray
    last: IntArray

    @property
    def count(self) -> int:
        """Combinations of states and a sum."""
        return int((self.last - self.first).sum())


def near_boundaries(candidate: Candidate, reach: Reals) -> list[Near]:
    """All boundaries of either state of which a current is no farther than `reach` (one a sum)."""
    values = candidate.sums.currents.astype(np.float64)
    least = _float32_below(np.minimum.accumulate((values - reach)[::-1])[::-1])
    most = _float32_below(np.maximum.accumulate(values + reach))
    return [_located(candidate, least, most, *places) for places in _suspects(candidate, least, most)]


def _float32_below(values: Reals) -> FloatArray:
    """The largest float32 that is not above each value: boundaries are float32, so nothing lies between."""
    near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)


def _suspects(
    candidate: Candidate, least: FloatArray, most: FloatArray
) -> Iterator[tuple[int, IntArray, IntArray, IntArray]]:
    """(state, current, membrane, level) places where the last sum below may reach it, or the first may not."""
    for current in np.flatnonzero(candidate.pairs.seen).tolist():
        membranes = np.flatnonzero(candidate.pairs.reachable[current])
        for place, own, steps in (
            (0, membranes[:1], candidate.following[current][None]),  # whatever the membrane
            (-1, membranes, candidate.thresholds(current, membranes)),
        ):
            places = np.full(own.size, current)[:, None], own[:, None], np.arange(steps.shape[1])
            late = ~_above(candidate, place, *places, least, steps)
            early = _above(candidate, place, *places, most, steps - 1)
            rows, levels = np.nonzero(late | early)
            yield place, np.full(rows.size, current), own[rows], levels


def _above(
    candidate: Candidate,
    place: int,
    current: IntArray,
    membrane: IntArray,
    level: IntArray,
    values: FloatArray,
    at: IntArray,
) -> NDArray[np.bool_]:
    """Whether the neuron rises above a level with the input current at these sums; beyond the range as at its ends."""
    low, high = candidate.sums.low, candidate.sums.high
    states = np.stack([candidate.pairs.currents[current], candidate.pairs.membranes[membrane]], axis=-1)
    given = values[at.clip(low, high) - low]
    found = candidate.probe.step(given, np.broadcast_to(states, (*given.shape, 2))).levels[..., place] > level
    return np.where(at < low, False, np.where(at > high, True, found))


def _located(
    candidate: Candidate,
    least: FloatArray,
    most: FloatArray,
    place: int,
    current: IntArray,
    membrane: IntArray,
    level: IntArray,
) -> Near:
    """The sums of each suspect, by bisection."""
    ends = []
    for values in (most, least):
        low, high = np.full(level.shape, candidate.sums.low - 1), np.full(level.shape, candidate.sums.high + 1)
        while (high - low > 1).any():
            middle = (low + high) >> 1
            over = _above(candidate, place, current, membrane, level, values, middle)
            low, high = np.where(over, low, middle), np.where(over, middle, high)
        ends.append(high)
    return Near(place, current, membrane, level, *ends)


def margin(candidate: Candidate) -> float | None:
    """Smallest distance of a current from a decision in membrane units; None without any, or with too many pairs."""
    pairs, sums = candidate.pairs, candidate.sums
    current, membrane = np.nonzero(pairs.reachable)
    if current.size > _MEASURED:
        return None
    states = np.stack([pairs.currents[current], pairs.membranes[membrane]], axis=-1)
    limit, least = np.float32(np.abs(sums.currents).max() * 1.01 + 1e-6), np.inf
    for place in (0, -1):
        edges = bisected(candidate.probe, states, limit, place).astype(np.float64)
        after = np.searchsorted(sums.currents, edges)
        for near in (after - 1, after):
            distance = np.abs(edges - sums.currents[near.clip(0, sums.currents.size - 1)])
            least = min(least, float(distance.min()))
    return least if np.isfinite(least) else None
