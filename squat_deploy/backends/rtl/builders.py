"""How each type of unit becomes instances: one function a type, looked up in `BUILDERS`."""

from __future__ import annotations

from functools import reduce

from squat_deploy.backends.rtl.flow import Delay
from squat_deploy.backends.rtl.neurons import PairNeurons, SingleNeurons
from squat_deploy.backends.rtl.plane_units import add_convolution, add_place, add_pooled_sums, add_windows
from squat_deploy.backends.rtl.streams import Page, SpikeRows, elements_of
from squat_deploy.backends.rtl.sums import Add, Dense
from squat_deploy.backends.rtl.wiring import Builder, Wiring, reads_through
from squat_deploy.hardware.units import Fire, FirePairs, Firing, ListSums, PlaceEvents, Unit
from squat_deploy.hardware.units.delay import DelayEvents
from squat_deploy.hardware.units.joins import AddEvents, AddSums, ConcatEvents, ConcatSums
from squat_deploy.hardware.units.pool import PoolEvents, PoolSpikes, PoolSums
from squat_deploy.hardware.units.scatter import Scatter, ScatterRows


def rows_of(part: Firing) -> SpikeRows:
    """Spikes of neurons, a row a cycle."""
    bits = part.state_bits
    if isinstance(part, FirePairs):
        bits = max(1, part.membrane_bits) + max(1, part.current_bits)
    return SpikeRows(f"rows{part.number}", elements_of(part.lanes), 1, False, bits)


def _dense(wiring: Wiring, unit: Unit) -> None:
    assert isinstance(unit, ScatterRows)
    wiring.add(Dense(f"scatter{unit.number}", unit, wiring.beats(unit), wiring.pages(unit)))


def _fire(wiring: Wiring, unit: Unit) -> None:
    assert isinstance(unit, Fire)
    wiring.add(SingleNeurons(f"neurons{unit.number}", wiring.page(unit), rows_of(unit), unit))


def _fire_pairs(wiring: Wiring, unit: Unit) -> None:
    assert isinstance(unit, FirePairs)
    wiring.add(PairNeurons(f"neurons{unit.number}", wiring.page(unit), rows_of(unit), unit))


def _place(wiring: Wiring, unit: Unit) -> None:
    assert isinstance(unit, PlaceEvents)
    if unit.rows.positions > 1:
        return add_place(wiring, unit)
    beats = wiring.elements(wiring.stream(unit), f"{unit.number}", unit.size)
    wiring.placed(beats, f"{unit.number}", wiring.pages(unit))
    return None


def _list(wiring: Wiring, unit: Unit) -> None:
    wiring.give(unit.number, wiring.unloaded(wiring.page(unit), f"{unit.number}"))


def _delay(wiring: Wiring, unit: Unit) -> None:
    assert isinstance(unit, DelayEvents)
    rows = wiring.rows(unit)
    out = rows.renamed(f"delayed{unit.number}")
    wiring.add(Delay(f"delay{unit.number}", unit.steps, rows, out))
    wiring.give(unit.number, out)


def _join_events(wiring: Wiring, unit: Unit) -> None:
    assert isinstance(unit, AddEvents | ConcatEvents)
    streams = [wiring.stream(unit, branch) for branch in range(len(unit.sources))]
    beats = [
        wiring.elements(stream, f"{unit.number}_{branch}", signal.size)
        for branch, (stream, signal) in enumerate(zip(streams, unit.takes, strict=True))
    ]
    wiring.give(unit.number, wiring.joined(unit, beats, *_moved(unit)))


def _add_sums(wiring: Wiring, unit: Unit) -> None:
    assert isinstance(unit, AddSums)
    if not reads_through(unit):
        return _gather_sums(wiring, unit)
    for out in wiring.pages(unit):
        taken = [wiring.page(unit, branch) for branch in range(len(unit.sources))]
        inner = (f"{out.name}_of{more}" for more in range(2, len(taken)))
        names = [*inner, out.name]

        def add(before: tuple[Page, int], branch: tuple[Page, int], names: list[str] = names) -> tuple[Page, int]:
            name = names.pop(0)
            (first, first_by), (second, second_by) = before, branch
            made = Page(name, unit.rows, unit.signal.bits, first.held and second.held, unit.number)
            wiring.add(Add(f"add_{name}", (first, second), (first_by, second_by), made))
            return made, 1

        reduce(add, zip(taken, unit.factors, strict=True))
    return None


def _gather_sums(wiring: Wiring, unit: Unit) -> None:
    """Sums that lie otherwise than those that they are made of: as events, and back."""
    assert isinstance(unit, AddSums | ConcatSums)
    beats = []
    for branch, signal in enumerate(unit.takes):
        suffix = f"{unit.number}_{branch}"
        page = wiring.page(unit, branch)
        rows = wiring.unloaded(page, suffix)
        stream = wiring.repeated(rows, suffix) if page.held and not unit.held else rows
        beats.append(wiring.elements(stream, suffix, signal.size))
    joined = wiring.joined(unit, beats, *_moved(unit))
    wiring.placed(joined, f"{unit.number}", wiring.pages(unit))


def _moved(unit: AddEvents | AddSums | ConcatEvents | ConcatSums) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of every branch the first index, and the factor."""
    if isinstance(unit, AddEvents | AddSums):
        return (0,) * len(unit.factors), unit.factors
    return unit.firsts, (1,) * len(unit.firsts)


BUILDERS: dict[type[Unit], Builder] = {
    AddEvents: _join_events,
    AddSums: _add_sums,
    ConcatEvents: _join_events,
    ConcatSums: _gather_sums,
    DelayEvents: _delay,
    Fire: _fire,
    FirePairs: _fire_pairs,
    ListSums: _list,
    PlaceEvents: _place,
    PoolEvents: add_windows,
    PoolSpikes: add_windows,
    PoolSums: add_pooled_sums,
    Scatter: add_convolution,
    ScatterRows: _dense,
}
