"""Synapses: every event adds a row of weights, or scatters its kernel, over the sums that it reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from squat_deploy.hardware.grid import Grid
from squat_deploy.hardware.logic import adders, forwards, products
from squat_deploy.hardware.memories import Memory, Usage
from squat_deploy.hardware.plane import Plane
from squat_deploy.hardware.signals import Signal
from squat_deploy.hardware.units.base import (
    LOOP_OVERHEAD_CYCLES,
    Blueprint,
    Cycles,
    Flow,
    Kept,
    Ports,
    Settings,
    Summer,
    at_start,
    loop,
    one_list,
)
from squat_deploy.hardware.weights import WeightRom, weight_rom
from squat_deploy.network import IntArray, int_bits
from squat_deploy.network.layers import ConvTranspose2d, Dense, Weighted
from squat_deploy.network.window import Window

SPACING = 4  # cycles in which a row of sums is read, added to and written
_DIVIDING = 3  # more, in which the number of an element becomes its coordinates


@dataclass(frozen=True, eq=False)
class Scatter(Summer):
    """A kernel that every event scatters.

    Attributes:
        what: of layer, for readers.
    """

    rom: WeightRom
    what: str
    kind: ClassVar[str] = "synapses"
    accumulates: ClassVar[bool] = True
    walks: ClassVar[bool] = True  # from sum to sum that an event reaches, else over all

    @property
    def whole_rows(self) -> bool:
        return True

    @property
    def at_once(self) -> int:
        """Rows of weights in a cycle."""
        return 1

    @property
    def about(self) -> str:
        return f"{self.what}, {self.takes[0].size} -> {self.size}, {self.rom.bits}-bit weights"

    @property
    def facts(self) -> dict[str, Any]:
        return {**super().facts, "weight_bits": self.rom.bits, "sum_bits": self.signal.bits}

    @cached_property
    def weights(self) -> IntArray:
        """(rows, pe), as its ROM gives them."""
        return self.rom.weights()

    def run(self, kept: Kept, *taken: Flow) -> IntArray:
        events, rom, lanes = one_list(taken[0]), self.rom, self.rows
        sums = lanes.zeros if rom.bias is None else np.tile(rom.bias, (lanes.positions, 1))
        walk, groups = rom.plane.walk(self.takes[0].grid, events.index), np.arange(rom.span)
        event, position = np.nonzero(walk.inside)[0], rom.plane.position(walk.output_y, walk.output_x)
        channel, tap_y, tap_x, position = (
            array[walk.inside][:, None] for array in (walk.channel, walk.tap_y, walk.tap_x, position)
        )
        row = position * lanes.groups + rom.first_group(channel, lanes)[:, :1] + groups
        products = self.weights[rom.row(channel, tap_y, tap_x, groups)] * events.value[event][:, None, None]
        np.add.at(sums, row, products)
        return sums

    @property
    def plane(self) -> Plane:
        """The walk of an event."""
        return self.rom.plane

    @property
    def spacing(self) -> int:
        """Iterations from one update of a row of sums to the next that needs none of the rows in between."""
        return SPACING

    @property
    def least(self) -> int:
        """Iterations of an event at least, in which the next one is looked up, and divided where it has no plane."""
        return SPACING + (0 if self.takes[0].grid == self.plane.grid else _DIVIDING)

    @property
    def near(self) -> tuple[int, ...]:
        """How many iterations ago a row may have been updated that is still on its way to its memory.

        The rows of one event differ. Where all events reach the same groups, each walks over these in turn, so that a
        row comes again after `span` iterations, or a multiple, or later than matters. Registers are written at once.
        """
        if self.rows.registers:
            return ()
        step = self.rom.span if self.rom.span == self.rows.groups else 1
        return tuple(range(step, SPACING, step))

    @property
    def iterations(self) -> IntArray:
        """(inputs,) iterations for an event of each input."""
        return np.maximum(self.plane.visits * self.rom.span, self.least)

    @property
    def most_walked(self) -> IntArray:
        """What the events of a step walk, as `Plane.walked`, where the list is full."""
        taken, each = self.takes[0], self.plane.walked
        return np.asarray(each.sum(axis=0) if taken.single else each[each[:, 0].argmax()] * taken.capacity)

    @property
    def most_iterations(self) -> int:
        """Iterations where the list is full."""
        taken, each = self.takes[0], self.iterations
        return int(each.sum() if taken.single else each.max() * taken.capacity)

    def _cycles(self, taken: Sequence[Cycles], given: Cycles) -> Cycles:
        """One loop over all events; what is `given` (7, sequences, T) is `Plane.walked` of them."""
        visits, *short = given
        span = self.rom.span
        walked = visits * span + sum(few * max(0, self.least - at * span) for at, few in enumerate(short, start=1))
        started = loop(self.rows.rows)
        if self.ports.gives.restored is not None:
            return at_start(started, walked) + walked + LOOP_OVERHEAD_CYCLES
        return started + walked + LOOP_OVERHEAD_CYCLES

    def _memories(self) -> Sequence[Memory]:
        rom, lanes = self.rom, self.rows
        last = lanes.pe - (rom.fields.words - 1) * rom.fields.per_word
        widths = (*(rom.fields.per_word,) * (rom.fields.words - 1), last)
        words = np.ascontiguousarray(rom.words).view(np.int64)
        widths = tuple(width * rom.bits for width in widths)
        rows = Memory("WEIGHTS", words.shape[1], widths, words, reads=self.at_once)
        weights = (rows, *self.plane.memories) if self.walks else (rows,)
        if rom.bias is None:
            return (*super()._memories(), *weights)
        bits = int_bits(min(int(rom.bias.min()), -1), int(rom.bias.max()))
        bias = Memory("BIAS", lanes.groups, (bits,) * lanes.pe, rom.bias, "logic")
        return (*super()._memories(), *weights, bias)

    def _logic(self) -> Usage:
        lanes = self.rows.pe * self.at_once
        added = adders(lanes, self.signal.bits)
        if self.walks:
            added = Usage.total([added, forwards(lanes, self.signal.bits, self.near)])
        if self.takes[0].unit:
            return added
        return Usage.total([added, products(lanes, self.rom.bits, self.takes[0].bits)])


@dataclass(frozen=True, eq=False)
class ScatterRows(Scatter):
    """Fully connected synapses: a row of weights an event, so many `events` a cycle, one a port of the ROM.

    The first ones are written in place of what the sums were, so that these are not started anew before.
    """

    events: int
    accumulates: ClassVar[bool] = False
    walks: ClassVar[bool] = False

    @property
    def gathers(self) -> bool:
        return True

    @property
    def at_once(self) -> int:
        return self.events

    @property
    def facts(self) -> dict[str, Any]:
        return {**super().facts, "events": self.events}

    @property
    def most_iterations(self) -> int:
        return max(1, -(-self.takes[0].capacity // self.events)) * self.rows.groups

    def _cycles(self, taken: Sequence[Cycles], given: Cycles) -> Cycles:
        rounds = np.maximum(np.ceil(taken[0] / self.events), 1)
        return rounds * self.rows.groups + (0 if self.streamed else LOOP_OVERHEAD_CYCLES)

    def loops(self, events: Mapping[int, Cycles]) -> list[Cycles]:
        """Sums that are held are handed over in every step."""
        return [np.asarray(self._cycles([events[self.sources[0]]], np.zeros(1)))]


@dataclass(frozen=True, eq=False)
class SynapseBlueprint(Blueprint):
    """Of synapses; fully connected ones are a kernel of one tap on channels of one point."""

    layer: Weighted

    @property
    def most_events(self) -> int:
        return 2 if self._groups == 1 and Plane.of(self._window).single else 1

    @property
    def biased(self) -> bool | None:
        return None if self.most_events == 2 else bool(self.layer.bias.any())

    @property
    def hands(self) -> bool:
        return self.most_events == 2

    @property
    def _groups(self) -> int:
        return 1 if isinstance(self.layer, Dense) else self.layer.groups

    @property
    def _window(self) -> Window:
        layer = self.layer
        return Window((layer.inputs, 1, 1), (1, 1)) if isinstance(layer, Dense) else layer.window

    @property
    def _what(self) -> str:
        if isinstance(self.layer, Dense):
            return "fully connected"
        spread = "transposed " if isinstance(self.layer, ConvTranspose2d) else ""
        return f"{spread}convolution {'x'.join(map(str, self.layer.weight.shape))}"

    def takes_events(self, taken: Sequence[Signal]) -> bool:
        return True

    def gives(self, taken: Sequence[Signal], *, as_events: bool) -> Signal:
        """Bounds of all sums on the way: they are stored in one array, so one pair does for all."""
        layer, channels = self.layer, len(self.layer.weight)
        plane = (1, 1) if isinstance(layer, Dense) else self._window.output_sizes
        ends = layer.partial_range((taken[0].low, taken[0].high))
        low, high = (np.full(layer.outputs, end, dtype=np.int64) for end in ends)
        return Signal(False, Grid(channels, *plane), low, high)

    def unit(self, ports: Ports, settings: Settings) -> Scatter:
        layer, lanes = self.layer, ports.gives.lanes
        assert lanes is not None
        weight = layer.weight.reshape(*layer.weight.shape[:2], *self._window.kernel)
        rom = weight_rom(weight, layer.bias, self._groups, self._window, lanes)
        if self.most_events == 2:
            return ScatterRows(ports, rom, self._what, settings.events)
        return Scatter(ports, rom, self._what)
