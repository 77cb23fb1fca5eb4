"""Golden sequences that reach as much as they can: drawn, aimed and varied ones, of which the best are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from squat_deploy.hardware.coverage.goals import Goals, Hits
from squat_deploy.hardware.coverage.reached import Reached, values_of
from squat_deploy.hardware.stimulus.driving import worth_of_inputs
from squat_deploy.hardware.stimulus.feeding import Feeding
from squat_deploy.hardware.stimulus.packing import Packing, packing_of
from squat_deploy.network import IntArray
from squat_deploy.network.simulator import simulate

_BLOCK = 64  # sequences that are tried at once
_VALUES = 2**22  # that flow in those that are run at once, at most
_WORK = 2**28  # values that flow in all that are tried, at most
_TRIES = 2560  # sequences that are tried, at most
_IDLE = 3  # blocks in which little is gained, after which no more are tried
_LITTLE = 2e-3  # of all that one goal has
_GOOD = 0.5  # of the best sequence's gain, from which on others of its block are kept too
_ENOUGH = 0.05  # the same where frames are aimed, of which each shows what others do not


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
        for hits in self._tried(specials) if specials.size else ():
            self.reached.add(hits)
        idle, room = 0, self.count - specials.shape[1]
        packing = packing_of(self.feeding, self.goals)
        while len(self.chosen) < room and idle < _IDLE and self.tries < self.budget:
            gained = self._keep(self._drawn(packing), room, packing)
            idle = 0 if gained > _LITTLE else idle + 1
        return np.concatenate([*self.chosen[:2], specials, *self.chosen[2:]], axis=1)

    @cached_property
    def values(self) -> int:
        """That flow in one sequence."""
        return values_of(self.feeding.network)

    @cached_property
    def budget(self) -> int:
        """Sequences that are tried."""
        return min(_TRIES, max(4, _WORK // self.values))

    def _drawn(self, packing: Packing | None) -> IntArray:
        """A block to try: frames aimed at weights, inputs that drive neurons, what was kept varied, and anything."""
        size = max(4, min(_BLOCK, 4 * self.count, max(_VALUES // self.values, self.budget // self.count)))
        have = self.reached.have
        aimed = (
            [] if packing is None else [packing.aimed(self.rng, have, size), packing.meet(self.rng, have, size // 4)]
        )
        part = max(1, size // 5 if aimed else size // 2)
        parents = self.chosen[-2 * size :]
        varied = [self.feeding.varied(self.rng, np.concatenate(parents, axis=1), part)] if parents else []
        return np.concatenate([*aimed, *self._driven(part), *varied, self.feeding.random(self.rng, part)], axis=1)

    def _driven(self, count: int) -> list[IntArray]:
        """For neurons that did not fire yet, layers taken in turn."""
        silent = {
            index: np.flatnonzero(self.goals.all[index, kind, number].possible & ~have)
            for (index, kind, number), have in self.reached.have.items()
            if kind == "fired"
        }
        waiting = [index for index, places in silent.items() if places.size]
        blocks = []
        for _ in range(count if waiting else 0):
            index = waiting[int(self.rng.integers(len(waiting)))]
            neuron = int(silent[index][self.rng.integers(silent[index].size)])
            worth = worth_of_inputs(self.feeding.network, index, neuron)
            blocks.append(self.feeding.driven(self.rng, worth, 1))
        return blocks

    def _tried(self, block: IntArray) -> list[Hits]:
        hits, size = list[Hits](), max(1, _VALUES // self.values)
        for start in range(0, block.shape[1], size):
            entering = self.feeding.entering(block[:, start : start + size])
            hits += self.goals.hits(entering, simulate(self.feeding.network, entering, trace=True))
        self.tries += len(hits)
        return hits

    def _keep(self, block: IntArray, room: int, packing: Packing | None) -> float:
        """Keeps the best of a block, so many that what may be tried lasts, and says what that gains."""
        hits = self._tried(block)
        gains = np.array([self.reached.gain(one) for one in hits])
        quota = len(gains) if packing else max(1, len(gains) * room // self.budget)
        enough, kept, gained = float(gains.max()) * (_ENOUGH if packing else _GOOD), 0, 0.0
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
