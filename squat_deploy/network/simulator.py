"""NumPy executor: the reference trace of a Network.

Synaptic sums run as float matrix products where the ranges prove them exact (every partial sum below 2**24 in
float32, 2**53 in float64); how each layer runs is its own affair (`BaseLayer.stage`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network.grid import integers_of
from squat_deploy.network.layers import IntArray
from squat_deploy.network.layers.base import Stage
from squat_deploy.network.layers.machine import MachineStep
from squat_deploy.network.network import INPUT, Network, check_network
from squat_deploy.network.readout import OF_MEMBRANES, updated
from squat_deploy.network.tabled import of_result
from squat_deploy.progress import report

_Record = dict[int, tuple[NDArray[Any], ...]]  # sums, states and spikes of one step, by layer
_BATCH_BYTES = 2**27  # of intermediate arrays a batch


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """Everything that one neuron layer did.

    Attributes:
        sums: (T, B, N) synaptic sums, int32 (int64 where they need it).
        states: (T, B, N) state index after each step, uint16 (uint32 where it needs it).
        spikes: (T, B, N) bool.
    """

    name: str
    sums: NDArray[Any]
    states: NDArray[Any]
    spikes: NDArray[np.bool_]

    def part(self, window: slice) -> LayerTrace:
        """That of some sequences."""
        return LayerTrace(self.name, self.sums[:, window], self.states[:, window], self.spikes[:, window])


@dataclass(frozen=True, eq=False)
class Result:
    """What a simulation returns.

    Attributes:
        scores: (B, classes), what the network's readout makes of the output; spike counts with "count".
        trace: what every neuron layer did, if asked for.
    """

    scores: IntArray
    trace: tuple[LayerTrace, ...] | None = None

    def _repr_html_(self) -> str:
        """In notebooks: the first sequences."""
        return of_result(self).html

    @property
    def classes(self) -> IntArray:
        """(B,) class with the highest score, the lowest index on ties, as `argmax`."""
        return self.scores.argmax(axis=1)


def simulate(
    network: Network, inputs: NDArray[Any], *, trace: bool = False, batch: int | None = None, real: bool = False
) -> Result:
    """Runs the network on integer inputs.

    Args:
        inputs: integers (B, *shape), or (T, B, *shape) for "sequence" inputs; floats that are those integers, or the
            same multiples of the network's input step, are taken with a warning that says so.
        real: they are real values, in the model's units, to be rounded to the network's own grid.
        trace: keep synaptic sums, state indices and spikes of every step and layer.
        batch: samples at a time; by default what fits a modest amount of memory.

    Raises: ConfigError for inputs of the wrong type, shape or range.
    Warns: SquatWarning of what was done to inputs that are no integers, and of values beyond the grid.
    """
    check_network(network)
    values = network.input.check(integers_of(network.input, inputs, real=real), network.steps)
    return run(network, stages_of(network), values, trace=trace, batch=batch)


def stages_of(network: Network) -> list[Stage]:
    """What runs its layers: made of their tables, which takes longer than a step. Steps and readout may change."""
    return [layer.stage(*network.taken(index)) for index, layer in enumerate(network.layers)]


def run(
    network: Network, stages: Sequence[Stage], inputs: NDArray[Any], *, trace: bool = False, batch: int | None = None
) -> Result:
    """`simulate` on integers that fit, with stages that are there already."""
    direct = network.input.encoding == "direct"
    values = inputs.reshape(*inputs.shape[: 1 if direct else 2], network.input.size)
    samples = values.shape[0 if direct else 1]
    size = batch or _batch_size(network, trace)
    parts = []
    for start in range(0, max(samples, 1), size):
        window = slice(start, start + size)
        if samples > size:
            report("NumPy: sequences", start, samples)
        parts.append(_run(network, stages, values[window] if direct else values[:, window], trace))
    scores = np.concatenate([part.scores for part in parts])
    if not trace:
        return Result(scores)
    return Result(scores, tuple(_joined(layers) for layers in zip(*(part.trace or () for part in parts), strict=True)))


def _joined(parts: tuple[LayerTrace, ...]) -> LayerTrace:
    """Traces of one layer on batches of samples, as one."""
    if len(parts) == 1:
        return parts[0]
    sums, states, spikes = (
        np.concatenate([getattr(p, key) for p in parts], axis=1) for key in ("sums", "states", "spikes")
    )
    return LayerTrace(parts[0].name, sums, states, spikes)


def _batch_size(network: Network, trace: bool) -> int:
    steps = network.steps if network.input.encoding == "sequence" or trace else 1
    return _samples_that_fit(network, steps)


def _samples_that_fit(network: Network, steps: int) -> int:
    widest = max(network.input.size, *(layer.width for layer in network.layers))
    return max(1, _BATCH_BYTES // (8 * widest * steps))


def stepwise(network: Network, inputs: NDArray[Any]) -> Iterator[tuple[LayerTrace, ...]]:
    """The trace of every neuron layer a step at a time, (1, B, N) each, in the memory of one step.

    Args: inputs: integers that fit, (B, *shape) or (T, B, *shape).
    """
    direct = network.input.encoding == "direct"
    stages = stages_of(network)
    values = inputs.reshape(*inputs.shape[: 1 if direct else 2], network.input.size)
    size, samples = _samples_that_fit(network, 1), values.shape[0 if direct else 1]
    windows = [slice(start, start + size) for start in range(0, samples, size)]
    runs = [_steps(network, stages, values[w] if direct else values[:, w], True) for w in windows]
    for parts in zip(*runs, strict=True):
        layers = [[_layer_trace(network.layers[i].name, [step]) for i, step in record.items()] for record, _ in parts]
        yield tuple(map(_joined, zip(*layers, strict=True)))


def _run(network: Network, stages: Sequence[Stage], inputs: NDArray[Any], trace: bool) -> Result:
    """One batch."""
    done = list(_steps(network, stages, inputs, trace))
    records, scores = [record for record, _ in done], done[-1][1]
    if not trace:
        return Result(scores)
    names = {index: network.layers[index].name for index in records[0]}
    return Result(scores, tuple(_layer_trace(name, [step[index] for step in records]) for index, name in names.items()))


def _steps(
    network: Network, stages: Sequence[Stage], inputs: NDArray[Any], trace: bool
) -> Iterator[tuple[_Record, IntArray]]:
    """Layer after layer would need whole traces, so all layers advance together: each step's record, scores so far."""
    direct = network.input.encoding == "direct"
    samples = inputs.shape[0 if direct else 1]
    calls = [stage.start(samples) for stage in stages]
    machines = {index: call for index, call in enumerate(calls) if isinstance(call, MachineStep)}
    values = {index: np.zeros((samples, network.layers[index].outputs), dtype=bool) for index in machines}
    scores, output, last = np.zeros((samples, network.outputs), dtype=np.int64), len(calls) - 1, network.neurons[-1]
    for step in range(network.steps):
        values[INPUT] = inputs if direct else inputs[step]
        record: _Record = {}
        for index, (call, wire) in enumerate(zip(calls, network.wires, strict=True)):
            if step and direct and network.still[index]:
                continue
            taken = [values[source] for source in wire]
            values[index] = call(*taken)
            if trace and index in machines:
                states = machines[index].states.astype(f"u{network.state_bytes}")
                record[index] = taken[0], states, values[index]
        told = last.membrane_states(machines[output].states) if network.readout in OF_MEMBRANES else None
        scores = updated(network.readout, scores, values[output], told, network.worth)
        yield record, scores


def _layer_trace(name: str, record: list[tuple[NDArray[Any], ...]]) -> LayerTrace:
    sums, states, spikes = (np.stack([step[i] for step in record]) for i in range(3))
    return LayerTrace(name, sums, states, spikes)
