"""When rows and events are handed over: a process an instance, by what its module's comments say of its latency."""

from __future__ import annotations

from squat_deploy.backends.rtl.encoding import Encode
from squat_deploy.backends.rtl.events import Join, Lister, Narrow, Recode
from squat_deploy.backends.rtl.flow import Ahead, Delay, EventReader, Fork, Late, Queue, Reader, Repeat
from squat_deploy.backends.rtl.timing.net import Net
from squat_deploy.backends.rtl.timing.ways import (
    RUNNING,
    Beat,
    Process,
    could_take,
    expect,
    given,
    offer,
    offered,
    take,
    taken,
)


def reader(net: Net, part: Reader) -> Process:
    """A call a sequence, the next when the core is idle (`net.alone`: when the scores are out)."""
    out, start = net.way(part.out), 0
    for sequence in range(net.sequences):
        if net.alone and sequence:
            ended = yield from taken(net.sent, sequence - 1)
            start = max(start, ended + 1)
        cycle = start + 1
        for step in range(net.steps):
            for beat in net.rows(part.out, 0, sequence, step, short=part.entry.once and step > 0):
                cycle = (yield from given(out, cycle, beat)) + 1
        start = cycle


def events(net: Net, part: EventReader) -> Process:
    """An event a cycle, and one that sees the end of a step; a page leaves while the next one is counted."""
    out, start, cycle, free = net.way(part.out), 0, 0, [RUNNING + part.out.words] * 2  # when each page is
    for sequence in range(net.sequences):
        if net.alone and sequence:
            start = max(start, (yield from taken(net.sent, sequence - 1)) + 1)
        begins = start + 1
        for step in range(net.steps):
            ends = max(begins, free.pop(0)) + int(net.counts(sequence, step))
            cycle, begins = max(cycle, ends + 2), ends + 1
            for beat in net.rows(part.out, 0, sequence, step):
                cycle = (yield from given(out, cycle, beat)) + 1
            free.append(cycle)
        start = begins


def repeat(net: Net, part: Repeat) -> Process:
    """Passes the first step, and gives it again for each that follows."""
    source, out, at, kept = net.way(part.source), net.way(part.out), 0, list[Beat]()
    while True:
        there, beat = yield from offered(source, at)
        at += 1
        if beat.starts:
            kept = [] if not kept or kept[-1].end else kept
            kept.append(beat)
            take(source, (yield from given(out, there, beat)))
            continue
        for again in kept:
            there = (yield from given(out, there, again._replace(starts=False, last=beat.last))) + 1
        take(source, there - 1)


def fork(net: Net, part: Fork) -> Process:
    """To all legs at once."""
    source, legs, at = net.way(part.source), [net.way(leg) for leg in part.legs], [0] * len(part.legs)
    number = 0
    while True:
        cycle, beat = yield from offered(source, number)
        wanted = [leg for leg, ticks in enumerate(part.ticks) if beat.end or not ticks]
        for leg in wanted:
            cycle = max(cycle, (yield from could_take(legs[leg], at[leg])))
            at[leg] += 1
        for leg in wanted:
            offer(legs[leg], cycle, beat)
        take(source, cycle)
        number += 1


def queue(net: Net, part: Queue | Ahead) -> Process:
    """A cycle from end to end, and as many beats as there is room for."""
    source, out, at = net.way(part.through), net.way(part.out), 0
    while True:
        room = (yield from taken(out, at - part.depth)) + 1 if at >= part.depth else 0
        cycle, beat = yield from expect(source, room)
        offer(out, cycle + 1, beat)
        at += 1


