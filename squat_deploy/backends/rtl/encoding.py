"""Instances of encoders: frames of intensities, given once a sequence, become spikes of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from squat_deploy.backends.rtl.instance import Between, Parameters, file
from squat_deploy.backends.rtl.memories import hex_lines
from squat_deploy.backends.rtl.streams import Rows
from squat_deploy.network.encoders import LFSR_TAPS, LatencyEncoder, RateEncoder


@dataclass(frozen=True, eq=False)
class Encode(Between):
    """Rows of a frame, in every step, as rows of spikes."""

    source: Rows
    out: Rows


@dataclass(frozen=True, eq=False)
class EncodeRate(Encode):
    """Spikes where intensities exceed random numbers."""

    encoder: RateEncoder
    module: ClassVar[str] = "rate"

    @property
    def parameters(self) -> Parameters:
        last = int((self.source.elements[-1] >= 0).sum())
        sizes = {"FIELDS": self.source.fields, "BITS": self.encoder.bits, "REST": last}
        return {**sizes, "SEED": f"32'h{self.encoder.seed:08x}", "TAPS": f"32'h{LFSR_TAPS:08x}"}


@dataclass(frozen=True, eq=False)
class EncodeLatency(Encode):
    """One spike of each, the earlier the brighter."""

    encoder: LatencyEncoder
    steps: int
    module: ClassVar[str] = "latency"

    @property
    def step_bits(self) -> int:
        """Of the number of a step: one more than all steps have, so that the counter stops where none is."""
        return (self.steps + 1).bit_length()

    @property
    def parameters(self) -> Parameters:
        own = {"FIELDS": self.source.fields, "BITS": self.encoder.bits, "STEP": self.step_bits}
        return {**own, "TIMES": file("times.hex")}

    @property
    def memories(self) -> Mapping[str, str]:
        return {"times.hex": hex_lines(self.encoder.times(self.steps)[:, None], self.step_bits)}
