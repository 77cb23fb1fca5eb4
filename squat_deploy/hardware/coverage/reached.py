"""What sequences reach of the goals of a network, counted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from squat_deploy.hardware.coverage.goals import Goals, Hits, Key
from squat_deploy.hardware.coverage.margins import Mask
from squat_deploy.network import IntArray, Network
from squat_deploy.network.simulator import simulate

_VALUES = 2**22  # that flow in sequences whose coverage is counted at once
_WORK = 2**26  # that flow in all whose coverage is counted
_LOOKED = 256  # sequences whose coverage is counted, at most


@dataclass(frozen=True, eq=False)
class Reached:
    """What some sequences reach of the goals of a network.

    Attributes:
        have: (number of things,) of every goal.
        tries: sequences that were run to find them.
    """

    goals: Goals
    have: dict[Key, Mask]
    tries: int = 0

    @classmethod
    def nothing(cls, goals: Goals) -> Reached:
        """Before the first sequence."""
        return cls(goals, {key: np.zeros(goal.possible.size, dtype=bool) for key, goal in goals.all.items()})

    @property
    def done(self) -> frozenset[Key]:
        """Goals of which nothing is left."""
        return frozenset(key for key, goal in self.goals.all.items() if not (goal.possible & ~self.have[key]).any())

    def gain(self, hits: Hits) -> float:
        """What a sequence would add."""
        goals = self.goals.all
        return sum(
            goals[key].weight * np.count_nonzero(goals[key].possible[found] & ~self.have[key][found])
            for key, found in hits.items()
        )

    def add(self, hits: Hits) -> None:
        """Counts what a sequence reaches."""
        for key, found in hits.items():
            self.have[key][found] = True


def values_of(network: Network) -> int:
    """Numbers that flow in one sequence."""
    return network.steps * (network.input.size + sum(layer.width for layer in network.layers))


def reached_by(network: Network, inputs: IntArray) -> Reached:
    """What given sequences reach; of many only the first are looked at.

    Args: inputs: as for `simulate`.
    """
    reached, axis = Reached.nothing(Goals(network)), 0 if network.input.encoding == "direct" else 1
    values, samples = values_of(network), inputs.shape[axis]
    looked, size = min(samples, _LOOKED, max(1, _WORK // values)), max(1, _VALUES // values)
    for start in range(0, looked, size):
        part = inputs.take(range(start, min(start + size, looked)), axis=axis)
        for hits in reached.goals.hits(part, simulate(network, part, trace=True)):
            reached.add(hits)
    return replace(reached, tries=looked)
