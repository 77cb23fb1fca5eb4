"""When events of planes are handed over and their sums complete: a process an instance."""

from __future__ import annotations

import numpy as np

from squat_deploy.backends.rtl.planes import First, Plane, PooledSums, Walk, Windows
from squat_deploy.backends.rtl.timing.net import Net
from squat_deploy.backends.rtl.timing.ways import (
    RUNNING,
    Process,
    Way,
    expect,
    fill,
    free,
    full,
    give_back,
    given,
    offered,
    take,
)
from squat_deploy.backends.rtl.tracks import Track
from squat_deploy.network import IntArray

_WRITTEN = 4  # cycles from a visit to where its sum is written
_STAMPS = 63  # steps after which all marks are cleared


def walk(net: Net, part: Walk) -> Process:
    """A visit a cycle."""
    visits = _taps(part.track) * part.track.span
    return _walked(net, net.way(part.source), net.way(part.out), [(0,) * int(count) for count in visits])


def windows(net: Net, part: Windows) -> Process:
    """The same, where a visit is an event of a window."""
    unit, given_grid = part.unit, part.unit.signal.grid
    grid = unit.plane.grid
    found = unit.plane.walk(grid, grid.listed)
    windows_ = given_grid.joined(found.channel, found.output_y, found.output_x)
    inside = np.broadcast_to(found.inside, windows_.shape)
    reached = [tuple(one[kept].tolist()) for one, kept in zip(windows_, inside, strict=True)]
    return _walked(net, net.way(part.source), net.way(part.out), reached)


def _walked(net: Net, source: Way, out: Way, reached: list[tuple[int, ...]]) -> Process:
    """Each event is looked up in the cycle behind, and walks when the one before has ended."""
    ready, ended = 0, -1
    while True:
        cycle, beat = yield from expect(source, ready)
        met = reached[beat.numbers[0]] if beat.numbers else ()
        if not met and not beat.end:
            ready = cycle + 1
            continue
        begins = ready = max(cycle + 1, ended)
        for number, element in enumerate(met or (None,)):
            last = number == max(0, len(met) - 1)
            visit = beat._replace(end=beat.end and last, numbers=() if element is None else (element,))
            begins = ended = yield from given(out, begins + 1, visit)


def _taps(track: Track) -> IntArray:
    """(elements,) taps that an event of each element meets."""
    y, x = track.plane.y, track.plane.x
    lines, columns = (axis.meets[:, 2] * (axis.meets[:, 1] < axis.outputs) for axis in (y, x))
    return np.tile((lines[:, None] * columns).reshape(-1), track.plane.grid.channels)


def first(net: Net, part: First) -> Process:
    """The first event of each window, two cycles later; all marks are cleared at first, and now and then."""
    source, out, at, steps = net.way(part.source), net.way(part.out), 0, 0
    at_once, ready, left, seen = -1, RUNNING + part.out.entries, -1, set[int]()
    while True:
        there, beat = yield from offered(source, at)
        cycle = at_once if there <= at_once else max(there, ready)
        take(source, cycle)
        moved, at, new = max(cycle + 1, left), at + 1, bool(beat.numbers) and beat.numbers[0] not in seen
        seen |= set(beat.numbers)
        at_once, ready = moved, moved + 1
        if new or beat.end:
            left = yield from given(out, moved + 1, beat if new else beat._replace(numbers=()))
            ready = left
        if beat.end:
            at_once, steps, seen = -1, steps + 1, set()
            ready = max(ready, moved + 1 + (0 if steps % _STAMPS else part.out.entries))


def plane(net: Net, part: Plane) -> Process:
    """A visit a cycle; a step begins when its page is free, and holds start values."""
    source, pages, rows = net.way(part.source), net.filled(part.outs), part.unit.rows.rows
    at, cycle, idle = 0, -1, RUNNING
    for step in range(net.sequences * net.steps):
        room = yield from free(pages, step)
        there, beat = yield from offered(source, at)
        if part.unit.held:
            sweeps = beat.starts
            room = max(there, cycle + 1, room)
        else:
            sweeps = step < 2 or not part.restored
        if sweeps:
            swept = max(room, idle) if step >= pages.count or part.unit.held else idle
            room = idle = swept + rows + 1
        cycle = max(cycle, room - 1)
        while True:
            cycle = max(there, cycle + 1)
            take(source, cycle)
            at += 1
            if beat.end:
                break
            there, beat = yield from offered(source, at)
        fill(pages, cycle + _WRITTEN, beat)


def pooled(net: Net, part: PooledSums) -> Process:
    """A place of a window a cycle."""
    (taken, reader), pages = net.read(part.source), net.filled(part.outs)
    y, x = part.unit.plane.y, part.unit.plane.x
    places, ready = part.unit.rows.rows * y.kernel * x.kernel, 0
    for step in range(net.sequences * net.steps):
        room = yield from free(pages, step)
        shown, beat = yield from full(taken, step)
        done = max(room, shown, ready) + places + 1
        give_back(taken, reader, done)
        fill(pages, done, beat)
        ready = done + 1
