"""When events of several banks are handed over, each bank running ahead of the others within a step."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from squat_deploy.backends.rtl.events import Dealer, Sorter
from squat_deploy.backends.rtl.timing.net import Net
from squat_deploy.backends.rtl.timing.ways import Beat, Process, offer, offered, take, taken

_NEVER = 2**62
Part = tuple[int, tuple[int, ...]]  # of a row: the cycle in which it was put, events


@dataclass(eq=False)
class _Bank:
    """One bank.

    Attributes:
        depth: parts that wait, at most.
        waiting: parts behind the one that is listed.
        left: events of that, which are seen from a cycle on.
        free: the first cycle in which the next part can be taken.
        begun: cycles in which parts left the queue.
        put: parts so far.
    """

    depth: int
    waiting: deque[Part] = field(default_factory=deque)
    left: deque[int] = field(default_factory=deque)
    seen: int = _NEVER
    free: int = 0
    begun: list[int] = field(default_factory=list)
    put: int = 0

    def enter(self, part: Part) -> None:
        self.put += 1
        self.waiting.append(part)
        if not self.left:
            self._next()

    def room(self) -> int | None:
        """The first cycle in which there is room for one more part; None where that is not known yet."""
        if self.depth == 0 or self.put < self.depth:
            return 0
        freed = self.put - self.depth
        return self.begun[freed] + 1 if freed < len(self.begun) else None

    def ends(self, cycle: int) -> bool:
        """Whether nothing of the step is left after a beat."""
        return not self.left or (self.seen <= cycle and len(self.left) == 1 and not self.waiting)

    def pop(self, cycle: int) -> tuple[int, ...]:
        """What it gives to the beat of a cycle."""
        if self.seen > cycle:
            return ()
        given = (self.left.popleft(),)
        if not self.left:
            self.free, self.seen = cycle, _NEVER
            self._next()
        return given

    def _next(self) -> None:
        if self.waiting:
            put, events = self.waiting.popleft()
            self.left = deque(events)
            self.begun.append(max(put + 1, self.free) if self.depth else put)
            self.seen = self.begun[-1] + 1


class _Deal:
    """The banks of a dealer, and the words that have come."""

    def __init__(self, part: Dealer | Sorter) -> None:
        self.part = part
        self.banks = [_Bank(part.depth) for _ in range(part.out.banks)]
        self.named = [set(bank.tolist()) for bank in part.out.elements]  # elements of each
        self.words, self.came = 0, -1
        self.whole = False  # all words of the step have come
        self.ended = [-1, -1]  # the cycles in which the steps before came to their ends
        self.row = Beat(False, False, False)

    def cycle(self, earliest: int) -> int:
        """The first cycle in which there is a beat, by the words that have come."""
        if self.whole and not any(bank.left for bank in self.banks):
            return max(earliest, self.came + 1)
        return max(earliest, min(bank.seen for bank in self.banks))

    def room(self, before: int) -> int | None:
        """The first cycle in which the next word of the step can come; None if a beat in a cycle does not see it."""
        rooms = [bank.room() for bank in self.banks]
        if self.whole or None in rooms:
            return None
        opened = self.ended[-2] + 1 if self.part.depth else self.ended[-1]
        cycle = max(self.came + 1, opened, *(room for room in rooms if room is not None))
        return cycle if cycle + 1 <= before else None

    def enter(self, cycle: int, row: Beat) -> None:
        self.words, self.came, self.whole, self.row = self.words + 1, cycle, row.end, row
        for bank, events in zip(self.banks, self._dealt(row), strict=True):
            if events:
                bank.enter((cycle, events))

    def _dealt(self, row: Beat) -> list[tuple[int, ...]]:
        """Elements of each bank."""
        if isinstance(self.part, Sorter):
            return [tuple(one for one in row.numbers if one in bank) for bank in self.named]
        simd, word = len(self.banks), self.part.source.elements[row.word]
        return [tuple(int(word[at]) for at in row.numbers if at % simd == number) for number in range(simd)]

    def beat(self, cycle: int) -> Beat:
        end = self.whole and self.came < cycle and all(bank.ends(cycle) for bank in self.banks)
        events: Sequence[tuple[int, ...]] = [bank.pop(cycle) for bank in self.banks]
        if end:
            self.whole, self.ended = False, [self.ended[-1], cycle]
            for bank in self.banks:
                bank.free = cycle
        return self.row._replace(end=end, numbers=sum(events, ()))


def dealer(net: Net, part: Dealer | Sorter) -> Process:
    """A beat whenever the one before has been taken and a bank has an event, or all are at the end of the step.

    Words of the next step are asked for when this one is over: they may depend on it, and it does not depend on them.
    """
    source, out, deal = net.way(part.source), net.way(part.out), _Deal(part)
    moved = -1
    while True:
        earliest = moved + 1
        if out.offers:
            earliest = max(earliest, (yield from taken(out, len(out.offers) - 1)))
        while (room := deal.room(deal.cycle(earliest))) is not None:
            there, row = yield from offered(source, deal.words)
            take(source, max(there, room))
            deal.enter(source.takes[-1], row)
        moved = deal.cycle(earliest)
        offer(out, moved + 1, deal.beat(moved))
