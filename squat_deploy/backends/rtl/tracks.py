"""What events meet on their walk over a kernel, as the tables and steps of `squat_walk`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from squat_deploy.backends.rtl.memories import hex_lines
from squat_deploy.hardware.grid import Grid
from squat_deploy.hardware.lanes import Lanes
from squat_deploy.hardware.plane import Axis, Plane
from squat_deploy.hardware.weights import WeightRom
from squat_deploy.network import IntArray

Pair = tuple[int, int]  # of an address of weights, and of a place


@dataclass(frozen=True, eq=False)
class Track:
    """The walk of an event at (channel, y, x): addresses and places are sums of what these say, and of steps.

    Attributes:
        name: of its tables' files.
        plane: whose axes say which taps an event meets.
        channel: (channels, 2) address and place of each channel.
        down, right: the same from tap to tap along y and x, `apart` from output to output.
        span: groups at an output, one after another.
    """

    name: str
    plane: Plane
    channel: IntArray
    tap: tuple[int, int]
    output: tuple[int, int]
    span: int

    @property
    def sizes(self) -> dict[str, int]:
        """Channels, height and width of the plane."""
        grid = self.plane.grid
        return {"CHANNELS": grid.channels, "HEIGHT": grid.height, "WIDTH": grid.width}

    @property
    def taps(self) -> int:
        """Bits of a number of taps along an axis."""
        return max(self.plane.y.taps, self.plane.x.taps).bit_length()

    @property
    def down(self) -> Pair:
        """From the first tap of a line to the first of the next."""
        return self._step(self.plane.y, 0)

    @property
    def right(self) -> Pair:
        """From the last group of a tap to the first of the next one in the line."""
        word, place = self._step(self.plane.x, 1)
        return word - self.span + 1, place - self.span + 1

    @property
    def files(self) -> dict[str, str]:
        """Parameters that name the tables."""
        return {name.upper(): f'"memories/{self.name}_{name}.hex"' for name in ("channel", "line", "column")}

    def memories(self, word: int, place: int) -> Mapping[str, str]:
        """Text of the tables by their names, for so many bits of an address and of a place."""
        tables = {"line": self._axis(self.plane.y, 0), "column": self._axis(self.plane.x, 1)}
        columns = {"channel": self.channel, **tables}
        return {f"{self.name}_{name}.hex": self._packed(table, word, place) for name, table in columns.items()}

    def _step(self, axis: Axis, which: int) -> Pair:
        return axis.step * self.tap[which], axis.move * self.output[which]

    def _axis(self, axis: Axis, which: int) -> IntArray:
        """(size, 3): address, place and number of taps; no taps where there is no output."""
        first, output, taps = axis.meets.T
        met = output < axis.outputs
        return np.stack([first * self.tap[which], output * self.output[which] * met, taps * met], axis=1)

    def _packed(self, table: IntArray, word: int, place: int) -> str:
        """{taps, word, place} a line."""
        codes = table[:, 0] % 2**word << place | table[:, 1] % 2**place
        bits = word + place
        if table.shape[1] == 3:
            codes, bits = codes | table[:, 2] << bits, bits + self.taps
        return hex_lines(codes[:, None], bits)


def track_of_synapses(name: str, rom: WeightRom, lanes: Lanes) -> Track:
    """Rows of weights, and rows of sums."""
    plane, span = rom.plane, rom.span
    channel = np.arange(plane.grid.channels)
    words = channel * plane.kernel * span
    tap = plane.x.kernel * span, span
    output = plane.x.outputs * lanes.groups, lanes.groups
    return Track(name, plane, np.stack([words, rom.first_group(channel, lanes)], axis=1), tap, output, span)


def track_of_pool(name: str, plane: Plane, given: Grid) -> Track:
    """Codes of windows."""
    channel = np.arange(plane.grid.channels)
    channels = np.stack([0 * channel, given.code(channel, 0, 0) + 0 * channel], axis=1)
    return Track(name, plane, channels, (0, 0), (given.row if given.height > 1 else 0, 1 if given.width > 1 else 0), 1)


def track_of_places(name: str, grid: Grid, lanes: Lanes) -> Track:
    """A row of weights a channel, and rows of sums."""
    axes = (Axis(size, size, 1, 1, 0, 1) for size in (grid.height, grid.width))
    channel = np.arange(grid.channels)
    channels = np.stack([channel, channel // lanes.pe], axis=1)
    return Track(name, Plane(grid, *axes), channels, (0, 0), (grid.width * lanes.groups, lanes.groups), 1)
