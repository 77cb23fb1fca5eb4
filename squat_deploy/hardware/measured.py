"""What yosys made of cores of this structure, and how far the estimate is: synth_xilinx, 7-series, LUTs as mapped.

Eight were written by hand: 784-128-10, 4-bit weights, a row of weights an event, all lanes in parallel; yosys 0.70.
Two are SystemVerilog of this project, of that kind but for weights that are registered once more (`--share 1`: a neuron
unit a lane, as HLS has it; searches of a register a step).
Two were written by Bambu 2024.10 from emitted C++, one lane after another. No RTL of Vitis is among them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Core:
    """One core: `pe` of the first layer (the second has as many, up to 10), bits of states; BRAM18 are half RAMB36."""

    name: str
    pe: int
    state_bits: int
    lut: int
    ff: int
    bram18: int


BY_HAND = (
    Core("784-128-10", 1, 2, 489, 480, 23),
    Core("784-128-10", 1, 4, 549, 480, 23),
    Core("784-128-10", 8, 2, 1085, 785, 26),
    Core("784-128-10", 8, 4, 1743, 875, 26),
    Core("784-128-10", 32, 2, 2487, 1412, 27),
    Core("784-128-10", 32, 4, 3807, 1246, 27),
    Core("784-128-10", 128, 2, 4843, 4342, 31),
    Core("784-128-10", 128, 4, 10783, 5712, 31),
)
OURS = (Core("784-128-10", 32, 2, 3427, 2833, 34), Core("784-128-10", 32, 4, 4240, 5831, 34))
BY_BAMBU = (Core("golden", 4, 4, 1570, 1926, 0), Core("fashion_mnist", 16, 4, 2845, 2736, 53))

# (least, most) estimate as a multiple of these figures
LUT_ERROR = (1.2, 4.0)
LARGE_LUT_ERROR = (1.2, 1.8)  # of the cores of more than LARGE
FF_ERROR = (0.95, 4.5)
BRAM_ERROR = (1.0, 1.5)
LARGE = 2_000
ERRORS = (
    f"On {len(BY_HAND) + len(OURS) + len(BY_BAMBU)} such cores, {len(BY_HAND)} by hand, {len(OURS)} of `rtl --share 1` "
    f"and {len(BY_BAMBU)} by Bambu, it is {LUT_ERROR[0]} to {LUT_ERROR[1]} times the\nLUT of yosys "
    f"({LARGE_LUT_ERROR[0]} to {LARGE_LUT_ERROR[1]} above {LARGE:,}), {FF_ERROR[0]} to {FF_ERROR[1]} times the FF, "
    f"{BRAM_ERROR[0]:g} to {BRAM_ERROR[1]} times the\nBRAM; no RTL of Vitis has been measured."
)
