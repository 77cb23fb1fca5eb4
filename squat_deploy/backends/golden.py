"""What every testbench prints of its golden data, and of the words in which a core takes and gives it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from squat_deploy.backends import cpp
from squat_deploy.hardware.input_words import InputWords
from squat_deploy.network import Network
from squat_deploy.network.encoders import END_OF_EVENTS, EventEncoder


@dataclass(frozen=True)
class GoldenLayer:
    """A layer of neurons, by the number that files and messages call it."""

    number: int
    name: str
    size: int


@dataclass(frozen=True)
class Golden:
    """The files `golden.h` and `calls.h`, or the parts of a file.

    Attributes:
        once: one input frame is a sequence, else there is one a step.
        number: C type of all golden data.
        lanes, bits, mask: numbers in a word of the input stream, and of one of them.
        words: of a score.
        window: ticks of a step, where address events are what enters, else 0.
    """

    steps: int
    inputs: int
    outputs: int
    once: bool
    layers: tuple[GoldenLayer, ...]
    number: str
    lanes: int
    bits: int
    mask: int
    words: int
    window: int
    end_of_events: int


def golden_of(network: Network, entry: InputWords, numbers: Iterable[int]) -> Golden:
    """The golden data of a network whose layers of neurons are called by these numbers."""
    layers = zip(numbers, network.neurons, strict=True)
    return Golden(
        steps=network.steps,
        inputs=network.input.size,
        outputs=network.outputs,
        once=entry.once,
        layers=tuple(GoldenLayer(number, cpp.plain(layer.name), layer.neurons) for number, layer in layers),
        number="long long" if network.worth else "int",
        lanes=entry.fields.per_word,
        bits=entry.fields.bits,
        mask=entry.fields.mask,
        words=2 if network.worth else 1,
        window=entry.encoder.window if isinstance(entry.encoder, EventEncoder) else 0,
        end_of_events=END_OF_EVENTS,
    )
