"""Neurons: a binary search of every lane through its thresholds, its next state, and the list of those that spiked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from squat_deploy.hardware.logic import adders, searches
from squat_deploy.hardware.memories import Memory, Usage
from squat_deploy.hardware.signals import Signal, spikes
from squat_deploy.hardware.tables import NeuronTables, Spread, neuron_tables
from squat_deploy.hardware.units.base import Blueprint, Events, Flow, Kept, Ports, Settings, one_array
from squat_deploy.hardware.units.firing import Firing
from squat_deploy.network import IntArray, Neuron


@dataclass(frozen=True, eq=False)
class Fire(Firing):
    """Neurons by tables of one state."""

    tables: NeuronTables

    @property
    def spread(self) -> Spread:
        return self.tables.spread

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
        return *self.mask_numbers, ("key", -half, half - 1), ("state", 0, self.states - 1)

    def run(self, kept: Kept, *taken: Flow) -> Events:
        """`kept["states"]` is (rows, pe)."""
        state = kept.get("states", self.lanes.zeros + self.rest)
        level = self._level(state, one_array(taken[0]))
        successor = self.tables.successor
        kept["states"] = level if successor is None else successor[(*self._table, state, level)]
        return self.listed(level >= self.tables.fire_level[self._table])

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

    def _memories(self) -> Sequence[Memory]:
        tables = self.tables
        widths = {"SUCCESSOR": self.state_bits, "FIRE_LEVEL": 16}
        roms = (
            self._rom(
                name,
                table,
                widths.get(name, tables.key_bits),
                tables.how if name == tables.search else None,
            )
            for name, table in tables.arrays().items()
        )
        return *self._kept(self.state_bits), *roms

    def _logic(self) -> Usage:
        pe, tables = self.lanes.pe, self.tables
        found = searches(pe, tables.key_bits, tables.search_bits, tables.how)
        keys = () if tables.keys is None else (adders(pe, tables.key_bits),)
        return Usage.total([*keys, found, self._list_logic])


@dataclass(frozen=True, eq=False)
class NeuronBlueprint(Blueprint):
    """Of a layer of neurons."""

    layer: Neuron
    fires: ClassVar[bool] = True

    def takes_events(self, taken: Sequence[Signal]) -> bool:
        return False

    def gives(self, taken: Sequence[Signal], *, as_events: bool) -> Signal:
        return spikes(taken[0].grid)

    def unit(self, ports: Ports, settings: Settings) -> Fire:
        neuron, lanes = self.layer, ports.takes[0].lanes
        assert lanes is not None
        tables = neuron_tables(neuron, lanes, *settings.reach, settings.form)
        return Fire(ports, neuron.states, neuron.initial_state, neuron.tables, settings.hands_over, tables)
