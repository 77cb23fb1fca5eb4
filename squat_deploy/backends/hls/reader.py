"""What the core reads: how a frame lies in the words of its stream, and the function that lists a step's inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from squat_deploy.backends import cpp
from squat_deploy.backends.hls.lists import EventList, handed_lists
from squat_deploy.hardware.design import Design
from squat_deploy.hardware.graph import ENTRY
from squat_deploy.network import InputSpec
from squat_deploy.network.encoders import (
    END_OF_EVENTS,
    LFSR_TAPS,
    AnyEncoder,
    EventEncoder,
    LatencyEncoder,
    RateEncoder,
    takes_intensities,
)

STREAM_BITS = 32


@dataclass(frozen=True)
class Frame:
    """One frame of the input stream: fields of `bits`, lowest bits first.

    Attributes:
        fields: in one word.
        words: in one frame.
        once: a sequence has one frame; else there is one a time step.
    """

    bits: int
    fields: int
    words: int
    once: bool

    @property
    def mask(self) -> int:
        """The bits of one field."""
        return 2**self.bits - 1


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


def frame_of(spec: InputSpec, encoder: AnyEncoder | None) -> Frame:
    """How the inputs of a network arrive."""
    bits = encoder.bits if takes_intensities(encoder) else spec.bits
    fields = STREAM_BITS // bits
    return Frame(bits, fields, -(-spec.size // fields), takes_intensities(encoder) or spec.encoding == "direct")


def reader_of(design: Design) -> Reader:
    """What stands at the entry of a core."""
    spec = design.network.input
    frame = frame_of(spec, design.encoder)
    lists = handed_lists(design.graph, ENTRY)
    return Reader(
        template=f"top/read_{_variant(design)}.cpp.jinja",
        words_template=f"top/words_{'once' if frame.once else 'each_step'}.cpp.jinja",
        remark="; a sequence has one frame, read at its start" if frame.once else "",
        inputs=spec.size,
        most_reads=frame.words + spec.size,
        decoded=cpp.decoded("code", spec.bits, signed=spec.low < 0),
        index_type=lists[0].index_type,
        capacity=lists[0].capacity,
        lists=lists,
        parameters=", ".join(entering.written for entering in lists),
        arguments=", ".join(entering.passed for entering in lists),
        encoding=_encoding(design),
    )


def _variant(design: Design) -> str:
    if design.encoder is not None:
        return design.encoder.kind
    return ("spikes" if design.graph.entry.unit else "numbers") + ("_again" if design.graph.repeats else "")


def _encoding(design: Design) -> Rate | Latency | Events | None:
    encoder = design.encoder
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


def described(spec: InputSpec, encoder: AnyEncoder | None) -> str:
    """What the input stream carries, for readers."""
    if isinstance(encoder, EventEncoder):
        return (
            f"one word an event, ticks since the start of the sequence << 16 | address, in the order of time; "
            f"{encoder.window} ticks a time step; 0xffffffff ends the sequence"
        )
    frame = frame_of(spec, encoder)
    fields = f"{frame.fields} integers of {frame.bits} bit a word, lowest bits first"
    often = "a sequence" if frame.once else "a time step"
    range_ = f"intensities 0..{frame.mask}" if takes_intensities(encoder) else f"range {spec.low}..{spec.high}"
    return f"{frame.words} words {often}, {fields}, {range_}"
