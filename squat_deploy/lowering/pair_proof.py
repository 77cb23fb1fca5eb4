"""The trained two-state neuron is run wherever its integers could differ from it: they are proven, or mended.

From every pair of states the sums on both sides of each threshold are run, or all of them where they are few. What is
added is rounded monotonically and the quantizer is monotone, so the two sides of a threshold decide all between.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import InternalError
from squat_deploy.lowering.offsets import Offsets, Rows, Sums
from squat_deploy.lowering.pairs import Pairs
from squat_deploy.lowering.probe import NeuronProbe
from squat_deploy.network import IntArray
from squat_deploy.snn.levels import FloatArray

_MOST_MENDED = 2**14  # rows that join a linear program at once


@dataclass(frozen=True, eq=False)
class Candidate:
    """Offsets of the membrane, and of the synaptic current by itself, for sums in a range.

    Attributes:
        following: (A, levels - 1) first sum with which the current rises above level j, one past the range where none.
    """

    probe: NeuronProbe
    pairs: Pairs
    sums: Sums
    offsets: Offsets
    following: IntArray

    def thresholds(self, current: int, membranes: IntArray) -> IntArray:
        """(M, levels - 1) first sum above each level from one current state, clipped to the range."""
        found, pairs = self.offsets, self.pairs
        low, high = self.sums.low, self.sums.high
        gap = found.membrane[membranes, None] - found.boundaries
        needed = (-((gap + found.current[current]) >> found.bits)).clip(low, high + 1)
        fixed = np.where(gap >= 0, low, high + 1)
        return np.where(pairs.follows[membranes, None], needed, fixed)

    def runs(self, *, every: bool) -> Iterator[Run]:
        """From one current state after another: all sums, or those on both sides of every threshold of either state."""
        low, high = self.sums.low, self.sums.high
        for current in range(self.pairs.currents.size):
            membranes = np.flatnonzero(self.pairs.reachable[current])
            if not membranes.size:
                continue
            steps = self.thresholds(current, membranes)
            sums = np.broadcast_to(np.arange(low, high + 1), (membranes.size, high - low + 1))
            if not every and sums.shape[1] > 4 * steps.shape[1] + 2:
                own = np.append(self.following[current], [low + 1, high + 1])
                steps = np.concatenate([steps, np.broadcast_to(own, (membranes.size, own.size))], axis=1)
                sums = np.concatenate([steps - 1, steps], axis=1).clip(low, high)
            yield Run(self, current, membranes, sums)


@dataclass(frozen=True, eq=False)
class Run:
    """Some sums (M, S) from one current state and membrane states (M,)."""

    candidate: Candidate
    current: int
    membranes: IntArray
    sums: IntArray

    def states(self) -> FloatArray:
        """(M, 1, 2)."""
        pairs = self.candidate.pairs
        given = np.full(self.membranes.size, pairs.currents[self.current], dtype=np.float32)
        return np.stack([given, pairs.membranes[self.membranes]], axis=1)[:, None]

    def levels(self) -> IntArray:
        """(M, S) level of the membrane, by the integers."""
        found, pairs = self.candidate.offsets, self.candidate.pairs
        seen = found.current[self.current] + (self.sums << found.bits)
        key = found.membrane[self.membranes, None] + pairs.follows[self.membranes, None] * seen
        return np.searchsorted(found.boundaries, key, side="right")

    def next_currents(self) -> IntArray:
        """(M, S) next current state, by the integers."""
        return np.searchsorted(self.candidate.following[self.current], self.sums, side="right")

    def wrong(self, given: FloatArray | None = None, recurrent: FloatArray | None = None) -> NDArray[np.bool_]:
        """(M, S) where the trained neuron does something else, with its own currents or with given ones (1, P)."""
        pairs, level = self.candidate.pairs, self.levels()
        given = self.candidate.sums.of(self.sums) if given is None else given
        stepped = self.candidate.probe.step(given, self.states(), recurrent)
        current, membrane = stepped.states
        differs = membrane != pairs.membranes[pairs.successor[self.membranes[:, None], level]]
        differs |= current != pairs.currents[self.next_currents()]
        return differs | (stepped.fired != (level >= pairs.fire))


def check_candidate(candidate: Candidate, *, every: bool) -> tuple[Rows | None, int]:
    """What the trained neuron decides otherwise, as rows to mend, or None; and on how many combinations it was run."""
    count, found = 0, []
    for run in candidate.runs(every=every):
        count += run.sums.size
        if (differs := run.wrong()).any():
            found.append(_rows(run, *np.nonzero(differs)))
            if sum(rows.sums.size for rows in found) > _MOST_MENDED:
                break
    if not found:
        return None, count
    rows = found[0]
    for more in found[1:]:
        rows = rows.joined(more)
    return rows, count


def reached_pairs(candidate: Candidate) -> NDArray[np.bool_]:
    """(A, B) pairs that some sums lead to from rest, by the integers, which looks at every sum from each of them."""
    pairs, every = candidate.pairs, np.arange(candidate.sums.low, candidate.sums.high + 1)
    found = np.zeros(pairs.reachable.shape, dtype=bool)
    new = found.copy()
    new[pairs.rest] = True
    while new.any():
        found |= new
        after = np.zeros_like(found)
        for current in np.flatnonzero(new.any(axis=1)).tolist():
            membranes = np.flatnonzero(new[current])
            run = Run(candidate, current, membranes, np.broadcast_to(every, (membranes.size, every.size)))
            after[run.next_currents(), pairs.successor[membranes[:, None], run.levels()]] = True
        new = after & ~found
    return found


def _rows(run: Run, row: IntArray, column: IntArray) -> Rows:
    """The levels about which integers and neuron disagree, at most a few steps each."""
    sums, membranes = run.sums[row, column], run.membranes[row]
    states = run.states()[row, 0]
    got = run.candidate.probe.step(run.candidate.sums.of(sums), states).levels[:, -1]
    want = run.levels()[row, column]
    if (got == want).any():
        raise InternalError(f"{run.candidate.probe.name}: equal levels lead to other states from current {run.current}")
    current = np.full(sums.size, run.current)
    return Rows(current, membranes, np.minimum(got, want), sums, got > want)  # the first boundary between them
