"""Which bits are used: of weights, sums and states, against what the hardware has for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from squat_deploy.network import IntArray, Network
from squat_deploy.network.inputs import int_bits
from squat_deploy.network.layers import Weighted
from squat_deploy.reporting.blocks import Block, Paragraph, Section, share, table
from squat_deploy.reporting.levels import levels_met
from squat_deploy.reporting.material import Material


@dataclass(frozen=True)
class WeightBits:
    """Of one layer of synapses.

    Attributes:
        bits: that hold all its weights.
        codes: of these 2**bits, how many some weight has.
        zeros: share of weights that are 0.
        common: the largest whole number of which all weights are multiples.
    """

    name: str
    low: int
    high: int
    codes: int
    zeros: float
    common: int

    @property
    def bits(self) -> int:
        return int_bits(self.low, self.high)

    @property
    def needed(self) -> int:
        """Bits without the common factor."""
        return int_bits(self.low // self.common, self.high // self.common)


def weight_bits(network: Network) -> list[WeightBits]:
    """Of every layer with weights."""
    return [_of(layer.name, layer.weight) for layer in network.layers if isinstance(layer, Weighted)]


def _of(name: str, weight: IntArray) -> WeightBits:
    values = np.unique(weight)
    common = max(1, int(np.gcd.reduce(values)))
    return WeightBits(name, int(values[0]), int(values[-1]), len(values), float((weight == 0).mean()), common)


@dataclass(frozen=True)
class StateBits:
    """Of one layer of neurons.

    Attributes:
        bits, used: of all sums that its ranges allow, and of those that came.
        levels, met: how many there are, and how many some neuron was at; None where states are no levels.
    """

    name: str
    bits: int
    used: int
    levels: int
    met: int | None


def state_bits(material: Material) -> list[StateBits]:
    """Of every neuron layer, on the sequences shown."""
    network = material.network
    found = []
    for index, layer in enumerate(network.layers):
        for neuron, trace in zip(network.neurons, material.run.trace, strict=True):
            if neuron is layer:
                low, high = network.taken(index)[0]
                bits = int_bits(int(low.min()), int(high.max()))
                used = int_bits(int(trace.sums.min()), int(trace.sums.max()))
                found.append(StateBits(neuron.name, bits, used, neuron.level_count, levels_met(neuron, trace)))
    return found


def bits_section(material: Material) -> Section:
    """Two tables."""
    return Section("bits", "Bits", tuple(_blocks(material)))


def _blocks(material: Material) -> Iterator[Block]:
    yield Paragraph("Weights; a code is a value that so many bits can have.")
    head = ("layer", "weights", "bits", "codes used", "zeros", "common factor")
    yield table(head, [_weights(one) for one in weight_bits(material.network)])
    yield Paragraph(f"Sums and levels: what the ranges allow on any input, and what came on {material.run.described}.")
    yield table(("layer", "bits of any sum", "of the sums met", "levels", "met"), [*map(_states, state_bits(material))])


def _weights(one: WeightBits) -> tuple[str, ...]:
    codes, zeros = f"{one.codes} of {2**one.bits}", f"{one.zeros:.1%}"
    return one.name, f"{one.low} .. {one.high}", str(one.bits), codes, zeros, str(one.common)


def _states(one: StateBits) -> tuple[str, ...]:
    met = "" if one.met is None else f"{one.met} ({share(one.met, one.levels)})"
    return one.name, str(one.bits), str(one.used), str(one.levels), met
