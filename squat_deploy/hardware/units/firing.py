"""What all units of neurons have in common: lanes, traces, the list of those that spiked, cycles."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.lanes import Lanes
from squat_deploy.hardware.listing import listing_rounds
from squat_deploy.hardware.logic import lister
from squat_deploy.hardware.memories import LUT_WORDS, Memory, Style, Usage
from squat_deploy.hardware.pipeline import DOUBLE
from squat_deploy.hardware.searches import How, is_logic
from squat_deploy.hardware.tables import Spread
from squat_deploy.hardware.units.base import LOOP_OVERHEAD_CYCLES, Cycles, Events, Unit, lane_memory, loop, pairs
from squat_deploy.hardware.words import Fields
from squat_deploy.network import IntArray

MASK_BITS = 32  # of a word of spikes, in which two are found in a cycle; wider folding has several a row
_AHEAD = 2  # words of spikes that are read ahead
_DISTRIBUTED_ROWS = 64
SETTLING = 10  # cycles in which a state is read, searched for and written


@dataclass(frozen=True, eq=False)
class Firing(Unit):
    """One layer of neurons.

    Attributes:
        states: of a neuron; `rest` is that at the start of a sequence.
        machines: different tables.
        hands_over: its states go to the readout after every step.
    """

    states: int
    rest: int
    machines: int
    hands_over: bool
    kind: ClassVar[str] = "neurons"
    fires: ClassVar[bool] = True
    remembers: ClassVar[bool] = True

    @property
    @abstractmethod
    def spread(self) -> Spread:
        """Leading dimensions of its tables."""

    @property
    def lanes(self) -> Lanes:
        """Neurons lie as the sums that they take."""
        return self.takes_lanes[0]

    @property
    def restores(self) -> bool | None:
        """Whether it writes back where sums start: at a bias, or at 0."""
        return self.ports.takes[0].restored

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
    def mask_bits(self) -> int:
        """Spikes in a word."""
        return min(self.masks.per_word, self.lanes.pe)

    @property
    def most_rounds(self) -> int:
        """Iterations in which all neurons are listed."""
        return int(self.rounds(np.ones((1, 1, self.size), dtype=bool))[0, 0])

    @property
    def mask_numbers(self) -> tuple[tuple[str, int, int], ...]:
        """The words of spikes, as `numbers`."""
        return (("mask", 0, 2**self.mask_bits - 1),) * self.lists_spikes

    def told(self, states: IntArray) -> IntArray:
        """What the readout takes of state indices."""
        return states

    def listed(self, fired: NDArray[np.bool_]) -> Events:
        """The list of the neurons that spiked, of (rows, pe)."""
        return Events.spikes(self.signal.grid.coded(self.lanes.element(*np.nonzero(fired & self.lanes.active))))

    @property
    def in_rounds(self) -> bool:
        return self.lists_spikes

    def rounds(self, listed: NDArray[Any]) -> IntArray:
        """Two spikes at a time of a word, and no row without any."""
        masks, lanes = self.masks, self.lanes
        placed = np.zeros((*listed.shape[:2], lanes.rows, masks.words * masks.per_word), dtype=bool)
        placed[:, :, *lanes.at(np.arange(self.size))] = listed
        counts = placed.reshape(*placed.shape[:3], masks.words, masks.per_word).sum(axis=4)
        if self.streamed:
            return listing_rounds(counts.reshape(*counts.shape[:2], -1))
        return np.asarray((pairs(counts).sum(axis=3) * counts.any(axis=3)).sum(axis=2))

    @property
    def _table(self) -> tuple[IntArray, ...]:
        """The leading indices of every table, (rows, 1) and (pe,)."""
        row, lane = np.arange(self.lanes.rows)[:, None], np.arange(self.lanes.pe)
        return {"shared": (), "channel": (row % self.lanes.groups, lane), "neuron": (row, lane)}[self.spread]

    @property
    def _list_logic(self) -> Usage:
        """Of the list, where it is a stage of its own."""
        return lister(self.mask_bits) if self.streamed and self.lists_spikes else Usage()

    @property
    def interval(self) -> int:
        """Cycles a row, streamed: a state is read again no earlier than it is written, and a word is sent a cycle."""
        return max(-(-SETTLING // self.lanes.rows), self.masks.words if self.lists_spikes else 1)

    def loops(self, events: Mapping[int, Cycles]) -> list[Cycles]:
        """Neurons, and the list of those that spiked."""
        fired = np.full(1, float(self.lanes.rows * self.interval))
        return [fired, self.listed_rounds(events)] if self.lists_spikes else [fired]

    def _cycles(self, taken: Sequence[Cycles], given: Cycles) -> Cycles:
        """A cycle a row, and the states one by one where they are handed over."""
        handed = loop(self.size) if self.hands_over else 0
        return loop(self.lanes.rows) + handed + np.zeros_like(given)

    def _listing(self, rounds: Cycles) -> Cycles:
        return rounds + LOOP_OVERHEAD_CYCLES

    def _kept(self, bits: int) -> tuple[Memory, ...]:
        """States, and the spikes of a step, by rows that have any."""
        states = lane_memory("states", self.lanes, bits, together=True)
        if self.streamed:
            return self._streams(states)
        if not self.lists_spikes:
            return (states,)
        rows = self.lanes.rows + _AHEAD
        style: Style = "distributed" if rows <= _DISTRIBUTED_ROWS else "block"
        fired = Memory("fired", rows, (self.masks.words * self.mask_bits,), style=style)
        return states, fired, Memory("places", rows, (self.signal.index_bits,))

    def _streams(self, states: Memory) -> tuple[Memory, ...]:
        """States, in a memory where they are met again in time; words of spikes, or rows of states, of two steps."""
        if states.style == "registers" and self.lanes.rows > 1:
            states = replace(states, style="distributed")
        rows = DOUBLE * self.lanes.rows
        word = self.mask_bits + self.signal.index_bits + 1
        sent = Memory("fired", rows * self.masks.words, (word,)) if self.lists_spikes else None
        return states, sent or Memory("told", rows, (self.lanes.pe * self.state_bits,))

    def _rom(self, name: str, table: IntArray, width: int, how: How | None = None) -> Memory:
        """Logic of all lanes, which all read it at once, or one bank a lane, or one for two; `how` it is searched."""
        pe, shared = self.lanes.pe, self.spread == "shared"
        if is_logic(table, shared=shared):  # comparisons of one search read parts of their own
            return Memory(name, table.size, (width,), table, "logic", pe)
        banks, fields = (len(table) if shared else pe), (table.shape[-1] if how == "at once" else 1)
        widths, depth = (width * fields,) * banks, table.size // banks // fields
        style: Style = "distributed" if depth <= LUT_WORDS else "block"
        return Memory(name, depth, widths, table, style, 1 + shared, fields)
