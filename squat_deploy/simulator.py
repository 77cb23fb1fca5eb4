"""NumPy executor: the reference trace of a Network.

Synaptic sums run as float matrix products where the ranges prove them exact (every partial sum below 2**24 in
float32, 2**53 in float64); neurons look their next state up in a table over (state, sum) where that is small, and
search the sorted thresholds where it is not. Both are made from `Neuron.thresholds` and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.joins import Join, Pool2d, Range
from squat_deploy.network import INPUT, IntArray, Layer, Network, Neuron
from squat_deploy.readout import updated
from squat_deploy.synapses import Conv2d, Dense, Synapses

_LOOKUP_LIMIT = 2**22  # entries of a (table, state, sum) lookup: stays in the cache
_BATCH_BYTES = 2**27  # of intermediate arrays a batch
Step = Callable[[NDArray[Any]], tuple[NDArray[Any], NDArray[np.bool_]]]


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
        scores: (B, classes), what the network's readout makes of the output; spike counts with "count".
        trace: what every neuron layer did, if asked for.
        stated: (B,) classes, where an executor names them itself.
    """

    scores: IntArray
    trace: tuple[LayerTrace, ...] | None = None
    stated: IntArray | None = None

    @property
    def classes(self) -> IntArray:
        """(B,) class with the highest score, the lowest index on ties, as `argmax`."""
        return self.scores.argmax(axis=1) if self.stated is None else self.stated


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
        parts.append(_run(plan, values[window] if direct else values[:, window], trace))
    scores = np.concatenate([part.scores for part in parts])
    if not trace:
        return Result(scores)
    return Result(scores, tuple(joined(layers) for layers in zip(*(part.trace or () for part in parts), strict=True)))


def joined(parts: tuple[LayerTrace, ...]) -> LayerTrace:
    """Traces of one layer on batches of samples, as one."""
    if len(parts) == 1:
        return parts[0]
    sums, states, spikes = (
        np.concatenate([getattr(p, key) for p in parts], axis=1) for key in ("sums", "states", "spikes")
    )
    return LayerTrace(parts[0].name, sums, states, spikes)


