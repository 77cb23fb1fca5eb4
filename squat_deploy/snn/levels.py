"""Level tables: the values that a quantized membrane may take, and where the nearest one changes.

The formulas are those of snnTorch 1.0.0 `functional.quant.state_quant` (SQUAT, arXiv 2404.19668), to the bit; the
kinds "rest", "ternary" and "fixed-point" are this project's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import ConfigError

Kind = Literal["uniform", "threshold-centred", "zero-centred", "rest", "ternary", "fixed-point"]
KINDS: tuple[Kind, ...] = ("uniform", "threshold-centred", "zero-centred", "rest", "ternary", "fixed-point")
MAX_BITS = 8
_BASES = {1: 0.05, 2: 0.1, 3: 0.3, 4: 0.5, 5: 0.7, 6: 0.9, 7: 0.925, 8: 0.95}

FloatArray = NDArray[np.float32]


def level_table(
    bits: int,
    kind: Kind = "uniform",
    threshold: float = 1.0,
    lower_limit: float = 0.0,
    upper_limit: float = 0.2,
    base: float | None = None,
    above: int | None = None,
) -> FloatArray:
    """Levels of a quantized membrane, ascending, shape (2**bits,), or (3,) if ternary, float32, in membrane units.

    Args:
        bits: state width, 1 to 8.
        kind: spacing of the levels; the exponential kinds crowd them around the threshold or around zero; "rest" has
            a level at exactly zero, equal gaps, and the threshold in the middle of one of them (`rest_levels`);
            "ternary" has zero and one level on either side, at 4/3 of the threshold; "fixed-point" is the two's
            complement grid with the finest power-of-two gap that has a level above the threshold.
        threshold: firing threshold, a plain float (a tensor would be changed in place by snnTorch's formula).
        lower_limit: how far below -threshold the lowest level lies, as a share of the threshold.
        upper_limit: how far above +threshold the highest level lies, as a share of the threshold.
        base: ratio of neighbouring steps of the exponential kinds; snnTorch's `multiplier`.
        above: levels above the threshold of the kind "rest", which takes no limits; by default a quarter of them.

    Raises:
        ConfigError: an option out of range, a table with repeated levels, or one in which no level can fire.
    """
    if kind not in KINDS:
        raise ConfigError(f"levels: kind must be one of {', '.join(KINDS)}; got {kind!r}")
    if not 1 <= bits <= MAX_BITS:
        raise ConfigError(f"levels: bits must be 1 to {MAX_BITS} (wider exponential tables repeat levels); got {bits}")
    if not isinstance(threshold, (int, float)) or not math.isfinite(threshold) or threshold <= 0:
        raise ConfigError(f"levels: threshold must be a positive float; got {threshold!r}")
    if above is not None and kind != "rest":
        raise ConfigError(f"levels: above is of rest levels; got kind {kind}: leave it out")
    if kind == "rest":
        return check_levels(rest_levels(bits, threshold, above), threshold)
    if kind == "ternary":
        return check_levels(_ternary(bits, threshold), threshold)
    if kind == "fixed-point":
        return check_levels(_fixed_point(bits, threshold), threshold)
    highest, lowest = threshold + threshold * upper_limit, -(threshold + threshold * lower_limit)
    if kind == "uniform":
        values = _linspace(-threshold - threshold * lower_limit, highest, 2**bits)
    else:
        centre = threshold if kind == "threshold-centred" else 0
        values = _exponential(2**bits, lowest, centre, highest, _BASES[bits] if base is None else base)
    return check_levels(values, threshold)


def rest_levels(bits: int, threshold: float, above: int | None = None) -> FloatArray:
    """Multiples of one gap, zero among them, so that a neuron at rest stays there and a leak has where to go.

    The threshold lies midway between two levels, which is where rounding to the nearest flips the fewest spikes; below
    it are as many levels on either side of zero as can be, one more above zero where they do not share out evenly. A
    quarter of the levels lies above it by default: a reset by subtraction keeps what a current leaves over.
    """
    count = 2**bits
    above = max(1, count // 4) if above is None else above
    if not 1 <= above < count:
        raise ConfigError(f"levels: {bits} bits leave 1 to {count - 1} levels above the threshold; got above={above}")
    positive = (count - above) // 2
    gap = threshold / (positive + 0.5)
    return (np.arange(positive + above + 1 - count, positive + above + 1) * gap).astype(np.float32)


def _ternary(bits: int, threshold: float) -> FloatArray:
    """Two bits with one code unused; the threshold is two thirds on the way from one level to the next."""
    if bits != 2:
        raise ConfigError(f"levels: ternary states take 2 bits; got {bits}")
    return (np.arange(-1, 2) * (4 / 3 * threshold)).astype(np.float32)


def _fixed_point(bits: int, threshold: float) -> FloatArray:
    if bits < 2:
        raise ConfigError("levels: fixed-point states take 2 bits or more: 1 bit has no level above zero")
    highest = 2 ** (bits - 1) - 1
    gap = 2.0 ** math.floor(math.log2(threshold / highest) + 1)
    return (np.arange(-highest - 1, highest + 1) * gap).astype(np.float32)


def check_levels(values: Sequence[float] | FloatArray, threshold: float) -> FloatArray:
    """The same levels as a float32 array, or a ConfigError that says which rule of a level table they break."""
    table = np.asarray(values, dtype=np.float32)
    if table.ndim != 1 or not 2 <= table.size <= 2**MAX_BITS:
        raise ConfigError(f"levels: a table has 2 to {2**MAX_BITS} values in one dimension; got shape {table.shape}")
    if not np.isfinite(table).all():
        raise ConfigError("levels: every level must be finite; got NaN or infinity")
    gaps = np.diff(table)
    if (gaps <= 0).any():
        at = int(np.argmax(gaps <= 0))
        raise ConfigError(f"levels: must ascend without repeats; got {table[at]!r} then {table[at + 1]!r} at {at}")
    if (place := _blurred(table)) is not None:
        a, b, c = table[place : place + 3]
        raise ConfigError(
            f"levels: {a:g} and {b:g} are so much closer than {b:g} and {c:g} that float32 cannot tell which "
            "of the two is nearer: a rising membrane would fall to a lower level; use a base (multiplier) nearer to 1"
        )
    if not table[-1] > np.float32(threshold):
        raise ConfigError(
            f"levels: a neuron fires only above its threshold {threshold}, but the highest level is {table[-1]}: "
            "it could never fire; raise upper_limit above 0"
        )
    return table


def _linspace(start: float, end: float, count: int) -> FloatArray:
    """torch.linspace itself: its last bits depend on the machine's fused multiply-add, so no copy of it is equal."""
    import torch

    return torch.linspace(start, end, count, dtype=torch.float32).numpy()


def _exponential(count: int, lowest: float, centre: float, highest: float, base: float) -> FloatArray:
    """Levels whose gaps shrink by `base` towards the centre from either side; sums run in double, as snnTorch's."""
    below = math.floor(count * ((centre - lowest) / (highest - lowest)))
    above = count - below
    values: list[float] = []
    if below:
        room = _descending_sum(base, below) / (centre - lowest)
        value: float = lowest
        for power in range(below):
            values.append(value)
            value += base**power / room
    if above:
        room = _descending_sum(base, above) / (highest - centre) if highest != centre else math.inf
        value = centre
        for power in reversed(range(above)):
            value += base**power / room
            values.append(value)
    return np.asarray(values, dtype=np.float32)


def _descending_sum(base: float, count: int) -> float:
    total = 0.0
    for power in reversed(range(count)):
        total += base**power
    return total


def nearest(levels: FloatArray, values: FloatArray) -> NDArray[np.int64]:
    """Index of the level nearest to each value, float32 distance, ties to the lower level: SQUAT's rule itself."""
    return np.argmin(np.abs(levels - values[..., None]), axis=-1)


def decision_boundaries(levels: FloatArray) -> FloatArray:
    """Largest float32 that still maps to level j or below, shape (L-1,), found by bisecting the rule itself.

    The float32 midpoint is not the boundary: at 4 bits a third of them differ.
    """
    low, high = to_ordered(levels[:-1]), to_ordered(levels[1:])
    index = np.arange(levels.size - 1)
    while (high - low > 1).any():
        middle = (low + high) >> 1
        below = nearest(levels, from_ordered(middle)) <= index
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return from_ordered(low)


def to_ordered(values: FloatArray) -> NDArray[np.int64]:
    """Float32 bit patterns as integers that keep the order of the floats: neighbours differ by one."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.int32).astype(np.int64)
    return np.where(bits >= 0, bits, -(bits & 0x7FFFFFFF))


def from_ordered(order: NDArray[np.int64]) -> FloatArray:
    """Inverse of `to_ordered` (negative zero comes back as zero)."""
    bits = np.where(order >= 0, order, (-order) | 0x80000000)
    return bits.astype(np.uint32).view(np.float32)


def _blurred(levels: FloatArray) -> int | None:
    """The first of three levels between which the float32 nearest-level rule may not be monotone, or None.

    The rule takes the lowest level at the least distance, each distance rounded to float32. Below a level that cannot
    go wrong: the lower of two is nearer, or as near. Above a level the one before it is farther by their gap, which
    shows as long as the gap is more than the spacing of float32 at that distance: up to where the next level takes
    over, midway, and beyond the last level up to `safe_magnitude`.
    """
    table = levels.astype(np.float64)
    gaps, farthest = table[1:-1] - table[:-2], (table[1:-1] + table[2:]) / 2 - table[:-2]
    spacing = np.spacing(np.nextafter(farthest.astype(np.float32), np.float32(np.inf)))
    blurred = np.flatnonzero(gaps <= spacing)
    return int(blurred[0]) if blurred.size else None


def safe_magnitude(levels: FloatArray) -> float:
    """Largest |u| for which the float32 nearest-level rule is certain to be monotone, in membrane units.

    Far above the table the distances to the last two levels round to the same float32 and the rule falls back to the
    lower one; a quarter of 2**23 times their gap keeps clear of that. Far below, the lowest level is never farther.
    """
    return float(levels[-1] - levels[-2]) * 2.0**21
