"""Encoders: intensities or address events into spikes, the same bits in torch, NumPy and the FPGA.

A network takes spikes or counts, one frame a time step; an encoder makes them. On the FPGA it stands in front of the
first layer (`HlsConfig.encoder`), so that a host sends one frame a sequence, or a sensor its events.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Literal, TypeGuard

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from squat_deploy.errors import ConfigError
from squat_deploy.network import InputSpec, IntArray

LFSR_TAPS = 0x80200003  # x^32 + x^22 + x^2 + x + 1, Galois form, shifts right; all 2^32 - 1 states in one cycle
END_OF_EVENTS = 0xFFFFFFFF
TICKS = 2**16  # that a time can be
_MAX_DRAWS = 2**27


class _Encoder(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RateEncoder(_Encoder):
    """A spike where the intensity exceeds a random number, one a step and input, from a linear feedback shift register.

    The register starts at `seed` in every sequence and advances `bits` shifts a number, inputs in order, step after
    step; its top bits are the number. So the numbers do not depend on the data, and are the same everywhere.

    Attributes:
        bits: width of the intensities 0..2^bits - 1; intensity v spikes in v of 2^bits steps on average.
    """

    kind: Literal["rate"] = "rate"
    bits: int = Field(8, ge=1, le=8)
    seed: int = Field(1, ge=1, lt=2**32)

    def thresholds(self, steps: int, inputs: int) -> NDArray[np.uint8]:
        """The random numbers (T, inputs). Raises: ConfigError for too many."""
        if steps * inputs > _MAX_DRAWS:
            raise ConfigError(f"rate coding: {steps} steps of {inputs} inputs; at most {_MAX_DRAWS} numbers in all")
        return _draws(self.seed, self.bits, steps * inputs).reshape(steps, inputs)

    def __call__(self, values: NDArray[np.integer], steps: int) -> IntArray:
        """Intensities (B, *shape) to spikes (T, B, *shape). Raises: ConfigError."""
        frames = _intensities(values, self.bits)
        numbers = self.thresholds(steps, frames[0].size).reshape(steps, 1, *frames.shape[1:])
        return (frames > numbers).astype(np.int64)


class LatencyEncoder(_Encoder):
    """One spike an input: the brighter the earlier, none for 0.

    Attributes:
        bits: width of the intensities; 2^bits - 1 spikes in the first step, 1 in the last, linear between.
    """

    kind: Literal["latency"] = "latency"
    bits: int = Field(8, ge=1, le=8)

    def times(self, steps: int) -> IntArray:
        """(2^bits,) the step in which each intensity spikes; `steps`, which never comes, for 0."""
        highest = 2**self.bits - 1
        values = np.arange(1, highest + 1, dtype=np.int64)
        return np.r_[steps, (highest - values) * (steps - 1) // max(1, highest - 1)]

    def __call__(self, values: NDArray[np.integer], steps: int) -> IntArray:
        """Intensities (B, *shape) to spikes (T, B, *shape). Raises: ConfigError."""
        times = self.times(steps)[_intensities(values, self.bits)]
        return (times == np.arange(steps).reshape(-1, *[1] * times.ndim)).astype(np.int64)


class EventEncoder(_Encoder):
    """Address events of a sensor, counted in windows of `window` ticks; counts beyond the input's highest are cut.

    On the FPGA an event is one word, `time << 16 | address`, time in ticks since the start of the sequence, address row
    by row, (polarity * height + y) * width + x; a word of ones ends the sequence. A step ends with the first event of a
    later one; events that arrive late count in the step in which they arrive.
    """

    kind: Literal["events"] = "events"
    window: int = Field(ge=1, lt=2**16)

    def most_ticks(self, steps: int) -> int:
        """Of a window, so that the times of so many steps fit the words of the FPGA."""
        return TICKS // steps

    def __call__(
        self, times: NDArray[np.integer], addresses: NDArray[np.integer], spec: InputSpec, steps: int
    ) -> IntArray:
        """Times (E,) in ticks and addresses (E,) of one sequence to frames (T, 1, *shape) of counts.

        Raises: ConfigError for a negative time, or an address that is none.
        """
        if times.shape != addresses.shape or times.ndim != 1:
            raise ConfigError(f"events: one time an address; got shapes {times.shape} and {addresses.shape}")
        if times.dtype.kind not in "iu" or addresses.dtype.kind not in "iu":
            raise ConfigError(f"events: times and addresses are integers; got {times.dtype} and {addresses.dtype}")
        if len(times) and (times.min() < 0 or addresses.min() < 0 or addresses.max() >= spec.size):
            raise ConfigError(f"events: times from 0, addresses 0..{spec.size - 1}")
        kept = times < steps * self.window  # first: later times may be too large to count with
        cells = times[kept].astype(np.int64) // self.window * spec.size + addresses[kept].astype(np.int64)
        counts = np.bincount(cells, minlength=steps * spec.size)
        return np.minimum(counts, spec.high).astype(np.int64).reshape(steps, 1, *spec.shape)


AnyEncoder = RateEncoder | LatencyEncoder | EventEncoder
Encoder = Annotated[AnyEncoder, Field(discriminator="kind")]


def check_encoder(encoder: AnyEncoder, spec: InputSpec, steps: int) -> None:
    """Raises: ConfigError where the network does not take what the encoder gives."""
    if spec.encoding != "sequence":
        raise ConfigError(f"encoder {encoder.kind}: the network must take a sequence of frames; its input is direct")
    if isinstance(encoder, EventEncoder):
        if spec.low != 0:
            raise ConfigError(f"encoder events: counts start at 0; the network takes {spec.low}..{spec.high}")
        if steps > TICKS or spec.size >= TICKS:
            got = f"{steps} steps and {spec.size} addresses"
            raise ConfigError(f"encoder events: times and addresses have 16 bits; got {got}; use fewer")
        if encoder.window > (most := encoder.most_ticks(steps)):
            got = f"{steps} windows of {encoder.window} ticks"
            hint = f"use a window of at most {most} ticks, and divide the times by as much on the host"
            raise ConfigError(f"encoder events: times have 16 bits, ticks 0 to {TICKS - 1}; got {got}; {hint}")
    elif (spec.low, spec.high) != (0, 1):
        raise ConfigError(f"encoder {encoder.kind}: gives spikes; the network takes {spec.low}..{spec.high}")


def takes_intensities(encoder: AnyEncoder | None) -> TypeGuard[RateEncoder | LatencyEncoder]:
    """Whether one frame of intensities is a whole sequence."""
    return isinstance(encoder, RateEncoder | LatencyEncoder)


def frames_of(encoder: AnyEncoder | None, inputs: NDArray[Any], steps: int) -> NDArray[Any]:
    """What the network takes: spikes of intensities (B, *shape); frames, which events come from, are there already."""
    return encoder(inputs, steps) if takes_intensities(encoder) else inputs


def _intensities(values: NDArray[np.integer], bits: int) -> IntArray:
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.ndim < 2 or 0 in array.shape:
        raise ConfigError(f"intensities: expected integers (B, *shape); got {array.dtype} of shape {array.shape}")
    if array.min() < 0 or array.max() >= 2**bits:
        raise ConfigError(f"intensities: must lie in 0..{2**bits - 1}; got {array.min()}..{array.max()}")
    return array.astype(np.int64)


@lru_cache(maxsize=4)
def _draws(seed: int, bits: int, count: int) -> NDArray[np.uint8]:
    """Top bits of the register after each advance by `bits` shifts; what falls out decides what is added at once."""
    added = []
    for low in range(2**bits):
        state = low
        for _ in range(bits):
            state = state >> 1 ^ (LFSR_TAPS if state & 1 else 0)
        added.append(state)
    state, mask, drawn = seed, 2**bits - 1, bytearray(count)
    for index in range(count):
        state = state >> bits ^ added[state & mask]
        drawn[index] = state >> (32 - bits)
    return np.frombuffer(bytes(drawn), dtype=np.uint8)
