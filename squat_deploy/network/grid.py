"""From the user's arrays to the integers that enter a network: which grid, what was clipped, what is hardly on it."""

from __future__ import annotations

import math
import re
import warnings
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import ConfigError, SquatWarning
from squat_deploy.network import InputSpec, IntArray, Network

STATE_IT = (
    "state it: an InputQuantizer in front of the model, --high 1 for spikes, --high 255 --input-step 1/256 for pixels, "
    "or --calibration with data as the model sees them"
)
_FINEST = 16  # binary digits after the point that a grid may have
_ENOUGH = 256  # values from which on a set says how much of its range it uses
_PART = 8  # inputs that stay below this part of their range are doubtful
_CLIPPED = 0.01  # share of real inputs beyond the grid from which on it is doubtful


def grid_of(data: NDArray[Any]) -> tuple[int, int, float]:
    """(low, high, step) of data that lie exactly on a grid: integers, multiples of a power of two, or of 1/255.

    Raises: ConfigError for data on none of them.
    """
    if data.dtype.kind not in "fiub" or not data.size or not np.isfinite(data).all():
        raise ConfigError(f"calibration: expected finite numbers; got {data.dtype} of shape {data.shape}")
    values = data.astype(np.float64)
    steps = [2.0**-digits for digits in range(_FINEST + 1)]
    for step in steps:
        if (values / step == np.rint(values / step)).all():
            return *_ends(np.rint(values / step), step), step
    whole = np.rint(values * 255)
    if (whole.astype(np.float32) / np.float32(255) == data.astype(np.float32)).all():
        return *_ends(whole, 1 / 255), 1 / 255
    raise ConfigError(
        "calibration: the inputs lie on no grid (multiples of a power of two, or of 1/255): put an InputQuantizer in"
        " front of the model and train with it, or choose the grid that they are rounded to: --low --high --input-step"
    )


def _ends(whole: NDArray[np.float64], step: float) -> tuple[int, int]:
    low, high = min(0, int(whole.min())), max(1, int(whole.max()))
    if low < -(2**15) or high >= 2**16:
        raise ConfigError(f"calibration: steps of {step:g} make integers {low}..{high}; they must lie within 16 bits")
    return low, high


def step_of(text: str) -> float:
    """A step as people write it: 0.125, 1/256, 2^-8, 2**-8. Raises: ConfigError."""
    power = re.fullmatch(r"\s*2(?:\^|\*\*)([+-]?\d{1,2})\s*", text)
    try:
        # Fraction multiplies an exponent out, however large; with a slash there is none
        step = 2.0 ** int(power[1]) if power else float(Fraction(text) if "/" in text else text)
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise ConfigError(f"--input-step: expected a number like 1/256, 2^-8 or 0.125; got {text!r}") from error
    if not (math.isfinite(step) and step > 0):
        raise ConfigError(f"--input-step: must be positive; got {text!r}")
    return step


def as_integers(spec: InputSpec, data: NDArray[Any], *, real: bool) -> tuple[NDArray[Any], list[str], list[str]]:
    """The integers of the user's data, what was done to them, and what is doubtful of it.

    Floats are taken as integers if all of them are, within the grid; as multiples of its step if all of them are
    that, within the grid; real ones are rounded if `real` says so.

    Raises: ConfigError for floats that are neither, or that are both and not the same, without `real`.
    """
    if real:
        return _rounded(spec, data)
    if data.dtype.kind != "f":
        return data, [], []
    if not (np.isfinite(data).all() and (data == np.rint(data)).all()):
        if (multiples := _multiples(spec, data)) is not None:
            told = f"inputs: {data.dtype}, all of them on the network's grid: multiples of {spec.step:.9g}"
            return multiples, [told], []
        way = "real=True (--real) rounds real inputs, in the model's units, to it"
        got = f"{data.dtype} with values that are none"
        raise ConfigError(f"inputs: expected integers; got {got}; the grid is {spec.described}; {way}")
    if data.size and (data.min() < spec.low or data.max() > spec.high):
        return spec.check(data.clip(-(2.0**62), 2.0**62).astype(np.int64), 1), [], []  # says what the range is
    whole, multiples = data.astype(np.int64), _multiples(spec, data)
    if multiples is not None and not np.array_equal(multiples, whole):
        got = f"{data.dtype} that may be integers worth {spec.step:.9g} each, or real values"
        raise ConfigError(f"inputs: {got}: give integers of an integer type, or --real (real=True) for real values")
    told = f"inputs: {data.dtype}, all of them integers: taken as integers of the grid"
    return whole, [told], [] if spec.step == 1 else [_ambiguous(spec)]


def _multiples(spec: InputSpec, data: NDArray[Any]) -> IntArray | None:
    """The integers of values that lie on the grid, float32 for float32, and nowhere beyond it; else None."""
    values, step = data.astype(np.float32), np.float32(spec.step)
    if not np.isfinite(values).all():
        return None
    whole = np.rint(values / step)
    inside = whole.min(initial=spec.low) >= spec.low and whole.max(initial=spec.high) <= spec.high
    return whole.astype(np.int64) if inside and (whole * step == values).all() else None


def integers_of(spec: InputSpec, data: NDArray[Any], *, real: bool) -> NDArray[Any]:
    """What `as_integers` makes of a caller's data. Warns: SquatWarning of all that it tells. Raises: ConfigError."""
    made, told, doubtful = as_integers(spec, np.asarray(data), real=real)
    for text in (*told, *doubtful):
        warnings.warn(text, SquatWarning, stacklevel=3)
    return made


def _ambiguous(spec: InputSpec) -> str:
    return f"inputs: floats were taken as integers worth {spec.step:.9g} each; give --real if they are real values"


def _rounded(spec: InputSpec, data: NDArray[Any]) -> tuple[IntArray, list[str], list[str]]:
    if data.dtype.kind not in "fiub":
        raise ConfigError(f"inputs: expected real numbers; got {data.dtype}")
    made = spec.quantize(data)
    whole = np.rint(data.astype(np.float32) / np.float32(spec.step)).astype(np.float64)
    clipped, beyond = ((whole < spec.low - by) | (whole > spec.high + by) for by in (0, 1))
    told = f"inputs: real values rounded to the grid; {int(clipped.sum()):,} of {data.size:,} clipped"
    if not data.size or beyond.mean() <= _CLIPPED:
        return made, [told], []
    ends, got = f"{spec.low * spec.step:g}..{spec.high * spec.step:g}", f"{data.min():g}..{data.max():g}"
    doubt = f"inputs: {beyond.mean():.0%} of them lie beyond {ends}, all that the grid holds; got {got}: another unit?"
    return made, [told], [doubt]


def doubts(network: Network, values: NDArray[Any]) -> tuple[str, ...]:
    """Why integers that are allowed are hardly the ones that the network was made for."""
    spec, origin = network.input, network.origin
    if values.size < _ENOUGH:
        return ()
    low, high = int(values.min()), int(values.max())
    used, way = max(high, -low), f"the grid is {spec.described}; --real takes real inputs, in the model's units"
    if origin.highest is not None and origin.lowest is not None:
        known = max(origin.highest, -origin.lowest)
        if known and not known / 4 <= used <= known * 1.5:
            seen = f"{origin.lowest}..{origin.highest}"
            return (f"inputs: they lie in {low}..{high}, those of the calibration lay in {seen}: another unit? {way}",)
        return ()
    if used * _PART <= max(spec.high, -spec.low):
        return (f"inputs: they use {low}..{high} of {spec.low}..{spec.high} only: another unit? {way}",)
    return ()
