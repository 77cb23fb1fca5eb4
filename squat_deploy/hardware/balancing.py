"""The search for a folding: lanes are added where most cycles go, and taken back where the whole does not slow down.

A process is priced on its own, by the events of the golden sequences, which are simulated once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from functools import cached_property

from squat_deploy.errors import ExportError
from squat_deploy.hardware.budget import Offer, offer_of
from squat_deploy.hardware.design import Outline
from squat_deploy.hardware.graph import Process
from squat_deploy.hardware.lanes import widths
from squat_deploy.hardware.memories import Usage
from squat_deploy.hardware.schedule import end_costs, finish, process_costs, slowest
from squat_deploy.hardware.units import Unit
from squat_deploy.hardware.units.base import Cycles

ROOM = (0.8, 0.7, 0.5, 0.8)  # of the BRAM, LUT, FF, DSP of a part: what lies around it needs some, and estimates err
_LEAST = 1.001  # by this factor, more lanes must make the whole faster
_SLACK = 0.01  # lanes are taken back where the whole gets slower by no more
YARDSTICK = Offer("Zynq-7020", 140, 53_200, 106_400, 220)  # for parts that are not known


@dataclass(frozen=True)
class Fold:
    """Lanes of a process, and events that its synapses take a cycle."""

    pe: int
    events: int


Chosen = Mapping[int, Fold]  # by the number of a process


@dataclass(frozen=True)
class Bound:
    """What keeps a core from being faster: a name, and why that is no faster."""

    name: str
    why: str


@dataclass(frozen=True, eq=False)
class Option:
    """One process, folded."""

    units: tuple[Unit, ...]
    costs: list[Cycles]

    @cached_property
    def usage(self) -> Usage:
        """Of all its units."""
        return Usage.total(unit.usage for unit in self.units)

    @cached_property
    def mean(self) -> float:
        """Cycles a step, of its slowest stage."""
        return slowest(self.costs)


class Balance:
    """Foldings of one core; every option is made once.

    Args:
        events: of golden sequences, as `event_counts` makes them.
    """

    def __init__(self, outline: Outline, events: dict[int, Cycles]) -> None:
        self.outline, self.events, self.config = outline, events, outline.config
        self.processes = {process.number: process for process in outline.graph.processes}
        self.offer = offer_of(self.config.part)
        self.asked = {number: outline.asked(process) for number, process in self.processes.items()}
        self.asked_events = {number: outline.asked_events(process) for number, process in self.processes.items()}
        self.ends = [end_costs(unit, events) for unit in (outline.entry, outline.readout)]
        self.made: dict[tuple[int, Fold], Option] = {}

    def start(self) -> Chosen:
        """Every process at its fewest lanes. Raises: ExportError where one cannot be made so."""
        chosen = {
            number: Fold(self._widths(process)[0], self.asked_events[number] or 1)
            for number, process in self.processes.items()
        }
        for number in chosen:
            self.option(number, chosen)
        return chosen

    def faster(self, chosen: Chosen) -> tuple[Chosen, Bound]:
        """With lanes added until the target is met or nothing gains, and what keeps it from being faster."""
        while self.config.target is None or self.cycles(chosen) > self.config.target:
            found = self._raised(chosen)
            if found is None:
                return chosen, self._bound(chosen)
            chosen = found
        return chosen, Bound("target", "is met")

    def slimmer(self, chosen: Chosen) -> Chosen:
        """With lanes taken back as long as the whole stays as fast, or within the target: the dearest first.

        As fast is: slower by less, as a share, than it gets cheaper, and all in all by no more than `_SLACK`.
        """
        target = self.config.target
        limit = target or self.cycles(chosen) * (1 + _SLACK)
        while True:
            worth = float("inf") if target else self.cycles(chosen) * self._price(chosen)
            lowered = ((other, self.cycles(other)) for other in self._lowered(chosen))
            fewer = [other for other, taken in lowered if taken <= limit and taken * self._price(other) <= worth]
            if not fewer:
                return chosen
            chosen = min(fewer, key=self._price)

    def option(self, number: int, chosen: Chosen) -> Option:
        """One process as chosen. Raises: ExportError where it cannot be made."""
        key = number, chosen[number]
        if key not in self.made:
            process = self.processes[number]
            units = self.outline.units(process, key[1].pe, key[1].events)
            self.made[key] = Option(units, process_costs(process, units, self.events))
        return self.made[key]

    def cycles(self, chosen: Chosen) -> float:
        """Of a mean inference."""
        costs = [self.option(number, chosen).costs for number in chosen]
        return float(finish(self.outline.graph, [self.ends[0], *costs, self.ends[1]]).mean())

    def _widths(self, process: Process) -> tuple[int, ...]:
        asked = self.asked[process.number]
        return widths(self.outline.widest(process)) if asked is None else (asked,)

    def _raised(self, chosen: Chosen) -> Chosen | None:
        """One width more for what takes longest, and for what comes next as long as it does not help."""
        more, cycles = dict(chosen), self.cycles(chosen)
        thrifty = self.config.target is None and self.config.fit is None
        for number in sorted(chosen, key=lambda number: -self.option(number, chosen).mean):
            for wider in self._wider(number, chosen[number]):
                if not self._has_room(attempt := {**more, number: wider}, chosen):
                    continue
                more = attempt
                gain, cost = cycles / self.cycles(more), self._price(more) / self._price(chosen)
                if gain > (max(cost, _LEAST) if thrifty else _LEAST):
                    return more
        return None

    def _lowered(self, chosen: Chosen) -> Iterator[Chosen]:
        """One width less for one process, or an event, where that is cheaper."""
        for number, fold in chosen.items():
            for narrower in self._narrower(number, fold):
                if self._price(fewer := {**chosen, number: narrower}) < self._price(chosen):
                    yield fewer

    def _wider(self, number: int, fold: Fold) -> Iterator[Fold]:
        """A second event a cycle costs less than twice the lanes, and helps synapses alone."""
        process = self.processes[number]
        if self.asked_events[number] is None and fold.events < self.outline.most_events(process):
            yield replace(fold, events=fold.events + 1)
        wider = [pe for pe in self._widths(process) if pe > fold.pe]
        yield from (replace(fold, pe=pe) for pe in wider[:1])

    def _narrower(self, number: int, fold: Fold) -> Iterator[Fold]:
        narrower = [pe for pe in self._widths(self.processes[number]) if pe < fold.pe]
        yield from (replace(fold, pe=pe) for pe in narrower[-1:])
        if self.asked_events[number] is None and fold.events > 1:
            yield replace(fold, events=fold.events - 1)

    def _has_room(self, wanted: Chosen, chosen: Chosen) -> bool:
        """Whether it can be made, and takes no more of anything than is there for it, or than is taken already."""
        offer = self.offer or (None if self.config.target else YARDSTICK)
        try:
            usage = self._usage(wanted)
        except ExportError:  # its tables are too many
            return False
        if offer is None:
            return True
        rows = zip(astuple(usage), astuple(self._usage(chosen)), offer.amounts, ROOM, strict=True)
        return all(taken <= max(before, share * there) for taken, before, there, share in rows)

    def _usage(self, chosen: Chosen) -> Usage:
        ends = self.outline.entry.usage, self.outline.readout.usage
        return Usage.total((*ends, *(self.option(number, chosen).usage for number in chosen)))

    def _price(self, chosen: Chosen) -> float:
        """The shares of all resources together."""
        offer = self.offer or YARDSTICK
        return sum(taken / there for taken, there in zip(astuple(self._usage(chosen)), offer.amounts, strict=True))

    def longest(self, chosen: Chosen) -> Bound:
        """What takes longest, and how long."""
        name, number, means = self._slowest(chosen)
        pe = f", with PE {chosen[number].pe}" if number in chosen else ""
        return Bound(name, f"takes longest, {means:.0f} cycles a step{pe}")

    def _slowest(self, chosen: Chosen) -> tuple[str, int, float]:
        """Name, number and mean cycles a step of what takes longest; both ends have numbers of their own."""
        names = {0: "input", len(chosen) + 1: "readout"} | {number: self.processes[number].name for number in chosen}
        means = {number: slowest(costs) for number, costs in zip((0, len(chosen) + 1), self.ends, strict=True)}
        means |= {number: self.option(number, chosen).mean for number in chosen}
        number = max(means, key=lambda number: means[number])
        return names[number], number, means[number]

    def _bound(self, chosen: Chosen) -> Bound:
        """What takes longest, and why it is no faster."""
        found, number = self.longest(chosen), self._slowest(chosen)[1]
        return Bound(found.name, found.why + self._why_not(number, chosen)) if number in chosen else found

    def _why_not(self, number: int, chosen: Chosen) -> str:
        """Why a process has no more lanes."""
        wider = tuple(self._wider(number, chosen[number]))
        if not wider:
            return ", its widest" if self.asked[number] is None else ", which is given"
        room = any(self._has_room({**chosen, number: fold}, chosen) for fold in wider)
        return "; more would gain too little" if room else "; there is no room for more"
