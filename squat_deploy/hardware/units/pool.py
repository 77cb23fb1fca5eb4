"""Pooling of lists of events, and of sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.grid import Grid
from squat_deploy.hardware.lanes import Lanes
from squat_deploy.hardware.memories import Memory
from squat_deploy.hardware.plane import Plane
from squat_deploy.hardware.signals import Signal
from squat_deploy.hardware.units.base import (
    LOOP_OVERHEAD_CYCLES,
    Blueprint,
    Cycles,
    Events,
    Flow,
    Kept,
    Lister,
    Ports,
    Settings,
    Summer,
    Unit,
    loop,
    one_array,
    one_list,
)
from squat_deploy.hardware.units.joins import range_of
from squat_deploy.network import IntArray
from squat_deploy.network.layers import Pool2d
from squat_deploy.network.window import Window


@dataclass(frozen=True, eq=False)
class _Pool(Unit):
    """Attributes: most: the maximum of every window, else the sum."""

    window: Window
    most: bool
    kind: ClassVar[str] = "pool"

    @cached_property
    def plane(self) -> Plane:
        """The walk of an event over the windows around it, as that of a convolution over its taps."""
        return Plane.of(self.window)

    @property
    def about(self) -> str:
        return f"{'max' if self.most else 'sum'} of windows, {self.takes[0].size} -> {self.size}"


@dataclass(frozen=True, eq=False)
class PoolEvents(_Pool, Lister):
    """An event a window that an event lies in."""

    def run(self, kept: Kept, *taken: Flow) -> Events:
        events = one_list(taken[0])
        windows, event = self._windows(events)
        return Events(windows, events.value[event])

    def _windows(self, events: Events) -> tuple[IntArray, IntArray]:
        """(code, number of the event) of every window that an event lies in."""
        walk = self.plane.walk(self.takes[0].grid, events.index)
        window = self.signal.grid.code(walk.channel, walk.output_y, walk.output_x)
        return window[walk.inside], np.nonzero(walk.inside)[0]

    def multiplicity(self, *taken: NDArray[Any]) -> NDArray[Any]:
        found = taken[0]
        seen = self.window.views(found.reshape(-1, found.shape[2]).astype(np.uint32))
        pooled = seen.max(axis=(4, 5)) if self.most else seen.sum(axis=(4, 5), dtype=np.uint32)
        return np.asarray(pooled.reshape(*found.shape[:2], -1))

    def _cycles(self, taken: Sequence[Cycles], given: Cycles) -> Cycles:
        return taken[0] * self.plane.taps + LOOP_OVERHEAD_CYCLES

    def _memories(self) -> Sequence[Memory]:
        return self.plane.memories


@dataclass(frozen=True, eq=False)
class PoolSpikes(PoolEvents):
    """A spike a window in which anything spiked: each remembers the time step in which it was seen.

    A mark is read and written within `SPACING` cycles; the windows of as many visits are compared themselves.
    """

    @property
    def remembers(self) -> bool:
        return True

    @property
    def stamps(self) -> int:
        """Time steps after which all windows are forgotten."""
        return 255

    def run(self, kept: Kept, *taken: Flow) -> Events:
        windows, _ = self._windows(one_list(taken[0]))
        first_seen = np.sort(np.unique(windows, return_index=True)[1])
        return Events.spikes(windows[first_seen])

    def _cycles(self, taken: Sequence[Cycles], given: Cycles) -> Cycles:
        cleared = np.arange(given.shape[1]) % self.stamps == 0
        return super()._cycles(taken, given) + cleared * loop(self.size)

    def _memories(self) -> Sequence[Memory]:
        return Memory("seen", self.size, (self.stamps.bit_length(),)), *super()._memories()


@dataclass(frozen=True, eq=False)
class PoolSums(_Pool, Summer):
    """Every window walked over, one element a cycle, or one row of lanes where the lanes are the same."""

    @property
    def parallel(self) -> bool:
        channels, height, width = self.window.input_shape
        return self.takes_lanes[0] == Lanes(channels, height * width, self.rows.pe)

    def run(self, kept: Kept, *taken: Flow) -> IntArray:
        numbers, lanes = one_array(taken[0]), self.rows
        if self.parallel:
            position, group = np.divmod(np.arange(lanes.rows), lanes.groups)
            return self._combined(position, lambda place: numbers[place * lanes.groups + group])
        channel, position = np.divmod(np.arange(self.size), lanes.positions)
        inputs = self.plane.y.size * self.plane.x.size
        return lanes.placed(
            self._combined(position, lambda place: numbers[self.takes_lanes[0].at(channel * inputs + place)])
        )

    def _combined(self, position: IntArray, read: Any) -> IntArray:
        """What `read` gives of all places of the windows at these positions, combined."""
        y, x = self.plane.y, self.plane.x
        top, left = position // x.outputs * y.stride - y.pad, position % x.outputs * x.stride - x.pad
        best = np.zeros_like(read(0 * position))
        shape = (-1, *[1] * (best.ndim - 1))
        begun = np.zeros(len(position), dtype=bool).reshape(shape)
        for down, right in np.ndindex(y.kernel, x.kernel):
            at_y, at_x = top + down, left + right
            inside = (at_y >= 0) & (at_y < y.size) & (at_x >= 0) & (at_x < x.size)
            found, inside = read(np.where(inside, at_y * x.size + at_x, 0)), inside.reshape(shape)
            met = np.where(begun, np.maximum(best, found) if self.most else best + found, found)
            best, begun = np.where(inside, met, best), begun | inside
        return best

    def _cycles(self, taken: Sequence[Cycles], given: Cycles) -> float:
        return loop((self.rows.rows if self.parallel else self.size) * self.plane.kernel)


@dataclass(frozen=True, eq=False)
class PoolBlueprint(Blueprint):
    """Of a pooling."""

    layer: Pool2d

    def takes_events(self, taken: Sequence[Signal]) -> bool:
        (first,) = taken
        return first.events and (self.layer.kind == "sum" or (first.unit and first.single))

    def gives(self, taken: Sequence[Signal], *, as_events: bool) -> Signal:
        """A list of sums has an event for everything in a window, a list of maxima one for the window."""
        (first,), pool = taken, self.layer
        signal = Signal(as_events, Grid(*pool.output_shape), *range_of(pool, taken))
        if not as_events:
            return signal
        if pool.kind == "max":
            return replace(signal, unit=True, single=True, capacity=pool.outputs)
        windows, capacity = self._fanout(), first.capacity
        if windows is not None:
            capacity = int(windows.sum()) if first.single else int(windows.max()) * capacity
        single = first.single and pool.kernel == (1, 1)  # else everything in a window is an event of that window
        return replace(signal, unit=first.unit, single=single, capacity=capacity)

    def _fanout(self) -> IntArray | None:
        """How many windows each input lies in, or None where it is at most one."""
        pool = self.layer
        if all(size <= step for size, step in zip(pool.kernel, pool.stride, strict=True)):
            return None
        counts = np.zeros(pool.input_sizes[0] + 1, dtype=np.int64)
        places = np.arange(1, pool.input_sizes[0] + 1, dtype=np.int64)[None]
        np.add.at(counts, pool.windows(places, 0).reshape(-1), 1)
        return counts[1:]

    def unit(self, ports: Ports, settings: Settings) -> PoolEvents | PoolSums:
        maximum = self.layer.kind == "max"
        lists = PoolSpikes if maximum else PoolEvents
        return (lists if ports.gives.signal.events else PoolSums)(ports, self.layer.window, maximum)
