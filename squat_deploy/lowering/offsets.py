"""Integers that decide as a trained two-state neuron does: an offset for each state, and boundaries.

A membrane rises above level j where `boundary[j] - membrane_offset[b] - current_offset[a]` is at most the synaptic sum,
since the neuron adds all three. Running it along each axis gives real numbers to start from; where these lie too near
to an integer to be trusted, the neuron says on which side they belong, and a linear program moves them there. What is
wrong after that joins the program. Nothing here proves anything: `pair_proof` runs the neuron on the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from squat_deploy.lowering.pairs import Pairs, bisected
from squat_deploy.lowering.probe import NeuronProbe
from squat_deploy.network import IntArray
from squat_deploy.network.limits import MAX_FRACTION_BITS
from squat_deploy.snn.levels import FloatArray

Reals = NDArray[np.float64]
_MOST_ROWS = 2**13  # nearest to an integer, of the first linear program
_MOST_ROUNDS = 6


@dataclass(frozen=True, eq=False)
class Offsets:
    """Membrane offsets (B,), current offsets (A,), ascending boundaries (levels - 1,), bits after the point."""

    membrane: IntArray
    current: IntArray
    boundaries: IntArray
    bits: int

    def with_bits(self, bits: int) -> Offsets:
        """The same decisions with more bits."""
        more = bits - self.bits
        return Offsets(self.membrane << more, self.current << more, self.boundaries << more, bits)


@dataclass(frozen=True, eq=False)
class Rows:
    """Places (a, b, j) and a sum each: whether the neuron rises above level j in these states with that sum, (R,)."""

    current: IntArray
    membrane: IntArray
    level: IntArray
    sums: IntArray
    reached: NDArray[np.bool_]

    def joined(self, other: Rows) -> Rows:
        """All rows of both."""
        return Rows(*(np.concatenate([mine, vars(other)[key]]) for key, mine in vars(self).items()))


@dataclass(frozen=True, eq=False)
class _Point:
    """Real offsets and boundaries, in units of the synaptic sum."""

    membrane: Reals
    current: Reals
    boundaries: Reals

    def at(self, rows: Rows) -> Reals:
        """The sum from which on each place is above its level."""
        return self.boundaries[rows.level] - self.membrane[rows.membrane] - self.current[rows.current]

    def rounded(self, bits: int) -> Offsets:
        parts = (np.rint(part * 2.0**bits).astype(np.int64) for part in (self.membrane, self.current, self.boundaries))
        membrane, current, boundaries = parts
        return Offsets(membrane, current, boundaries, bits)


@dataclass(frozen=True, eq=False)
class Sums:
    """The currents of one neuron for its sums from `low` on, ascending."""

    low: int
    currents: FloatArray

    @property
    def high(self) -> int:
        return self.low + self.currents.size - 1

    def of(self, sums: IntArray) -> FloatArray:
        """(...,) currents of sums."""
        return self.currents[sums - self.low]

    @property
    def unit(self) -> float:
        """Mean current of one more."""
        span = max(self.currents.size - 1, 1)
        return float(self.currents[-1].astype(np.float64) - self.currents[0]) / span


def find_offsets(
    probe: NeuronProbe, pairs: Pairs, sums: Sums, wrong: Callable[[Offsets], Rows | None]
) -> Offsets | None:
    """Offsets for sums in a range, or None where none were found.

    Args: wrong: what a candidate decides otherwise than the neuron, or None where nothing.
    """
    point = _start(probe, pairs, sums) if sums.unit > 0 else None
    if point is None:
        return None
    rows, near = _near(probe, pairs, sums, point)
    for _ in range(_MOST_ROUNDS):
        if (found := _mended(pairs, point, rows, near)) is None:
            return None
        if (more := wrong(found)) is None:
            return found
        rows = rows.joined(more)
    return None


def _start(probe: NeuronProbe, pairs: Pairs, sums: Sums) -> _Point | None:
    """Boundaries from rest, and by how much each state moves all of them on average."""
    (a, b), wide = pairs.rest, _wide(probe, pairs)
    along = bisected(probe, _joined(pairs.currents, pairs.membranes[b]), wide, -1).astype(np.float64)
    across = bisected(probe, _joined(pairs.currents[a], pairs.membranes), wide, -1).astype(np.float64)
    first = along[a]
    across[~pairs.follows] = first
    if not (np.isfinite(along).all() and np.isfinite(across).all()):
        return None
    moved, shifted = (np.mean(first - other, axis=1) / sums.unit for other in (across, along))
    zero = float(sums.currents[0]) / sums.unit - sums.low
    return _Point(moved, shifted, first / sums.unit - zero)


def _wide(probe: NeuronProbe, pairs: Pairs) -> np.float32:
    """More than any current at a boundary, from any pair of states."""
    size = sum(float(np.abs(values).max()) for values in (pairs.currents, pairs.membranes, pairs.membranes))
    return np.float32(2 * (size + float(probe.module.threshold.detach().abs())) + 1)


def _joined(currents: FloatArray | np.float32, membranes: FloatArray | np.float32) -> FloatArray:
    return np.stack(np.broadcast_arrays(currents, membranes), axis=-1)


def _near(probe: NeuronProbe, pairs: Pairs, sums: Sums, point: _Point) -> tuple[Rows, float]:
    """The places nearest to an integer, with what the neuron does there; all others are at least so far from one."""
    found: list[NDArray[np.float32]] = []
    live = pairs.reachable & pairs.follows
    for place in range(pairs.currents.size):
        exact = point.boundaries - point.membrane[live[place], None] - point.current[place]
        whole = np.rint(exact)
        inside = (whole >= sums.low) & (whole <= sums.high)
        found.append(np.where(inside, np.abs(exact - whole), 1.0).astype(np.float32).reshape(-1))
    distance = np.concatenate(found)
    near = 0.5
    if distance.size > _MOST_ROWS:
        near = min(near, float(np.partition(distance, _MOST_ROWS)[_MOST_ROWS]))
    chosen = np.flatnonzero((distance <= near) & (distance < 1))
    current, membrane = (places[chosen // point.boundaries.size] for places in np.nonzero(live))
    level = chosen % point.boundaries.size
    whole = np.rint(point.boundaries[level] - point.membrane[membrane] - point.current[current]).astype(np.int64)
    states = _joined(pairs.currents[current], pairs.membranes[membrane])
    reached = probe.step(sums.of(whole), states).levels[..., -1] > level
    return Rows(current, membrane, level, whole, reached), near


def _mended(pairs: Pairs, point: _Point, rows: Rows, near: float) -> Offsets | None:
    """A point on the right side of all rows, as far from them as can be, rounded to the fewest bits; or None.

    No number moves by more than a quarter of `near`, so that what lies beyond stays where it is.
    """
    solved = _solved(point, rows, near)
    if solved is None:
        return None
    for bits in range(max(0, math.ceil(math.log2(6 / near))), MAX_FRACTION_BITS + 1):
        found = solved.rounded(bits)
        keys = found.membrane[rows.membrane] + found.current[rows.current] + (rows.sums << bits)
        if np.array_equal(found.boundaries[rows.level] <= keys, rows.reached):
            return _completed(pairs, found)
    return None


def _solved(point: _Point, rows: Rows, near: float) -> _Point | None:
    """The linear program, all lengths in units of `near`: its last variable is the slack of every row, made largest."""
    from scipy.optimize import linprog  # slow to import, and most models have no such neurons
    from scipy.sparse import csr_matrix

    sizes = [point.current.size, point.membrane.size, point.boundaries.size]
    starts = np.cumsum([0, *sizes])
    sign, ones = np.where(rows.reached, 1.0, -1.0), np.ones(rows.sums.size)
    columns = [rows.current, starts[1] + rows.membrane, starts[2] + rows.level, np.full(rows.sums.size, starts[3])]
    places = np.tile(np.arange(rows.sums.size), 4), np.concatenate(columns)
    shape = (rows.sums.size, int(starts[3]) + 1)
    left = csr_matrix((np.concatenate([-sign, -sign, sign, ones]), places), shape=shape)
    right = sign * (rows.sums - point.at(rows)) / near
    bounds = [(-0.25, 0.25)] * int(starts[3]) + [(0, 0.25)]
    wanted = np.zeros(shape[1])
    wanted[-1] = -1.0
    result = linprog(wanted, A_ub=left, b_ub=right, bounds=bounds, method="highs")
    if result.x is None or result.x[-1] <= 0:
        return None
    current, membrane, boundaries = (part * near for part in np.split(result.x[:-1], starts[1:3]))
    return _Point(point.membrane + membrane, point.current + current, point.boundaries + boundaries)


def _completed(pairs: Pairs, found: Offsets) -> Offsets:
    """With boundaries that ascend, and offsets of their own where the membrane depends on nothing else."""
    boundaries = np.maximum.accumulate(found.boundaries)
    membrane = found.membrane.copy()
    for place in np.flatnonzero(~pairs.follows).tolist():
        level = pairs.fixed_levels[place]
        membrane[place] = boundaries[level - 1] if level else boundaries[0] - 1
    return replace(found, membrane=membrane, boundaries=boundaries)
