"""Ways on which beats and pages are handed over, each with the cycle in which that happens.

What is handed over does not depend on time, so every process tells what it would do as soon as it knows, in any order:
a giver from which cycle on a beat is there, a taker in which cycle it takes it. A process yields the way that it waits
for, and is run again when something has happened there.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import NamedTuple

RUNNING = -1  # the first cycle without reset, one before the first start


class Beat(NamedTuple):
    """A row or a beat of events.

    Attributes:
        end: of a step; starts: the step starts a sequence; last: it ends a call.
        numbers: fields that are not zero, or elements of events.
        word: of a row in its step.
    """

    end: bool
    starts: bool
    last: bool
    numbers: tuple[int, ...] = ()
    word: int = 0


@dataclass(eq=False)
class Way:
    """A stream from one process to another.

    Attributes:
        offers: (first cycle in which it is there, beat) of each beat so far.
        takes: cycle in which each was taken.
        ready: first cycle in which each could be taken, of takers that know it before it is there.
        waiting: processes that wait for a change; woken: those that can go on, all over.
    """

    woken: list[Process]
    offers: list[tuple[int, Beat]] = field(default_factory=list)
    takes: list[int] = field(default_factory=list)
    ready: list[int] = field(default_factory=list)
    waiting: list[Process] = field(default_factory=list)


@dataclass(eq=False)
class Pages:
    """Pages of sums between one filler and its readers.

    Attributes:
        count: of pages; readers: that each is read by.
        lag: cycles more from the last addition, or the room, to where readers see a page.
        filled: (cycle of the last addition, beat that ended the step) of each page.
        done: (cycles, by reader) in which each page was given back.
    """

    woken: list[Process]
    count: int
    readers: int
    lag: int = 0
    filled: list[tuple[int, Beat]] = field(default_factory=list)
    done: list[list[int]] = field(default_factory=list)
    waiting: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.done = [[] for _ in range(self.readers)]

    def released(self, page: int) -> int | None:
        """The first cycle in which the room of a page is free again, once that is known."""
        if page < 0:
            return 0
        if any(len(one) <= page for one in self.done):
            return None
        return max(one[page] for one in self.done) + 1


Process = Generator["Way | Pages", None, None]


def offered(way: Way, at: int) -> Generator[Way, None, tuple[int, Beat]]:
    """When the beat of this number is there, and the beat."""
    while len(way.offers) <= at:
        yield way
    return way.offers[at]


def taken(way: Way, at: int) -> Generator[Way, None, int]:
    """When it was taken."""
    while len(way.takes) <= at:
        yield way
    return way.takes[at]


def given(way: Way, cycle: int, beat: Beat) -> Generator[Way, None, int]:
    """Offers a beat from a cycle on; when it was taken."""
    at = len(way.offers)
    offer(way, cycle, beat)
    return (yield from taken(way, at))


def offer(way: Way, cycle: int, beat: Beat) -> None:
    """Says from when on a beat is there."""
    way.offers.append((cycle, beat))
    _wake(way)


def could_take(way: Way, at: int) -> Generator[Way, None, int]:
    """The first cycle in which the taker could take the beat of this number."""
    while len(way.ready) <= at:
        yield way
    return way.ready[at]


def expect(way: Way, cycle: int) -> Generator[Way, None, tuple[int, Beat]]:
    """Takes the next beat when it is there, from a cycle on; when that was, and the beat."""
    at = len(way.ready)
    way.ready.append(cycle)
    _wake(way)
    there, beat = yield from offered(way, at)
    take(way, max(cycle, there))
    return way.takes[at], beat


def take(way: Way, cycle: int) -> None:
    """Takes the next beat in a cycle."""
    way.takes.append(cycle)
    _wake(way)


def free(pages: Pages, step: int) -> Generator[Pages, None, int]:
    """The first cycle in which there is a page for a step."""
    while (found := pages.released(step - pages.count)) is None:
        yield pages
    return found


def fill(pages: Pages, cycle: int, beat: Beat) -> None:
    """Says when the last sum of a page is written."""
    pages.filled.append((cycle, beat))
    _wake(pages)


def full(pages: Pages, step: int) -> Generator[Pages, None, tuple[int, Beat]]:
    """The first cycle in which a page is shown to readers, and the beat that ended its step."""
    while len(pages.filled) <= step or (room := pages.released(step - 1)) is None:
        yield pages
    cycle, beat = pages.filled[step]
    return max(cycle + 1, room) + pages.lag, beat


def give_back(pages: Pages, reader: int, cycle: int) -> None:
    """Says when a reader has read the next page."""
    pages.done[reader].append(cycle)
    _wake(pages)


def _wake(way: Way | Pages) -> None:
    way.woken.extend(way.waiting)
    way.waiting.clear()


def run(woken: list[Process]) -> None:
    """Runs processes until each waits for something that does not come."""
    while woken:
        process = woken.pop()
        place = next(process, None)
        if place is not None:
            place.waiting.append(process)
