"""What all units of neurons have in common: lanes, traces, the list of those that spiked, cycles."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.lanes import Lanes
from squat_deploy.hardware.memories import Memory, Style
from squat_deploy.hardware.tables import Spread
from squat_deploy.hardware.units.base import LOOP_OVERHEAD_CYCLES, Cycles, Events, Unit, lane_memory
from squat_deploy.hardware.words import Fields
from squat_deploy.network import IntArray

MASK_BITS = 64  # of a word of spikes; wider folding has several a row
_MASKS_IN_REGISTERS = 64


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

    def told(self, states: IntArray) -> IntArray:
        """What the readout takes of state indices."""
        return states

    def listed(self, fired: NDArray[np.bool_]) -> Events:
        """The list of the neurons that spiked, of (rows, pe)."""
        return Events.spikes(self.lanes.element(*np.nonzero(fired & self.lanes.active)))

    @property
    def _table(self) -> tuple[IntArray, ...]:
        """The leading indices of every table, (rows, 1) and (pe,)."""
        row, lane = np.arange(self.lanes.rows)[:, None], np.arange(self.lanes.pe)
        return {"shared": (), "channel": (row % self.lanes.groups, lane), "neuron": (row, lane)}[self.spread]

    def _cycles(self, taken: Sequence[Cycles], given: Cycles) -> Cycles:
        """A cycle a row; one a spike and one a word of spikes, and the states one by one: what is handed over."""
        rows, overhead = self.lanes.rows, LOOP_OVERHEAD_CYCLES
        handed = self.size + overhead if self.hands_over else 0
        listed = self.mask_words + given + overhead if self.lists_spikes else np.zeros_like(given)
        return rows + overhead + listed + handed

    def _kept(self, bits: int) -> tuple[Memory, Memory]:
        """States, and the spikes of a step."""
        style: Style = "registers" if self.lanes.rows <= _MASKS_IN_REGISTERS else "block"
        fired = Memory("fired", self.lanes.rows, (self.lanes.pe,), style=style)
        return lane_memory("states", self.lanes, bits, together=True), fired

    def _rom(self, name: str, table: IntArray, width: int, reads: int = 1) -> Memory:
        """One of all lanes, which all read it at once, or one bank a lane."""
        pe = self.lanes.pe
        if self.spread != "shared":
            return Memory(name, table.size // pe, (width,) * pe, table)
        return Memory(name, table.size, (width,), table, "logic", pe * reads)
