"""Codes of events, divisions without a divider, and the walk of events: laws, held by trying all there is."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

import squat_deploy as sd
from squat_deploy.backends.hls.addresses import onward
from squat_deploy.backends.terms import Term, reciprocal
from squat_deploy.hardware.design import design_of
from squat_deploy.hardware.grid import Grid
from squat_deploy.hardware.units import Scatter
from squat_deploy.network.layers import Pool2d
from tests.cycles import cycles_compared
from tests.graph_drawing import draw_inputs
from tests.test_hardware import check_run, convolution, dense, network_of

GRIDS = [Grid(*shape) for shape in np.random.default_rng(5).integers(1, 10, (60, 3)).tolist()]


@pytest.mark.parametrize("grid", [*GRIDS, Grid(1), Grid(7), Grid(1, 1, 5), Grid(3, 4, 8), Grid(2, 34, 34)], ids=str)
def test_codes(grid: Grid) -> None:
    """Fields of bits, in the order of the elements; the jumps lead from each code to the next."""
    elements = np.arange(grid.size)
    codes = np.asarray(grid.coded(elements))
    assert np.array_equal(grid.element(codes), elements)
    assert np.all(grid.code(*grid.coordinates(codes)) == codes)
    assert all(np.all(a == b) for a, b in zip(grid.coordinates(codes), grid.split(elements), strict=True))
    assert (np.diff(codes) > 0).all() and codes[-1] + 1 == grid.codes
    for code, following in pairwise(codes.tolist()):
        jumps = (jump for mask, end, jump in grid.jumps if code & mask == end)
        assert code + next(jumps, 1) == following
    assert (onward(grid, "code") == "1u") == grid.plain or grid.channels == 1


@pytest.mark.parametrize("divisor", [3, 5, 7, 9, 12, 28, 100, 225, 577, 10_800])
@pytest.mark.parametrize("bound", [2, 13, 784, 65_536, 1_000_000])
def test_reciprocals(divisor: int, bound: int) -> None:
    factor, shift = reciprocal(divisor, bound)
    numbers = range(bound)
    tried = numbers if bound < 100_000 else [*numbers[::9973], *(number - 1 for number in numbers[divisor::divisor])]
    assert all(number * factor >> shift == number // divisor for number in tried)


def test_nothing_is_divided_but_by_powers_of_two() -> None:
    place = Term("place", 784)
    assert str(place // 28 % 28) == "(place * 1171u >> 15)"  # below 28 as it is
    assert str(place % 28) == "place - (place * 1171u >> 15) * 28"
    assert (str(place // 32), str(place % 32), str(place // 784)) == ("place / 32", "place % 32", "0")
    assert "std::uint64_t" in str(Term("place", 10**6) // 12_345)


def rows_of(unit: Scatter, index: int) -> list[int | None]:
    """The row that each iteration of an event updates."""
    walk, lanes = unit.plane.walk(unit.takes[0].grid, np.array([index])), unit.rows
    position = unit.plane.position(walk.output_y, walk.output_x)[walk.inside]
    first = unit.rom.first_group(walk.channel.reshape(-1)[:1], lanes)
    rows = (position[:, None] * lanes.groups + first + np.arange(unit.rom.span)).reshape(-1).tolist()
    element = unit.takes[0].grid.element(index)
    return [*rows, *[None] * (int(unit.iterations[element]) - len(rows))]


@pytest.mark.parametrize("seed", range(40))
def test_a_row_comes_again_when_it_is_written(seed: int) -> None:
    """In any order of events: the distance that the tool is told, or one from which sums are forwarded."""
    network = network_of((layer := convolution(seed)).input_shape, layer)
    units = [design_of(network, sd.HlsConfig(pe=pe)).parts[0] for pe in range(1, len(layer.weight) + 1)]
    rng, codes = np.random.default_rng(seed), Grid(*layer.input_shape).listed
    for unit in units:
        if not (isinstance(unit, Scatter) and unit.walks):
            continue
        met: dict[int, int] = {}
        iteration = 0
        for index in rng.choice(codes, 60).tolist():
            rows = rows_of(unit, index)
            assert len(rows) >= unit.spacing
            for row in rows:
                if row is not None:
                    ago = iteration - met.get(row, -unit.spacing)
                    assert ago >= unit.spacing or ago in unit.near or unit.rows.registers
                    met[row] = iteration
                iteration += 1


@pytest.mark.parametrize("stride", [1, 2])
def test_windows_are_forgotten_in_time(stride: int, compiler: None) -> None:
    """Over more steps than there are stamps, where windows overlap and where not."""
    pool = Pool2d("most", "max", (2, 3, 5), (2, 2), (stride, stride))
    network = dataclasses.replace(network_of((2, 3, 5), pool, dense_of(pool.outputs)), steps=520)
    inputs = draw_inputs(network, 2)
    check_run(design_of(network, sd.HlsConfig()), inputs, 1)
    with cycles_compared(network, inputs):
        assert sd.verify(network, None, inputs).agrees


def dense_of(inputs: int) -> sd.network.layers.Dense:
    """One neuron that takes all."""
    one = dense(1)
    return dataclasses.replace(one, weight=np.ones((1, inputs), dtype=np.int64))
