"""Sums that stay as they are through a whole sequence, each of them run: what neurons that see one frame can do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.coverage.margins import Met, Reach
from squat_deploy.hardware.coverage.searches import Search
from squat_deploy.network import IntArray
from squat_deploy.network.layers import Range
from squat_deploy.network.simulator import LayerTrace

_MOST = 2**22  # sums of all tables


def met_of_all(search: Search, table: int, sums: IntArray, steps: int) -> Met:
    """What one table meets with every one of these sums, (T, 1, sums)."""
    alike = replace(search.neuron, table=np.full(sums.size, table, dtype=np.int64))
    run = alike.stage((sums, sums)).start(1)
    states: list[NDArray[Any]] = []
    spikes = []
    for _ in range(steps):
        spikes.append(run(sums[None]))
        states.append(run.states)
    held = np.broadcast_to(sums, (steps, 1, sums.size))
    return search.of(alike).met(LayerTrace(alike.name, held, np.stack(states), np.stack(spikes)))


def run_all(search: Search, sums: Range, steps: int) -> Reach | None:
    """What sums in these ranges (N,) lead to; None where they are too many."""
    neuron = search.neuron
    used, low, high = np.unique(neuron.table), int(sums[0].min()), int(sums[1].max())
    if (high - low + 1) * used.size > _MOST:
        return None
    reach = search.edges.seen(*(np.zeros(0, dtype=np.int64) for _ in range(3)))
    for table in used.tolist():
        places = neuron.table == table
        span = np.arange(sums[0][places].min(), sums[1][places].max() + 1)
        met = met_of_all(search, table, span, steps)
        more = search.edges.seen(met.code.reshape(-1), met.up.reshape(-1), met.down.reshape(-1))
        reach = Reach(*(mask | other for mask, other in zip(reach.masks, more.masks, strict=True)))
    return reach
