"""What the core reads: the function that lists a step's inputs, and what its stream carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from squat_deploy.backends import cpp
from squat_deploy.backends.hls.addresses import code_of, onward
from squat_deploy.backends.hls.lists import EventList, handed_lists, list_of
from squat_deploy.hardware.design import Design
from squat_deploy.hardware.graph import ENTRY
from squat_deploy.hardware.words import STREAM_BITS
from squat_deploy.network.encoders import (
    END_OF_EVENTS,
    LFSR_TAPS,
    EventEncoder,
    LatencyEncoder,
    RateEncoder,
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
        most_reads: iterations over a frame of spikes at most.
        decoded: the number that the field `code` stands for.
        code: of the element `input` in a list.
        onward: from the code `place` to that of the next element.
        capacity: of a list of inputs.
        lists: those that are written, one that is `kept` where a frame is listed again: `copies` (to, from) are made.
    """

    template: str
    words_template: str
    remark: str
    inputs: int
    most_reads: int
    decoded: str
    code: str
    onward: str
    capacity: int
    lists: tuple[EventList, ...]
    kept: str
    copies: tuple[tuple[str, str], ...]
    counts: str
    parameters: str
    arguments: str
    encoding: Rate | Latency | Events | None


def reader_of(design: Design) -> Reader:
    """What stands at the entry of a core."""
    spec, entry = design.network.input, design.entry
    given, kept, again = handed_lists(design.graph, ENTRY), list_of(design.graph, ENTRY), entry.repeats
    variant = entry.encoder.kind if entry.encoder is not None else "spikes" if entry.spikes else "numbers"
    frame = f"; a sequence has one frame, read at its start{' and listed again in every step' if again else ''}"
    return Reader(
        template=f"top/read_{variant}.cpp.jinja",
        words_template=f"top/words_{'again' if again else 'once' if entry.once else 'each_step'}.cpp.jinja",
        remark=frame if entry.once else "",
        inputs=spec.size,
        most_reads=entry.fields.words * STREAM_BITS // 2,
        decoded=cpp.decoded("code", spec.bits, signed=spec.low < 0),
        code=str(code_of(entry.signal, "input")),
        onward=onward(entry.signal.grid, "place"),
        capacity=kept.capacity,
        lists=(kept,) if again else given,
        kept="\n    ".join(f"static {array};" for array in kept.arrays),
        copies=tuple(pair for one in given for pair in zip(one.names, kept.names, strict=True)) if again else (),
        counts="\n    ".join(f"{one.count} = listed;" for one in given),
        parameters=", ".join(one.written for one in given),
        arguments=", ".join(one.passed for one in given),
        encoding=_encoding(design),
    )


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
