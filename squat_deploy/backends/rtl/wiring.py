"""Instances and what joins them: every unit takes what it is given in the form that it wants.

A stream with several takers is forked, and every leg waits in a queue that holds a whole step, so that it does not
matter in which order a taker of several streams takes them: nobody waits for more than the step that he is at. Sums
have a port for each of their readers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from squat_deploy.backends.rtl.instances import Fork, Instance, Lister, Queue
from squat_deploy.backends.rtl.memories import in_banks
from squat_deploy.backends.rtl.streams import Beats, Page, Rows, Stream
from squat_deploy.errors import ExportError
from squat_deploy.hardware.design import Design
from squat_deploy.hardware.graph import ENTRY
from squat_deploy.hardware.units import Unit


@dataclass(frozen=True, eq=False)
class _Leg:
    """One way from a giver to a taker: `through` has its handshake at the fork, and `out` is what is taken."""

    through: Stream
    out: Stream
    queued: bool


class Wiring:
    """The top under construction.

    Attributes:
        simd: banks of events.
        instances: so far, in the order in which they are printed.
    """

    def __init__(self, design: Design, simd: int) -> None:
        self.design, self.simd = design, simd
        self.instances = list[Instance]()
        self._takers = Counter(source for node in design.graph.nodes for source in node.sources)
        self._takers[design.neurons[-1].number] += 1  # the readout
        self._streams = dict[int, Stream]()
        self._pages = dict[int, list[Page]]()
        self._legs = defaultdict[int, list[_Leg]](list)

    def add(self, instance: Instance) -> None:
        self.instances.append(instance)

    def give(self, number: int, stream: Stream) -> None:
        """Says what stream a unit gives."""
        self._streams[number] = stream

    def pages(self, unit: Unit) -> tuple[Page, ...]:
        """The sums that a unit gives, a port for each of their readers."""
        lanes, readers = unit.lanes, self._takers[unit.number]
        assert lanes is not None
        names = [f"sums{unit.number}" + (f"_{reader}" if readers > 1 else "") for reader in range(readers)]
        pages = tuple(Page(name, lanes, unit.signal.bits, unit.held) for name in names)
        self._pages[unit.number] = list(pages)
        return pages

    def page(self, unit: Unit, branch: int = 0) -> Page:
        """A port of the sums that a unit takes."""
        return self._pages[unit.sources[branch]].pop(0)

    def stream(self, unit: Unit, branch: int = 0) -> Stream:
        """The stream that a unit takes."""
        source = unit.sources[branch]
        waits = self._takers[source] > 1 or (source != ENTRY and self.design.parts[source - 1].fires)
        return self.leg(source, queued=waits)

    def leg(self, number: int, *, queued: bool) -> Stream:
        """What a unit gives, for one more taker."""
        given, legs = self._streams[number], self._legs[number]
        alone = self._takers[number] == 1
        through = given if alone else given.renamed(f"{given.name}_leg{len(legs)}")
        out = through.renamed(f"queue{number}" + ("" if alone else f"_{len(legs)}")) if queued else through
        legs.append(_Leg(through, out, queued))
        return out

    def beats(self, unit: Unit, branch: int = 0) -> Beats:
        """The events that a unit takes, dealt over banks where they come as rows. Raises: ExportError."""
        stream, simd = self.stream(unit, branch), self.simd
        if isinstance(stream, Beats):
            if simd > 1:
                raise ExportError(f"{unit.name}: events of joined branches come one a cycle; use simd=1")
            return stream
        assert isinstance(stream, Rows)
        if stream.fields % simd:
            source = unit.sources[branch]
            name = "the input" if source == ENTRY else self.design.parts[source - 1].name
            what = f"{stream.fields} numbers a word" if source == ENTRY else f"PE {stream.fields}"
            works = max(number for number in range(1, simd) if stream.fields % number == 0)
            raise ExportError(f"{name}: {what} cannot be dealt over {simd} banks; use simd={works}")
        return self._listed(stream, f"{unit.number}" + (f"_{branch}" if branch else ""), simd)

    def finish(self) -> None:
        """Adds forks and queues."""
        for number, legs in self._legs.items():
            given = self._streams[number]
            if len(legs) > 1:
                through = tuple(leg.through for leg in legs)
                self.add(Fork(f"fork{number}", given, through, (False,) * len(legs)))
            for leg in legs:
                if leg.queued:
                    self.add(Queue(f"fifo_{leg.out.name}", given, leg.through, leg.out, 1))

    def _listed(self, rows: Rows, suffix: str, simd: int) -> Beats:
        elements = in_banks(rows.elements, simd)
        beats = Beats(f"event{suffix}", elements, rows.value, rows.signed, elements.size)
        self.add(Lister(f"lister{suffix}", rows, beats))
        return beats
