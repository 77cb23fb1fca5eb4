"""What flows between units: lists of events, or arrays of sums, with the bounds of every element."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squat_deploy.hardware.grid import Grid
from squat_deploy.network import IntArray, int_bits


def index_bits(codes: int) -> int:
    """Width of an index as it is stored, for lists of so many codes."""
    return 16 if codes <= 2**16 else 32


@dataclass(frozen=True)
class Signal:
    """What one node gives.

    Attributes:
        events: a list of events; else an array of sums.
        grid: its elements; events name them by their codes there.
        low, high: bounds (elements,) of every partial sum of an element, 0 included.
        unit: every event is worth 1, so that the list has indices only.
        single: no index stands in the list twice.
        capacity: most events of one time step.
        constant: depends on a direct input only.
    """

    events: bool
    grid: Grid
    low: IntArray
    high: IntArray
    unit: bool = False
    single: bool = False
    capacity: int = 0
    constant: bool = False

    @property
    def channels(self) -> int:
        return self.grid.channels

    @property
    def positions(self) -> int:
        return self.grid.positions

    @property
    def size(self) -> int:
        return self.grid.size

    @property
    def bounds(self) -> tuple[int, int]:
        """Lowest and highest partial sum of all elements."""
        return int(self.low.min()), int(self.high.max())

    @property
    def bits(self) -> int:
        """Width of a sum, or of an event's value, signed."""
        low, high = self.bounds
        return int_bits(min(low, -1), high)

    @property
    def stored(self) -> tuple[int, int]:
        """(lowest, highest) number of that width."""
        return -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1

    @property
    def index_bits(self) -> int:
        """Width of an index as it is stored."""
        return index_bits(self.grid.codes)


def spikes(grid: Grid) -> Signal:
    """A list of neurons that spike."""
    ends = np.zeros(grid.size, dtype=np.int64), np.ones(grid.size, dtype=np.int64)
    return Signal(True, grid, *ends, unit=True, single=True, capacity=grid.size)
