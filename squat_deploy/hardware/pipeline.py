"""When the stages of a core run, as the tool overlaps them: one after another in a time step, each beside the others.

What a stage hands over lies in buffers, two as a rule: the giver writes one while the taker reads the other. So step t
of a stage starts after its own step t - 1, after step t of all that it takes from, and after step t - depth of all that
take from it. A list that bypasses stages is taken later, by as many steps as there are stages on the longest way; with
two buffers its giver would wait for its taker in every step, so it has one buffer for each of these, and one more.

Stages that are one loop over all steps hand over streams with room for two whole steps, so that no giver waits longer
than it would with two buffers; what they give arrives as many cycles later as their pipeline is long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DOUBLE = 2  # buffers that a tool gives an array between two stages
Times = NDArray[np.float64]  # (sequences, T), cycles


@dataclass(frozen=True)
class Link:
    """What is handed from one stage to another.

    Attributes:
        giver, taker: stages, in the order in which they are called.
        source: number of the node whose list, sums or states it is.
        depth: buffers, or steps that a stream has room for.
        latency: cycles from the end of what is given to where it can be taken.
    """

    giver: int
    taker: int
    source: int
    depth: int
    latency: int = 0


def linked(pairs: Iterable[tuple[int, int, int]]) -> tuple[Link, ...]:
    """Links (giver, taker, source) with the buffers that they need."""
    ways = sorted(set(pairs))
    found = []
    for giver, taker, source in ways:
        longest = {giver: 0}
        for start, end, _ in ways:  # ascending: all ways to a stage are known before those from it
            if start in longest:
                longest[end] = max(longest.get(end, 0), longest[start] + 1)
        found.append(Link(giver, taker, source, longest[taker] + 1))
    return tuple(found)


def ends(links: Sequence[Link], costs: Sequence[Times]) -> list[Times]:
    """(sequences, T) cycle at which every stage ends every step, by what each step of it takes.

    The last one: at which what it gives is there.
    """
    after = [np.zeros_like(cost) for cost in costs]
    waits = [_waits(links, stage) for stage in range(len(costs))]
    for step in range(costs[0].shape[1]):
        for stage, cost in enumerate(costs):
            times = [after[other][:, step - back] + late for other, back, late in waits[stage] if back <= step]
            after[stage][:, step] = cost[:, step] + (np.max(times, axis=0) if times else 0)
    *before, last = after
    return [*before, last + max((link.latency for link in links), default=0)]


def _waits(links: Iterable[Link], stage: int) -> list[tuple[int, int, int]]:
    """(stage, steps before, cycles) after whose end a step of this stage starts."""
    itself = [(stage, 1, 0)]
    taken = [(link.giver, 0, link.latency) for link in links if link.taker == stage]
    return itself + taken + [(link.taker, link.depth, 0) for link in links if link.giver == stage]
