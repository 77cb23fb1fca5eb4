"""Neurons: a binary search of every lane through its thresholds, its next state, and the list of those that spiked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from squat_deploy.hardware.lanes import Lanes
from squat_deploy.hardware.memories import Memory, Style, Usage
from squat_deploy.hardware.signals import Signal, spikes
from squat_deploy.hardware.tables import NeuronTables, neuron_tables
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
    lane_memory,
    one_array,
)
from squat_deploy.hardware.words import Fields
from squat_deploy.network import IntArray, Neuron

MASK_BITS = 64  # of a word of spikes; wider folding has several a row
_MASKS_IN_REGISTERS = 64


@dataclass(frozen=True, eq=False)
class Fire(Unit):
    """One layer of neurons.

    Attributes:
        states: of a neuron; `rest` is that at the start of a sequence.
        machines: different tables.
        hands_over: its states go to the readout after every step.
    """

    tables: NeuronTables
    states: int
    rest: int
    machines: int
    hands_over: bool
    kind: ClassVar[str] = "neurons"
    fires: ClassVar[bool] = True

    @property
    def lanes(self) -> Lanes:
        """Neurons lie as the sums that they take."""
        return self.takes_lanes[0]

    @property
    def state_bits(self) -> int:
        """Of a state index."""
        return max(1, (self.states - 1).bit_length())

    @property
    def lists_spikes(self) -> bool:
        """Whether anybody takes them: a readout of membranes does not."""
        return self.copies > 0 or not self.hands_over

    @property
    def trace_bits(self) -> int:
        """Of one neuron in a trace word: state index * 2 + spike."""
        return self.state_bits + 1

    @property
    def trace(self) -> Fields:
        """One step of the layer in the words of a trace."""
        return Fields(self.size, self.trace_bits)

    @property
    def masks(self) -> Fields:
        """The spikes of one row, a bit each."""
        return Fields(self.lanes.pe, 1, MASK_BITS)

    @property
    def mask_words(self) -> int:
        """Of a step."""
        return self.lanes.rows * self.masks.words

    @property
    def about(self) -> str:
        return f"{self.size} neurons, {self.states} states, {self.tables.form} form"

    @property
    def facts(self) -> dict[str, Any]:
        tables = self.tables
        facts = {"state_bits": self.state_bits, "key_bits": tables.key_bits, "form": tables.form}
        return {**super().facts, **facts, "fraction_bits": tables.fraction_bits, "tables": self.machines}

    @property
    def numbers(self) -> tuple[tuple[str, int, int], ...]:
        half = 2 ** (self.tables.key_bits - 1)
        return ("key", -half, half - 1), ("state", 0, self.states - 1)

    def run(self, kept: Kept, *taken: Flow) -> Events:
        """`kept["states"]` is (rows, pe)."""
        state = kept.get("states", self.lanes.zeros + self.rest)
        level = self._level(state, one_array(taken[0]))
        successor = self.tables.successor
        kept["states"] = level if successor is None else successor[(*self._table, state, level)]
        fired = (level >= self.tables.fire_level[self._table]) & self.lanes.active
        return Events.spikes(self.lanes.element(*np.nonzero(fired)))

    def _level(self, state: IntArray, sums: IntArray) -> IntArray:
        """The level that every lane reaches, one comparison a bit."""
        tables, keys, level = self.tables, sums, np.zeros_like(sums)
        at: tuple[Any, ...] = (*self._table, state)
        if tables.keys is not None:
            keys = tables.keys[at] + sums * 2**tables.fraction_bits
            at = self._table
        for bit in reversed(range(tables.search_bits)):
            level = level + 2**bit * (tables.searched[(*at, level + 2**bit - 1)] <= keys)
        return level

    @property
    def _table(self) -> tuple[IntArray, ...]:
        """The leading indices of every table, (rows, 1) and (pe,)."""
        row, lane = np.arange(self.lanes.rows)[:, None], np.arange(self.lanes.pe)
        return {"shared": (), "channel": (row % self.lanes.groups, lane), "neuron": (row, lane)}[self.tables.spread]

    def _cycles(self, taken: Sequence[Cycles], given: Cycles) -> Cycles:
        """A cycle a row; one a spike and one a word of spikes, and the states one by one: what is handed over."""
        rows, overhead = self.lanes.rows, LOOP_OVERHEAD_CYCLES
        handed = self.size + overhead if self.hands_over else 0
        listed = self.mask_words + given + overhead if self.lists_spikes else np.zeros_like(given)
        return rows + overhead + listed + handed

    def _memories(self) -> Sequence[Memory]:
        lanes, bits = self.lanes, self.state_bits
        style: Style = "registers" if lanes.rows <= _MASKS_IN_REGISTERS else "block"
        fired = Memory("fired", lanes.rows, (lanes.pe,), style=style)
        return (lane_memory("states", lanes, bits), fired, *(self._rom(*item) for item in self.tables.arrays().items()))

    def _rom(self, name: str, table: IntArray) -> Memory:
        """One of all lanes, which all read it at once, or one bank a lane."""
        tables, pe = self.tables, self.lanes.pe
        width = {"SUCCESSOR": self.state_bits, "FIRE_LEVEL": 16}.get(name, tables.key_bits)
        if tables.spread != "shared":
            return Memory(name, table.size // pe, (width,) * pe, table)
        reads = tables.search_bits if table is tables.searched else 1
        return Memory(name, table.size, (width,), table, "logic", pe * reads)

    def _logic(self) -> Usage:
        key = self.lanes.pe * self.tables.key_bits
        return Usage(lut=key * self.tables.search_bits, ff=3 * key)


@dataclass(frozen=True, eq=False)
class NeuronBlueprint(Blueprint):
    """Of a layer of neurons."""

    layer: Neuron
    fires: ClassVar[bool] = True

    def takes_events(self, taken: Sequence[Signal]) -> bool:
        return False

    def gives(self, taken: Sequence[Signal], *, as_events: bool) -> Signal:
        return spikes(self.layer.neurons, taken[0].channels, taken[0].positions)

    def unit(self, ports: Ports, settings: Settings) -> Fire:
        neuron, lanes = self.layer, ports.takes[0].lanes
        assert lanes is not None
        tables = neuron_tables(neuron, lanes, *settings.reach, settings.form)
        machines = len(neuron.thresholds)
        return Fire(ports, tables, neuron.states, neuron.initial_state, machines, settings.hands_over)
