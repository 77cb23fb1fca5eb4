"""Which states two-state neurons can reach: each by itself, so that what is said never to fire never does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network.layers import IntArray, TwoStateNeuron

Mask = NDArray[np.bool_]


def reachable_parts(
    neuron: TwoStateNeuron, table: int, low: int, high: int, *, steps: int | None = None
) -> tuple[Mask, Mask]:
    """Current states (A,) and membrane states (B,) that a neuron can be in with sums in low..high, perhaps more.

    Args: steps: only those that it can be in before the last of so many steps.
    """
    current, membrane = (int(part) for part in neuron.parts(np.array(neuron.initial_state)))
    currents = np.arange(neuron.current_states) == current
    membranes = np.arange(neuron.membrane_state_count) == membrane
    while steps is None or steps > 1:
        after = currents | _next_currents(neuron, table, low, high, currents)
        following = membranes | _next_membranes(neuron, table, low, high, currents, membranes)
        if (after == currents).all() and (following == membranes).all():
            break
        currents, membranes, steps = after, following, None if steps is None else steps - 1
    return currents, membranes


def fires(neuron: TwoStateNeuron, table: int, low: int, high: int, *, steps: int) -> tuple[bool, bool]:
    """Whether it may fire in any state that it may reach with any sum, and whether in all of them with all sums."""
    currents, membranes = reachable_parts(neuron, table, low, high, steps=steps)
    least, most = _levels(neuron, table, low, high, currents, np.flatnonzero(membranes))
    first = int(neuron.fire_level[table])
    return bool((most >= first).any()), bool((least >= first).all())


def _next_currents(neuron: TwoStateNeuron, table: int, low: int, high: int, currents: Mask) -> Mask:
    places, ends = np.flatnonzero(currents), np.array([low, high])
    keys = neuron.next_key(table, places[:, None], ends)
    levels = np.searchsorted(neuron.next_boundaries[table], keys, side="right")
    return np.any(_between(levels[:, 0], levels[:, 1], currents.size), axis=0)


def _next_membranes(neuron: TwoStateNeuron, table: int, low: int, high: int, currents: Mask, membranes: Mask) -> Mask:
    places = np.flatnonzero(membranes)
    least, most = _levels(neuron, table, low, high, currents, places)
    rows, levels = np.nonzero(_between(least, most, neuron.level_count))
    return np.isin(np.arange(membranes.size), neuron.successor[table, places[rows], levels])


def _levels(
    neuron: TwoStateNeuron, table: int, low: int, high: int, currents: Mask, places: IntArray
) -> tuple[IntArray, IntArray]:
    """Lowest and highest level from each of these membrane states, over all these current states and sums."""
    offsets = neuron.current_offset[table, currents]
    found = []
    for offset, end in ((offsets.min(), low), (offsets.max(), high)):
        seen = neuron.follows[table, places] * (offset + (end << neuron.fraction_bits))
        key = neuron.membrane_offset[table, places] + seen
        found.append(np.searchsorted(neuron.boundaries[table], key, side="right").astype(np.int64))
    return found[0], found[1]


def _between(least: IntArray, most: IntArray, count: int) -> Mask:
    """(M, count) what lies in least..most."""
    places = np.arange(count)
    return (places >= least[:, None]) & (places <= most[:, None])
