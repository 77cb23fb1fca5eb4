"""Instances and what joins them: every unit takes what it is given in the form that it wants.

A stream with several takers is forked, and every leg waits in a queue that holds a whole step, so that it does not
matter in which order a taker of several streams takes them: nobody waits for more than the step that he is at. Sums
have a port for each of their readers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from squat_deploy.backends.rtl.events import Dealer, Join, Lister, Narrow, Recode, Sorter
from squat_deploy.backends.rtl.flow import Ahead, Fork, Late, Queue, Repeat
from squat_deploy.backends.rtl.instance import Instance
from squat_deploy.backends.rtl.memories import in_banks
from squat_deploy.backends.rtl.sharing import parts_of
from squat_deploy.backends.rtl.streams import NOTHING, Beats, Page, Rows, Stream, Ticks, elements_of
from squat_deploy.backends.rtl.sums import Place, Unload, reading_of
from squat_deploy.errors import ExportError
from squat_deploy.hardware.design import Design
from squat_deploy.hardware.graph import ENTRY
from squat_deploy.hardware.lanes import Lanes
from squat_deploy.hardware.units import Firing, Unit
from squat_deploy.hardware.units.joins import AddSums


@dataclass(frozen=True, eq=False)
class _Leg:
    """One way from a giver to a taker: `through` has its handshake at the fork, and `out` is what is taken.

    Attributes:
        short: the taker takes nothing else, so a few beats may wait.
    """

    through: Stream
    out: Stream
    queued: bool
    short: bool


class Wiring:
    """The top under construction.

    Attributes:
        simd: banks of events.
        pace: cycles of an average step.
        instances: so far, in the order in which they are printed.
    """

    def __init__(self, design: Design, simd: int, pace: float) -> None:
        self.design, self.simd, self.pace = design, simd, pace
        self.instances = list[Instance]()
        self._takers = Counter(source for node in design.graph.nodes for source in node.sources)
        self._takers[design.neurons[-1].number] += 1  # the readout
        self._takers[ENTRY] += sum(port.late for part in design.parts for port in part.ports.takes)  # ticks
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
        lanes, readers = unit.lanes, self._readers(unit.number)
        assert lanes is not None
        names = [f"sums{unit.number}" + (f"_{reader}" if readers > 1 else "") for reader in range(readers)]
        reading = 1
        takers = [part for part in self.design.parts if unit.number in part.sources]
        if readers == 1 and isinstance(takers[0], Firing):
            (lanes,) = takers[0].takes_lanes  # narrower where lanes share a neuron unit
            reading = reading_of(unit, lanes)
        pages = tuple(Page(name, lanes, unit.signal.bits, unit.held, unit.number, reading) for name in names)
        self._pages[unit.number] = list(pages)
        return pages

    def page(self, unit: Unit, branch: int = 0) -> Page:
        """A port of the sums that a unit takes."""
        return self._pages[unit.sources[branch]].pop(0)

    def _readers(self, number: int) -> int:
        """Ports of the sums of a unit; who adds pages up as they are read needs one for each reader of his own."""
        takers = [unit for unit in self.design.parts if number in unit.sources]
        each = [self._readers(unit.number) if reads_through(unit) else 1 for unit in takers]
        return sum(unit.sources.count(number) * ports for unit, ports in zip(takers, each, strict=True))

    def leg(self, number: int, *, queued: bool, tick: bool = False, short: bool = False) -> Stream:
        """What a unit gives, for one more taker."""
        given, legs = self._streams[number], self._legs[number]
        alone = self._takers[number] == 1
        through = given if alone else given.renamed(f"{given.name}_leg{len(legs)}")
        if tick:
            through = Ticks(through.name, through.elements, 1, signed=False)
        out = through.renamed(f"queue{number}" + ("" if alone else f"_{len(legs)}")) if queued else through
        legs.append(_Leg(through, out, queued, short))
        return out

    def stream(self, unit: Unit, branch: int = 0) -> Stream:
        """The stream that a unit takes: of this step, or of the step before, or of the first one."""
        port = unit.ports.takes[branch]
        source, suffix = port.number, _suffix(unit, branch)
        waits = port.late or self._takers[source] > 1 or (source != ENTRY and self.design.parts[source - 1].fires)
        only = self._takers[source] == 1 and len(unit.sources) == 1 and not port.late
        taken = self.leg(source, queued=waits, short=only)
        if port.late:
            assert isinstance(taken, Rows)
            ticks = self.leg(ENTRY, queued=True, tick=True)
            assert isinstance(ticks, Ticks)
            late = taken.renamed(f"late{suffix}")
            self.add(Late(f"before{suffix}", ticks, taken, late))
            return late
        if port.signal.constant and not unit.signal.constant:
            return self.repeated(taken, suffix)
        return taken

    def repeated(self, taken: Stream, suffix: str) -> Stream:
        """What comes in the first step of a sequence, in all steps."""
        again = taken.renamed(f"again{suffix}")
        self.add(Repeat(f"repeat{suffix}", taken, again))
        return again

    def rows(self, unit: Unit, branch: int = 0) -> Rows:
        """The stream that a unit takes, as rows."""
        stream, suffix, signal = self.stream(unit, branch), _suffix(unit, branch), unit.takes[branch]
        if isinstance(stream, Rows):
            return stream
        assert isinstance(stream, Beats)
        lanes = Lanes(signal.size, 1, min(signal.size, _FIELDS))
        page = Page(f"sums{suffix}_rows", lanes, signal.bits, held=False, number=unit.sources[branch])
        self.placed(stream, f"{suffix}_rows", (page,))
        return self.unloaded(page, f"{suffix}_rows")

    def beats(self, unit: Unit, branch: int = 0) -> Beats:
        """The events that a unit takes, dealt over banks where they come as rows. Raises: ExportError."""
        stream, simd = self.stream(unit, branch), self.simd
        if isinstance(stream, Beats):
            return self._sorted(stream, _suffix(unit, branch))
        assert isinstance(stream, Rows)
        works = max(number for number in range(1, simd + 1) if stream.fields % number == 0)
        if works < simd and unit.sources[branch] == ENTRY:
            what = f"{stream.fields} numbers a word"
            raise ExportError(f"the input: {what} cannot be dealt over {simd} banks; use simd={works}")
        suffix = _suffix(unit, branch)
        if works > 1:
            return self._dealt(self._narrow(stream, unit, suffix, works), suffix, works)
        found = self.listed(self._narrow(stream, unit, suffix, works), suffix)
        ahead = found.renamed(f"ahead{suffix}")
        self.add(Ahead(f"fifo_ahead{suffix}", found, found, ahead))
        return ahead

    def _dealt(self, rows: Rows, suffix: str, simd: int) -> Beats:
        """Rows as events of several banks at once."""
        elements = in_banks(rows.elements, simd)
        beats = Beats(f"event{suffix}", elements, rows.value, rows.signed, elements.size)
        self.add(Dealer(f"dealer{suffix}", rows, beats))
        return beats

    def _sorted(self, beats: Beats, suffix: str) -> Beats:
        """Events one a cycle as events of several banks: a power of two of these, with two indices each at least."""
        simd = 2 ** min(self.simd.bit_length() - 1, beats.index - 1)
        if simd == 1:
            return beats
        named = beats.elements[0]
        named = np.pad(named, (0, 2**beats.index - len(named)), constant_values=NOTHING)
        out = Beats(f"sorted{suffix}", named.reshape(-1, simd).T, beats.value, beats.signed, beats.capacity)
        self.add(Sorter(f"sorter{suffix}", beats, out))
        return out

    def _narrow(self, rows: Rows, unit: Unit, suffix: str, simd: int) -> Rows:
        """Rows of as few numbers as there is time for, since a search in few is small."""
        groups = 1 if unit.lanes is None else unit.lanes.groups
        parts = parts_of(rows, simd, groups, self.pace)
        queued = simd > 1 and rows.words > 1  # in banks
        if parts == 1 and rows.fields > _AT_ONCE and not queued:  # a long search is kept apart from what is before it
            before = rows.renamed(f"before{suffix}")
            self.add(Ahead(f"fifo_before{suffix}", rows, rows, before))
            return before
        if parts == 1:
            return rows
        elements = rows.elements.reshape(len(rows.elements) * parts, -1)
        narrow = Rows(f"narrow{suffix}", elements, rows.value, rows.signed)
        self.add(Narrow(f"narrower{suffix}", rows, narrow))
        return narrow

    def elements(self, stream: Stream, suffix: str, size: int) -> Beats:
        """Events one a cycle, by the number of their element."""
        beats = self.listed(stream, suffix) if isinstance(stream, Rows) else stream
        assert isinstance(beats, Beats)
        named = beats.elements[0]
        if (named == NOTHING)[:size].any() or (named[:size] != np.arange(min(size, len(named)))).any():
            coded = Beats(f"coded{suffix}", np.arange(size)[None], beats.value, beats.signed, beats.capacity)
            self.add(Recode(f"recode{suffix}", beats, coded))
            return coded
        return beats

    def listed(self, rows: Rows, suffix: str) -> Beats:
        """Rows as events, one a cycle."""
        elements = rows.elements.reshape(1, -1)
        beats = Beats(f"event{suffix}", elements, rows.value, rows.signed, elements.size)
        self.add(Lister(f"lister{suffix}", rows, beats))
        return beats

    def placed(self, beats: Beats, suffix: str, pages: tuple[Page, ...]) -> None:
        """Events as sums."""
        self.add(Place(f"place{suffix}", beats, pages))

    def unloaded(self, page: Page, suffix: str) -> Rows:
        """Sums as rows."""
        rows = Rows(f"unloaded{suffix}", elements_of(page.lanes), page.bits, signed=True)
        self.add(Unload(f"unload{suffix}", page, rows))
        return rows

    def joined(self, unit: Unit, branches: Sequence[Beats], firsts: Sequence[int], factors: Sequence[int]) -> Beats:
        """Events one after another, named by the elements of a unit."""
        elements = np.arange(unit.size)[None]
        value = (1, False) if unit.signal.unit else (unit.signal.bits, True)

        def join(before: tuple[Beats, int, int], branch: tuple[Beats, int, int]) -> tuple[Beats, int, int]:
            number = sum(isinstance(one, Join) for one in self.instances)
            (first, first_at, first_by), (second, second_at, second_by) = before, branch
            out = Beats(f"joined{number}", elements, *value, first.capacity + second.capacity)
            self.add(Join(f"join{number}", (first, second), (first_at, second_at), (first_by, second_by), out))
            return out, 0, 1

        return reduce(join, zip(branches, firsts, factors, strict=True))[0]

    def finish(self) -> None:
        """Adds forks and queues."""
        for number, legs in self._legs.items():
            given = self._streams[number]
            if len(legs) > 1:
                ticks = tuple(isinstance(leg.through, Ticks) for leg in legs)
                self.add(Fork(f"fork{number}", given, tuple(leg.through for leg in legs), ticks))
            for leg in legs:
                if leg.queued:
                    source = given
                    if isinstance(leg.out, Ticks):
                        source = Ticks(given.name, given.elements, 1, signed=False)
                    most = min(leg.out.most, _SHORT) if leg.short else leg.out.most
                    self.add(Queue(f"fifo_{leg.out.name}", source, leg.through, leg.out, most))


Builder = Callable[[Wiring, Unit], None]
_AT_ONCE = 8  # numbers of a row that are searched quickly
_SHORT = 128  # beats that wait for one who takes nothing else: his giver may wait, too
_FIELDS = 16  # numbers of a row that is made of events


def _suffix(unit: Unit, branch: int) -> str:
    return f"{unit.number}" + (f"_{branch}" if branch else "")


def reads_through(unit: Unit) -> bool:
    """Whether it adds pages up as they are read."""
    return isinstance(unit, AddSums) and unit.parallel
