"""Inputs that are no accident: sums on both sides of the network's thresholds, and thresholds at the model's currents.

Of the network under test only its arrays are read: weights, wires and threshold tables.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from snntorch.functional.quant import state_quant

from tests.oracle.loop import first_currents
from tests.oracle.models import Case, neurons_of

Ints = NDArray[np.int64]
NEURONS = ("Neuron", "TwoStateNeuron")
_MOST_PATHS = 1024  # two states of many bits have far more
_TRIES = 12
_CANDIDATES = 60  # of each kind of input, for the one that float32 rounds most
_MAX_SIZE = 300  # inputs of a sample for which rows of weights are worked out


def aim_thresholds(case: Case, rng: random.Random) -> Ints | None:
    """Moves the threshold of some neurons so that a current of theirs lies where a level ends, give or take an ulp.

    Returns: the input that makes this current: of many, the one whose current float32 rounds most.
    """
    integers = _candidates(case)
    worst = _worst(case, integers)
    integers = integers.take([worst], axis=0 if case.direct else 1)
    moved = False
    for name, neuron in neurons_of(case.model):
        if neuron.threshold.numel() == 1 and rng.random() < 0.7:
            currents = first_currents(case, integers).get(name)
            moved |= currents is not None and _move(neuron, currents.flatten().tolist(), rng)
    return integers if moved else None


def _candidates(case: Case) -> Ints:
    """Random inputs of all densities, constant ones, and ones that begin late."""
    numbers = np.random.default_rng(case.seed)
    shape = case.shape if case.direct else (case.steps, *case.shape)
    zero = min(max(0, case.low), case.high)
    samples = []
    for share in np.linspace(0.05, 1, _CANDIDATES):
        drawn = numbers.integers(case.low, case.high + 1, shape)
        samples.append(np.where(numbers.random(shape) < share, drawn, zero))
    for share in numbers.random(_CANDIDATES):
        constant = int(numbers.integers(case.low, case.high + 1))
        place = np.arange(int(np.prod(case.shape))).reshape(case.shape) / np.prod(case.shape)
        samples.append(np.broadcast_to(np.where(place < share, constant, zero), shape))
    return np.stack(samples, axis=0 if case.direct else 1).astype(np.int64)


def _worst(case: Case, integers: Ints) -> int:
    """The sample whose first current differs most, relatively, between float32 and float64."""
    single, double = (first_currents(case, integers, kind) for kind in (torch.float32, torch.float64))
    name = next(iter(single))
    exact = double[name].flatten(1)
    error = (single[name].flatten(1) - exact).abs() / exact.abs().clamp(min=1e-30)
    return int(error.amax(dim=1).argmax())


def _move(neuron: Any, currents: list[float], rng: random.Random) -> bool:
    current = rng.choice(currents)
    levels = state_quant(threshold=1.0, **neuron.drawn_table).__closure__[0].cell_contents.double().numpy()
    ends = (levels[1:] + levels[:-1]) / 2
    ends = ends[(ends != 0) & (np.sign(ends) == np.sign(current))]
    if not ends.size:
        return False
    threshold = current / rng.choice(ends.tolist())
    if not 1e-6 < threshold < 1e9:
        return False
    threshold = float(np.float32(threshold * (1 + rng.randint(-3, 3) * 2.0**-24)))
    neuron.threshold.data.fill_(threshold)
    neuron.state_quant = state_quant(threshold=threshold, **neuron.drawn_table)
    return True


def inputs_for(case: Case, network: Any, rng: random.Random, count: int) -> Ints:
    """All least, all greatest, random dense and sparse, alternating, and aimed ones, (B, ...) or (T, B, ...)."""
    numbers = np.random.default_rng(rng.getrandbits(32))
    low, high = case.low, case.high
    shape = case.shape if case.direct else (case.steps, *case.shape)
    zero = min(max(0, low), high)
    samples = [np.full(shape, low), np.full(shape, high), numbers.integers(low, high + 1, shape)]
    places = np.arange(samples[0].size).reshape(shape)
    samples += [np.where(places % 2 == odd, low, high) for odd in (0, 1)]
    for share in (0.1, 0.3, 0.7):
        samples.append(np.where(numbers.random(shape) < share, numbers.integers(low, high + 1, shape), zero))
    samples += _aimed(case, network, rng, count - len(samples))
    stacked = np.stack(samples, axis=0 if case.direct else 1)
    return stacked.astype(np.int64)


def _aimed(case: Case, network: Any, rng: random.Random, count: int) -> list[Ints]:
    """Samples for neurons whose sums are linear in the input."""
    choices = [
        (layer, rows)
        for layer, wire in zip(network.layers, network.wires, strict=True)
        if type(layer).__name__ in NEURONS and (rows := _rows(case, network, wire[0])) is not None
    ]
    if not choices or np.prod(case.shape) > _MAX_SIZE:
        return []
    samples = (_sample(case, *rng.choice(choices), rng) for _ in range(count))
    return [sample for sample in samples if sample is not None]


def _rows(case: Case, network: Any, source: int) -> tuple[Ints, Ints] | None:
    """(N, size) weights and (N,) constants of a layer that is linear in the input, else None."""
    size = int(np.prod(case.shape))
    if source == -1:
        return np.eye(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    if source >= len(network.layers) or size > _MAX_SIZE:
        return None
    layer = network.layers[source]
    kind = type(layer).__name__
    if kind in NEURONS or any(taken >= source for taken in network.wires[source]):
        return None
    taken = [_rows(case, network, each) for each in network.wires[source]]
    if None in taken:
        return None
    weights, constants = (list(parts) for parts in zip(*(part for part in taken if part is not None), strict=True))
    columns = [np.concatenate([w, c[:, None]], axis=1).T for w, c in zip(weights, constants, strict=True)]
    result = _applied(layer, kind, columns)
    return None if result is None else (result[:-1].T, result[-1].T)


def _applied(layer: Any, kind: str, columns: list[Ints]) -> Ints | None:
    """A linear layer on each of the columns; the bias belongs to the last, the constant one."""
    if kind == "Add":
        return sum(factor * values for factor, values in zip(layer.factors, columns, strict=True))  # type: ignore[return-value]
    if kind == "Concat":
        return np.concatenate(columns, axis=1)
    if kind == "Pool2d" and layer.kind == "sum":
        planes = torch.from_numpy(columns[0].reshape(-1, *layer.input_shape)).double()
        pooled = F.avg_pool2d(planes, layer.kernel, layer.stride, layer.padding, divisor_override=1)
        return np.rint(pooled.flatten(1).numpy()).astype(np.int64)
    if kind == "Dense":
        result = columns[0] @ layer.weight.T
    elif kind == "Conv2d":
        planes = torch.from_numpy(columns[0].reshape(-1, *layer.input_shape)).double()
        weight = torch.from_numpy(layer.weight.astype(np.float64))
        sizes = (layer.stride, layer.padding, layer.dilation, layer.groups)
        result = np.rint(F.conv2d(planes, weight, None, *sizes).flatten(1).numpy()).astype(np.int64)
    elif kind == "ConvTranspose2d":
        planes = torch.from_numpy(columns[0].reshape(-1, *layer.input_shape)).double()
        outputs, channels, *kernel = layer.weight.shape
        weight = torch.from_numpy(layer.weight.astype(np.float64)).reshape(layer.groups, -1, channels, *kernel)
        weight = weight.transpose(1, 2).reshape(-1, outputs // layer.groups, *kernel)
        sizes = (layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation)
        result = np.rint(F.conv_transpose2d(planes, weight, None, *sizes).flatten(1).numpy()).astype(np.int64)
    else:
        return None
    result[-1] += np.repeat(layer.bias, result.shape[1] // len(layer.bias))
    return result


def _sample(case: Case, neuron: Any, rows: tuple[Ints, Ints], rng: random.Random) -> Ints | None:
    """One sample that takes one neuron to a state, and then to one side of a threshold of this state."""
    weights, constants = rows
    number = rng.randrange(neuron.neurons)
    row, constant = weights[number], int(constants[number])
    ends = np.where(row > 0, row * case.high, row * case.low), np.where(row > 0, row * case.low, row * case.high)
    highest, lowest = (int(end.sum()) + constant for end in ends)
    machine = int(neuron.table[number])
    if case.direct:
        paths: dict[int, list[int]] = {state: [] for state in range(neuron.states)}
    else:
        paths = _paths(neuron, machine, lowest, highest, case.steps - 1)
    state = rng.choice(sorted(paths)) if rng.random() < 0.6 else neuron.initial_state
    thresholds = [first for _, (first, _) in neuron.following(machine, state, lowest, highest) if first > lowest]
    if not thresholds:
        return None
    target = rng.choice(thresholds) - rng.randint(0, 1)
    sums = [target] if case.direct else [*paths[state], target]
    frames = [solved(row, each - constant, case.low, case.high, rng) for each in sums]
    if any(frame is None for frame in frames):
        return None
    found = [frame for frame in frames if frame is not None]
    if case.direct:
        return found[0].reshape(case.shape)
    rest = [found[-1] if rng.random() < 0.5 else rng.choice(found) for _ in range(case.steps - len(found))]
    return np.stack([frame.reshape(case.shape) for frame in [*found, *rest]])


def _paths(neuron: Any, machine: int, lowest: int, highest: int, longest: int) -> dict[int, list[int]]:
    """Sums that lead to each state that can be reached from rest, the shortest way."""
    paths: dict[int, list[int]] = {neuron.initial_state: []}
    open_ends = deque([neuron.initial_state])
    while open_ends:
        state = open_ends.popleft()
        if len(paths[state]) == longest:
            continue
        for following, (first, last) in neuron.following(machine, state, lowest, highest):
            if following not in paths and len(paths) < _MOST_PATHS:
                paths[following] = [*paths[state], (first + last) // 2]
                open_ends.append(following)
    return paths


def solved(row: Ints, target: int, low: int, high: int, rng: random.Random) -> Ints | None:
    """Integers low..high whose sum with these weights is the target: greedy from random starts, mended at the end."""
    places = np.flatnonzero(row).tolist()
    for attempt in range(_TRIES):
        values = np.array([rng.randint(low, high) for _ in range(row.size)], dtype=np.int64)
        for _ in range(3):
            rng.shuffle(places)
            if attempt % 2:
                places.sort(key=lambda place: -abs(int(row[place])))
            for place in places:
                miss = target - int(row @ values)
                if miss == 0:
                    return values
                weight = int(row[place])
                values[place] = min(max(int(values[place]) + round(miss / weight), low), high)
        if int(row @ values) == target:
            return values
    return None
