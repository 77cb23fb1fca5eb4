"""When sums are complete, neurons have fired and scores are sent: a process an instance."""

from __future__ import annotations

from squat_deploy.backends.rtl.neurons import Neurons, Scores
from squat_deploy.backends.rtl.sums import Add, Dense, Place, Unload
from squat_deploy.backends.rtl.timing.net import Net
from squat_deploy.backends.rtl.timing.ways import (
    Process,
    expect,
    fill,
    free,
    full,
    give_back,
    given,
    offer,
    offered,
    take,
)

_WRITTEN = 2  # cycles from where an event is taken to where its sum is written


def dense(net: Net, part: Dense) -> Process:
    """A pass over all groups a beat; a step of a held input is shown again in a cycle."""
    source, pages, groups = net.way(part.source), net.filled(part.outs), part.unit.rows.groups
    at, cycle = 0, -1
    for step in range(net.sequences * net.steps):
        room, end, fresh = (yield from free(pages, step)), False, True
        while not end:
            there, beat = yield from offered(source, at)
            again = part.unit.held and fresh and beat.end and not beat.starts and not beat.numbers
            cycle = max(there, cycle + 1, room) + (0 if again else groups - 1)
            take(source, cycle)
            at, end, fresh, room = at + 1, beat.end, False, 0
        fill(pages, cycle + part.written, beat)


def place(net: Net, part: Place) -> Process:
    """A pass over all rows, then a beat a cycle; a step of a held input is shown again in a cycle."""
    source, pages, page = net.way(part.source), net.filled(part.outs), part.outs[0]
    at, cycle = 0, -1
    for step in range(net.sequences * net.steps):
        room = yield from free(pages, step)
        there, beat = yield from offered(source, at)
        cycle = max(there, cycle + 1, room)
        again = page.held and beat.end and not beat.starts and not beat.numbers
        if not again:
            cycle += page.lanes.rows
        take(source, cycle)
        at += 1
        while not beat.end:
            there, beat = yield from offered(source, at)
            cycle = max(there, cycle + 1)
            take(source, cycle)
            at += 1
        fill(pages, cycle + _WRITTEN, beat)


def add(net: Net, part: Add) -> Process:
    """Full when both are, given back together."""
    out = net.filled((part.out,))
    for step in range(net.sequences * net.steps):
        cycles = []
        for source in part.sources:
            pages, _ = net.read(source)
            cycle, beat = yield from full(pages, step)
            cycles.append(cycle)
        fill(out, max(cycles) - 1, beat)
        while (free_again := out.released(step)) is None:
            yield out
        for source in part.sources:
            give_back(*net.read(source), free_again - 1)


def unload(net: Net, part: Unload) -> Process:
    """A row a cycle; one that is empty where the page is that of the step before."""
    pages, reader = net.read(part.source)
    out, ready, number = net.way(part.out), 0, part.source.number
    for sequence in range(net.sequences):
        for step in range(net.steps):
            shown, _ = yield from full(pages, sequence * net.steps + step)
            cycle = max(shown, ready)
            for row in net.rows(part.out, number, sequence, step, short=part.source.held and step > 0):
                cycle = max(cycle, ready)
                if row.end:
                    give_back(pages, reader, cycle)
                ready = yield from given(out, cycle + 1, row)
                cycle += 1


def neurons(net: Net, part: Neurons) -> Process:
    """Rows enter one a cycle, and leave so many cycles later; what waits at the end keeps all from moving."""
    pages, reader = net.read(part.source)
    out, unit, stages = net.way(part.out), part.layer, part.latency + part.source.reading
    ended = -1
    for sequence in range(net.sequences):
        for step in range(net.steps):
            shown, _ = yield from full(pages, sequence * net.steps + step)
            start, left = max(shown, ended + 1), list[int]()
            for at, row in enumerate(net.rows(part.out, unit.number, sequence, step)):
                enters = start + at if at < stages else left[at - stages]
                if row.end:
                    give_back(pages, reader, enters)
                earliest = start + stages if at == 0 else left[-1] + 1
                left.append((yield from given(out, earliest, row)))
            ended = left[-1]


def scores(net: Net, part: Scores) -> Process:
    """A row a cycle; at the end of a call the scores are sent, a word a cycle."""
    source, words, ready = net.way(part.source), part.words, 0
    while True:
        cycle, row = yield from expect(source, ready)
        ready = cycle + 1
        if row.end and row.last:
            offer(net.sent, cycle + words, row)
            take(net.sent, cycle + words)
            ready += words
