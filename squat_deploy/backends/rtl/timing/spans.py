"""When every instance of a core works, step by step, as a simulation would show it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from squat_deploy.backends.rtl.flow import Reader, Repeat
from squat_deploy.backends.rtl.instance import Instance
from squat_deploy.backends.rtl.neurons import Neurons
from squat_deploy.backends.rtl.planes import Plane, PooledSums
from squat_deploy.backends.rtl.streams import Page, Stream
from squat_deploy.backends.rtl.sums import Dense, Place
from squat_deploy.backends.rtl.timing.net import Net
from squat_deploy.backends.rtl.timing.ways import Pages, Way
from squat_deploy.network import IntArray

_SHOWN = (Reader, Repeat, Dense, Place, Plane, PooledSums, Neurons)  # others pass on what these take and give


@dataclass(frozen=True, eq=False)
class Span:
    """One instance, by its name in the core.

    Attributes:
        starts, ends: (sequences, T) first and last cycle of each step in which it takes or gives something.
        works: whether a step can wait for it: it fills sums, or is the last to fire.
    """

    name: str
    about: str
    starts: IntArray
    ends: IntArray
    works: bool

    @property
    def cycles(self) -> IntArray:
        """(sequences, T) from the first to the last."""
        return self.ends - self.starts + 1


def spans(net: Net) -> Iterator[Span]:
    """Of the instances that make something, in their order, of a core whose time has been told."""
    last = [part for part in net.plan.instances if isinstance(part, Neurons)][-1]
    for part in net.plan.instances:
        if not isinstance(part, _SHOWN):
            continue
        ends, shape = _ends(net, part), (net.sequences, net.steps)
        starts = [] if len(ends) != net.sequences * net.steps else _starts(net, part, ends)
        if len(starts) == len(ends):
            works = part is last or not isinstance(part, Reader | Repeat | Neurons)
            yield Span(part.name, part.about, np.reshape(starts, shape), np.reshape(ends, shape), works)


def _ends(net: Net, part: Instance) -> list[int]:
    """The last cycle of every step in which something is given."""
    given = part.gives[0]
    if isinstance(given, Page):
        return [cycle for cycle, _ in net.read(given)[0].filled]
    assert isinstance(given, Stream)
    way = net.way(given)
    return [cycle for cycle, (_, beat) in zip(way.takes, way.offers, strict=False) if beat.end]


def _starts(net: Net, part: Instance, ends: Sequence[int]) -> list[int]:
    """The first cycle of every step in which something is taken, or may be, where it waits for nothing else."""
    source = getattr(part, "source", None)
    if isinstance(source, Page):
        shown = _shown(net.read(source)[0])
        return [max(cycle, before + 1) for cycle, before in zip(shown, [-1, *ends], strict=False)]
    if isinstance(source, Stream):
        passes = part.unit.rows.groups - 1 if isinstance(part, Dense) else 0
        return list(_first_takes(net.way(source), passes))
    given = part.gives[0]
    assert isinstance(given, Stream)
    return list(_first_takes(net.way(given), 0))  # nobody stands before it


def _first_takes(way: Way, passes: int) -> Iterator[int]:
    """Where the first beat of every step is taken, which is after so many further passes over what it changes."""
    fresh = True
    for cycle, (_, beat) in zip(way.takes, way.offers, strict=False):
        if fresh:
            again = beat.end and not beat.starts and not beat.numbers
            yield cycle - (0 if again else passes)
        fresh = beat.end


def _shown(pages: Pages) -> list[int]:
    """The first cycle in which each page can be read."""
    rooms = (pages.released(step - 1) for step in range(len(pages.filled)))
    return [max(cycle + 1, room or 0) + pages.lag for (cycle, _), room in zip(pages.filled, rooms, strict=True)]
