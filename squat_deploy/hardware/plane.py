"""The walk of one event over the windows of a kernel that it lies in.

The laws here are written once, for numbers, for NumPy's arrays, and for the terms of a printer, which have the same
operators and say themselves how they become signed (`signed`) and how they choose from a table (`among`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from squat_deploy.network import IntArray
from squat_deploy.network.window import Spread, Window

Number = Any  # an integer, an array of integers, or a term of a printer


def signed(number: Number) -> Number:
    """As a number that may be negative: all are, but for unsigned terms."""
    return number.signed() if hasattr(number, "signed") else number


@dataclass(frozen=True)
class Axis:
    """The taps of a kernel along one axis that one event meets: outputs `(place + pad - tap * dilation) / stride`.

    Attributes:
        first: tap that an event at `(place + pad) % stride` meets first; `kernel` where it meets none.
        step: from one tap to the next that falls on an output.
        move: outputs from one such tap to the next, backwards.
        taps: most taps that an event meets.
    """

    size: int
    outputs: int
    kernel: int
    stride: int
    pad: int
    dilation: int

    @property
    def step(self) -> int:
        return self.stride // math.gcd(self.stride, self.dilation)

    @property
    def move(self) -> int:
        return self.dilation // math.gcd(self.stride, self.dilation)

    @property
    def taps(self) -> int:
        return -(-self.kernel // self.step)

    @property
    def first(self) -> tuple[int, ...]:
        candidates = range(min(self.step, self.kernel))
        return tuple(
            next((tap for tap in candidates if (rest - tap * self.dilation) % self.stride == 0), self.kernel)
            for rest in range(self.stride)
        )

    @property
    def single(self) -> bool:
        """Whether there is one place, one tap and one output."""
        return (self.size, self.kernel, self.outputs, self.pad) == (1, 1, 1, 0)

    def along(self, place: Number) -> Number:
        """Where an event lies in the padded input."""
        return place + self.pad if self.pad else place

    def first_tap(self, rest: Number) -> Number:
        """The first tap that it meets, by `along % stride`."""
        return rest.among(self.first) if hasattr(rest, "among") else np.array(self.first)[rest]

    def first_output(self, along: Number, first_tap: Number) -> Number:
        """The output that it reaches through its first tap; may lie outside."""
        if self.stride == 1:
            return signed(along)
        return (signed(along) - signed(first_tap * self.dilation)) // self.stride

    def tap(self, first_tap: Number, visit: Number) -> Number:
        """The tap of a visit, 0 to `taps` - 1; beyond the kernel there is none."""
        return first_tap + (visit * self.step if self.step > 1 else visit)

    def output(self, first_output: Number, visit: Number) -> Number:
        """The output of a visit; may lie outside."""
        return first_output - (signed(visit) * self.move if self.move > 1 else signed(visit))

    def visits(self, place: IntArray, visit: IntArray) -> tuple[IntArray, IntArray, Any]:
        """(tap, output, whether both exist) of events at `place`, broadcast with `visit`."""
        along = self.along(place)
        first_tap = self.first_tap(along % self.stride)
        tap, output = self.tap(first_tap, visit), self.output(self.first_output(along, first_tap), visit)
        return tap, output, (tap < self.kernel) & (output >= 0) & (output < self.outputs)


@dataclass(frozen=True)
class SpreadAxis(Axis):
    """The same of a transposed convolution, of stride 1: every tap, outputs `place * apart - pad + tap * dilation`."""

    apart: int

    def along(self, place: Number) -> Number:
        """Where its first tap lies, before anything is cut off."""
        return place * self.apart if self.apart > 1 else place

    def first_output(self, along: Number, first_tap: Number) -> Number:
        return signed(along) - self.pad if self.pad else signed(along)

    def output(self, first_output: Number, visit: Number) -> Number:
        return first_output + (signed(visit) * self.dilation if self.dilation > 1 else signed(visit))


@dataclass(frozen=True)
class Walk:
    """Every visit of events, each (events, vertical taps, horizontal taps) or broadcast to it.

    Attributes:
        position: output position `y * width + x`.
        window: number of the output in its own channel.
        inside: whether there is such a tap and output; the rest means nothing where not.
    """

    channel: IntArray
    tap_y: IntArray
    tap_x: IntArray
    position: IntArray
    window: IntArray
    inside: Any


@dataclass(frozen=True)
class Plane:
    """Both axes of a kernel over (channels, height, width)."""

    y: Axis
    x: Axis

    @classmethod
    def of(cls, window: Window) -> Plane:
        """The walk over the windows of a convolution or a pooling."""
        sizes = window.input_shape[1:], window.output_sizes, window.kernel
        if isinstance(window, Spread):
            spread = zip(*sizes, (1, 1), window.padding, window.dilation, window.stride, strict=True)
            return cls(*(SpreadAxis(*axis) for axis in spread))
        axes = zip(*sizes, window.stride, window.padding, window.dilation, strict=True)
        return cls(*(Axis(*axis) for axis in axes))

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

    def coordinates(self, place: Number) -> tuple[Number, Number, Number]:
        """(channel, vertical, horizontal) of an input."""
        y, x = self.y.size, self.x.size
        return place // (y * x), 0 if y == 1 else place // x % y, 0 if x == 1 else place % x

    def position(self, output_y: Number, output_x: Number) -> Number:
        """Number of an output position."""
        return output_y * self.x.outputs + output_x

    def window(self, channel: Number, output_y: Number, output_x: Number) -> Number:
        """Number of an output of as many channels as there are inputs."""
        return (channel * self.y.outputs + output_y) * self.x.outputs + output_x

    def walk(self, place: IntArray) -> Walk:
        """All visits of events (events,)."""
        channel, down, right = self.coordinates(place[:, None, None])
        tap_y, output_y, inside_y = self.y.visits(down, np.arange(self.y.taps)[:, None])
        tap_x, output_x, inside_x = self.x.visits(right, np.arange(self.x.taps))
        shape = (len(place), self.y.taps, self.x.taps)
        outputs = self.position(output_y, output_x), self.window(channel, output_y, output_x)
        arrays = (channel, tap_y, tap_x, *outputs, inside_y & inside_x)
        return Walk(*(np.broadcast_to(array, shape) for array in arrays))
