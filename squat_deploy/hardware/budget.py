"""Resource estimate of the emitted project, memory by memory and lane by lane, and what a part offers.

Rules of thumb, stated in the report: a memory of more than 1024 bits is block RAM of 18 Kbit in its best shape, a
smaller one distributed RAM; arrays that the source partitions completely are registers or, if constant, logic. A
multiplication takes a DSP where both factors have at least 5 bits. Nothing here replaces the report of a synthesis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from squat_deploy.hardware.design import Design, Part
from squat_deploy.hardware.graph import ENTRY
from squat_deploy.network import Neuron, int_bits
from squat_deploy.network.encoders import takes_intensities

_SHAPES = ((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36))  # (depth, width) of 18 Kbit
_SMALL_BITS = 1024
_CONTROL_LUT, _CONTROL_FF = 250, 300  # of one loop nest: counters, addresses, handshakes
_DSP_BITS = 5


@dataclass(frozen=True)
class Offer:
    """What a part has: block RAMs of 36 Kbit, LUTs, flip-flops, DSPs."""

    name: str
    bram36: int
    lut: int
    ff: int
    dsp: int


_OFFERS = {
    "xc7z010": Offer("Zynq-7010", 60, 17_600, 35_200, 80),
    "xc7z020": Offer("Zynq-7020", 140, 53_200, 106_400, 220),
    "xc7z045": Offer("Zynq-7045", 545, 218_600, 437_200, 900),
    "xc7a35t": Offer("Artix-7 35T", 50, 20_800, 41_600, 90),
    "xc7a100t": Offer("Artix-7 100T", 135, 63_400, 126_800, 240),
    "xczu3eg": Offer("Zynq UltraScale+ ZU3EG", 216, 70_560, 141_120, 360),
}


@dataclass(frozen=True)
class Usage:
    """Resources of one layer, or of all; block RAMs of 18 Kbit."""

    name: str
    bram18: int = 0
    lut: int = 0
    ff: int = 0
    dsp: int = 0

    def plus(self, other: Usage) -> Usage:
        """Both together, under this name."""
        return Usage(
            self.name, self.bram18 + other.bram18, self.lut + other.lut, self.ff + other.ff, self.dsp + other.dsp
        )


@dataclass(frozen=True)
class Budget:
    """What the design takes, layer by layer, and what its part offers, if that is known."""

    rows: tuple[Usage, ...]
    offer: Offer | None

    @cached_property
    def total(self) -> Usage:
        """All rows together."""
        total = Usage("total")
        for row in self.rows:
            total = total.plus(row)
        return total

    @property
    def fits(self) -> bool:
        """Whether the part, if known, has enough of everything."""
        total, offer = self.total, self.offer
        return offer is None or (
            math.ceil(total.bram18 / 2) <= offer.bram36
            and total.lut <= offer.lut
            and total.ff <= offer.ff
            and total.dsp <= offer.dsp
        )


def budget_of(design: Design, part_name: str) -> Budget:
    """Estimate of a design on a part."""
    offer = next((offer for prefix, offer in _OFFERS.items() if part_name.lower().startswith(prefix)), None)
    rows = [_entry_usage(design), *(_usage(design, part) for part in design.parts), _readout_usage(design)]
    return Budget(tuple(rows), offer)


def memory(name: str, depth: int, width: int, banks: int = 1) -> Usage:
    """RAM or ROM of `banks` memories side by side."""
    if depth * width <= _SMALL_BITS:
        return Usage(name, lut=banks * math.ceil(depth / 64) * width * 2)
    shape = min(math.ceil(depth / deep) * math.ceil(width / wide) for deep, wide in _SHAPES)
    return Usage(name, bram18=banks * shape)


def _registers(name: str, bits: int) -> Usage:
    return Usage(name, ff=bits)


def _logic_rom(name: str, entries: int, width: int, copies: int) -> Usage:
    """A partitioned constant table, read by every lane on its own."""
    return Usage(name, lut=copies * width * max(1, math.ceil(entries / 64)))


def _entry_usage(design: Design) -> Usage:
    usage = Usage("input", lut=_CONTROL_LUT, ff=_CONTROL_FF)
    usage = usage.plus(_lists(design, ENTRY))
    spec, encoder = design.network.input, design.encoder
    if takes_intensities(encoder):
        usage = usage.plus(memory("frame", spec.size, encoder.bits))
    elif encoder is not None:
        usage = usage.plus(memory("counts", spec.size, spec.bits)).plus(memory("touched", spec.size, 16))
    return usage.plus(_list(design, ENTRY)) if design.graph.repeats else usage


def _readout_usage(design: Design) -> Usage:
    return Usage("readout", lut=_CONTROL_LUT, ff=_CONTROL_FF).plus(memory("scores", design.network.outputs, 32))


def _list(design: Design, number: int) -> Usage:
    """One list of events."""
    signal = design.graph.signal(number)
    usage = memory("index", signal.capacity, 16 if signal.size <= 2**16 else 32)
    if signal.unit:
        return usage
    low, high = signal.bounds
    return usage.plus(memory("value", signal.capacity, int_bits(min(low, -1), high)))


def _lists(design: Design, number: int) -> Usage:
    """Lists of a node: doubled for each other process, single for its own."""
    one, total = _list(design, number), Usage("lists")
    copies = 2 * len(design.graph.handed_to(number))
    if number != ENTRY:
        copies += design.graph.kept(number)
    for _ in range(copies):
        total = total.plus(one)
    return total


def _usage(design: Design, part: Part) -> Usage:
    usage = Usage(part.name, lut=_CONTROL_LUT, ff=_CONTROL_FF)
    if part.signal.events:
        usage = usage.plus(_lists(design, part.number))
    if part.kind == "neurons":
        return usage.plus(_neuron_usage(part))
    if part.lanes is not None:
        usage = usage.plus(_sums_usage(part))
    if part.template == "pool_events" and getattr(part.node.layer, "kind", "") == "max":
        usage = usage.plus(memory("seen", part.size, 1))
    return usage


def _sums_usage(part: Part) -> Usage:
    """Accumulators and what feeds them."""
    lanes, rom, width = part.lanes, part.rom, part.number_bits
    assert lanes is not None
    if lanes.registers:
        usage = _registers("sums", lanes.rows * lanes.pe * width)
    else:
        usage = memory("sums", lanes.rows, width, banks=lanes.pe)
    usage = usage.plus(Usage("adders", lut=lanes.pe * width, ff=2 * lanes.pe * width))
    if rom is None:
        return usage
    for limb in range(len(rom.words)):
        lanes_here = min(rom.per_word, lanes.pe - limb * rom.per_word)
        usage = usage.plus(memory("weights", len(rom.words[0]), lanes_here * rom.bits))
    if rom.bias is not None:
        bias = int_bits(min(int(rom.bias.min()), -1), int(rom.bias.max()))
        usage = usage.plus(_logic_rom("bias", lanes.groups, bias, lanes.pe))
    if not part.takes[0].unit:
        low, high = part.takes[0].bounds
        value = int_bits(min(low, -1), high)
        small = min(rom.bits, value) < _DSP_BITS
        multiplier = Usage("multiply", lut=lanes.pe * rom.bits * value) if small else Usage("multiply", dsp=lanes.pe)
        usage = usage.plus(multiplier)
    return usage


def _neuron_usage(part: Part) -> Usage:
    """States, tables, and the binary search of every lane."""
    lanes, tables, neuron = part.lanes, part.tables, part.node.layer
    assert lanes is not None and tables is not None and isinstance(neuron, Neuron)
    bits = neuron.state_bits
    if lanes.registers:
        usage = _registers("states", lanes.rows * lanes.pe * bits)
    else:
        usage = memory("states", lanes.rows, bits, banks=lanes.pe)
    usage = usage.plus(
        _registers("fired", lanes.rows * lanes.pe) if lanes.rows <= 64 else memory("fired", lanes.rows, lanes.pe)
    )
    search = Usage("search", lut=lanes.pe * tables.search_bits * tables.key_bits, ff=3 * lanes.pe * tables.key_bits)
    usage = usage.plus(search)
    widths = {"SUCCESSOR": bits, "FIRE_LEVEL": 16}
    copies = {"shared": 1, "channel": lanes.groups * lanes.pe, "neuron": lanes.rows * lanes.pe}[tables.spread]
    for name, array in part.constants.items():
        width, entries = widths.get(name, tables.key_bits), array.size // copies
        reads = tables.search_bits if name in ("BOUNDARIES", "THRESHOLDS") else 1
        if tables.spread == "shared":
            usage = usage.plus(_logic_rom(name, entries, width, lanes.pe * reads))
        else:  # one bank a lane
            usage = usage.plus(memory(name, array.size // lanes.pe, width, banks=lanes.pe))
    return usage
