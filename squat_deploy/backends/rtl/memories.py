"""The contents of all memories of an RTL project, as `$readmemh` reads them: a word a line, the first lane lowest."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from squat_deploy.backends.rtl.plan import Layer, Listing, RtlPlan
from squat_deploy.network import IntArray


def memories_of(plan: RtlPlan) -> dict[str, str]:
    """Text of every file by its name."""
    files = {name: text for layer in plan.layers for name, text in _of_layer(layer)}
    if plan.design.network.worth:
        files["worth.hex"] = hex_lines(np.array(plan.design.network.worth)[:, None], 64)
    return files


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


def _of_layer(layer: Layer) -> Iterator[tuple[str, str]]:
    synapses, lanes, number = layer.synapses, layer.neurons.lanes, layer.number
    for bank, rows in enumerate(_banks(layer)):
        yield f"layer{number}_weights_{bank:02}.hex", hex_lines(rows, synapses.rom.bits)
    start = lanes.zeros if synapses.rom.bias is None else synapses.rom.bias
    yield f"layer{number}_start.hex", hex_lines(start, synapses.signal.bits)
    yield from _tables(layer)


def _banks(layer: Layer) -> Iterator[IntArray]:
    """Codes of the weights (entries * groups, pe) of each bank; those of inputs that there are none are 0."""
    rom, lanes = layer.synapses.rom, layer.neurons.lanes
    weights = rom.weights()
    codes = (weights > 0).astype(np.int64) if rom.bipolar else weights
    by_input = codes.reshape(-1, lanes.groups, lanes.pe)
    for bank in range(layer.listing.simd):
        inputs = bank_inputs(layer.listing, bank)
        rows = by_input[np.minimum(inputs, len(by_input) - 1)] * (inputs < len(by_input))[:, None, None]
        yield rows.reshape(-1, lanes.pe)


def bank_inputs(listing: Listing, bank: int) -> IntArray:
    """(entries,) which input has which index in a bank."""
    slots = listing.fields // listing.simd
    index = np.arange(listing.entries)
    inputs: IntArray = index // slots * listing.fields + index % slots * listing.simd + bank
    return inputs


def _tables(layer: Layer) -> Iterator[tuple[str, str]]:
    """Of each lane where neurons have their own, else one of each for all."""
    neurons, number = layer.neurons, layer.number
    tables = neurons.tables
    widths = {"SUCCESSOR": neurons.state_bits, "FIRE": tables.search_bits + 1}
    found = {"TABLE": tables.searched, "OFFSET": tables.keys, "SUCCESSOR": tables.successor, "FIRE": tables.fire_level}
    arrays = {name: np.asarray(array) for name, array in found.items() if array is not None}
    for name, array in arrays.items():
        bits = widths.get(name, tables.key_bits)
        for lane in range(neurons.lanes.pe if tables.spread != "shared" else 1):
            own = array if tables.spread == "shared" else array[:, lane]
            yield f"layer{number}_{name.lower()}_{lane:03}.hex", hex_lines(np.reshape(own, (-1, 1)), bits)
