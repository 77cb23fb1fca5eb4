"""Whether a restart shows: what neurons would do if the state that one sequence leaves were the next one's first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from squat_deploy.hardware.coverage.margins import Mask
from squat_deploy.network import Network
from squat_deploy.network.layers import AnyNeuron, NeuronLayer, Range
from squat_deploy.network.simulator import LayerTrace, Result

_MOST_STATES = 64  # that are tried, the most frequent ones


def restarts(network: Network, result: Result) -> dict[int, Mask]:
    """(N,) neurons, by their layers, that leave another state or spike in the first step of any sequence but the first.

    Args: result: of sequences one after the other, with whole traces.
    """
    traces, found = iter(result.trace or ()), dict[int, Mask]()
    for index, layer in enumerate(network.layers):
        if isinstance(layer, NeuronLayer):
            found[index] = _restarts(layer, network.taken(index)[0], next(traces))
    return found


def _restarts(neuron: AnyNeuron, sums: Range, trace: LayerTrace) -> Mask:
    left, first = trace.states[-1, :-1], trace.states[0, 1:]
    shows = np.zeros(left.shape, dtype=bool)
    states, counts = np.unique(left, return_counts=True)
    for state in states[np.argsort(-counts, kind="stable")][:_MOST_STATES].tolist():
        run = replace(neuron, initial_state=state).stage(sums).start(len(left))
        spikes = run(trace.sums[0, 1:])
        shows |= (left == state) & ((run.states != first) | (spikes != trace.spikes[0, 1:]))
    return np.any(shows, axis=0, keepdims=True)[0]
