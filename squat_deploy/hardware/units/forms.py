"""Changes of form: lists of events into arrays of sums, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from squat_deploy.hardware.logic import forwards
from squat_deploy.hardware.memories import Usage
from squat_deploy.hardware.signals import Signal
from squat_deploy.hardware.units.base import (
    LOOP_OVERHEAD_CYCLES,
    Blueprint,
    Cycles,
    Events,
    Flow,
    Kept,
    Ports,
    Settings,
    Summer,
    Unit,
    loop,
    one_array,
    one_list,
)
from squat_deploy.network import IntArray


class PlaceEvents(Summer):
    """Writes events where they belong; an index may come more than once."""

    kind: ClassVar[str] = "place"
    accumulates: ClassVar[bool] = True

    @property
    def about(self) -> str:
        return f"events into sums, {self.takes[0].size} -> {self.size}"

    def run(self, kept: Kept, *taken: Flow) -> IntArray:
        events, sums, grid = one_list(taken[0]), self.rows.zeros, self.signal.grid
        channel, y, x = grid.of(self.takes[0].grid, events.index)
        np.add.at(sums, self.rows.where(channel, y * grid.width + x), events.value)
        return sums

    def _cycles(self, taken: Sequence[Cycles], given: Cycles) -> Cycles:
        return loop(self.rows.rows) + taken[0] + LOOP_OVERHEAD_CYCLES

    def _logic(self) -> Usage:
        return Usage.total([super()._logic(), forwards(1, self.signal.bits, (1, 2, 3))])


class ListSums(Unit):
    """Lists the sums that are not zero."""

    kind: ClassVar[str] = "listing"
    lists_values: ClassVar[bool] = True

    @property
    def about(self) -> str:
        return f"sums into events, {self.takes[0].size} -> {self.size}"

    def run(self, kept: Kept, *taken: Flow) -> Events:
        values = self.takes_lanes[0].elements(one_array(taken[0]))
        return Events.of(values, self.signal.grid)

    def _cycles(self, taken: Sequence[Cycles], given: Cycles) -> float:
        return loop(self.size)


class FormBlueprint(Blueprint):
    """Of a change of form."""

    @property
    def hands(self) -> bool:
        return False

    def gives(self, taken: Sequence[Signal], *, as_events: bool) -> Signal:
        capacity = taken[0].size if as_events else 0
        return replace(taken[0], events=as_events, unit=False, single=as_events, capacity=capacity)

    def unit(self, ports: Ports, settings: Settings) -> PlaceEvents | ListSums:
        return (ListSums if ports.gives.signal.events else PlaceEvents)(ports)
