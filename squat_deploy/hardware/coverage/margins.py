"""How near every sum of a run came to another outcome.

A search finds the level of a number that rises with the synaptic sum. Levels that lie side by side and have one outcome
(the same next state and spike) count as one here: no run can tell them apart. A level is known by a code,
`row * levels + level`, a row being a state of one of the tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network.layers import IntArray

FAR = 2**60  # of a sum that nothing lies beyond
_FEW, _SOME = 2**12, (0, 3, 6)  # codes up to which all powers of two are told apart as distances, else these
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Met:
    """What one search of a layer met in a run.

    Attributes:
        code: (T, B, N) level that was found.
        up, down: (T, B, N) least that the sum would have to be more, or less, for another outcome; FAR: there is none.
    """

    code: IntArray
    up: IntArray
    down: IntArray


@dataclass(frozen=True, eq=False)
class Reach:
    """Levels that were found, or may be, by code.

    Attributes:
        found: (rows * levels,).
        above, below: (rows * levels * distances,) by sums nearer than that to the threshold below the level, or above.
    """

    found: Mask
    above: Mask
    below: Mask

    @property
    def masks(self) -> tuple[Mask, Mask, Mask]:
        """All three."""
        return self.found, self.above, self.below


@dataclass(frozen=True, eq=False)
class Edges:
    """The numbers between which a level is found: lower <= number < upper.

    Attributes:
        cuts: (rows, levels + 1), the levels' own, without end at both ends.
        lower, upper: (rows * levels,), of all levels with the same outcome together.
        first: (rows * levels,), the code that stands for all of them.
        distances: of sums to thresholds that are told apart, 1 first.
    """

    cuts: IntArray
    lower: IntArray
    upper: IntArray
    first: IntArray
    distances: IntArray

    @classmethod
    def of(cls, thresholds: IntArray, outcome: IntArray, bits: int = 0) -> Edges:
        """Args: thresholds: (rows, levels - 1), ascending, in units of a sum / 2**bits; outcome: (rows, levels)."""
        rows, levels = outcome.shape
        ends = np.full((rows, 1), FAR, dtype=np.int64)
        cuts = np.concatenate([-ends, thresholds, ends], axis=1)
        lower, upper, outcome = cuts[:, :-1].copy(), cuts[:, 1:].copy(), outcome.copy()
        first = np.arange(rows * levels).reshape(rows, levels)
        for level in range(levels - 2, -1, -1):  # a level without numbers is that above it
            empty = cuts[:, level] >= cuts[:, level + 1]
            outcome[empty, level] = outcome[empty, level + 1]
        for level in range(levels - 2, -1, -1):
            same = outcome[:, level] == outcome[:, level + 1]
            upper[same, level] = upper[same, level + 1]
        for level in range(1, levels):
            same = outcome[:, level] == outcome[:, level - 1]
            lower[same, level], first[same, level] = lower[same, level - 1], first[same, level - 1]
        widest = int(np.ptp(thresholds)) >> bits
        powers = range(widest.bit_length() + 1) if outcome.size <= _FEW else _SOME
        distances = 2 ** np.array(powers, dtype=np.int64)
        return cls(cuts, lower.reshape(-1), upper.reshape(-1), first.reshape(-1), distances)

    def all_of(self, kind: str) -> int:
        """How many levels with outcomes of their own there are, or those of them with a threshold below, or above."""
        own = (self.first == np.arange(self.first.size)) & (self.lower < self.upper)
        bound = {"above": self.lower > -FAR, "below": self.upper < FAR}
        return int(np.count_nonzero(own & bound.get(kind, own)))

    def named(self, codes: IntArray) -> list[str]:
        """Those of codes that stand for levels of their own, as `row.level`."""
        own = codes[(self.first[codes] == codes) & (self.lower[codes] < self.upper[codes])]
        levels = self.cuts.shape[1] - 1
        return [f"{code // levels}.{code % levels}" for code in own.tolist()]

    def level(self, row: IntArray, number: IntArray) -> IntArray:
        """Level of numbers, by the rows of their states."""
        cuts, width = self.cuts.reshape(-1), self.cuts.shape[1]
        start, level = row * width + 1, np.zeros(row.shape, dtype=np.int64)
        most = width - 2
        for bit in reversed(range(most.bit_length())):
            further = level + 2**bit
            reached = (further <= most) & (cuts.take(start + np.minimum(further, most) - 1) <= number)
            level = np.where(reached, further, level)
        return level

    def reach(self, row: IntArray, low: IntArray, high: IntArray, bits: int = 0) -> Reach:
        """What numbers in low..high, sums times 2**bits, lead to from some rows, (rows,) each."""
        levels = self.cuts.shape[1] - 1
        codes = (row[:, None] * levels + np.arange(levels)).reshape(-1)
        codes, (low, high) = self.first[codes], (np.repeat(end, levels) for end in (low, high))
        lower, upper = self.lower[codes], self.upper[codes]
        alive = (lower <= high) & (upper > low) & (lower < upper)
        up, _ = self.margins(codes, np.minimum(upper - 1, high), bits)
        _, down = self.margins(codes, np.maximum(lower, low), bits)
        return self.seen(codes[alive], up[alive], down[alive])

    def margins(self, codes: IntArray, number: IntArray, bits: int) -> tuple[IntArray, IntArray]:
        """Least that a sum would have to be more, and less, for another outcome than that of these codes."""
        lower, upper = self.lower[codes], self.upper[codes]
        up = np.where(upper < FAR, -((number - upper) >> bits), FAR)
        return up, np.where(lower > -FAR, ((number - lower) >> bits) + 1, FAR)

    def near(self, wanted: Mask, met: Met, side: str) -> Mask:
        """(T, B, N) whether a level was met as near to its threshold "above", or "below", as is wanted."""
        margin = met.down if side == "above" else met.up
        place = np.searchsorted(self.distances, margin)
        inside = place < self.distances.size
        return np.asarray(inside & wanted[met.code * self.distances.size + np.where(inside, place, 0)])

    def seen(self, codes: IntArray, up: IntArray, down: IntArray) -> Reach:
        """What levels with these margins come to."""
        found = np.zeros(self.first.size, dtype=bool)
        found[codes] = True
        near = np.zeros((2, self.first.size, self.distances.size), dtype=bool)
        for side, margin in enumerate((down, up)):
            for place, distance in enumerate(self.distances.tolist()):
                near[side, codes[margin <= distance], place] = True
        return Reach(found, near[0].reshape(-1), near[1].reshape(-1))
