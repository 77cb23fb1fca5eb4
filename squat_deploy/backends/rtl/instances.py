"""The instances of the generated top, one small class a module of the library."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from squat_deploy.backends.rtl.memories import bank_rows, hex_lines, of_tables
from squat_deploy.backends.rtl.streams import Beats, Bundle, Handshake, Page, Rows, SpikeRows, Stream
from squat_deploy.hardware.units import Fire, ReadInput, ReadOut
from squat_deploy.hardware.units.scatter import Scatter
from squat_deploy.names import plain

Parameters = Mapping[str, int | str]  # a string is printed as it is: a flag, or the name of a file of ours


@dataclass(frozen=True, eq=False)
class Instance(ABC):
    """One instance of a module of the library.

    Attributes:
        name: in the top.
    """

    name: str
    module: ClassVar[str]

    @property
    def about(self) -> str:
        """A comment, or nothing."""
        return ""

    @property
    @abstractmethod
    def parameters(self) -> Parameters: ...

    @property
    @abstractmethod
    def ports(self) -> Mapping[str, str]:
        """What each port but the clock and the reset is connected to; "" where it has the port's own name."""

    @property
    @abstractmethod
    def gives(self) -> tuple[Bundle, ...]:
        """What it gives; the wires are declared with it."""

    @property
    def memories(self) -> Mapping[str, str]:
        """Text of its memories by the names of their files."""
        return {}

    @property
    def modules(self) -> tuple[str, ...]:
        """Modules of the library that it is made of."""
        return (self.module,)


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
    steps: int  # that may wait at least
    module: ClassVar[str] = "fifo"

    @property
    def parameters(self) -> Parameters:
        return {"WIDTH": self.out.width, "DEPTH": self.depth}

    @property
    def depth(self) -> int:
        """Beats, a power of two."""
        return max(2, 2 ** (self.steps * self.out.most - 1).bit_length())

    @property
    def ports(self) -> Mapping[str, str]:
        data = {"in_data": self.source.beat, "out_data": self.out.beat}
        return {**self.through.handshake("in"), **self.out.handshake("out"), **data}

    @property
    def gives(self) -> tuple[Bundle, ...]:
        return (self.out,)


@dataclass(frozen=True, eq=False)
class Lister(Instance):
    """Rows as beats of events."""

    source: Rows
    out: Beats
    module: ClassVar[str] = "lister"

    @property
    def parameters(self) -> Parameters:
        source, out = self.source, self.out
        return {"FIELDS": source.fields, "VALUE": source.value, "SIMD": out.banks, "INDEX": out.index}

    @property
    def ports(self) -> Mapping[str, str]:
        return {**self.source.ports("in"), **self.out.ports("out")}

    @property
    def gives(self) -> tuple[Bundle, ...]:
        return (self.out,)


@dataclass(frozen=True, eq=False)
class Dense(Instance):
    """Fully connected synapses."""

    unit: Scatter
    source: Beats
    outs: tuple[Page, ...]
    module: ClassVar[str] = "scatter"

    @property
    def about(self) -> str:
        return f"{plain(self.unit.name)}: {self.unit.about}"

    @property
    def parameters(self) -> Parameters:
        lanes, source, rom = self.unit.rows, self.source, self.unit.rom
        return {
            "PE": lanes.pe,
            "GROUPS": lanes.groups,
            "SIMD": source.banks,
            "INDEX": source.index,
            "ENTRIES": source.entries,
            "VALUE": source.value,
            "VALUE_SIGNED": flag(source.signed),
            "WEIGHT": rom.bits,
            "BIPOLAR": flag(rom.bipolar),
            "SUM": self.unit.signal.bits,
            "HELD": flag(self.unit.held),
            "READERS": len(self.outs),
            "WEIGHTS": file(self.unit.number, "weights_"),
            "START": file(self.unit.number, "start.hex"),
        }

    @property
    def ports(self) -> Mapping[str, str]:
        return {**self.source.ports("in"), **page_ports(self.outs)}

    @property
    def gives(self) -> tuple[Bundle, ...]:
        return self.outs

    @property
    def memories(self) -> Mapping[str, str]:
        unit, number = self.unit, self.unit.number
        rows = bank_rows(unit, self.source.elements)
        weights = {f"layer{number}_weights_{bank:02}.hex": hex_lines(codes, unit.rom.bits) for bank, codes in rows}
        start = unit.rows.zeros if unit.rom.bias is None else unit.rom.bias
        return {**weights, f"layer{number}_start.hex": hex_lines(start, unit.signal.bits)}

    @property
    def modules(self) -> tuple[str, ...]:
        return (self.module, "rom", "sums")


