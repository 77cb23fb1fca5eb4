"""What enters a network: integers on a stated grid."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import ConfigError
from squat_deploy.network.layers.base import IntArray
from squat_deploy.network.limits import MAX_RANK

Encoding = Literal["direct", "sequence"]


@dataclass(frozen=True)
class InputSpec:
    """What enters the network: integers `low..high`, worth `step` each.

    Attributes:
        shape: shape of one sample (one time step of it), without batch and time.
        low, high: range of the integers, inclusive; (0, 1) for spikes.
        step: value of one integer in the units of the trained model.
        encoding: "direct" shows one sample (B, *shape) at every step; "sequence" takes (T, B, *shape).
        time_first: whether the trained model takes sequences so too, not as (B, T, *shape); networks always do.
    """

    shape: tuple[int, ...]
    low: int = 0
    high: int = 1
    step: float = 1.0
    encoding: Encoding = "direct"
    time_first: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.shape, Iterable) or isinstance(self.shape, str):
            raise ConfigError(f"InputSpec: shape is a tuple of sizes, as (784,); got {self.shape!r:.60}")
        shape = tuple(self.shape)
        if not 1 <= len(shape) <= MAX_RANK or any(not _is_integer(n) or not 1 <= n < 2**31 for n in shape):
            raise ConfigError(f"InputSpec: shape must be 1 to {MAX_RANK} positive sizes; got {shape[:9]!r}")
        object.__setattr__(self, "shape", tuple(map(int, shape)))
        if not (_is_integer(self.low) and _is_integer(self.high)) or isinstance(self.step, bool | str):
            got = f"{self.low!r}, {self.high!r} and {self.step!r}"
            raise ConfigError(f"InputSpec: low and high must be integers, and step a number; got {got}")
        if not self.low < self.high or self.low < -(2**15) or self.high >= 2**16:
            raise ConfigError(f"InputSpec: needs low < high within 16 bits; got {self.low} and {self.high}")
        if not (math.isfinite(self.step) and self.step > 0):
            raise ConfigError(f"InputSpec: step must be positive; got {self.step}")
        if not 2.0**-126 <= self.step <= 2.0**100:
            raise ConfigError(f"InputSpec: step must be an ordinary float32, 2**-126 to 2**100; got {self.step}")
        if self.encoding not in ("direct", "sequence"):
            raise ConfigError(f"InputSpec: encoding must be 'direct' or 'sequence'; got {self.encoding!r}")
        if self.time_first not in (True, False) or (self.encoding == "direct" and not self.time_first):
            got = f"{self.time_first!r} with encoding={self.encoding!r}"
            raise ConfigError(f"InputSpec: time_first is True or False, and False only of sequences; got {got}")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; that time comes first is not said."""
        stated = {**vars(self), "shape": list(self.shape)}
        if self.time_first:
            del stated["time_first"]
        return stated

    @property
    def size(self) -> int:
        """Number of integers a sample and step."""
        return math.prod(self.shape)

    @property
    def bits(self) -> int:
        """Width of one integer, two's complement if `low` is negative."""
        return int_bits(self.low, self.high)

    @property
    def described(self) -> str:
        """The grid in words."""
        shape = "x".join(map(str, self.shape))
        shown = "the same at every step" if self.encoding == "direct" else "new ones at every step"
        return f"{shape} integers {self.low}..{self.high}, each worth {self.step:.9g}, {shown}"

    def quantize(self, values: NDArray[Any]) -> IntArray:
        """Real inputs (float32, model units) to integers, ties to even: the same bits as `InputQuantizer`.

        Raises: ConfigError on NaN or infinity.
        """
        real = np.asarray(values, dtype=np.float32)
        if not np.isfinite(real).all():
            raise ConfigError("inputs: every value must be finite; got NaN or infinity")
        return np.clip(np.rint(real / np.float32(self.step)), self.low, self.high).astype(np.int64)

    def check(self, values: NDArray[Any], steps: int) -> IntArray:
        """Integers (B, *shape) or (T, B, *shape) as int64, or a ConfigError naming what is wrong."""
        array = np.asarray(values)
        if array.dtype.kind not in "iub":
            way = "InputSpec.quantize (--real on the command line) makes them of real values"
            raise ConfigError(f"inputs: expected integers; got {array.dtype}; the grid is {self.described}; {way}")
        lead = 1 if self.encoding == "direct" else 2
        if array.ndim != lead + len(self.shape) or array.shape[lead:] != self.shape:
            axes = "(batch, " if lead == 1 else "(steps, batch, "
            raise ConfigError(f"inputs: expected shape {axes}{', '.join(map(str, self.shape))}); got {array.shape}")
        if 0 in array.shape:
            raise ConfigError(f"inputs: at least one sample; got shape {array.shape}")
        if lead == 2 and array.shape[0] != steps:
            raise ConfigError(f"inputs: expected {steps} time steps; got {array.shape[0]}")
        if array.size and (array.min() < self.low or array.max() > self.high):
            got = f"{array.min()}..{array.max()}"
            if self.high < 255 and array.min() >= 0 and 128 <= array.max() <= 255:
                got += ", which look like 8-bit pixels"
            way = "give real inputs, in the model's units, to InputSpec.quantize (--real on the command line)"
            raise ConfigError(
                f"inputs: must lie in {self.low}..{self.high}; got {got}; the grid is {self.described}; {way}"
            )
        return array.astype(np.int64)


def _is_integer(value: object) -> bool:
    """True and 3.0 are equal to integers and are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def int_bits(low: int, high: int) -> int:
    """Least width that holds low..high: unsigned if `low` >= 0, else two's complement."""
    if low >= 0:
        return max(1, high.bit_length())
    return max((-low - 1).bit_length(), max(high, 0).bit_length()) + 1
