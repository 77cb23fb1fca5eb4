"""What the core reads: the function that lists a step's inputs, and what its stream carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from squat_deploy.backends import cpp
from squat_deploy.backends.hls.lists import EventList, handed_lists
from squat_deploy.hardware.design import Design
from squat_deploy.hardware.graph import ENTRY
from squat_deploy.hardware.units import ReadInput
from squat_deploy.hardware.words import STREAM_BITS
from squat_deploy.network.encoders import (
    END_OF_EVENTS,
    LFSR_TAPS,
    EventEncoder,
    LatencyEncoder,
    RateEncoder,
    takes_intensities,
)


@dataclass(frozen=True)
class Rate:
    """The random number generator of rate coding."""

    seed: int
    taps: int
    unused_bits: int


@dataclass(frozen=True)
class Latency:
    """The step in which each of the `intensities` spikes."""

    intensities: int
    times: tuple[int, ...]


@dataclass(frozen=True)
class Events:
    """Address events: the word that ends a sequence, ticks of one step, the highest count of an input."""

    end: int
    window: int
    highest: int


@dataclass(frozen=True)
class Reader:
    """The function `read_input`.

    Attributes:
        template: of the whole function.
        words_template: how many words there are to be read in a step.
        remark: on the frame, for readers.
        most_reads: iterations over a frame of spikes: one a word and one a spike.
        decoded: the number that the field `code` stands for.
        index_type, capacity: of a list of inputs.
        lists: those that it gives.
    """

    template: str
    words_template: str
    remark: str
    inputs: int
    most_reads: int
    decoded: str
    index_type: str
    capacity: int
    lists: tuple[EventList, ...]
    parameters: str
    arguments: str
    encoding: Rate | Latency | Events | None


def reader_of(design: Design) -> Reader:
    """What stands at the entry of a core."""
    spec, entry = design.network.input, design.entry
    lists = handed_lists(design.graph, ENTRY)
    return Reader(
        template=f"top/read_{_variant(design)}.cpp.jinja",
        words_template=f"top/words_{'once' if entry.once else 'each_step'}.cpp.jinja",
        remark="; a sequence has one frame, read at its start" if entry.once else "",
        inputs=spec.size,
        most_reads=entry.fields.words + spec.size,
        decoded=cpp.decoded("code", spec.bits, signed=spec.low < 0),
        index_type=lists[0].index_type,
        capacity=lists[0].capacity,
        lists=lists,
        parameters=", ".join(entering.written for entering in lists),
        arguments=", ".join(entering.passed for entering in lists),
        encoding=_encoding(design),
    )


def _variant(design: Design) -> str:
    if design.entry.encoder is not None:
        return design.entry.encoder.kind
    return ("spikes" if design.entry.spikes else "numbers") + ("_again" if design.entry.repeats else "")


def _encoding(design: Design) -> Rate | Latency | Events | None:
    encoder = design.entry.encoder
    match encoder:
        case None:
            return None
        case RateEncoder():
            return Rate(encoder.seed, LFSR_TAPS, STREAM_BITS - encoder.bits)
        case LatencyEncoder():
            return Latency(2**encoder.bits, tuple(encoder.times(design.network.steps).tolist()))
        case EventEncoder():
            return Events(END_OF_EVENTS, encoder.window, design.network.input.high)
    assert_never(encoder)


def described(entry: ReadInput) -> str:
    """What the input stream carries, for readers."""
    spec, encoder = entry.spec, entry.encoder
    if isinstance(encoder, EventEncoder):
        return (
            f"one word an event, ticks since the start of the sequence << 16 | address, in the order of time; "
            f"{encoder.window} ticks a time step; 0xffffffff ends the sequence"
        )
    fields = f"{entry.fields.per_word} integers of {entry.fields.bits} bit a word, lowest bits first"
    often = "a sequence" if entry.once else "a time step"
    range_ = f"intensities 0..{entry.fields.mask}" if takes_intensities(encoder) else f"range {spec.low}..{spec.high}"
    return f"{entry.fields.words} words {often}, {fields}, {range_}"
