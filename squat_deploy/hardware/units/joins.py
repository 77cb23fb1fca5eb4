"""Sums of branches and branches one after another, of lists of events and of sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.grid import Grid
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
from squat_deploy.network import IntArray
from squat_deploy.network.layers import Add, Concat, Join, Range


class _Join(Unit):
    what: ClassVar[str]

    @property
    def about(self) -> str:
        return f"{self.what}, {' + '.join(str(signal.size) for signal in self.takes)} -> {self.size}"


@dataclass(frozen=True, eq=False)
class _Add(_Join):
    """Attributes: factors: of every branch."""

    factors: tuple[int, ...]
    kind: ClassVar[str] = "add"
    what: ClassVar[str] = "sum"


class _Concat(_Join):
    kind: ClassVar[str] = "concat"
    what: ClassVar[str] = "concatenation"

    @property
    def firsts(self) -> tuple[int, ...]:
        """The first index of every branch."""
        return tuple(sum(signal.size for signal in self.takes[:branch]) for branch in range(len(self.takes)))


class _Lists(Lister):
    """The lists of all branches, one after another."""

    def _recoded(self, branch: int, events: Events, first: int = 0) -> Events:
        return Events(self.signal.grid.recoded(self.takes[branch].grid, events.index, first), events.value)

    def _cycles(self, taken: Sequence[Cycles], given: Cycles) -> Cycles:
        return np.sum(taken, axis=0) + LOOP_OVERHEAD_CYCLES * len(taken)


@dataclass(frozen=True, eq=False)
class AddEvents(_Add, _Lists):
    """Values times factors."""

    def run(self, kept: Kept, *taken: Flow) -> Events:
        lists = [self._recoded(branch, one_list(flow)) for branch, flow in enumerate(taken)]
        return Events.joined(
            [Events(one.index, one.value * factor) for one, factor in zip(lists, self.factors, strict=True)]
        )

    def multiplicity(self, *taken: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(np.sum(taken, axis=0, dtype=np.uint32))


@dataclass(frozen=True, eq=False)
class AddSums(_Add, Summer):
    """One element a cycle, or one row where all lie in the same lanes."""

    @property
    def whole_rows(self) -> bool:
        return self.parallel

    def run(self, kept: Kept, *taken: Flow) -> IntArray:
        arrays = [one_array(flow) for flow in taken]
        if not self.parallel:
            arrays = [lanes.elements(array) for lanes, array in zip(self.takes_lanes, arrays, strict=True)]
        total = np.asarray(sum(array * factor for array, factor in zip(arrays, self.factors, strict=True)))
        return total if self.parallel else self.rows.placed(total)

    def _cycles(self, taken: Sequence[Cycles], given: Cycles) -> float:
        return loop(self.rows.rows if self.parallel else self.size)


@dataclass(frozen=True, eq=False)
class ConcatEvents(_Concat, _Lists):
    """Each branch with its own range of indices."""

    def run(self, kept: Kept, *taken: Flow) -> Events:
        return Events.joined(
            [
                self._recoded(branch, one_list(flow), first)
                for branch, (flow, first) in enumerate(zip(taken, self.firsts, strict=True))
            ]
        )

    def multiplicity(self, *taken: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate(taken, axis=2)


@dataclass(frozen=True, eq=False)
class ConcatSums(_Concat, Summer):
    """One element a cycle: branches lie in lanes of their own."""

    def run(self, kept: Kept, *taken: Flow) -> IntArray:
        sums = self.rows.zeros
        for lanes, first, flow in zip(self.takes_lanes, self.firsts, taken, strict=True):
            sums[self.rows.at(first + np.arange(lanes.size))] = lanes.elements(one_array(flow))
        return sums

    def _cycles(self, taken: Sequence[Cycles], given: Cycles) -> float:
        return sum(loop(signal.size) for signal in self.takes)


def range_of(layer: Join, taken: Sequence[Signal]) -> Range:
    """Bounds of every element that a layer makes of these."""
    return layer.range(*((signal.low, signal.high) for signal in taken))


def _common(taken: Sequence[Signal]) -> Grid:
    """Of all, or one without a plane where they differ: all lists can be told in it."""
    return taken[0].grid if len({one.grid for one in taken}) == 1 else Grid(taken[0].size)


def _joined(signal: Signal, taken: Sequence[Signal], *, unit: bool) -> Signal:
    """With the events of all lists, where it is one."""
    if not signal.events:
        return signal
    return replace(signal, unit=unit and all(one.unit for one in taken), capacity=sum(one.capacity for one in taken))


@dataclass(frozen=True, eq=False)
class AddBlueprint(Blueprint):
    """Of a sum of branches."""

    layer: Add

    def gives(self, taken: Sequence[Signal], *, as_events: bool) -> Signal:
        signal = Signal(as_events, _common(taken) if as_events else taken[0].grid, *range_of(self.layer, taken))
        return _joined(signal, taken, unit=max(self.layer.factors) == 1)

    def unit(self, ports: Ports, settings: Settings) -> AddEvents | AddSums:
        return (AddEvents if ports.gives.signal.events else AddSums)(ports, self.layer.factors)


@dataclass(frozen=True, eq=False)
class ConcatBlueprint(Blueprint):
    """Of branches one after another."""

    layer: Concat

    def gives(self, taken: Sequence[Signal], *, as_events: bool) -> Signal:
        planes = {(one.grid.height, one.grid.width) for one in taken}
        grid = Grid(self.layer.outputs)
        if len(planes) == 1:
            grid = Grid(sum(one.channels for one in taken), *planes.pop())
        single = as_events and all(one.single for one in taken)
        signal = Signal(as_events, grid, *range_of(self.layer, taken), single=single)
        return _joined(signal, taken, unit=True)

    def unit(self, ports: Ports, settings: Settings) -> ConcatEvents | ConcatSums:
        return (ConcatEvents if ports.gives.signal.events else ConcatSums)(ports)
