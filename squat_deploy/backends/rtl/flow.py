"""The input, and what hands streams on as they are, at once or later: forks, queues, repetitions, delays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from squat_deploy.backends.rtl.instance import Between, Instance, Parameters, file, flag
from squat_deploy.backends.rtl.memories import hex_lines
from squat_deploy.backends.rtl.streams import Bundle, Handshake, Rows, Stream, Ticks
from squat_deploy.hardware.units import ReadInput
from squat_deploy.network import IntArray
from squat_deploy.network.encoders import EventEncoder

_AHEAD = 4  # events that are found before they are taken


@dataclass(frozen=True, eq=False)
class Reader(Instance):
    """The input stream, as words of steps."""

    entry: ReadInput
    out: Rows
    module: ClassVar[str] = "reader"

    @property
    def parameters(self) -> Parameters:
        return {"WORDS": self.out.words, "BITS": self.out.payload["fields"], "ONCE": flag(self.entry.once)}

    @property
    def ports(self) -> Mapping[str, str]:
        own = ("start", "restart", "steps", "idle", "s_axis_tvalid", "s_axis_tready", "s_axis_tdata")
        return {**dict.fromkeys(own, ""), **self.out.ports("out")}

    @property
    def gives(self) -> tuple[Bundle, ...]:
        return (self.out,)


@dataclass(frozen=True, eq=False)
class EventReader(Reader):
    """Address events of the input stream, as rows of what they count in each step."""

    encoder: EventEncoder
    module: ClassVar[str] = "events"

    @property
    def parameters(self) -> Parameters:
        rows, spec = self.out, self.entry.spec
        sizes = {"WORDS": rows.words, "FIELDS": rows.fields, "BITS": rows.value, "SIZE": spec.size}
        return {**sizes, "HIGH": spec.high, "WINDOW": self.encoder.window}

    @property
    def modules(self) -> tuple[str, ...]:
        return (self.module, "ram")


@dataclass(frozen=True, eq=False)
class Fork(Instance):
    """One stream for several: a beat goes to all legs at once; a leg of `ticks` takes the last beats of steps alone."""

    source: Stream
    legs: tuple[Stream, ...]
    ticks: tuple[bool, ...]
    module: ClassVar[str] = "fork"

    @property
    def parameters(self) -> Parameters:
        wanted = "".join(str(int(tick)) for tick in reversed(self.ticks))
        return {"LEGS": len(self.legs), "TICKS": f"{len(self.legs)}'b{wanted}"}

    @property
    def ports(self) -> Mapping[str, str]:
        def all_(wire: str) -> str:
            return f"{{{', '.join(f'{leg.name}_{wire}' for leg in reversed(self.legs))}}}"

        given = {"out_valid": all_("valid"), "out_ready": all_("ready")}
        return {**self.source.handshake("in"), "in_last": f"{self.source.name}_{self.source.end}", **given}

    @property
    def gives(self) -> tuple[Bundle, ...]:
        return tuple(Handshake(leg.name) for leg in self.legs)


@dataclass(frozen=True, eq=False)
class Queue(Instance):
    """A FIFO: the stream `source` that comes by the handshake of `through`, to `out`."""

    source: Stream
    through: Stream
    out: Stream
    most: int  # beats that may wait at least
    module: ClassVar[str] = "fifo"

    @property
    def parameters(self) -> Parameters:
        return {"WIDTH": self.out.width, "DEPTH": self.depth}

    @property
    def depth(self) -> int:
        """Beats, a power of two."""
        return max(2, 2 ** (self.most - 1).bit_length())

    @property
    def ports(self) -> Mapping[str, str]:
        return queue_ports(self.source, self.through, self.out)

    @property
    def gives(self) -> tuple[Bundle, ...]:
        return (self.out,)


@dataclass(frozen=True, eq=False)
class Ahead(Instance):
    """A short FIFO: while one event is taken the next ones are looked for, and no long path goes through."""

    source: Stream
    through: Stream
    out: Stream
    module: ClassVar[str] = "fifo"

    @property
    def depth(self) -> int:
        """Beats."""
        return _AHEAD

    @property
    def parameters(self) -> Parameters:
        return {"WIDTH": self.out.width, "DEPTH": self.depth}

    @property
    def ports(self) -> Mapping[str, str]:
        return queue_ports(self.source, self.through, self.out)

    @property
    def gives(self) -> tuple[Bundle, ...]:
        return (self.out,)


def queue_ports(source: Stream, through: Stream, out: Stream) -> dict[str, str]:
    """Of a FIFO from the beats of one stream, by the handshake of another, to a third."""
    data = {"in_data": source.beat, "out_data": out.beat}
    return {**through.handshake("in"), **out.handshake("out"), **data}


@dataclass(frozen=True, eq=False)
class Late(Instance):
    """Rows of the step before."""

    ticks: Ticks
    source: Rows
    out: Rows
    module: ClassVar[str] = "late"

    @property
    def parameters(self) -> Parameters:
        return {"WIDTH": self.out.fields * self.out.value}

    @property
    def ports(self) -> Mapping[str, str]:
        return {**self.ticks.ports("tick"), **self.source.ports("in"), **self.out.ports("out")}

    @property
    def gives(self) -> tuple[Bundle, ...]:
        return (self.out,)


@dataclass(frozen=True, eq=False)
class Repeat(Instance):
    """What enters in the first step of a sequence, in each of its steps."""

    source: Stream
    out: Stream
    module: ClassVar[str] = "repeat"

    @property
    def parameters(self) -> Parameters:
        return {"WIDTH": sum(self.out.payload.values()), "DEPTH": max(2, self.out.most)}

    @property
    def ports(self) -> Mapping[str, str]:
        return {**self._side("in", self.source), **self._side("out", self.out)}

    @staticmethod
    def _side(side: str, stream: Stream) -> dict[str, str]:
        ends = {f"{side}_last": f"{stream.name}_{stream.end}", f"{side}_flags": f"{stream.name}_flags"}
        return {**stream.handshake(side), **ends, f"{side}_data": stream.numbers}

    @property
    def gives(self) -> tuple[Bundle, ...]:
        return (self.out,)


@dataclass(frozen=True, eq=False)
class Delay(Between):
    """Rows of some steps before, by the number of steps (elements,) of every element."""

    steps: IntArray
    source: Rows
    out: Rows
    module: ClassVar[str] = "delay"

    @property
    def depth(self) -> int:
        """Steps that are kept, this one among them."""
        return int(self.steps.max()) + 1

    @property
    def each(self) -> bool:
        """Whether they differ."""
        return bool(np.ptp(self.steps))

    @property
    def parameters(self) -> Parameters:
        rows = {"FIELDS": self.out.fields, "VALUE": self.out.value, "WORDS": self.out.words}
        return {**rows, "DEPTH": self.depth, "EACH": flag(self.each), "STEPS": file(f"{self.name}.hex")}

    @property
    def memories(self) -> Mapping[str, str]:
        steps = np.where(self.out.elements < 0, 0, self.steps[self.out.elements])
        return {f"{self.name}.hex": hex_lines(steps if self.each else steps[:, :1], self.depth.bit_length())}
