"""Instances of layers with planes: events by their coordinates, their walk over windows, sums of planes, pooling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from squat_deploy.backends.rtl.events import Lister, Recode
from squat_deploy.backends.rtl.instance import Between, Parameters, Summed, file, flag
from squat_deploy.backends.rtl.memories import hex_lines
from squat_deploy.backends.rtl.streams import NOTHING, Beats, Page, Stream
from squat_deploy.backends.rtl.tracks import Track
from squat_deploy.hardware.grid import Grid
from squat_deploy.hardware.lanes import Lanes
from squat_deploy.hardware.units import PlaceEvents
from squat_deploy.hardware.units.pool import PoolEvents, PoolSums
from squat_deploy.hardware.units.scatter import Scatter
from squat_deploy.names import plain
from squat_deploy.network import IntArray


def by_code(grid: Grid) -> IntArray:
    """(1, codes) the element of each code, as a stream of events by their coordinates carries them."""
    elements = np.full(grid.codes, NOTHING, dtype=np.int64)
    elements[grid.listed] = np.arange(grid.size)
    return elements[None]


@dataclass(frozen=True, eq=False)
class Visits(Stream):
    """What the events of a step meet: addresses of weights (`word` bits) and rows of sums (`place` bits).

    Attributes:
        capacity: most visits of a step.
    """

    word: int
    place: int
    capacity: int
    end: ClassVar[str] = "end"

    @property
    def payload(self) -> Mapping[str, int]:
        return {"keep": 1, "word": self.word, "place": self.place, "value": self.value}

    @property
    def most(self) -> int:
        return self.capacity


@dataclass(frozen=True, eq=False)
class PlaneLister(Lister):
    """Rows of neurons of a plane as beats of events by their coordinates, which are counted along."""

    grid: Grid
    lanes: Lanes

    @property
    def parameters(self) -> Parameters:
        grid = self.grid
        counted = {"STEP": grid.plane, "GROUPS": self.lanes.groups, "WIDTH": grid.width}
        return {**super().parameters, **counted, "DOWN": grid.row - grid.width + 1}


@dataclass(frozen=True, eq=False)
class PlaneRecode(Recode):
    """Events by the coordinates of their element."""

    @property
    def memories(self) -> Mapping[str, str]:
        (held,) = np.nonzero(self.out.elements[0] != NOTHING)
        place = np.zeros(len(held), dtype=np.int64)
        place[self.out.elements[0][held]] = held
        return {f"{self.name}.hex": hex_lines(place[np.maximum(self.source.elements.T, 0)], self.out.index)}


@dataclass(frozen=True, eq=False)
class Walk(Between):
    """What every event of a kernel meets."""

    track: Track
    source: Beats
    out: Visits
    module: ClassVar[str] = "walk"

    @property
    def parameters(self) -> Parameters:
        track = self.track
        sizes = {"VALUE": self.out.value, "TAPS": track.taps, "WORD": self.out.word, "PLACE": self.out.place}
        return {
            **track.sizes,
            **sizes,
            "SPAN": track.span,
            "WORD_RIGHT": track.right[0],
            "PLACE_RIGHT": track.right[1],
            "WORD_DOWN": track.down[0],
            "PLACE_DOWN": track.down[1],
            **track.files,
        }

    @property
    def memories(self) -> Mapping[str, str]:
        return self.track.memories(self.out.word, self.out.place)


@dataclass(frozen=True, eq=False)
class Windows(Between):
    """An event a window that an event lies in."""

    unit: PoolEvents
    track: Track
    source: Beats
    out: Beats
    module: ClassVar[str] = "windows"

    @property
    def about(self) -> str:
        return f"{plain(self.unit.name)}: {self.unit.about}"

    @property
    def parameters(self) -> Parameters:
        track = self.track
        sizes = {"VALUE": self.out.value, "TAPS": track.taps, "GIVEN": self.out.index}
        return {**track.sizes, **sizes, "RIGHT": track.right[1], "DOWN": track.down[1], **track.files}

    @property
    def memories(self) -> Mapping[str, str]:
        return self.track.memories(1, self.out.index)

    @property
    def modules(self) -> tuple[str, ...]:
        return (self.module, "walk")


@dataclass(frozen=True, eq=False)
class First(Between):
    """The first event of every window."""

    source: Beats
    out: Beats
    module: ClassVar[str] = "first"

    @property
    def parameters(self) -> Parameters:
        return {"WINDOWS": self.out.entries}

    @property
    def modules(self) -> tuple[str, ...]:
        return (self.module, "ram")


@dataclass(frozen=True, eq=False)
class Plane(Summed):
    """Sums of a plane, to which visits add rows of `weights` (words, pe), of `bits` each.

    Attributes:
        start: (groups, pe) where every sum starts.
        restored: whether it is written back by who reads.
    """

    unit: Scatter | PlaceEvents
    weights: IntArray
    bits: int
    bipolar: bool
    start: IntArray
    restored: bool
    source: Visits
    outs: tuple[Page, ...]
    module: ClassVar[str] = "scatter_plane"

    @property
    def about(self) -> str:
        return f"{plain(self.unit.name)}: {self.unit.about}"

    @property
    def parameters(self) -> Parameters:
        lanes, number = self.unit.rows, self.unit.number
        return {
            "PE": lanes.pe,
            "GROUPS": lanes.groups,
            "POSITIONS": lanes.positions,
            "VALUE": self.source.value,
            "VALUE_SIGNED": flag(self.source.signed),
            "WEIGHT": self.bits,
            "BIPOLAR": flag(self.bipolar),
            "WORDS": len(self.weights),
            "SUM": self.unit.signal.bits,
            "HELD": flag(self.unit.held),
            "RESTORED": flag(self.restored),
            "READERS": len(self.outs),
            "VIEW": self.outs[0].lanes.pe,
            "VIEWS": self.outs[0].lanes.rows,
            "WEIGHTS": file(f"layer{number}_weights.hex"),
            "START": file(f"layer{number}_start.hex"),
        }

    @property
    def memories(self) -> Mapping[str, str]:
        number = self.unit.number
        codes = (self.weights > 0).astype(np.int64) if self.bipolar else self.weights
        return {
            f"layer{number}_weights.hex": hex_lines(codes, self.bits),
            f"layer{number}_start.hex": hex_lines(self.start, self.unit.signal.bits),
        }

    @property
    def modules(self) -> tuple[str, ...]:
        return (self.module, "product", "ram", "rom")


@dataclass(frozen=True, eq=False)
class PooledSums(Summed):
    """Windows of sums."""

    unit: PoolSums
    source: Page
    outs: tuple[Page, ...]
    module: ClassVar[str] = "pool_sums"

    @property
    def about(self) -> str:
        return f"{plain(self.unit.name)}: {self.unit.about}"

    @property
    def parameters(self) -> Parameters:
        y, x, lanes = self.unit.plane.y, self.unit.plane.x, self.unit.rows
        return {
            "PE": lanes.pe,
            "GROUPS": lanes.groups,
            "MOST": flag(self.unit.most),
            "HEIGHT": y.size,
            "WIDTH": x.size,
            "LINES": y.outputs,
            "COLUMNS": x.outputs,
            "HIGH": y.kernel,
            "WIDE": x.kernel,
            "DOWN": y.stride,
            "RIGHT": x.stride,
            "ABOVE": y.pad,
            "LEFT": x.pad,
            "FROM": self.source.bits,
            "SUM": self.unit.signal.bits,
            "READERS": len(self.outs),
        }

    @property
    def modules(self) -> tuple[str, ...]:
        return (self.module, "ram")
