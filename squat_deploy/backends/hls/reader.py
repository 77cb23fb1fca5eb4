"""What the core reads: the function that lists a step's inputs, and what its stream carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from squat_deploy.backends import cpp
from squat_deploy.backends.hls.addresses import code_of, onward
from squat_deploy.backends.hls.lists import EventList, handed_lists, list_of
from squat_deploy.hardware.design import Design
from squat_deploy.hardware.graph import ENTRY
from squat_deploy.hardware.pipeline import DOUBLE
from squat_deploy.hardware.units import ReadInput
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
        frames_template: how many frames there are to be read, and where what they have is kept.
        streamed: what is listed goes on while it is, in a loop over all time steps.
        listed: words with spikes go to a lister of their own, which tells bits from each other by places `apart`.
        remark: on the frame, for readers.
        most_reads: iterations over a frame of spikes at most.
        decoded: the number that the field `code` stands for.
        code: of the element `input` in a list.
        onward: from the code `place` to that of the next element.
        scan: iterations over a frame of numbers.
        pairs, room: of inputs, and those that a stream has room for.
        capacity: of a list of inputs.
        lists: those that are written, one that is `kept` where a frame is listed again: `copies` (to, from) are made.
    """

    template: str
    frames_template: str
    streamed: bool
    listed: bool
    apart: str
    remark: str
    inputs: int
    scan: int
    pairs: int
    room: int
    index_type: str
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
    spikes = "words" if entry.lists_words else "spikes"
    variant = entry.encoder.kind if entry.encoder is not None else spikes if entry.spikes else "numbers"
    frame = f"; a sequence has one frame, read at its start{' and listed again in every step' if again else ''}"
    return Reader(
        template=f"top/read_{variant}.cpp.jinja",
        frames_template=f"top/frames_{_frames(entry)}.cpp.jinja",
        streamed=entry.streamed,
        listed=entry.lists_words,
        apart="",
        remark=frame if entry.once else "",
        inputs=spec.size,
        scan=entry.scan,
        pairs=entry.ports.gives.pairs,
        room=DOUBLE * entry.ports.gives.pairs,
        index_type=kept.index_type,
        most_reads=entry.fields.words * STREAM_BITS // 2,
        decoded=cpp.decoded("code", spec.bits, signed=spec.low < 0),
        code=str(code_of(entry.signal, "input")),
        onward=onward(entry.signal.grid, "place"),
        capacity=kept.capacity,
        lists=(kept,) if again else given,
        kept="\n    ".join(f"static {array};" for array in kept.arrays),
        copies=tuple(pair for one in given for pair in zip(one.names, kept.names, strict=True)) if again else (),
        counts="" if entry.streamed else "\n    ".join(f"{one.count} = listed;" for one in given),
        parameters=_stream(entry) if entry.streamed else ", ".join(one.written for one in given),
        arguments=", ".join(one.passed for one in given),
        encoding=_encoding(design),
    )


def _frames(entry: ReadInput) -> str:
    if entry.streamed:
        return "streamed"
    return "again" if entry.repeats else "once" if entry.once and entry.encoder is None else "each_step"


def _stream(entry: ReadInput) -> str:
    return f"channel<pair_t<event0_t>, {DOUBLE * entry.ports.gives.pairs}>& pairs0"


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
