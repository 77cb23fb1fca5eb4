"""The weight ROM of synapses, and the walk of one event over the sums that it reaches."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from squat_deploy.backends.cpp import packed_rows
from squat_deploy.hardware.lanes import Lanes
from squat_deploy.network import int_bits
from squat_deploy.network.layers import Conv2d, Dense, IntArray

WORD_BITS = 64  # of a weight ROM word; wider folding reads several ROMs side by side


@dataclass(frozen=True)
class Axis:
    """The taps of a kernel along one axis that one event meets: outputs `(place + pad - tap * dilation) / stride`.

    Attributes:
        first: tap that an event at `(place + pad) % stride` meets first; `kernel` where it meets none.
        step: from one tap to the next that falls on an output.
        move: outputs from one such tap to the next, backwards.
        taps: most taps that an event meets.
    """

    size: int
    outputs: int
    kernel: int
    stride: int
    pad: int
    dilation: int
    first: tuple[int, ...]
    step: int
    move: int
    taps: int


def axis_of(size: int, outputs: int, kernel: int, stride: int, pad: int, dilation: int) -> Axis:
    """The walk along one axis of an input of `size`."""
    common = math.gcd(stride, dilation)
    step = stride // common
    first = tuple(
        next((tap for tap in range(min(step, kernel)) if (rest - tap * dilation) % stride == 0), kernel)
        for rest in range(stride)
    )
    return Axis(size, outputs, kernel, stride, pad, dilation, first, step, dilation // common, -(-kernel // step))


@dataclass(frozen=True, eq=False)
class WeightRom:
    """Weights as rows of PE lanes: row `((input channel * kernel height + tap) * kernel width + tap) * span + group`.

    Attributes:
        y, x: taps along both axes; 1 x 1 for fully connected synapses, whose inputs are channels.
        span: groups of lanes that one input channel reaches.
        channels_in, channels_out: of one group of a grouped convolution.
        bits: of one weight; `bipolar` ones are -1 or +1, stored as one bit.
        per_word: weights in one word of at most 64 bits.
        words: (limbs, rows).
        bias: (groups, pe), where every sum starts, or None where all start at 0.
    """

    y: Axis
    x: Axis
    span: int
    channels_in: int
    channels_out: int
    bits: int
    bipolar: bool
    per_word: int
    words: tuple[tuple[int, ...], ...]
    bias: IntArray | None
    pe: int

    @property
    def word_bits(self) -> int:
        """Bits used of a word."""
        return min(self.per_word, self.pe) * self.bits

    @property
    def rom_bits(self) -> int:
        """Bits of all weights as stored, idle lanes included."""
        return len(self.words[0]) * self.pe * self.bits

    @property
    def visits(self) -> int:
        """Iterations of the inner loop for one event."""
        return self.y.taps * self.x.taps * self.span


def weight_rom(layer: Dense | Conv2d, lanes: Lanes) -> WeightRom:
    """Packs the weights of a layer for `lanes.pe` channels in parallel."""
    kernels, groups, (y, x) = _kernels(layer)
    channels_out, channels_in = len(kernels) // groups, kernels.shape[1]
    firsts = np.arange(groups) * channels_out // lanes.pe
    lasts = ((np.arange(groups) + 1) * channels_out - 1) // lanes.pe
    span = int((lasts - firsts).max()) + 1
    firsts = np.minimum(firsts, lanes.groups - span)
    reached = (firsts[:, None, None] + np.arange(span)[:, None]) * lanes.pe + np.arange(lanes.pe)
    inside = (reached // channels_out == np.arange(groups)[:, None, None]) | (groups == 1)
    weights = kernels[np.minimum(reached, len(kernels) - 1)]  # idle lanes repeat the last channel
    weights = np.where(inside[..., None, None, None], weights, 0)  # (groups, span, pe, channels, height, width)
    rows = weights.transpose(0, 3, 4, 5, 1, 2).reshape(-1, lanes.pe)
    bits, bipolar, codes = _codes(rows)
    per_word = WORD_BITS // bits
    bias = lanes.by_channel(layer.bias) if layer.bias.any() else None
    words = tuple(tuple(limb) for limb in packed_rows(codes, bits, per_word))
    return WeightRom(y, x, span, channels_in, channels_out, bits, bipolar, per_word, words, bias, lanes.pe)


def _kernels(layer: Dense | Conv2d) -> tuple[IntArray, int, tuple[Axis, Axis]]:
    """(weights (O, C / groups, height, width), groups, both axes)."""
    if isinstance(layer, Dense):
        return layer.weight[:, :, None, None], 1, (axis_of(1, 1, 1, 1, 0, 1),) * 2
    axes = tuple(
        axis_of(*sizes)
        for sizes in zip(
            layer.input_shape[1:],
            layer.output_shape[1:],
            layer.kernel,
            layer.stride,
            layer.padding,
            layer.dilation,
            strict=True,
        )
    )
    return layer.weight, layer.groups, (axes[0], axes[1])


def _codes(weight: IntArray) -> tuple[int, bool, IntArray]:
    """(bits, bipolar, unsigned codes) of the narrowest encoding: +-1 in one bit, else two's complement."""
    if (np.abs(weight) == 1).all():
        return 1, True, (weight > 0).astype(np.int64)
    bits = int_bits(min(int(weight.min()), -1), max(int(weight.max()), 0))
    return bits, False, weight & (2**bits - 1)
