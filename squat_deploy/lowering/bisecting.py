"""At which currents a state changes its level: bisection of float32 bit patterns, running the trained neuron.

A boundary is the one place where an ascending rule changes, so whatever brackets it leads to it. It is looked for first
where the quantizer's own boundaries suggest (a membrane is nearly linear in its current), and the neuron says whether
it is there; where it is not, the whole range is bisected. All searches of a batch advance together, and those that have
ended leave it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squat_deploy.lowering.probe import BATCH, NeuronProbe
from squat_deploy.network import IntArray
from squat_deploy.snn.levels import FloatArray, from_ordered, to_ordered

_SEARCHES = 2**19  # at once: they are 40 bytes each
_NEAR = 2.0**-22  # of the largest membrane and current: where a boundary is looked for, a few roundings


def boundaries_of(
    probe: NeuronProbe, states: FloatArray, chosen: IntArray, limit: np.float32, place: int
) -> FloatArray:
    """Smallest current in (-limit, limit] that takes one state above level j, (states, levels - 1), or infinities.

    Args:
        states: (M, D), with the parameters of the sets `chosen` (M,).
        place: which of the states.
    """
    rows = max(1, _SEARCHES // probe.levels.size)
    parts = [slice(start, start + rows) for start in range(0, len(states), rows)]
    found = [_Search(probe, states[part], chosen[part], limit, place).boundaries() for part in parts]
    return np.concatenate(found)


@dataclass(frozen=True, eq=False)
class _Search:
    """Bisections of a batch of states (M, D)."""

    probe: NeuronProbe
    states: FloatArray
    chosen: IntArray
    limit: np.float32
    place: int

    def boundaries(self) -> FloatArray:
        least, most = (self._levels(end) for end in (-self.limit, self.limit))
        levels = np.arange(self.probe.levels.size - 1)
        result = np.where(levels < least[:, None], np.float32(-np.inf), np.float32(np.inf))
        rows = np.flatnonzero(most > least)
        lowest, highest = least[rows], most[rows] - 1
        ends = np.tile(rows, 2)
        first, last = np.split(self._found(ends, np.concatenate([lowest, highest]), *self._all(ends)), 2)
        result[rows, lowest], result[rows, highest] = first, last
        row, level = np.nonzero((levels > lowest[:, None]) & (levels < highest[:, None]))
        guess = self._between(first[row], last[row], level, lowest[row], highest[row])
        result[rows[row], level] = self._found(rows[row], level, *self._narrowed(rows[row], level, guess))
        return result

    def _levels(self, current: np.float32) -> IntArray:
        """Level of every state after this current, (M,)."""
        currents = np.full(len(self.states), current, dtype=np.float32)
        return self.probe.step(currents, self.states, chosen=self.chosen).levels[:, self.place]

    def _above(self, order: IntArray, rows: IntArray, levels: IntArray) -> NDArray[np.bool_]:
        """Whether these currents, as ordered bit patterns, take these states above these levels."""
        above = np.zeros(order.shape, dtype=bool)
        for start in range(0, order.size, BATCH):
            part = slice(start, start + BATCH)
            row = rows[part]
            stepped = self.probe.step(from_ordered(order[part]), self.states[row], chosen=self.chosen[row])
            above[part] = stepped.quantized[self.place] > self.probe.levels[levels[part]]
        return above

    def _all(self, rows: IntArray) -> tuple[IntArray, IntArray]:
        """The whole range, as brackets of bit patterns."""
        low, high = to_ordered(np.array([-self.limit, self.limit]))
        return np.full(rows.shape, low), np.full(rows.shape, high)

    def _between(
        self, first: FloatArray, last: FloatArray, level: IntArray, lowest: IntArray, highest: IntArray
    ) -> NDArray[np.float64]:
        """Where boundaries should lie between two that are known, if membranes are linear in their currents."""
        steps = self.probe.quantizer.boundaries.numpy().astype(np.float64)
        share = (steps[level] - steps[lowest]) / (steps[highest] - steps[lowest])
        return first + share * (last.astype(np.float64) - first)

    def _narrowed(self, rows: IntArray, levels: IntArray, guess: NDArray[np.float64]) -> tuple[IntArray, IntArray]:
        """Brackets around guesses, as far as the neuron says that a boundary lies within."""
        low, high = self._all(rows)
        near = _NEAR * (np.abs(self.probe.levels).max() + np.abs(guess))
        for tried in (guess - near, guess + near):
            order = to_ordered(tried.astype(np.float32)).clip(low, high)
            over = self._above(order, rows, levels)
            low, high = np.where(over, low, order), np.where(over, order, high)
        return low, high

    def _found(self, rows: IntArray, levels: IntArray, low: IntArray, high: IntArray) -> FloatArray:
        """The boundaries in brackets of which the lower end is not above a level and the upper end is."""
        result = np.zeros(rows.shape, dtype=np.float32)
        place = np.arange(rows.size)
        while place.size:
            done = high - low <= 1
            if 4 * np.count_nonzero(done) >= done.size:  # more steps do not move what is found
                result[place[done]] = from_ordered(high[done])
                place, rows, levels, low, high = (values[~done] for values in (place, rows, levels, low, high))
            middle = (low + high) >> 1
            over = self._above(middle, rows, levels)
            low, high = np.where(over, low, middle), np.where(over, middle, high)
        return result
