"""Delays: a ring of the last time steps, into which events are written and from which each element is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from squat_deploy.hardware.memories import Memory
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
    Unit,
    at_start,
    loop,
    one_list,
)
from squat_deploy.network import IntArray
from squat_deploy.network.layers import Delay


@dataclass(frozen=True, eq=False)
class DelayEvents(Unit):
    """Every element as it was some steps before; the slot of the ring that is written next holds zeros.

    Attributes:
        steps: (size,) of each element.
    """

    steps: IntArray
    kind: ClassVar[str] = "delay"
    lists_values: ClassVar[bool] = True

    @property
    def depth(self) -> int:
        """Slots of the ring."""
        return int(self.steps.max()) + 1

    @property
    def late(self) -> IntArray:
        """What is stored of `steps`: one where all are alike."""
        return self.steps[:1] if np.ptp(self.steps) == 0 else self.steps

    @property
    def about(self) -> str:
        return f"{self.size} values, {self.steps.min()} to {self.steps.max()} steps late"

    @property
    def facts(self) -> dict[str, Any]:
        return {"depth": self.depth}

    def run(self, kept: Kept, *taken: Flow) -> Events:
        """`kept["past"]` is (depth, size)."""
        past = kept.setdefault("past", np.zeros((self.depth, self.size), dtype=np.int64))
        slot, age = kept.get("slot", 0), kept.get("age", 0)
        events, elements = one_list(taken[0]), np.arange(self.size)
        past[slot] += events.dense(self.takes[0].grid)
        values = np.where(self.steps <= age, past[(slot - self.steps) % self.depth, elements], 0)
        kept["slot"], kept["age"] = (slot + 1) % self.depth, min(age + 1, self.depth)
        past[kept["slot"]] = 0
        return Events.of(values, self.signal.grid)

    def _cycles(self, taken: Sequence[Cycles], given: Cycles) -> Cycles:
        """A cycle an event that is written, and an element that is read; at first, one that is cleared."""
        return at_start(loop(self.size), given) + taken[0] + LOOP_OVERHEAD_CYCLES + loop(self.size)

    def _memories(self) -> Sequence[Memory]:
        past = Memory("past", self.depth * self.size, (1 if self.signal.unit else self.signal.bits,))
        return past, Memory("STEPS", self.late.size, (8,), self.late)


@dataclass(frozen=True, eq=False)
class DelayBlueprint(Blueprint):
    """Of a delay."""

    layer: Delay

    def takes_events(self, taken: Sequence[Signal]) -> bool:
        return True

    def gives(self, taken: Sequence[Signal], *, as_events: bool) -> Signal:
        (first,) = taken
        unit, ends = first.unit and first.single, self.layer.range((first.low, first.high))
        return Signal(True, first.grid, *ends, unit, single=True, capacity=self.layer.outputs)

    def unit(self, ports: Ports, settings: Settings) -> DelayEvents:
        return DelayEvents(ports, self.layer.steps)
