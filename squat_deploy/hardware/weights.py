"""The weight ROM of synapses: rows of PE weights, packed into words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.grid import Number
from squat_deploy.hardware.lanes import Lanes
from squat_deploy.hardware.plane import Plane
from squat_deploy.hardware.words import Fields, signed
from squat_deploy.network import IntArray, int_bits
from squat_deploy.network.window import Window

WORD_BITS = 64  # of a weight ROM word; wider folding reads several ROMs side by side


@dataclass(frozen=True, eq=False)
class WeightRom:
    """Weights as rows of PE lanes.

    Attributes:
        plane: taps along both axes; a single point for fully connected synapses, whose inputs are channels.
        span: groups of lanes that one input channel reaches.
        channels_in, channels_out: of one group of a grouped convolution.
        fields: weights in a row; `bipolar` ones are -1 or +1, stored as one bit.
        words: (limbs, rows) of at most 64 bits.
        bias: (groups, pe), where every sum starts, or None where all start at 0.
    """

    plane: Plane
    span: int
    channels_in: int
    channels_out: int
    fields: Fields
    bipolar: bool
    words: NDArray[np.uint64]
    bias: IntArray | None

    @property
    def bits(self) -> int:
        """Of one weight."""
        return self.fields.bits

    @property
    def word_bits(self) -> int:
        """Bits used of the first word of a row."""
        return min(self.fields.per_word, self.fields.count) * self.bits

    def row(self, channel: Number, tap_y: Number, tap_x: Number, group: Number) -> Number:
        """Where the weights of an input channel, a tap and a group of lanes stand."""
        y, x = self.plane.y, self.plane.x
        return ((channel * y.kernel + tap_y) * x.kernel + tap_x) * self.span + group

    def first_group(self, channel: IntArray, lanes: Lanes) -> IntArray:
        """The first group of lanes that an input channel reaches."""
        return np.minimum(channel // self.channels_in * self.channels_out // lanes.pe, lanes.groups - self.span)

    def weights(self) -> IntArray:
        """(rows, pe), as read back from the words."""
        codes = self.fields.unpack(self.words.T)
        return codes * 2 - 1 if self.bipolar else signed(codes, self.bits)


def weight_rom(weight: IntArray, bias: IntArray, groups: int, window: Window, lanes: Lanes) -> WeightRom:
    """Packs weights (O, C / groups, height, width) for `lanes.pe` channels in parallel."""
    channels_out, channels_in = len(weight) // groups, weight.shape[1]
    firsts = np.arange(groups) * channels_out // lanes.pe
    lasts = ((np.arange(groups) + 1) * channels_out - 1) // lanes.pe
    span = int((lasts - firsts).max()) + 1
    firsts = np.minimum(firsts, lanes.groups - span)
    reached = (firsts[:, None, None] + np.arange(span)[:, None]) * lanes.pe + np.arange(lanes.pe)
    inside = (reached // channels_out == np.arange(groups)[:, None, None]) | (groups == 1)
    kernels = weight[np.minimum(reached, len(weight) - 1)]  # idle lanes repeat the last channel
    kernels = np.where(inside[..., None, None, None], kernels, 0)  # (groups, span, pe, channels, height, width)
    bits, bipolar, codes = codes_of(kernels.transpose(0, 3, 4, 5, 1, 2).reshape(-1, lanes.pe))
    fields = Fields(lanes.pe, bits, WORD_BITS)
    start = lanes.by_channel(bias) if bias.any() else None
    return WeightRom(Plane.of(window), span, channels_in, channels_out, fields, bipolar, fields.pack(codes).T, start)


def codes_of(weight: IntArray) -> tuple[int, bool, IntArray]:
    """(bits, bipolar, numbers to store) of the narrowest encoding: +-1 in one bit, else two's complement."""
    if (np.abs(weight) == 1).all():
        return 1, True, (weight > 0).astype(np.int64)
    return int_bits(min(int(weight.min()), -1), max(int(weight.max()), 0)), False, weight
