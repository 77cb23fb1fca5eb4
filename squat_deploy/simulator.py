"""NumPy executor: the reference trace of a Network.

Synaptic sums run as float matrix products where the ranges prove them exact (every partial sum below 2**24 in
float32, 2**53 in float64); neurons look their next state up in a table over (state, sum) where that is small, and
search the sorted thresholds where it is not. Both are made from `Neuron.thresholds` and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network import IntArray, Layer, Network, Neuron
from squat_deploy.synapses import Dense, Synapses

_LOOKUP_LIMIT = 2**22  # entries of a (table, state, sum) lookup: stays in the cache
_BATCH_BYTES = 2**27  # of intermediate arrays a batch


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """Everything that one neuron layer did.

    Attributes:
        sums: (T, B, N) synaptic sums, int32 (int64 where they need it).
        states: (T, B, N) state index after each step, uint16.
        spikes: (T, B, N) bool.
    """

    name: str
    sums: NDArray[Any]
    states: NDArray[np.uint16]
    spikes: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Result:
    """What a simulation returns.

    Attributes:
        counts: spike counts (B, classes).
        trace: what every neuron layer did, if asked for.
        stated: (B,) classes, where an executor names them itself.
    """

    counts: IntArray
    trace: tuple[LayerTrace, ...] | None = None
    stated: IntArray | None = None

    @property
    def classes(self) -> IntArray:
        """(B,) class with the most spikes, the lowest index on ties, as `argmax`."""
        return self.counts.argmax(axis=1) if self.stated is None else self.stated


def simulate(network: Network, inputs: NDArray[Any], *, trace: bool = False, batch: int | None = None) -> Result:
    """Runs the network on integer inputs.

    Args:
        inputs: integers (B, *shape), or (T, B, *shape) for "sequence" inputs; `InputSpec.quantize` makes them.
        trace: keep synaptic sums, state indices and spikes of every step and layer.
        batch: samples at a time; by default what fits a modest amount of memory.

    Raises: ConfigError for inputs of the wrong type, shape or range.
    """
    values = network.input.check(inputs, network.steps)
    direct = network.input.encoding == "direct"
    values = values.reshape(*values.shape[: 1 if direct else 2], network.input.size)
    plan = _plan(network)
    samples = values.shape[0 if direct else 1]
    size = batch or _batch_size(network, trace)
    parts = []
    for start in range(0, max(samples, 1), size):
        window = slice(start, start + size)
        parts.append(_run(plan, values[window] if direct else values[:, window], network.steps, direct, trace))
    counts = np.concatenate([part.counts for part in parts])
    if not trace:
        return Result(counts)
    return Result(counts, tuple(joined(layers) for layers in zip(*(part.trace or () for part in parts), strict=True)))


def joined(parts: tuple[LayerTrace, ...]) -> LayerTrace:
    """Traces of one layer on batches of samples, as one."""
    if len(parts) == 1:
        return parts[0]
    sums, states, spikes = (
        np.concatenate([getattr(p, key) for p in parts], axis=1) for key in ("sums", "states", "spikes")
    )
    return LayerTrace(parts[0].name, sums, states, spikes)


def _batch_size(network: Network, trace: bool) -> int:
    layers = [layer for pair in network.pairs() for layer in pair[:2]]
    widest = max(network.input.size, *(_width(layer) for layer in layers))
    steps = network.steps if network.input.encoding == "sequence" or trace else 1
    return max(1, _BATCH_BYTES // (8 * widest * steps))


def _width(layer: Layer) -> int:
    """Values a sample that a layer makes on its way."""
    if isinstance(layer, Neuron):
        return layer.neurons
    return layer.outputs if isinstance(layer, Dense) else layer.patch_values


class _Product:
    """Exact matrix product (of a convolution's patches) in the narrowest float type that holds every partial sum."""

    def __init__(self, layer: Synapses, low: int, high: int) -> None:
        bottom, top = layer.partial_range(low, high)
        largest = max(-bottom, top, 1)
        self.layer = layer
        self.dtype: type[np.generic] = np.float32 if largest < 2**24 else np.float64 if largest < 2**53 else np.int64
        matrix = layer.weight.T if isinstance(layer, Dense) else layer.matrix(layer.weight)
        self.weight = np.ascontiguousarray(matrix).astype(self.dtype)
        self.bias = (layer.bias if isinstance(layer, Dense) else layer.neuron_bias).astype(self.dtype)
        self.index_type: type[np.generic] = np.int32 if largest < 2**30 else np.int64

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        numbers = values.astype(self.dtype)
        if isinstance(self.layer, Dense):
            sums = numbers @ self.weight
        else:
            sums = self.layer.apply(self.layer.patches(numbers), self.weight)
        return (sums + self.bias).astype(self.index_type)


class _Neurons:
    """The finite-state machines of one layer for synaptic sums in low..high."""

    def __init__(self, neuron: Neuron, low: int, high: int) -> None:
        self.neuron, self.low, self.span = neuron, low, high - low + 1
        self.width = len(neuron.thresholds) * neuron.states * self.span
        self.fires = np.arange(neuron.level_count) >= neuron.fire_level[:, None]

    @cached_property
    def _lookup(self) -> NDArray[np.int32]:
        """(K * states * span,) next row start, its lowest bit the spike: one gather an update."""
        neuron = self.neuron
        sums = np.arange(self.low, self.low + self.span)
        table = np.empty((len(neuron.thresholds), neuron.states, self.span), dtype=np.int32)
        for k, state in np.ndindex(*table.shape[:2]):
            level = np.searchsorted(neuron.thresholds[k, state], sums, side="right")
            following = (k * neuron.states + neuron.successor[k, state]) * self.span
            table[k, state] = (following * 2 + self.fires[k])[level]
        return table.reshape(-1)

    @cached_property
    def _sorted(self) -> IntArray:
        """(K * states, 2**bits - 1) thresholds padded to a full binary search tree."""
        thresholds = self.neuron.thresholds.reshape(-1, self.neuron.level_count - 1)
        size = 2 ** (self.neuron.level_count - 1).bit_length() - 1
        return np.pad(thresholds, ((0, 0), (0, size - thresholds.shape[1])), constant_values=2**62)

    def run(
        self, sums: Iterator[NDArray[Any]], shape: tuple[int, int]
    ) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
        """Yields (state index, spikes), both of `shape` (B, N), for the synaptic sums of every step."""
        small = self.width <= _LOOKUP_LIMIT
        return self._run_lookup(sums, shape) if small else self._run_search(sums, shape)

    def _run_lookup(
        self, sums: Iterator[NDArray[Any]], shape: tuple[int, int]
    ) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
        neuron, lookup = self.neuron, self._lookup
        first = (neuron.table * neuron.states * self.span).astype(np.int32)
        row = np.broadcast_to(first + np.int32(neuron.initial_state * self.span), shape)
        for synaptic_sum in sums:
            address = row + synaptic_sum
            address -= np.int32(self.low)
            code = lookup.take(address)
            row = code >> 1
            yield _Lazy(row, first, self.span), (code & 1).astype(bool)  # type: ignore[misc]

    def _run_search(
        self, sums: Iterator[NDArray[Any]], shape: tuple[int, int]
    ) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
        neuron, table, width = self.neuron, self._sorted.reshape(-1), self._sorted.shape[1]
        state = np.full(shape, neuron.initial_state, dtype=np.int64)
        for synaptic_sum in sums:
            start = (neuron.table * neuron.states + state) * width
            level = np.zeros(shape, dtype=np.int64)
            half = (width + 1) // 2
            while half:
                level += half * (table.take(start + (level + (half - 1))) <= synaptic_sum)
                half //= 2
            spikes = level >= neuron.fire_level[neuron.table]
            state = level if neuron.carries_level else neuron.successor[neuron.table, state, level]
            yield state, spikes


class _Lazy:
    """State indices of the lookup form, worked out only when a trace asks for them."""

    def __init__(self, row: NDArray[np.int32], first: NDArray[np.int32], span: int) -> None:
        self.row, self.first, self.span = row, first, span

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return ((self.row - self.first) // self.span).astype(dtype)


def _plan(network: Network) -> list[tuple[_Product, _Neurons]]:
    plan = []
    for dense, neuron, low, high in network.pairs():
        lows, highs = dense.sum_range(low, high)
        plan.append((_Product(dense, low, high), _Neurons(neuron, int(lows.min()), int(highs.max()))))
    return plan


def _run(plan: list[tuple[_Product, _Neurons]], inputs: NDArray[Any], steps: int, direct: bool, trace: bool) -> Result:
    """One batch: layer after layer would need whole traces, so all layers advance together, step by step."""
    samples = inputs.shape[0 if direct else 1]
    records: list[list[tuple[Any, ...]]] = [[] for _ in plan]
    synapses, _ = plan[0]
    constant = synapses(inputs) if direct else None
    signal = _constant(constant, steps) if constant is not None else (synapses(inputs[t]) for t in range(steps))
    counts = np.zeros((samples, plan[-1][1].neuron.neurons), dtype=np.int64)
    for spikes in _chain(plan, signal, samples, records if trace else None):
        counts += spikes
    if not trace:
        return Result(counts)
    return Result(counts, tuple(_layer_trace(n.neuron, record) for (_, n), record in zip(plan, records, strict=True)))


def _constant(value: NDArray[Any], steps: int) -> Iterator[NDArray[Any]]:
    for _ in range(steps):
        yield value


def _chain(
    plan: list[tuple[_Product, _Neurons]],
    signal: Iterator[NDArray[Any]],
    samples: int,
    records: list[list[tuple[Any, ...]]] | None,
) -> Iterator[NDArray[np.bool_]]:
    """Generators in a row, one a layer; each step flows through all of them."""
    spikes: Iterator[NDArray[np.bool_]] = iter(())
    for index, (_, neurons) in enumerate(plan):
        spikes = _layer(neurons, signal, samples, None if records is None else records[index])
        if index + 1 < len(plan):
            signal = map(plan[index + 1][0], spikes)
    return spikes


def _layer(
    neurons: _Neurons, sums: Iterator[NDArray[Any]], samples: int, record: list[tuple[Any, ...]] | None
) -> Iterator[NDArray[np.bool_]]:
    seen: list[NDArray[Any]] = []

    def watched() -> Iterator[NDArray[Any]]:
        for value in sums:
            seen[:] = [value]
            yield value

    for state, spikes in neurons.run(watched(), (samples, neurons.neuron.neurons)):
        if record is not None:
            record.append((seen[0], np.asarray(state, dtype=np.uint16), spikes))
        yield spikes


def _layer_trace(neuron: Neuron, record: list[tuple[Any, ...]]) -> LayerTrace:
    sums, states, spikes = (np.stack([step[i] for step in record]) for i in range(3))
    return LayerTrace(neuron.name, sums, states, spikes)
