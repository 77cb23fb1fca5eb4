"""The currents of all sums of a neuron, ascending, and which of them lie at the boundaries of its machine.

A range of sums may be 2**25 long. Its currents are made a part at a time, `PART` sums each, and what is wanted of them
are counts: how many currents lie below a boundary is a sum over parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import InternalError
from squat_deploy.lowering.current import Current
from squat_deploy.lowering.rounding import Floats
from squat_deploy.network import IntArray
from squat_deploy.snn.levels import FloatArray

PART = 2**18  # sums: about forty bytes each while their currents are made

Part = tuple[NDArray[np.float32], Floats]  # currents and the bounds of their errors


@dataclass(frozen=True, eq=False)
class Ladder:
    """The currents of one neuron for the sums low..high; `slack`: an error beside that of the currents."""

    current: Current
    neuron: int
    low: int
    high: int
    slack: float = 0.0

    @property
    def size(self) -> int:
        return self.high - self.low + 1

    def at(self, sums: IntArray) -> Part:
        """Currents, and by how much they can be off, of sums of any shape."""
        flat = sums.reshape(-1)
        values, error = self.current.values(self.neuron, flat), self.current.error(self.neuron, flat) + self.slack
        return values.reshape(sums.shape), error.reshape(sums.shape)

    def parts(self, *, backwards: bool = False) -> Iterator[Part]:
        """All of them; each part ascends."""
        if self.size <= PART:
            yield self._whole
            return
        starts = range(self.low, self.high + 1, PART)
        for start in reversed(starts) if backwards else starts:
            yield self.at(np.arange(start, min(start + PART, self.high + 1)))

    @cached_property
    def _whole(self) -> Part:
        return self.at(np.arange(self.low, self.high + 1))

    def below(self, boundaries: FloatArray) -> IntArray:
        """How many currents lie below each boundary. Raises: InternalError where currents do not ascend."""
        count, last = np.zeros(boundaries.shape, dtype=np.int64), np.float32(-np.inf)
        for values, _ in self.parts():
            if values[0] < last or (values[1:] < values[:-1]).any():
                raise InternalError(f"neuron {self.neuron}: the current is not monotone in the synaptic sum")
            count, last = count + np.searchsorted(values, boundaries, side="left"), values[-1]
        return count

    def beside(self, below: IntArray) -> Part:
        """Currents and errors on both sides of boundaries that have so many below them, (2, ...)."""
        return self.at(self.low + np.stack([np.maximum(below - 1, 0), np.minimum(below, self.size - 1)]))

    def unsure(self, boundaries: FloatArray, distance: Floats) -> tuple[IntArray, IntArray, IntArray, int]:
        """Currents that could fall on either side of a boundary: current - error < boundary <= current + error.

        Args: boundaries: (S, L-1); distance: of each from the nearest current.

        Returns: row and level of boundaries that have some, position of the first of them, number of all.
        """
        worst = max(float(error.max()) for _, error in self.parts())
        if not worst:
            nowhere = np.zeros(0, dtype=np.int64)
            return nowhere, nowhere, nowhere, 0
        size = max(float(np.abs(values).max()) for values, _ in self.parts())
        rows, levels = np.nonzero(distance <= worst + 2.0**-40 * (size + worst))  # the sums below are rounded too
        steps = boundaries[rows, levels].astype(np.float64)
        first, last = np.zeros((2, steps.size), dtype=np.int64)
        most, least = -np.inf, np.inf
        for values, error in self.parts():
            upper = np.maximum.accumulate(np.maximum(values + error, most))
            first, most = first + np.searchsorted(upper, steps, side="left"), upper[-1]
        for values, error in self.parts(backwards=True):
            lower = np.minimum.accumulate(np.minimum(values - error, least)[::-1])[::-1]
            last, least = last + np.searchsorted(lower, steps, side="left"), lower[0]
        found = last > first
        return rows[found], levels[found], first[found], int((last - first).sum())
