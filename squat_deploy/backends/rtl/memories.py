"""The contents of memories of an RTL project, as `$readmemh` reads them: a word a line, the first lane lowest."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from squat_deploy.hardware.units.scatter import Scatter
from squat_deploy.network import IntArray

_SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))  # of block RAMs: (rows, bits)
DEEPEST = 16384
SMALL = 4096  # bits, below which a memory need not be a block RAM


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


def column_of(depth: int) -> int:
    """Bits of a block RAM of 18 kbit of so many rows."""
    return next(bits for rows, bits in _SHAPES if depth <= rows)


def in_blocks(rows: IntArray, bits: int, column: int, depth: int) -> Iterator[tuple[str, str]]:
    """(place, text) of memories that hold numbers (words, lanes): columns of bits, in parts of `depth` words."""
    lines = [int(line, 16) for line in hex_lines(rows, bits).split()] or [0]
    lines += [0] * (max(2, len(lines)) - len(lines))
    width, digits, mask = rows.shape[1] * bits, -(-column // 4), 2**column - 1
    for first in range(0, width, column):
        for part, start in enumerate(range(0, len(lines), depth)):
            words = lines[start : start + depth]
            words += [0] * (depth - len(words))
            text = "".join(f"{word >> first & mask:0{digits}x}\n" for word in words)
            yield f"{first // column:03}_{part:03}", text


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


def lane_files(array: IntArray, bits: int, pe: int | None, together: int = 1) -> Iterator[tuple[int, str]]:
    """(lane, text) of a table (rows, pe, ...) for each of `pe` lanes, or of one for all where there is no `pe`.

    So many numbers lie `together` in a word.
    """
    for lane in range(pe or 1):
        own = array if pe is None else array[:, lane]
        yield lane, hex_lines(np.reshape(own, (-1, together)), bits)


def comparisons(table: IntArray) -> Iterator[IntArray]:
    """Of sorted entries (..., 2**levels), the last of which is padding, those that each comparison of a search meets.

    (..., words, together): side by side are those between which the one or two comparisons before choose.
    """
    half = table.shape[-1] // 2
    while half:
        met = table[..., half - 1 :: 2 * half]
        yield met.reshape(*met.shape[:-1], -1, min(4, met.shape[-1]))
        half //= 2
