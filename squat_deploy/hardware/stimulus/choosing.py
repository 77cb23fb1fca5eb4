"""Golden sequences that reach as much as they can: built, aimed, drawn and varied ones, of which the best are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from squat_deploy.hardware.coverage.goals import Goals, Hits
from squat_deploy.hardware.coverage.reached import Reached, values_of
from squat_deploy.hardware.stimulus.aiming import aimed
from squat_deploy.hardware.stimulus.drives import Drives
from squat_deploy.hardware.stimulus.feeding import Feeding
from squat_deploy.hardware.stimulus.packing import Packing, packing_of
from squat_deploy.network import IntArray
from squat_deploy.progress import report

_WHAT = "golden sequences"
_BLOCK = 96  # sequences that are looked at closely at once
_SIFTED = 4  # that are run for each of them
_VALUES = 2**22  # that flow in those that are run at once, at most
_WORK = 2**28  # values that flow in all that are tried, at most, and in all that are aimed
_TRIES = 2**12, 2**14  # sequences that are tried, at most, where few, or many, levels are to be reached
_IDLE = 3  # blocks in which little is gained, after which no more are tried
_LITTLE = 2e-3  # of all that one goal has
_GOOD = 0.3  # of the best sequence's gain, from which on others of its block are kept too
_PACKED = 3 / 4  # of all sequences, that may be built for a first layer


@dataclass(eq=False)
class Choice:
    """A search for sequences."""

    feeding: Feeding
    goals: Goals
    count: int
    rng: np.random.Generator
    reached: Reached = field(init=False)
    chosen: list[IntArray] = field(default_factory=list)
    tries: int = 0

    def __post_init__(self) -> None:
        self.reached = Reached.nothing(self.goals)

    def run(self) -> IntArray:
        """(frames, B, size) of the best, at most `count`, those of the edges behind the first two."""
        specials = self.feeding.specials()[:, : self.count // 2]
        self._take(specials)
        room = self.count - specials.shape[1]
        packing = packing_of(self.feeding, self.goals, self.rng)
        if packing is not None:
            self._packed(packing, int(room * _PACKED))
        drives = Drives(self.feeding, self.reached, self.rng, packing)
        self._search(drives, room)
        self._aim(drives, room)
        return np.concatenate([*self.chosen[:2], specials, *self.chosen[2:]], axis=1)

    @cached_property
    def values(self) -> int:
        """That flow in one sequence."""
        return values_of(self.feeding.network)

    @cached_property
    def budget(self) -> int:
        """Sequences that are tried."""
        levels = sum(int(goal.possible.sum()) for goal in self.goals.all.values() if goal.key[1] == "found")
        return min(max(_TRIES[0], 2 * levels), _TRIES[1], max(4, _WORK // self.values))

    def _packed(self, packing: Packing, most: int) -> None:
        """Frames for the weights of a first layer."""
        frames, name = list[IntArray](), self.feeding.network.layers[packing.layer].name
        for frame in packing.frames(most):
            frames.append(frame[None, None])
            report(f"{_WHAT} for {name}", packing.total - int(packing.counts.sum()), packing.total)
        self.reached.add(packing.hits)
        self._add(frames)

    def _search(self, drives: Drives, room: int) -> None:
        """As long as anything is left that is not aimed at, and found."""
        idle, most = 0, self.tries + self.budget
        while len(self.chosen) < room and idle < _IDLE and self.tries < most:
            if self.reached.done | {(index, "bits", 0) for index in drives.left} == self.goals.all.keys():
                return
            report(f"{_WHAT} tried", self.tries, max(most, self.tries))
            gained = self._keep(self._drawn(drives), room)
            idle = 0 if gained > _LITTLE else idle + 1

    def _aim(self, drives: Drives, room: int) -> None:
        """At the weights of fully connected synapses that are left."""
        found, tries = aimed(drives, room - len(self.chosen), _WORK // self.values, _WHAT)
        self._add(found)
        self.tries += tries

    def _add(self, found: list[IntArray]) -> None:
        """All of these."""
        if found:
            self._take(np.concatenate(found, axis=1))
            self.chosen += found

    def _take(self, block: IntArray) -> None:
        """Counts what a block reaches as a whole."""
        for part in self._parts(block):
            self.reached.add(self.goals.hits(*self.feeding.traced(part), self.reached.done, together=True)[0])
        self.tries += block.shape[1]

    def _parts(self, block: IntArray) -> list[IntArray]:
        size = max(1, _VALUES // self.values)
        return [block[:, start : start + size] for start in range(0, block.shape[1], size)]

    def _drawn(self, drives: Drives) -> IntArray:
        """A block to try: sums at thresholds, inputs that drive neurons, what was kept varied, and anything."""
        size = max(4, min(_BLOCK, 4 * self.count, max(_VALUES // self.values, self.budget // self.count)))
        size = min(size * _SIFTED, self.budget)
        part = max(1, size // 3)
        met = drives.packing.meet(self.reached.have, size // 4) if drives.packing else []
        parents = self.chosen[-2 * size :]
        varied = [self.feeding.varied(self.rng, np.concatenate(parents, axis=1), part)] if parents else []
        others = [*drives.drawn(part), *varied, self.feeding.random(self.rng, part)]
        return np.concatenate([*(frame[None, None] for frame in met), *others], axis=1)

    def _sifted(self, block: IntArray) -> IntArray:
        """Those of a block that promise most."""
        news = [self.goals.news(self.feeding.traced(part)[1], self.reached.have) for part in self._parts(block)]
        self.tries += block.shape[1]
        return block[:, np.argsort(-np.concatenate(news), kind="stable")[: max(1, block.shape[1] // _SIFTED)]]

    def _keep(self, drawn: IntArray, room: int) -> float:
        """Keeps the best of a block, so many that what may be tried lasts, and says what that gains."""
        block, hits = self._sifted(drawn), list[Hits]()
        for part in self._parts(block):
            hits += self.goals.hits(*self.feeding.traced(part), self.reached.done)
        gains = np.array([self.reached.gain(one) for one in hits])
        quota = max(1, drawn.shape[1] * room // self.budget)
        enough, kept, gained = float(gains.max()) * _GOOD, 0, 0.0
        while kept < min(quota, room - len(self.chosen) + kept):
            best = int(gains.argmax())
            now = self.reached.gain(hits[best])
            if now < gains[best]:
                gains[best] = now  # others have reached some of it meanwhile
                continue
            if now <= 0 or now < enough:
                break
            self.reached.add(hits[best])
            self.chosen.append(block[:, best : best + 1])
            gains[best], kept, gained = -1.0, kept + 1, gained + now
        return gained


def chosen(feeding: Feeding, count: int) -> tuple[IntArray, Reached]:
    """Sequences of a network, the same for the same network, and what they reach."""
    network = feeding.network
    choice = Choice(feeding, Goals(network), count, np.random.default_rng(int(network.digest[:16], 16)))
    block = choice.run()
    return block, Reached(choice.goals, choice.reached.have, choice.tries)
