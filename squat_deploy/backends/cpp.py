"""The only printer of C++ literals, types and comments: what comes out of a model becomes a number or plain text."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from squat_deploy.hardware.signals import index_bits
from squat_deploy.names import plain as plain
from squat_deploy.network import IntArray, int_bits

_LINE = 116


def literal(value: int) -> str:
    """A decimal integer literal of sufficient width."""
    if -(2**31) < value < 2**31:
        return str(value)
    return f"{value}LL"


def unsigned64(value: int, bits: int = 64) -> str:
    """A word of up to 64 bits in hexadecimal, as wide as it is stored."""
    return f"0x{value:0{-(-bits // 4)}x}" + ("ULL" if bits > 32 else "u")


def initializer(values: IntArray, indent: str = "    ") -> str:
    """A braced initializer of any number of dimensions, wrapped at a readable width."""
    if values.ndim == 1:
        items = [literal(int(v)) for v in values]
        short = "{" + ", ".join(items) + "}"
        return short if len(indent) + len(short) <= _LINE else "{\n" + wrapped(items, indent) + "}"
    rows = ",\n".join(indent + initializer(row, indent + "    ") for row in values)
    return "{\n" + rows + "}"


def wrapped(items: Iterable[str], indent: str = "    ") -> str:
    """Comma-separated items in lines of bounded length."""
    lines, line = [], ""
    for item in items:
        if line and len(indent) + len(line) + len(item) + 2 > _LINE:
            lines.append(indent + line)
            line = ""
        line = f"{line}, {item}" if line else item
    lines.append(indent + line)
    return ",\n".join(lines)


def wrapped_words(words: IntArray, bits: int) -> str:
    """Words of up to 64 bits, given as the signed numbers with these bits, in lines of bounded length."""
    return wrapped((unsigned64(word % 2**64, bits) for word in words.tolist()), "        ")


def native_int(low: int, high: int) -> str:
    """The narrowest standard integer type for low..high."""
    for bits in (8, 16, 32, 64):
        if low >= 0 and high < 2**bits:
            return f"std::uint{bits}_t"
        if -(2 ** (bits - 1)) <= low and high < 2 ** (bits - 1):
            return f"std::int{bits}_t"
    raise OverflowError(f"{low}..{high} needs more than 64 bits")


def index_type(codes: int) -> str:
    """The type of codes 0..codes - 1, at least 16 bits wide."""
    return native_int(0, 2 ** index_bits(codes) - 1)


def decoded(code: str, bits: int, *, signed: bool) -> str:
    """The number that an unsigned field of so many bits stands for: in two's complement, if `signed`."""
    if not signed:
        return f"static_cast<std::int32_t>({code})"
    sign = 2 ** (bits - 1)
    return f"static_cast<std::int32_t>({code} ^ {sign}u) - {sign}"


def pipelined(iterations: int) -> str:
    """The pragma of a loop of so many: compilers drop that of a pipeline together with a loop of one."""
    return f"SQUAT_HLS({'pipeline II=1' if iterations > 1 else 'loop_tripcount min=1 max=1'})"


def exact_int(low: int, high: int) -> str:
    """The ap_int type of the width of low..high."""
    if low >= 0:
        return f"ap_uint<{int_bits(low, high)}>"
    return f"ap_int<{int_bits(low, high)}>"


def rom_sums(values: IntArray) -> tuple[str, str]:
    """Sum and position-weighted sum of an array modulo 2**64, as literals: together they locate one changed entry."""
    flat = values.reshape(-1).astype(np.int64).view(np.uint64)
    position = np.arange(1, flat.size + 1, dtype=np.uint64)
    return unsigned64(int(flat.sum(dtype=np.uint64))), unsigned64(int((flat * position).sum(dtype=np.uint64)))