def narrow(net: Net, part: Narrow) -> Process:
    """The parts of a row, one a cycle, the lowest first; it is taken with the last one."""
    source, out, at, fields = net.way(part.source), net.way(part.out), 0, part.out.fields
    while True:
        cycle, row = yield from offered(source, at)
        for number in range(part.parts):
            first, last = number * fields, number == part.parts - 1
            inside = tuple(one - first for one in row.numbers if first <= one < first + fields)
            piece = row._replace(end=row.end and last, numbers=inside, word=row.word * part.parts + number)
            cycle = (yield from given(out, cycle, piece)) + 1
        take(source, cycle - 1)
        at += 1


def lister(net: Net, part: Lister) -> Process:
    """A beat an event; none of an empty row, but of the last one of a step. The next row waits meanwhile."""
    source, out = net.way(part.source), net.way(part.out)
    moved = done = 0  # when the row before began to be listed, and came to its end
    while True:
        cycle, row = yield from expect(source, moved)
        moved = done = max(cycle + 1, done)
        word = part.source.elements[row.word]
        beats: list[tuple[int, ...]] = [(int(word[field]),) for field in row.numbers] or [()] * row.end
        for number, elements in enumerate(beats, start=1):
            beat = row._replace(end=row.end and number == len(beats), numbers=elements)
            done = yield from given(out, done + 1, beat)
        done += not beats


def recode(net: Net, part: Recode) -> Process:
    """A cycle."""
    return _registered(net, part)


def encode(net: Net, part: Encode) -> Process:
    """A cycle; the spikes are those of the step."""
    source, out, ready, at = net.way(part.source), net.way(part.out), 0, 0
    for sequence in range(net.sequences):
        for step in range(net.steps):
            for row in net.rows(part.out, 0, sequence, step):
                cycle, _ = yield from expect(source, ready)
                ready = yield from given(out, cycle + 1, row)
                at += 1


def _registered(net: Net, part: Recode) -> Process:
    source, out, ready = net.way(part.source), net.way(part.out), 0
    while True:
        cycle, beat = yield from expect(source, ready)
        ready = yield from given(out, cycle + 1, beat)


def join(net: Net, part: Join) -> Process:
    """One stream after the other, a cycle; where the first ends without an event, that is a cycle without a beat."""
    sources, out, ready = [net.way(source) for source in part.sources], net.way(part.out), 0
    while True:
        for second, (source, first) in enumerate(zip(sources, part.firsts, strict=True)):
            end = False
            while not end:
                cycle, beat = yield from expect(source, ready)
                end, ready = beat.end, cycle + 1
                if second or not end or beat.numbers:
                    moved = beat._replace(end=bool(second) and end, numbers=tuple(one + first for one in beat.numbers))
                    ready = yield from given(out, cycle + 1, moved)


def late(net: Net, part: Late) -> Process:
    """The rows of the step before at once; none where a sequence starts."""
    ticks, source, out, at = net.way(part.ticks), net.way(part.source), net.way(part.out), 0
    for step in range(net.sequences * net.steps):
        cycle, tick = yield from offered(ticks, step)
        end = False
        while step and not end:
            there, row = yield from offered(source, at)
            at, cycle, end = at + 1, max(cycle, there), row.end
            if not tick.starts:
                cycle = yield from given(out, cycle, row._replace(starts=False, last=tick.last))
            if end and tick.starts:
                break
            take(source, cycle)
            cycle += 0 if end else 1
        if tick.starts:
            cycle = yield from given(out, cycle, tick._replace(numbers=(), word=0))
            if step:
                take(source, cycle)
        take(ticks, cycle)


def delay(net: Net, part: Delay) -> Process:
    """A cycle; a row for each of a step, also where it has ended early."""
    source, out, ready, number = net.way(part.source), net.way(part.out), 0, int(part.name.removeprefix("delay"))
    for sequence in range(net.sequences):
        for step in range(net.steps):
            filling, cycle = False, 0
            for row in net.rows(part.out, number, sequence, step):
                if filling:
                    cycle = max(cycle + 1, ready)
                else:
                    cycle, taken_row = yield from expect(source, ready)
                    filling = taken_row.end
                ready = yield from given(out, cycle + 1, row)