@dataclass(frozen=True, eq=False)
class Neurons(Instance):
    """A layer of neurons by tables of one state."""

    unit: Fire
    source: Page
    out: SpikeRows
    module: ClassVar[str] = "neurons"

    @property
    def about(self) -> str:
        return f"{plain(self.unit.name)}: {self.unit.about}"

    @property
    def parameters(self) -> Parameters:
        unit, lanes, tables = self.unit, self.unit.lanes, self.unit.tables
        return {
            "PE": lanes.pe,
            "GROUPS": lanes.groups,
            "POSITIONS": lanes.positions,
            "CHANNELS": lanes.channels,
            "SUM": self.source.bits,
            "STATE": unit.state_bits,
            "STATES": unit.states,
            "LEVEL": tables.search_bits,
            "KEY": tables.key_bits,
            "KEYS": flag(tables.form == "offset"),
            "FRACTION": tables.fraction_bits,
            "CARRIED": flag(tables.successor is None),
            "REST": unit.rest,
            "OWNERS": {"shared": 1, "channel": lanes.groups, "neuron": lanes.rows}[tables.spread],
            "OWN": flag(tables.spread != "shared"),
            **{name: file(unit.number, f"{name.lower()}_") for name in ("TABLE", "OFFSET", "SUCCESSOR", "FIRE")},
        }

    @property
    def ports(self) -> Mapping[str, str]:
        name = self.out.name
        spikes = {f"out_{wire}": f"{name}_{wire}" for wire in ("valid", "ready", "last", "flags")}
        own = {"out_spikes": f"{name}_fields", "out_states": self.out.states}
        return {**self.source.ports("in"), **spikes, **own}

    @property
    def gives(self) -> tuple[Bundle, ...]:
        return (self.out,)

    @property
    def memories(self) -> Mapping[str, str]:
        return dict(of_tables(self.unit))

    @property
    def modules(self) -> tuple[str, ...]:
        return (self.module, "neuron")


@dataclass(frozen=True, eq=False)
class Scores(Instance):
    """The readout, of the rows of the last neurons, by the handshake of `source`."""

    unit: ReadOut
    neurons: Neurons
    source: Stream
    module: ClassVar[str] = "scores"

    @property
    def parameters(self) -> Parameters:
        part = self.neurons.unit
        return {
            "PE": part.lanes.pe,
            "GROUPS": part.lanes.groups,
            "CLASSES": part.lanes.channels,
            "STATE": part.state_bits,
            "STATES": part.states,
            "MODE": _MODES[self.unit.readout],
            "WORTH": '"memories/worth.hex"',
        }

    @property
    def ports(self) -> Mapping[str, str]:
        rows, own = self.neurons.out.name, ("m_axis_tvalid", "m_axis_tready", "m_axis_tdata", "m_axis_tlast")
        numbers = {"last": "last", "flags": "flags", "spikes": "fields", "states": "states"}
        taken = {f"in_{port}": f"{rows}_{wire}" for port, wire in numbers.items()}
        return {**self.source.handshake("in"), **taken, **dict.fromkeys(own, "")}

    @property
    def gives(self) -> tuple[Bundle, ...]:
        return ()

    @property
    def memories(self) -> Mapping[str, str]:
        worth = self.unit.worth
        return {"worth.hex": hex_lines(np.array(worth)[:, None], 64)} if worth else {}


_MODES = {"count": 0, "first": 1, "highest-membrane": 2, "last-membrane": 3, "mean-membrane": 4}


def page_ports(outs: tuple[Page, ...]) -> dict[str, str]:
    """Pages of one array of sums, side by side, as the ports `out_*` of the module that has it."""
    wires = ("full", "row", "read", "sums", "done")
    sides = {f"out_{wire}": f"{{{', '.join(f'{page.name}_{wire}' for page in reversed(outs))}}}" for wire in wires}
    return {**sides, "out_flags": f"{{{', '.join(f'{page.name}_flags' for page in reversed(outs))}}}"}


def flag(value: bool) -> str:
    """As SystemVerilog."""
    return f"1'b{value:d}"


def file(number: int, name: str) -> str:
    """The path of a memory of a unit, or how it begins."""
    return f'"memories/layer{number}_{name}"'
