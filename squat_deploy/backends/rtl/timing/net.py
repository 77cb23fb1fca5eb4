"""What the processes of one core share: its ways and pages, and what flows in them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from squat_deploy.backends.rtl.instance import Instance
from squat_deploy.backends.rtl.plan import RtlPlan
from squat_deploy.backends.rtl.planes import PooledSums
from squat_deploy.backends.rtl.streams import Page, Rows, Stream
from squat_deploy.backends.rtl.sums import Add, Dense, Place
from squat_deploy.backends.rtl.timing.ways import Beat, Pages, Process, Way
from squat_deploy.hardware.graph import ENTRY
from squat_deploy.hardware.schedule import known_values, values_of
from squat_deploy.network import IntArray
from squat_deploy.network.simulator import Result

_MANY = 2**62  # pages where none are stored


class Net:
    """One core, and some sequences of a simulated run.

    Attributes:
        alone: no sequence begins before the scores of the one before are out.
        sent: taken when the last score of a sequence is.
    """

    def __init__(self, plan: RtlPlan, inputs: IntArray, result: Result, *, alone: bool) -> None:
        self.plan, self.alone = plan, alone
        self.sequences, self.steps = len(result.scores), plan.design.network.steps
        self.woken = list[Process]()
        self.sent = Way(self.woken)
        self._ways, self._pages = dict[str, Way](), dict[str, tuple[Pages, int]]()
        self._known = known_values(plan.design, inputs, result)
        self._flags = dict[str, IntArray]()

    def way(self, stream: Stream) -> Way:
        """That of a stream, by its name."""
        return self._ways.setdefault(stream.name, Way(self.woken))

    def filled(self, outs: tuple[Page, ...]) -> Pages:
        """The pages that a filler fills for these readers."""
        return self._shared(outs)[0]

    def read(self, page: Page) -> tuple[Pages, int]:
        """The pages that a reader reads, and his number."""
        return self._pages[page.name]

    def know(self, part: Instance) -> None:
        """Makes the pages that an instance fills, two as a rule; a single row is registers."""
        outs = tuple(bundle for bundle in part.gives if isinstance(bundle, Page))
        count = _MANY if isinstance(part, Add) else 2 if isinstance(part, PooledSums) or not outs[0].held else 1
        pages = Pages(self.woken, count, len(outs), isinstance(part, Dense | Place) and part.rows == 1)
        for number, page in enumerate(outs):
            self._pages[page.name] = pages, number

    def _shared(self, outs: tuple[Page, ...]) -> tuple[Pages, int]:
        return self._pages[outs[0].name]

    def rows(self, stream: Rows, number: int, sequence: int, step: int, *, short: bool = False) -> Iterator[Beat]:
        """The rows of a step of what a unit gives; one that is empty of a `short` step."""
        starts, last = step == 0, step == self.steps - 1
        if short:
            yield Beat(True, starts, last)
            return
        marked = self._marked(stream, number)[step, sequence]
        for word, row in enumerate(marked):
            yield Beat(word == stream.words - 1, starts, last, tuple(np.flatnonzero(row).tolist()), word)

    def counts(self, sequence: int, step: int) -> int:
        """Address events of a step."""
        return int(values_of(self.plan.design, ENTRY, self._known)[step, sequence].sum())

    def _marked(self, stream: Rows, number: int) -> IntArray:
        """(T, B, words, fields) whether a field is not zero."""
        if stream.name not in self._flags:
            values = values_of(self.plan.design, number, self._known) != 0
            self._flags[stream.name] = values[..., np.maximum(stream.elements, 0)] & (stream.elements >= 0)
        return self._flags[stream.name]
