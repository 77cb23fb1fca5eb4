"""How many lanes each process gets by default: as few as let the core keep the pace of `USUAL` lanes everywhere.

So much is a good start: 16 weights of a few bits are what one or two block RAMs give in a cycle. Whoever wants a time,
or has a limit, asks `explore`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from squat_deploy.hardware.design import Design, Outline
from squat_deploy.hardware.graph import ENTRY, Process
from squat_deploy.hardware.lanes import widths
from squat_deploy.hardware.units import Unit
from squat_deploy.hardware.units.base import Cycles
from squat_deploy.hardware.units.scatter import Scatter
from squat_deploy.network.encoders import EventEncoder

USUAL = 16
_SLACK = 0.01  # that all steps together may be slower


@dataclass(frozen=True)
class Share:
    """What one process was given.

    Attributes:
        widest: the most lanes that it could have.
        given: by the options.
        cycles: a step, mean over some sequences.
        events: that its synapses take a cycle.
    """

    process: str
    pe: int
    widest: int
    given: bool
    cycles: float
    events: int = 1


@dataclass(frozen=True, eq=False)
class Pacing:
    """Cycles of every process at any PE.

    Attributes:
        thinnest: the core with PE 1.
        events: (sequences, T) of every list of events, by the number of the unit that gives it.
        simd: events that the first fully connected synapses take a cycle.
    """

    outline: Outline
    thinnest: Design
    events: Mapping[int, Cycles]
    simd: int

    def cycles(self, process: Process, pe: int) -> Cycles:
        """(sequences, T) of the slowest of its units, which work beside one another."""
        return np.max([self._cycles(unit, pe) for unit in self.thinnest.parts_of(process)], axis=0)

    def narrowest(self, process: Process, pace: Cycles, most: float) -> int:
        """The fewest lanes with which steps of a pace take no more cycles than `most` on average; all if none do."""
        widest = self.outline.widest(process)
        slower = ((pe, np.maximum(self.cycles(process, pe), pace).mean()) for pe in widths(widest))
        return next((pe for pe, mean in slower if mean <= most), widest)

    def shares(self) -> dict[int, Share]:
        """Of every process by its number. Raises: ExportError, ConfigError for a PE that it cannot have."""
        processes = self.outline.graph.processes
        asked = {process.number: self.outline.asked(process) for process in processes}
        others = [one for one in processes if not self._held(one)]
        usual = [self.cycles(one, asked[one.number] or self._usual(one)) for one in others]
        pace = np.max([np.full_like(self.events[ENTRY], self._words), *usual], axis=0)
        most = float(pace.mean()) * (1 + _SLACK)
        shares = dict[int, Share]()
        for one in processes:
            pe = asked[one.number] or (self._usual(one) if self._held(one) else self.narrowest(one, pace, most))
            given, widest, cycles = asked[one.number] is not None, self.outline.widest(one), self.cycles(one, pe)
            shares[one.number] = Share(one.name, pe, widest, given, float(cycles.mean()))
            pace = pace if self._held(one) else np.maximum(pace, cycles)
        return shares

    def _held(self, process: Process) -> bool:
        """Whether it adds up sums once a sequence, for which all others wait."""
        return any(isinstance(unit, Scatter) and unit.held for unit in self.thinnest.parts_of(process))

    @property
    def _words(self) -> float:
        """Cycles in which a step enters."""
        entry = self.outline.entry
        return 0.0 if entry.once or isinstance(entry.encoder, EventEncoder) else float(entry.fields.words)

    def _usual(self, process: Process) -> int:
        return min(USUAL, self.outline.widest(process))

    def _cycles(self, unit: Unit, pe: int) -> Cycles:
        """A pass over the lanes that an event meets for each of its taps; a cycle a row where sums are read.

        Sums that are held over a sequence are added up in its first step, before they are read.
        """
        none = np.zeros_like(self.events[ENTRY])
        if unit.lanes is None:
            return none
        rows = none + unit.lanes.positions * math.ceil(unit.lanes.channels / pe)
        if not isinstance(unit, Scatter):
            return rows
        banks = self.simd if unit.sources[0] == ENTRY and not unit.walks else 1  # behind neurons there may be fewer
        met = float(unit.plane.visits.mean()) * self.events[unit.sources[0]]
        return met * math.ceil(unit.rom.span / pe) / banks + (rows if unit.held else none)
