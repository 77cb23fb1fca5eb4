"""LUTs and flip-flops of logic, by structure; `measured.py` says how far that is from what yosys made of such cores.

An adder takes a LUT a bit, a comparison with a constant one for two bits, a product of small factors an addition of
twice the larger one's bits for each further bit of the smaller: within a half of what yosys makes of 2 to 8 bits times
2 to 8. Every bit that is added has a flip-flop, and every bit that is searched for one in each step. What a search
reads in its steps are parts of one table, so that a lane counts the table once.
"""

from __future__ import annotations

from squat_deploy.hardware.memories import Usage
from squat_deploy.hardware.searches import How, comparisons

CONTROL = Usage(lut=250, ff=300)  # of a unit, its counters, addresses, handshakes: as of RTL that Bambu wrote
_DSP_BITS = 5  # from here on a product is one of DSPs


def adders(count: int, bits: int) -> Usage:
    """Additions of so many bits, side by side."""
    return Usage(lut=count * bits, ff=count * bits)


def products(count: int, one: int, other: int) -> Usage:
    """Products of numbers of so many bits, side by side."""
    small, large = sorted((one, other))
    if small >= _DSP_BITS:
        return Usage(dsp=count)
    return Usage(lut=count * large * max(1, 2 * (small - 1)))


def searches(count: int, key_bits: int, bits: int, how: How) -> Usage:
    """Searches side by side for keys of so many bits, in tables of 2**bits - 1; a key is kept for each step of one."""
    steps = 1 if how == "at once" else bits
    return Usage(lut=count * comparisons(bits, how) * ((key_bits + 1) // 2), ff=count * key_bits * steps)


def lister(bits: int) -> Usage:
    """Finds the two lowest bits of a word and of the next: four words without their lowest bits, two found, choices."""
    return Usage(lut=8 * bits, ff=2 * bits)


def forwards(count: int, bits: int, near: tuple[int, ...]) -> Usage:
    """Numbers that are taken from where they were written so many cycles ago, up to three choices beside a memory."""
    return Usage(lut=count * bits * bool(near), ff=count * bits * max(near, default=0))
