"""Cycle estimate of the emitted project, from its loops: every pipelined loop is counted at initiation interval 1.

The processes of one time step hand event lists to each other through double buffers, so step t of one layer runs while
the next layer works on step t - 1: `finish[l, t] = max(finish[l-1, t], finish[l, t-1]) + cost[l, t]`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squat_deploy.backends.hls_layer import HlsLayer
from squat_deploy.network import IntArray, Network

LOOP_OVERHEAD_CYCLES = 5  # entry, fill and drain of one pipelined loop, an assumption of the estimate


@dataclass(frozen=True)
class LayerCycles:
    """Cycles of one process a time step: mean over the golden sequences, and with every input and neuron active."""

    name: str
    mean: float
    worst: int


@dataclass(frozen=True)
class Schedule:
    """Cycles of one inference, and of the processes that share the work."""

    layers: tuple[LayerCycles, ...]
    mean_cycles: float
    worst_cycles: int


def estimate(network: Network, layers: tuple[HlsLayer, ...], events: tuple[IntArray, ...]) -> Schedule:
    """Schedule for event counts of golden sequences.

    Args:
        events: one (sequences, T) array a signal: non-zero inputs, then spikes of each layer.
    """
    costs = _costs(network, layers, [e.astype(np.float64) for e in events])
    most = [np.full((1, network.steps), float(network.input.size))]
    most += [np.full((1, network.steps), float(layer.neuron.neurons)) for layer in layers]
    worst = _costs(network, layers, most)
    names = ["input", *(layer.neuron.name for layer in layers), "readout"]
    rows = [LayerCycles(n, float(c.mean()), int(w.max())) for n, c, w in zip(names, costs, worst, strict=True)]
    return Schedule(tuple(rows), float(_finish(costs).mean()), int(_finish(worst).max()))


def _costs(network: Network, layers: tuple[HlsLayer, ...], events: list[np.ndarray]) -> list[np.ndarray]:
    """(sequences, T) cycles of each process."""
    steps = np.arange(network.steps)
    fresh = (steps == 0) | (network.input.encoding == "sequence")
    spec, overhead = network.input, LOOP_OVERHEAD_CYCLES
    words = -(-spec.size // (32 // spec.bits))
    scan = words + events[0] if (spec.low, spec.high) == (0, 1) else np.full_like(events[0], spec.size)
    costs = [np.where(fresh, scan + overhead, 1.0)]
    for position, layer in enumerate(layers):
        arriving = np.where(fresh, events[position], 0.0) if position == 0 else events[position]
        cleared = fresh if position == 0 else np.ones_like(fresh)
        loops = layer.groups * (cleared + arriving) + 2 * layer.groups + events[position + 1]
        costs.append(loops + overhead * 4)
    last = steps == network.steps - 1
    costs.append(events[-1] + overhead + np.where(last, network.outputs + overhead, 0))
    return costs


def _finish(costs: list[np.ndarray]) -> np.ndarray:
    """(sequences,) cycle at which the last process ends the last step."""
    before = np.zeros_like(costs[0])
    for cost in costs:
        after = np.zeros_like(before)
        done = np.zeros(len(before))
        for step in range(before.shape[1]):
            done = np.maximum(before[:, step], done) + cost[:, step]
            after[:, step] = done
        before = after
    return before[:, -1]
