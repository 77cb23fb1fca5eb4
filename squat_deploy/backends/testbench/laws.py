"""What a hand-written core computes: the constants of every layer, and their law in words of C."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import numpy as np

from squat_deploy.network import INPUT, IntArray, Network, TwoStateNeuron, int_bits
from squat_deploy.network.layers import Add, Concat, Conv2d, ConvTranspose2d, Delay, Dense, Layer, Neuron, Pool2d
from squat_deploy.network.readout import Readout

_READOUTS: dict[Readout, str] = {
    "count": "score[n] += spike[n]",
    "first": "score[n] += 1, where neuron n spikes or score[n] > 0",
    "highest-membrane": "score[n] = the larger of score[n] and m[n]",
    "last-membrane": "score[n] = m[n]",
    "mean-membrane": "score[n] += WORTH[m[n]]",
}


@dataclass(frozen=True)
class Law:
    """Constants of a layer by name, and how it makes y of x."""

    arrays: dict[str, IntArray]
    lines: tuple[str, ...]


def law_of(layer: Layer) -> Law:
    """The law of a layer; names in capitals are those of its arrays."""
    match layer:
        case Dense():
            line = "y[o] = BIAS[o] + sum over i of WEIGHT[o][i] * x[i]"
            return Law({"WEIGHT": layer.weight, "BIAS": layer.bias}, (line,))
        case Conv2d() | ConvTranspose2d():
            return _convolution(layer)
        case Pool2d():
            return Law({}, _pooling(layer))
        case Add():
            line = "y[n] = " + " + ".join(f"{factor} * x{index}[n]" for index, factor in enumerate(layer.factors))
            return Law({}, (line,))
        case Concat():
            line = "y = " + ", then ".join(f"the {size} of x{index}" for index, size in enumerate(layer.sizes))
            return Law({}, (line,))
        case Delay():
            line = "y[n] = x[n] as it was DELAY[n] steps before, 0 where the sequence had not begun"
            return Law({"DELAY": layer.steps}, (line,))
        case Neuron():
            return _neurons(layer)
        case TwoStateNeuron():
            return _two_states(layer)
    assert_never(layer)


def _convolution(layer: Conv2d | ConvTranspose2d) -> Law:
    (below, beside), (top, left), (down, right) = layer.stride, layer.padding, layer.dilation
    channels, outputs = layer.weight.shape[1], len(layer.weight) // layer.groups
    plane = f"{_planes('x', layer.input_shape)}, {_planes('y', layer.output_shape)}; 0 <= i < {channels}"
    group = f"g = o / {outputs}"
    moved = f"[r * {below} - {top} + v * {down}][q * {beside} - {left} + u * {right}]"
    if isinstance(layer, ConvTranspose2d):
        lines = (
            f"y[o][..][..] = BIAS[o]; then every x[g * {channels} + i][r][q] adds WEIGHT[o][i][v][u] * x[..] to",
            f"y[o]{moved}, where that lies inside y; {group}",
        )
    else:
        lines = (
            "y[o][r][q] = BIAS[o] + sum over i, v, u of",
            f"WEIGHT[o][i][v][u] * x[g * {channels} + i]{moved}, 0 where that lies outside x; {group}",
        )
    return Law({"WEIGHT": layer.weight, "BIAS": layer.bias}, (*lines, plane))


def _planes(name: str, shape: tuple[int, ...]) -> str:
    return f"{name} is " + "".join(f"[{size}]" for size in shape)


def _pooling(layer: Pool2d) -> tuple[str, ...]:
    (high, wide), (below, beside), (top, left) = layer.kernel, layer.stride, layer.padding
    what = "sum" if layer.kind == "sum" else "largest"
    return (
        f"y[c][r][q] = {what} over 0 <= v < {high}, 0 <= u < {wide} of x[c][r * {below} - {top} + v]"
        f"[q * {beside} - {left} + u];",
        f"what lies outside x is left out; {_planes('x', layer.input_shape)}, {_planes('y', layer.output_shape)}",
    )


def _neurons(layer: Neuron) -> Law:
    arrays = {"THRESHOLDS": layer.thresholds, "FIRE_LEVEL": layer.fire_level, "TABLE": layer.table}
    lines = [
        f"every neuron n has a state s, {layer.initial_state} at the start of a sequence; with k = TABLE[n]:",
        "level = how many of THRESHOLDS[k][s][..] are <= x[n]; they ascend",
        "y[n] = spike[n] = level >= FIRE_LEVEL[k] ? 1 : 0",
        "the next state is level" if layer.carries_level else "the next state is SUCCESSOR[k][s][level]",
    ]
    if not layer.carries_level:
        arrays["SUCCESSOR"] = layer.successor
    return Law(arrays, tuple(lines))


def _two_states(layer: TwoStateNeuron) -> Law:
    names = ("follows", "membrane_offset", "current_offset", "boundaries", "next_offset", "next_boundaries")
    arrays = {name.upper(): getattr(layer, name) for name in (*names, "fire_level", "table")}
    count, gain, next_gain = layer.membrane_state_count, 2**layer.fraction_bits, 2**layer.next_fraction_bits
    lines = [
        f"every neuron n has a state a * {count} + b, {layer.initial_state} at first: of current and membrane;",
        "with k = TABLE[n], all in integers of 64 bits:",
        f"key = MEMBRANE_OFFSET[k][b] + FOLLOWS[k][b] * (CURRENT_OFFSET[k][a] + x[n] * {gain})",
        "level = how many of BOUNDARIES[k][..] are <= key; they ascend",
        "y[n] = spike[n] = level >= FIRE_LEVEL[k] ? 1 : 0",
        f"the next a is how many of NEXT_BOUNDARIES[k][..] are <= NEXT_OFFSET[k][a] + x[n] * {next_gain}",
        "the next b is level" if layer.carries_level else "the next b is SUCCESSOR[k][b][level]",
    ]
    if not layer.carries_level:
        arrays["SUCCESSOR"] = np.array(layer.successor)
    return Law(arrays, tuple(lines))


def taken(network: Network, position: int) -> tuple[str, ...]:
    """What x is, or x0 and those that follow."""
    sources = network.wires[position]
    names = ["x"] if len(sources) == 1 else [f"x{index}" for index in range(len(sources))]
    return tuple(f"{name} = {_source(position, source)}" for name, source in zip(names, sources, strict=True))


def _source(position: int, source: int) -> str:
    if source == INPUT:
        return "what enters in this step"
    late = ", of the step before (0 in the first)" if source >= position else ""
    return f"y of layer {source + 1}{late}"


def sums(network: Network, position: int) -> str:
    """The range of all partial results, in any order, for who chooses widths."""
    low, high = network.layers[position].partial_range(*network.taken(position))
    return f"all values on the way lie in {low}..{high}, {int_bits(low, high)} bits"


def readout_lines(network: Network) -> tuple[str, ...]:
    """The law of the scores."""
    output = network.neurons[-1]
    lines = [f"every score is 0 at the start of a sequence; after every step {_READOUTS[network.readout]}"]
    if "membrane" in network.readout:
        count = output.membrane_state_count if isinstance(output, TwoStateNeuron) else 0
        lines.append(f"m[n] is the state of neuron n{f' % {count}, its membrane' if count else ''}")
    if network.values is not None:
        lines.append(network.values.described)
    lines.append("the class is the index of the highest score, the lowest index on ties")
    return tuple(lines)
