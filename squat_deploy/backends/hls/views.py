"""What the files around the core print: one frozen class a template, whose fields are the names that it uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from squat_deploy.backends import cpp
from squat_deploy.backends.golden import Golden, golden_of
from squat_deploy.backends.hls.top import traces_of
from squat_deploy.hardware.design import Design
from squat_deploy.hardware.units import Fire, FirePairs, Firing, Unit
from squat_deploy.network import int_bits
from squat_deploy.network.readout import SCORES


@dataclass(frozen=True)
class Stream:
    """The file `squat_stream.h`; `when_empty` stands where a stream of the host is read that has nothing."""

    header: str
    when_empty: str
    streamed: bool


@dataclass(frozen=True)
class Number:
    """A type of numbers that flow or are kept: exact under Vitis, a standard integer else."""

    name: str
    exact: str
    native: str
    bits: int


@dataclass(frozen=True)
class EventType:
    """The type of events of one list; a `unit` event has no value."""

    number: int
    index: str
    unit: bool


@dataclass(frozen=True)
class TableTypes:
    """Types of the tables of one layer of neurons, an exact name and a standard integer each, by their own names."""

    number: int
    names: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Types:
    """The file `squat_types.h`."""

    header: str
    numbers: tuple[Number, ...]
    tables: tuple[TableTypes, ...]
    events: tuple[EventType, ...]


@dataclass(frozen=True)
class TopHeader:
    """The file `squat_top.h`.

    Attributes:
        traced: the first of `traces`.
        frame_at_restart, frame_of_the_call_before: said where a sequence has one input frame.
        values: what scores of membranes are worth, in words, and `value_of_score` as a table, where it is one.
    """

    header: str
    frame_at_restart: str
    frame_of_the_call_before: str
    in_stream: str
    outputs: int
    scores: str
    traced: str
    traces: tuple[str, ...]
    values: str
    value_of_score: str


@dataclass(frozen=True, eq=False)
class LayerFile:
    """The files `layer<n>.h` and `rom<n>.h`; `template` has the functions and the constants of its unit."""

    header: str
    part: Unit
    template: str


@dataclass(frozen=True, eq=False)
class Testbench:
    """The file `squat_tb.cpp`; `state_bytes` are those of a state index in a written trace."""

    header: str
    design: Design
    golden: Golden
    state_bytes: int


@dataclass(frozen=True)
class Build:
    """What the tools are told: Makefile (with more rules for a `board`), hls_config.cfg, run_hls.tcl."""

    header: str
    part: str
    clock_ns: float
    data_files: tuple[str, ...]
    board: str | None


def types_of(design: Design, header: str) -> Types:
    """The types of a design."""
    listed = (design.entry, *(part for part in design.neurons if part.streamed and part.lists_spikes))
    events = (EventType(unit.number, cpp.index_type(unit.signal.grid.codes), unit.signal.unit) for unit in listed)
    return Types(header, tuple(_numbers(design)), tuple(_table_types(part) for part in design.neurons), tuple(events))


def top_header_of(design: Design, header: str) -> TopHeader:
    """The interface of a design."""
    network, traces = design.network, traces_of(design.neurons)
    once = design.entry.once
    table = () if network.values is None else network.values.table
    return TopHeader(
        header=header,
        frame_at_restart=", one input frame is read" if once else "",
        frame_of_the_call_before=", with the same input frame" if once else "",
        in_stream=design.entry.words.described,
        outputs=network.outputs,
        scores=SCORES[network.readout] + ("; each in two, the low one first" if network.worth else ""),
        traced=traces[0],
        traces=traces,
        values="" if network.values is None else network.values.described,
        value_of_score=cpp.initializer(np.array(table, dtype=np.int64)) if table else "",
    )


def testbench_of(design: Design, header: str) -> Testbench:
    """The testbench of a design."""
    network = design.network
    golden = golden_of(network, design.entry.words, [part.number for part in design.neurons])
    return Testbench(header, design, golden, network.state_bytes)


def _numbers(design: Design) -> Iterator[Number]:
    """Every number that flows or is kept."""
    for unit in (design.entry, *design.parts):
        for name, low, high in unit.numbers:
            types = cpp.exact_int(low, high), cpp.native_int(low, high)
            yield Number(f"{name}{unit.number}", *types, int_bits(low, high))


def _table_types(part: Firing) -> TableTypes:
    """Of keys, and of carried states."""
    if isinstance(part, FirePairs):
        keys = (("table", "key", part.tables.reached), ("next_table", "next", part.tables.following))
        own = ((name, exact, _signed(search.key_bits)) for name, exact, search in keys)
        return TableTypes(part.number, (*own, ("code", "membrane", cpp.native_int(0, 2**part.membrane_bits - 1))))
    assert isinstance(part, Fire)
    code = ("code", "state", cpp.native_int(0, part.states - 1))
    return TableTypes(part.number, (("table", "key", _signed(part.tables.key_bits)), code))


def _signed(bits: int) -> str:
    return cpp.native_int(-(2 ** (bits - 1)), 0)
