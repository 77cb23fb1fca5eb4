"""Units with planes as instances: convolutions, pooling, events placed into sums."""

from __future__ import annotations

import numpy as np

from squat_deploy.backends.rtl.planes import (
    First,
    Plane,
    PlaneLister,
    PlaneRecode,
    PooledSums,
    Visits,
    Walk,
    Windows,
    by_code,
)
from squat_deploy.backends.rtl.streams import NOTHING, Beats, Page, Rows, elements_of
from squat_deploy.backends.rtl.tracks import Track, track_of_places, track_of_pool, track_of_synapses
from squat_deploy.backends.rtl.wiring import Wiring
from squat_deploy.hardware.grid import Grid
from squat_deploy.hardware.lanes import Lanes
from squat_deploy.hardware.units import PlaceEvents, Scatter, Unit
from squat_deploy.hardware.units.pool import PoolEvents, PoolSpikes, PoolSums
from squat_deploy.network import IntArray


def add_convolution(wiring: Wiring, unit: Unit) -> None:
    """Synapses whose kernel is walked over."""
    assert isinstance(unit, Scatter)
    rom, lanes = unit.rom, unit.rows
    start = lanes.by_channel(np.zeros(lanes.channels, dtype=np.int64)) if rom.bias is None else rom.bias
    track = track_of_synapses(f"layer{unit.number}", rom, lanes)
    _add_sums(wiring, unit, track, rom.plane.grid, (rom.weights(), rom.bits, rom.bipolar, start))


def add_place(wiring: Wiring, unit: Unit) -> None:
    """Events into sums: a kernel of one tap for each channel, that is 1 in its lane."""
    assert isinstance(unit, PlaceEvents)
    lanes, grid = unit.rows, unit.signal.grid
    weights = np.arange(grid.channels)[:, None] % lanes.pe == np.arange(lanes.pe)
    start = np.zeros((lanes.groups, lanes.pe), dtype=np.int64)
    track = track_of_places(f"layer{unit.number}", grid, lanes)
    _add_sums(wiring, unit, track, grid, (weights.astype(np.int64), 2, False, start))


def add_windows(wiring: Wiring, unit: Unit) -> None:
    """Pooling of lists: an event a window, or the first one of each."""
    assert isinstance(unit, PoolEvents)
    source = _coordinates(wiring, unit, unit.plane.grid)
    given, first = unit.signal.grid, isinstance(unit, PoolSpikes)
    name = f"pool{unit.number}"
    elements, capacity = by_code(given), unit.signal.capacity + 1  # the last event of a step may lie in no window
    most = max(1, source.capacity * unit.plane.taps) if first else capacity
    every = Beats(f"{name}_all" if first else name, elements, source.value, source.signed, most)
    wiring.add(Windows(f"windows{unit.number}", unit, track_of_pool(name, unit.plane, given), source, every))
    if first:
        out = Beats(name, elements, 1, False, capacity)
        wiring.add(First(f"first{unit.number}", every, out))
        every = out
    wiring.give(unit.number, every)


def add_pooled_sums(wiring: Wiring, unit: Unit) -> None:
    """Pooling of arrays of sums, which are laid out anew where they lie in other lanes than its own."""
    assert isinstance(unit, PoolSums)
    page, number, (channels, height, width) = wiring.page(unit), f"{unit.number}", unit.window.input_shape
    if not unit.parallel:
        rows = wiring.unloaded(page, number)
        stream = wiring.repeated(rows, number) if page.held else rows
        taken = unit.takes[0]
        lanes = Lanes(channels, height * width, unit.rows.pe)
        page = Page(f"sums{number}_taken", lanes, taken.bits, held=False, number=unit.sources[0])
        wiring.placed(wiring.elements(stream, number, taken.size), f"{number}_taken", (page,))
    wiring.add(PooledSums(f"pool{number}", unit, page, wiring.pages(unit)))


def _add_sums(
    wiring: Wiring, unit: Scatter | PlaceEvents, track: Track, grid: Grid, rom: tuple[IntArray, int, bool, IntArray]
) -> None:
    """The walk of events over a kernel, and the sums that they reach; `rom`: weights, bits, bipolar, start values."""
    source = _coordinates(wiring, unit, grid)
    weights, bits, bipolar, start = rom
    word, place = (max(1, (count - 1).bit_length()) for count in (len(weights), unit.rows.rows))
    most = max(1, source.capacity * track.plane.taps * track.span)
    visits = Visits(f"visit{unit.number}", source.elements, source.value, source.signed, word, place, most)
    wiring.add(Walk(f"walk{unit.number}", track, source, visits))
    pages, restored = wiring.pages(unit), unit.ports.gives.restored is not None
    wiring.add(Plane(f"scatter{unit.number}", unit, weights, bits, bipolar, start, restored, visits, pages))


def _coordinates(wiring: Wiring, unit: Unit, grid: Grid) -> Beats:
    """What a unit takes, one a cycle, as events by their coordinates in `grid`."""
    stream, elements, number = wiring.stream(unit), by_code(grid), str(unit.number)
    if isinstance(stream, Rows):
        lanes = Lanes(grid.channels, grid.positions, min(stream.fields, grid.channels))
        if np.array_equal(stream.elements, elements_of(lanes)):
            placed = Beats(f"event{number}", elements, stream.value, stream.signed, grid.size)
            wiring.add(PlaneLister(f"lister{number}", stream, placed, grid, lanes))
            return placed
        stream = wiring.listed(stream, number)
    assert isinstance(stream, Beats)
    if _agree(stream.elements, elements):
        return stream
    recoded = Beats(f"place{number}", elements, stream.value, stream.signed, stream.capacity)
    wiring.add(PlaneRecode(f"recode{number}", stream, recoded))
    return recoded


def _agree(found: IntArray, wanted: IntArray) -> bool:
    """Whether the indices are alike in width and in every place."""
    longest = max(found.shape[1], wanted.shape[1])
    alike = (found.shape[1] - 1).bit_length() == (wanted.shape[1] - 1).bit_length()
    first, second = (
        np.pad(one, [(0, 0), (0, longest - one.shape[1])], constant_values=NOTHING) for one in (found, wanted)
    )
    return alike and bool(np.array_equal(first, second))
