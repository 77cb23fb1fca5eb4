"""The walk of one event over the windows of a kernel that it lies in.

What an event meets along one axis is a table by its place there, made by trying every tap. The laws of the walk are
written once, for NumPy's arrays and for the terms of a printer, which have the same operators.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from squat_deploy.hardware.grid import Grid, Number
from squat_deploy.hardware.memories import Memory
from squat_deploy.network import IntArray
from squat_deploy.network.window import Spread, Window


@dataclass(frozen=True)
class Axis:
    """The taps of a kernel along one axis that one event meets: outputs `(place + pad - tap * dilation) / stride`."""

    size: int
    outputs: int
    kernel: int
    stride: int
    pad: int
    dilation: int

    def reached(self, place: IntArray, tap: IntArray) -> tuple[IntArray, Any]:
        """(output, whether there is one) of places through taps."""
        along = place + self.pad - tap * self.dilation
        output = along // self.stride
        return output, (along % self.stride == 0) & (output >= 0) & (output < self.outputs)

    @cached_property
    def meets(self) -> IntArray:
        """(size, 3): the first tap of each place, its output, and how many taps; for none, one that leads nowhere.

        Any further tap lies `step` taps and `move` outputs behind the one before.
        """
        output, inside = self.reached(np.arange(self.size)[:, None], np.arange(self.kernel))
        first, taps = inside.argmax(axis=1), inside.sum(axis=1)
        outputs = np.where(taps > 0, output[np.arange(self.size), first], self.outputs)
        return np.stack([first, outputs, np.maximum(taps, 1)], axis=1).astype(np.int64)

    @property
    def step(self) -> int:
        """From one tap to the next."""
        return int(self.stride // np.gcd(self.stride, self.dilation))

    @property
    def move(self) -> int:
        """From the output of one tap to that of the next."""
        return -int(self.dilation // np.gcd(self.stride, self.dilation))

    @property
    def taps(self) -> int:
        """Most taps that an event meets."""
        return int(self.meets[:, 2].max())

    @property
    def gaps(self) -> bool:
        """Whether there are places that meet no tap."""
        return bool((self.meets[:, 1] == self.outputs).any())

    @property
    def single(self) -> bool:
        """Whether there is one place, one tap and one output."""
        return (self.size, self.kernel, self.outputs, self.pad) == (1, 1, 1, 0)

    def tap(self, first: Number, visit: Number) -> Number:
        """The tap of a visit, 0 to `taps` - 1."""
        return first + (visit * self.step if self.step > 1 else visit)

    def output(self, first: Number, visit: Number) -> Number:
        """The output of a visit."""
        moved = visit * abs(self.move) if abs(self.move) > 1 else visit
        return first - moved if self.move < 0 else first + moved

    def visits(self, place: IntArray, visit: IntArray) -> tuple[IntArray, IntArray, Any]:
        """(tap, output, whether there are any) of events at `place`, broadcast with `visit`."""
        first, output, taps = np.moveaxis(self.meets[place], -1, 0)
        return self.tap(first, visit), self.output(output, visit), (visit < taps) & (output < self.outputs)


@dataclass(frozen=True)
class SpreadAxis(Axis):
    """The same of a transposed convolution, of stride 1: every tap, outputs `place * apart - pad + tap * dilation`."""

    apart: int

    @property
    def move(self) -> int:
        return self.dilation

    @property
    def step(self) -> int:
        return 1

    def reached(self, place: IntArray, tap: IntArray) -> tuple[IntArray, Any]:
        output = place * self.apart - self.pad + tap * self.dilation
        return output, (output >= 0) & (output < self.outputs)


@dataclass(frozen=True)
class Walk:
    """Every visit of events, each (events, vertical taps, horizontal taps) or broadcast to it.

    Attributes:
        channel: of the event.
        inside: whether there is such a tap and output; the rest means nothing where not.
    """

    channel: IntArray
    tap_y: IntArray
    tap_x: IntArray
    output_y: IntArray
    output_x: IntArray
    inside: Any


@dataclass(frozen=True)
class Plane:
    """Both axes of a kernel over (channels, height, width)."""

    grid: Grid
    y: Axis
    x: Axis

    @classmethod
    def of(cls, window: Window) -> Plane:
        """The walk over the windows of a convolution or a pooling."""
        grid, sizes = Grid(*window.input_shape), (window.input_shape[1:], window.output_sizes, window.kernel)
        if isinstance(window, Spread):
            spread = zip(*sizes, (1, 1), window.padding, window.dilation, window.stride, strict=True)
            return cls(grid, *(SpreadAxis(*axis) for axis in spread))
        axes = zip(*sizes, window.stride, window.padding, window.dilation, strict=True)
        return cls(grid, *(Axis(*axis) for axis in axes))

    @property
    def single(self) -> bool:
        """Whether it is one point, as for fully connected synapses, whose inputs are channels."""
        return self.y.single and self.x.single

    @property
    def kernel(self) -> int:
        """Taps of the kernel."""
        return self.y.kernel * self.x.kernel

    @property
    def taps(self) -> int:
        """Most visits of one event."""
        return self.y.taps * self.x.taps

    @property
    def gaps(self) -> bool:
        """Whether there are events that meet no window."""
        return self.y.gaps or self.x.gaps

    @property
    def memories(self) -> tuple[Memory, ...]:
        """The tables of both axes, by the place of an event."""
        tables = ("MEETS_Y", self.y.meets), ("MEETS_X", self.x.meets)
        widths = (tuple(int(column.max()).bit_length() or 1 for column in table.T) for _, table in tables)
        named = zip(tables, widths, strict=True)
        return tuple(Memory(name, len(table), width, table, "logic") for (name, table), width in named)

    @property
    def visits(self) -> IntArray:
        """(size,) visits of an event at each element; one where there are none."""
        visits = self.y.meets[:, None, 2] * self.x.meets[:, 2]
        return np.tile(visits.reshape(-1), self.grid.channels)

    @property
    def walked(self) -> IntArray:
        """(size, 7) of an event at each element: its visits, and whether these are 1, 2, ... 6."""
        return np.stack([self.visits, *(self.visits == few for few in range(1, 7))], axis=1).astype(np.int64)

    def position(self, output_y: Number, output_x: Number) -> Number:
        """Number of an output position."""
        down = output_y * self.x.outputs if self.x.outputs > 1 else output_y
        return output_x if self.y.outputs == 1 else down + output_x if self.x.outputs > 1 else down

    def walk(self, taken: Grid, codes: IntArray) -> Walk:
        """All visits of events (events,), by their codes in a list over `taken`."""
        places = (np.broadcast_to(place, codes.shape)[:, None, None] for place in self.grid.of(taken, codes))
        channel, down, right = places
        tap_y, output_y, inside_y = self.y.visits(down, np.arange(self.y.taps)[:, None])
        tap_x, output_x, inside_x = self.x.visits(right, np.arange(self.x.taps))
        shape = (len(codes), self.y.taps, self.x.taps)
        arrays = (channel, tap_y, tap_x, output_y, output_x, inside_y & inside_x)
        return Walk(*(np.broadcast_to(array, shape) for array in arrays))
