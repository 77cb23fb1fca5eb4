"""Transition tables of neurons as they stand in hardware: form, padding, one for all or one a channel or neuron."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from squat_deploy.errors import ExportError
from squat_deploy.hardware.lanes import Lanes
from squat_deploy.hardware.searches import LOGIC_ENTRIES, How, copied, how, searched
from squat_deploy.network import IntArray, Neuron, int_bits
from squat_deploy.network.layers import NeuronLayer
from squat_deploy.network.transition import OffsetForm, key_form

MAX_TABLE_ENTRIES = 2**22
_SMALL_LEVELS = 4  # up to here thresholds cost no more logic than the offset form
Spread = Literal["shared", "channel", "neuron"]


@dataclass(frozen=True, eq=False)
class NeuronTables:
    """Constant arrays of one neuron layer.

    Attributes:
        spread: leading dimensions of every array: none, (groups, pe) or (rows, pe).
        pe: lanes.
        keys: OFFSET of the offset form, or None in the threshold form.
        levels: that there are.
        searched: what the binary search runs over, padded to 2**search_bits - 1 entries.
        successor: carried state by state and level, 2**search_bits of these, or None where it is the level.
    """

    spread: Spread
    pe: int
    form: str
    fraction_bits: int
    key_low: int
    key_high: int
    levels: int
    keys: IntArray | None
    searched: IntArray
    search_bits: int
    successor: IntArray | None
    fire_level: IntArray

    @property
    def key_bits(self) -> int:
        """Width of the number that is searched for, signed."""
        return int_bits(min(self.key_low, -1), self.key_high)

    @property
    def shared(self) -> bool:
        """Whether all neurons have one table."""
        return self.spread == "shared"

    @property
    def searches(self) -> bool:
        """Whether RTL searches for a level, a comparison a cycle."""
        return self.shift is None and (self.keys is not None or self.levels > _SMALL_LEVELS)

    @property
    def search(self) -> str:
        """Name of what is searched."""
        return "THRESHOLDS" if self.keys is None else "BOUNDARIES"

    @property
    def shift(self) -> int | None:
        """Bits that a key is shifted right by to be the level, clipped, or None where boundaries are not so."""
        if self.keys is None:
            return None
        bits = int(self.searched.flat[0]).bit_length() - 1
        regular = np.arange(1, self.levels) << max(bits, 0)
        return bits if bits >= 0 and (self.searched[..., : self.levels - 1] == regular).all() else None

    @property
    def how(self) -> How:
        """How it is searched."""
        return how(self.searched, self.search_bits, shared=self.shared)

    def arrays(self) -> dict[str, IntArray]:
        """The constant arrays by name; one first firing level for all is no array."""
        arrays = {} if self.keys is None else {"OFFSET": self.keys}
        arrays |= searched(self.search, self.searched, self.search_bits, shared=self.shared)
        if self.successor is not None:
            arrays["SUCCESSOR"] = self.successor
        return copied(arrays, self.pe, shared=True) if self.shared else {**arrays, "FIRE_LEVEL": self.fire_level}


def neuron_tables(neuron: Neuron, lanes: Lanes, low: int, high: int, form: str) -> NeuronTables:
    """Tables for synaptic sums in low..high. Raises: ExportError naming the layer and the rule."""
    chosen = _choose_form(neuron, low, high, form)
    spread = spread_of(neuron, lanes)
    key_low, key_high = _key_range(neuron, chosen, low, high)
    table = neuron.thresholds if chosen is None else chosen.boundaries
    search_bits = (neuron.level_count - 1).bit_length()
    missing = 2**search_bits - 1 - table.shape[-1]
    padding = [(0, 0)] * (table.ndim - 1) + [(0, missing)]
    table = np.pad(table, padding, constant_values=key_high)  # one more than any key
    check_entries(neuron, lanes, spread, table[0].size)

    def placed(tables: IntArray) -> IntArray:
        return spread_out(tables, neuron, lanes, spread)

    return NeuronTables(
        spread=spread,
        pe=lanes.pe,
        form="threshold" if chosen is None else "offset",
        fraction_bits=0 if chosen is None else chosen.fraction_bits,
        key_low=key_low,
        key_high=key_high,
        levels=neuron.level_count,
        keys=None if chosen is None else placed(chosen.offset),
        searched=placed(table),
        search_bits=search_bits,
        successor=None if neuron.carries_level else placed(padded_successor(neuron.successor, search_bits)),
        fire_level=placed(neuron.fire_level),
    )


def padded_successor(successor: IntArray, search_bits: int) -> IntArray:
    """An entry for whatever a search of that many comparisons could return, so that none is out of bounds."""
    return np.pad(successor, [(0, 0), (0, 0), (0, 2**search_bits - successor.shape[2])], mode="edge")


def check_entries(neuron: NeuronLayer, lanes: Lanes, spread: Spread, size: int) -> None:
    """Raises: ExportError where tables of this size are too many."""
    twofold = (lanes.pe + 1) // 2 if size > LOGIC_ENTRIES else 1
    copies = {"shared": twofold, "channel": lanes.groups * lanes.pe, "neuron": lanes.rows * lanes.pe}[spread]
    if (entries := copies * size) > MAX_TABLE_ENTRIES:
        instead = "a lower PE" if spread == "shared" else "one scale for the whole layer instead of one a neuron"
        raise ExportError(
            f"{neuron.name}: its tables have {entries} entries, the limit is {MAX_TABLE_ENTRIES}; "
            f"use fewer state bits, or {instead}"
        )


def spread_of(neuron: NeuronLayer, lanes: Lanes) -> Spread:
    """Whether all neurons, or all of a channel, share a table."""
    if neuron.tables == 1:
        return "shared"
    by_channel = neuron.table.reshape(lanes.channels, lanes.positions)
    return "channel" if (by_channel == by_channel[:, :1]).all() else "neuron"


def spread_out(tables: IntArray, neuron: NeuronLayer, lanes: Lanes, spread: Spread) -> IntArray:
    """(K, ...) as it stands in hardware."""
    if spread == "shared":
        return tables[0]
    if spread == "neuron":
        return lanes.by_element(tables[neuron.table])
    return lanes.by_channel(tables[neuron.table[:: lanes.positions]])


def _choose_form(neuron: Neuron, low: int, high: int, wanted: str) -> OffsetForm | None:
    if wanted == "threshold" or (wanted == "auto" and neuron.level_count <= _SMALL_LEVELS):
        return None
    found = key_form(neuron, low, high)
    if found is None and wanted == "offset":
        raise ExportError(
            f"{neuron.name}: no offset/boundary form exists: rounding ties of its thresholds contradict each other; "
            "use form='threshold' or 'auto'"
        )
    return found


def _key_range(neuron: Neuron, form: OffsetForm | None, low: int, high: int) -> tuple[int, int]:
    if form is None:
        return min(low, int(neuron.thresholds.min())), max(high, int(neuron.thresholds.max())) + 1
    scale = 2**form.fraction_bits
    lowest = int(form.offset.min()) + min(low * scale, 0)
    highest = int(form.offset.max()) + max(high * scale, 0)
    return min(lowest, int(form.boundaries.min())), max(highest, int(form.boundaries.max())) + 1
