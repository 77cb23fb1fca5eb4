"""The contents of memories of an RTL project, as `$readmemh` reads them: a word a line, the first lane lowest."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from squat_deploy.hardware.units import Fire
from squat_deploy.hardware.units.scatter import Scatter
from squat_deploy.network import IntArray


def hex_lines(rows: IntArray, bits: int) -> str:
    """Numbers (words, lanes) of `bits` bits each."""
    mask, width = 2**bits - 1, -(-rows.shape[1] * bits // 4)
    lines = []
    for row in rows.tolist():
        word = 0
        for number in reversed(row):
            word = word << bits | number & mask
        lines.append(f"{word:0{width}x}\n")
    return "".join(lines)


def bank_rows(unit: Scatter, elements: IntArray) -> Iterator[tuple[int, IntArray]]:
    """Codes of the weights (entries * groups, pe) of each bank, by its elements; 0 of places that hold none."""
    rom, lanes = unit.rom, unit.rows
    weights = rom.weights()
    codes = (weights > 0).astype(np.int64) if rom.bipolar else weights
    by_input = codes.reshape(-1, lanes.groups, lanes.pe)
    for bank, inputs in enumerate(elements):
        rows = by_input[inputs] * (inputs >= 0)[:, None, None]
        yield bank, rows.reshape(-1, lanes.pe)


def in_banks(elements: IntArray, simd: int) -> IntArray:
    """(simd, entries) which element has which index in a bank: field f of a word belongs to bank f % simd."""
    return np.moveaxis(elements.reshape(len(elements), -1, simd), 2, 0).reshape(simd, -1)


def of_tables(unit: Fire) -> Iterator[tuple[str, str]]:
    """Of each lane where neurons have their own, else one of each for all."""
    tables = unit.tables
    widths = {"SUCCESSOR": unit.state_bits, "FIRE": tables.search_bits + 1}
    found = {"TABLE": tables.searched, "OFFSET": tables.keys, "SUCCESSOR": tables.successor, "FIRE": tables.fire_level}
    arrays = {name: np.asarray(array) for name, array in found.items() if array is not None}
    for name, array in arrays.items():
        bits = widths.get(name, tables.key_bits)
        for lane in range(unit.lanes.pe if tables.spread != "shared" else 1):
            own = array if tables.spread == "shared" else array[:, lane]
            yield f"layer{unit.number}_{name.lower()}_{lane:03}.hex", hex_lines(np.reshape(own, (-1, 1)), bits)