def _batch_size(network: Network, trace: bool) -> int:
    widest = max(network.input.size, *(_width(layer) for layer in network.layers))
    steps = network.steps if network.input.encoding == "sequence" or trace else 1
    return max(1, _BATCH_BYTES // (8 * widest * steps))


def _width(layer: Layer) -> int:
    """Values a sample that a layer makes on its way."""
    if isinstance(layer, Conv2d):
        return layer.patch_values
    return layer.outputs * math.prod(layer.kernel) if isinstance(layer, Pool2d) else layer.outputs


class _Product:
    """Exact matrix product (of a convolution's patches) in the narrowest float type that holds every partial sum."""

    def __init__(self, layer: Synapses, low: IntArray, high: IntArray) -> None:
        bottom, top = layer.partial_range(low, high)
        largest = max(-bottom, top, 1)
        self.layer = layer
        self.dtype: type[np.generic] = np.float32 if largest < 2**24 else np.float64 if largest < 2**53 else np.int64
        matrix = layer.weight.T if isinstance(layer, Dense) else layer.matrix(layer.weight)
        self.weight = np.ascontiguousarray(matrix).astype(self.dtype)
        self.bias = (layer.bias if isinstance(layer, Dense) else layer.neuron_bias).astype(self.dtype)
        self.result = _integers(largest)

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        numbers = values.astype(self.dtype)
        if isinstance(self.layer, Dense):
            sums = numbers @ self.weight
        else:
            sums = self.layer.apply(self.layer.patches(numbers), self.weight)
        return (sums + self.bias).astype(self.result)


class _Joined:
    """A layer without weights, on integers wide enough for every partial sum."""

    def __init__(self, layer: Join, taken: list[Range], given: Range) -> None:
        self.layer = layer
        self.result = _integers(max(int(np.abs(end).max()) for pair in [*taken, given] for end in pair))

    def __call__(self, *values: NDArray[Any]) -> NDArray[Any]:
        return self.layer.apply(*(value.astype(self.result) for value in values))


def _integers(largest: int) -> type[np.generic]:
    return np.int32 if largest < 2**30 else np.int64


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

    def start(self, samples: int) -> Step:
        """A function from the synaptic sums (B, N) of one step to (state indices, spikes), which keeps the states."""
        return self._lookup_step(samples) if self.width <= _LOOKUP_LIMIT else self._search_step(samples)

    def _lookup_step(self, samples: int) -> Step:
        neuron, lookup = self.neuron, self._lookup
        first = (neuron.table * neuron.states * self.span).astype(np.int32)
        row = np.broadcast_to(first + np.int32(neuron.initial_state * self.span), (samples, neuron.neurons))

        def step(sums: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
            nonlocal row
            code = lookup.take(row + (sums - self.low).astype(np.int32, copy=False))
            row = code >> 1
            return _Lazy(row, first, self.span), (code & 1).astype(bool)  # type: ignore[return-value]

        return step

    def _search_step(self, samples: int) -> Step:
        neuron, table, width = self.neuron, self._sorted.reshape(-1), self._sorted.shape[1]
        state = np.full((samples, neuron.neurons), neuron.initial_state, dtype=np.int64)

        def step(sums: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
            nonlocal state
            start = (neuron.table * neuron.states + state) * width
            level = np.zeros(sums.shape, dtype=np.int64)
            half = (width + 1) // 2
            while half:
                level += half * (table.take(start + (level + (half - 1))) <= sums)
                half //= 2
            spikes = level >= neuron.fire_level[neuron.table]
            state = level if neuron.carries_level else neuron.successor[neuron.table, state, level]
            return state, spikes

        return step


class _Lazy:
    """State indices of the lookup form, worked out only when a trace asks for them."""

    def __init__(self, row: NDArray[np.int32], first: NDArray[np.int32], span: int) -> None:
        self.row, self.first, self.span = row, first, span

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return ((self.row - self.first) // self.span).astype(dtype)


def layer_function(network: Network, index: int) -> _Product | _Joined:
    """What a layer that is no neurons makes of its inputs, (B, N) integers each: exact, (B, N) integers."""
    layer, taken = network.layers[index], network.taken(index)
    assert not isinstance(layer, Neuron)
    if isinstance(layer, Dense | Conv2d):
        return _Product(layer, *taken[0])
    return _Joined(layer, taken, network.range_at(index))


def _plan(network: Network) -> _Plan:
    """How each layer is run, and which layers see nothing but a direct input, so that they run once."""
    runners: list[_Product | _Joined | _Neurons] = []
    constant: list[bool] = []
    for index, (layer, wire) in enumerate(zip(network.layers, network.wires, strict=True)):
        if isinstance(layer, Neuron):
            lows, highs = network.taken(index)[0]
            runners.append(_Neurons(layer, int(lows.min()), int(highs.max())))
        else:
            runners.append(layer_function(network, index))
        still = all(
            network.input.encoding == "direct" if source == INPUT else source < index and constant[source]
            for source in wire
        )
        constant.append(still and not isinstance(layer, Neuron))
    return _Plan(network, tuple(runners), tuple(constant))


@dataclass(frozen=True, eq=False)
class _Plan:
    network: Network
    runners: tuple[_Product | _Joined | _Neurons, ...]
    constant: tuple[bool, ...]


def _run(plan: _Plan, inputs: NDArray[Any], trace: bool) -> Result:
    """One batch: layer after layer would need whole traces, so all layers advance together, step by step."""
    network = plan.network
    direct = network.input.encoding == "direct"
    samples = inputs.shape[0 if direct else 1]
    calls = [runner.start(samples) if isinstance(runner, _Neurons) else runner for runner in plan.runners]
    values: dict[int, NDArray[Any]] = {
        index: np.zeros((samples, layer.neurons), dtype=bool)
        for index, layer in enumerate(network.layers)
        if isinstance(layer, Neuron)
    }
    records: dict[int, list[tuple[Any, ...]]] = {index: [] for index in values} if trace else {}
    scores = np.zeros((samples, network.outputs), dtype=np.int64)
    for step in range(network.steps):
        values[INPUT] = inputs if direct else inputs[step]
        for index, (call, wire) in enumerate(zip(calls, network.wires, strict=True)):
            if step and plan.constant[index]:
                continue
            taken = [values[source] for source in wire]
            result: Any = call(*taken)
            if isinstance(network.layers[index], Neuron):
                state, result = result
                if trace:
                    records[index].append((taken[0], np.asarray(state, dtype=np.uint16), result))
            values[index] = result
        scores = updated(network.readout, scores, result, state)
    if not trace:
        return Result(scores)
    return Result(scores, tuple(_layer_trace(network.layers[index], record) for index, record in records.items()))


def _layer_trace(neuron: Layer, record: list[tuple[Any, ...]]) -> LayerTrace:
    sums, states, spikes = (np.stack([step[i] for step in record]) for i in range(3))
    return LayerTrace(neuron.name, sums, states, spikes)
