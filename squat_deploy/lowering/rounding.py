"""Every rounding between the integers and the input current: exact because ..., or by how much it can be off.

This is the only place where roundings are counted. A bound holds in any order of summation, with fused multiply-adds
or without, whatever the batch size, thread count or BLAS (Higham, Accuracy and Stability of Numerical Algorithms,
sections 2.2 and 3.1), and for float32 that flushes what is below its smallest normal number.

| operation | exact because | else |
|---|---|---|
| an input, `k * step` | every k is a multiple of the step's lowest bit below 2**24 of it | `entry_error` |
| a spike, `1 * graded_spikes_factor` | multiplied by one | |
| maximum | it is one of its inputs | the largest error of them |
| sum or average of a window | as an input, for the largest sum; the divisor is a power of two | `average_error` |
| synaptic sum, its bias, integers first or not | `sums_exactly` | `synaptic_error` |
| one scale after the sum of integers | computed by the same two operations on exact sums | `scaled_error` |
| batch norm | | `norm_error` |
| sum of two branches | `sums_exactly` | `addition_error` |
| recurrent current added after the input | every pair of sums is run (`order.py`) | `order_error` |
| membrane update | computed by the trained neuron itself, elementwise, in one order | |
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ROUNDING = 2.0**-24  # half a unit in the last place of float32, relative
EXACT_LIMIT = 2**24  # integers up to here are exact in float32
SMALLEST = 2.0**-126  # float32 keeps fewer digits below it, or none
_DOUBLE = 1 + 2.0**-20  # room for what double precision rounds in these formulas themselves
_NORM_ROUNDINGS = 8  # scale and shift made first or last, fused or not: four in either form
_ORDER_ROUNDINGS = 8  # of a membrane update in either order


def powers_of_two(values: Floats) -> bool:
    """Whether every number is one."""
    return bool((np.frexp(values)[0] == 0.5).all())


def lowest_bit(values: Floats) -> Floats:
    """Value of the lowest set bit of each finite number (infinity for 0)."""
    mantissa, exponent = np.frexp(values)
    scaled = np.abs(mantissa * 2.0**53).astype(np.int64)
    bit = np.where(scaled == 0, 0, scaled & -scaled).astype(np.float64)
    return np.where(scaled == 0, np.inf, np.ldexp(bit, exponent - 53))


def roundings(count: int) -> float:
    """Relative bound of `count` roundings, of one after the other or of a sum in any order: n u / (1 - n u)."""
    return count * ROUNDING / (1 - count * ROUNDING) * _DOUBLE


def sums_exactly(magnitude: Floats | float, grid: Floats | float) -> bool:
    """Whether float32 sums of multiples of `grid` are exact in any order.

    Args: magnitude: largest sum of the magnitudes of all terms, which no partial sum exceeds.
    """
    return bool(np.all((np.asarray(magnitude) < EXACT_LIMIT * np.asarray(grid)) & (np.asarray(grid) >= SMALLEST)))


def entry_error(largest: int, step: float) -> float:
    """Of an input, the float32 next to `k * step` for |k| <= largest."""
    return 0.0 if sums_exactly(largest * step, _bit(step)) else roundings(1) * largest * step


def average_error(count: int, divisor: int, largest: int, unit: float, error: float, divisions: int = 1) -> float:
    """Of a sum of `count` values divided once or more, each `unit` times an integer up to `largest`, off by `error`."""
    magnitude = count * largest * unit
    if not error and sums_exactly(magnitude, _bit(unit)):
        exact = not divisor & (divisor - 1) and _bit(unit) >= SMALLEST * divisor
        return 0.0 if exact else (roundings(1 + divisions) * magnitude + SMALLEST) / divisor
    total = magnitude + count * error
    return (count * error + roundings(count + divisions) * total + SMALLEST) / divisor


def synaptic_error(terms: int, magnitude: Floats, entered: Floats) -> Floats:
    """Of a sum of `terms` products of an integer, a scale and an input, and a bias, in any order.

    Roundings of each term: of the weight, `fl(integer * scale)`, of the product, of `terms` additions, and of
    `Current.values`, which is the exact sum rounded once.

    Args:
        magnitude: sum of the magnitudes of all products and the bias.
        entered: what the errors of the inputs make of it, the sum of |weight| times error.
    """
    return entered + roundings(terms + 3) * (magnitude + entered) + (terms + 3) * SMALLEST


def scaled_error(error: Floats, size: Floats, scale: float, bias: float) -> Floats:
    """Of one multiplication and one addition, on a sum of magnitude `size` that is off by `error`.

    Two roundings in the model, two in `Current.values`.
    """
    return error * abs(scale) + roundings(4) * ((size + error) * abs(scale) + abs(bias)) + 4 * SMALLEST


def norm_error(error: Floats, size: Floats, slope: float, mean: float, shift: float) -> Floats:
    """Of a batch norm in eval mode, on a current of magnitude `size` that is off by `error`.

    torch computes `x * scale + shift` with both made before, or `(x - mean) * scale + shift`, by layout and CPU.
    """
    magnitude = (size + error + abs(mean)) * abs(slope) + abs(shift)
    return error * abs(slope) + roundings(_NORM_ROUNDINGS) * magnitude + _NORM_ROUNDINGS * SMALLEST


def addition_error(error: Floats, magnitude: Floats) -> Floats:
    """Of a sum of two currents that are off by `error` together: one rounding, and one of `Current.values`."""
    return error + roundings(2) * (magnitude + error) + 2 * SMALLEST


def order_error(size: float) -> float:
    """Of adding the input and the recurrent current to the membrane one after the other, or their sum.

    Args: size: sum of the magnitudes of all that is added.
    """
    return roundings(_ORDER_ROUNDINGS) * size


def _bit(value: float) -> float:
    return float(lowest_bit(np.array([value]))[0])
