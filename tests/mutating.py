"""Single bits of a network's constants changed, many at once: which of them another trace shows.

Until the first neuron does something else everything is as it was, so that a changed bit shows exactly if the neurons
that it reaches first, run with it alone, leave another state or spike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

import squat_deploy as sd
from squat_deploy.hardware.coverage.flows import Flows
from squat_deploy.hardware.coverage.margins import Mask
from squat_deploy.hardware.coverage.searches import before
from squat_deploy.hardware.units.fire import Fire
from squat_deploy.network import IntArray, Neuron
from squat_deploy.network.simulator import LayerTrace, Result
from squat_deploy.network.transition import reachable_states


def flipped(values: IntArray, bits: IntArray, width: int) -> IntArray:
    """Two's complement of so many bits, with one of them changed."""
    codes = (values & (2**width - 1)) ^ (1 << bits)
    return np.where(codes >= 2 ** (width - 1), codes - 2**width, codes)


def weights_caught(
    network: sd.Network, inputs: IntArray, result: Result, index: int, places: IntArray, bits: IntArray, width: int
) -> Mask:
    """(M,) of bits of weights of fully connected synapses with neurons right behind them; places: (M, 2)."""
    layer, neurons = network.layers[index], network.wires.index((index,))
    trace = result.trace[[i for i, one in enumerate(network.layers) if one in network.neurons].index(neurons)]
    output, channel = places.T
    weight = layer.weight[output, channel]
    change = flipped(weight, bits, width) - weight
    values = Flows(network, inputs, result.trace).taken(index)[0][..., channel]
    return _differs(network.layers[neurons], trace, output, trace.sums[..., output] + values * change)


def starts_caught(network: sd.Network, result: Result, index: int, output: IntArray, change: IntArray) -> Mask:
    """(M,) of changes of biases, as above."""
    neurons = network.wires.index((index,))
    trace = result.trace[[i for i, one in enumerate(network.layers) if one in network.neurons].index(neurons)]
    return _differs(network.layers[neurons], trace, output, trace.sums[..., output] + change)


def _differs(neuron: Neuron, trace: LayerTrace, output: IntArray, sums: IntArray) -> Mask:
    """Whether copies of neurons with other sums (T, B, M) leave another state or spike."""
    ends = np.full(output.size, sums.min()), np.full(output.size, sums.max())
    run, found = dataclasses.replace(neuron, table=neuron.table[output]).stage(ends).start(sums.shape[1]), False
    for step, now in enumerate(sums):
        spikes = run(now)
        found |= (run.states != trace.states[step][:, output]) | (spikes != trace.spikes[step][:, output])
    return np.any(found, axis=0)


def table_bits(unit: Fire) -> Iterator[Fire]:
    """A unit whose neurons share thresholds, with every bit of these changed in turn."""
    tables = unit.tables
    assert tables.shared and tables.keys is None and tables.successor is None
    for place in np.ndindex(tables.searched.shape):
        for bit in range(tables.key_bits):
            searched = tables.searched.copy()
            searched[place] = flipped(searched[place], np.array(bit), tables.key_bits)
            yield dataclasses.replace(unit, tables=dataclasses.replace(tables, searched=searched))


def seen(neuron: Neuron, trace: LayerTrace) -> IntArray:
    """(2, P) states and sums that neurons met."""
    return _different(before(neuron, trace.states).reshape(-1), trace.sums.reshape(-1).astype(np.int64))


def _different(states: IntArray, sums: IntArray) -> IntArray:
    low, span = int(sums.min()), int(np.ptp(sums)) + 1
    seen = np.zeros((int(states.max()) + 1, span), dtype=bool)
    seen[states, sums - low] = True
    return np.stack(np.nonzero(seen)) + np.array([[0], [low]])


def possible(neuron: Neuron, low: int, high: int, steps: int, *, still: bool) -> IntArray:
    """(2, P) states and sums that they may meet: all of those, or those that every sum leads to if it stays."""
    sums = np.arange(low, high + 1)
    if not still:
        states = reachable_states(neuron, 0, low, high, steps=steps)
        return np.stack([np.repeat(states, sums.size), np.tile(sums, len(states))])
    run = dataclasses.replace(neuron, table=np.zeros(sums.size, dtype=np.int64)).stage((sums, sums)).start(1)
    states = [np.full(sums.size, neuron.initial_state)]
    for _ in range(steps - 1):
        run(sums[None])
        states.append(run.states[0].astype(np.int64))
    return _different(np.concatenate(states), np.tile(sums, steps))
