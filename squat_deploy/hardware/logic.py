"""LUTs and flip-flops of logic, by structure; `measured.py` says how far that is from what yosys made of such cores.

An adder takes a LUT a bit, a comparison with a constant one for two bits, a product of small factors one a bit of each;
every bit that is added or searched for has a flip-flop. What a search reads in its steps are parts of one table, so
that a lane counts the table once.
"""

from __future__ import annotations

from squat_deploy.hardware.memories import Usage

CONTROL = Usage(lut=250, ff=300)  # of a unit, its counters, addresses, handshakes: as of RTL that Bambu wrote
_DSP_BITS = 5  # from here on a product is one of DSPs


def adders(count: int, bits: int) -> Usage:
    """Additions of so many bits, side by side."""
    return Usage(lut=count * bits, ff=count * bits)


def products(count: int, one: int, other: int) -> Usage:
    """Products of numbers of so many bits, side by side."""
    return Usage(dsp=count) if min(one, other) >= _DSP_BITS else Usage(lut=count * one * other)


def searches(count: int, key_bits: int, comparisons: int) -> Usage:
    """Searches for keys of so many bits, side by side."""
    return Usage(lut=count * comparisons * ((key_bits + 1) // 2), ff=count * key_bits)


def lister(bits: int) -> Usage:
    """Finds the two lowest bits of a word and of the next: four words without their lowest bits, two found, choices."""
    return Usage(lut=8 * bits, ff=2 * bits)


def forwards(count: int, bits: int, near: tuple[int, ...]) -> Usage:
    """Numbers that are taken from where they were written so many cycles ago, up to three choices beside a memory."""
    return Usage(lut=count * bits * bool(near), ff=count * bits * max(near, default=0))
