"""What a synthesis found, as a document and as rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from squat_deploy.synthesis.cycles import Cycles
from squat_deploy.synthesis.routing import Routed
from squat_deploy.synthesis.targets import Resources


@dataclass(frozen=True)
class Report:
    """One core on one target.

    Attributes:
        network: its digest.
        folding: of its layers, and what else was chosen for it.
        device: None where it was only synthesised.
        cells: of the core, by type, as yosys maps them.
        routed: with the few registers around the core that stand for its pins.
        tools: versions.
    """

    network: str
    folding: Mapping[str, Any]
    target: str
    device: str | None
    resources: Resources
    cells: Mapping[str, int]
    routed: Routed | None
    cycles: Cycles | None
    seconds: float
    tools: Mapping[str, str]

    @property
    def mhz(self) -> float | None:
        """The clock that it was routed for; None without timing."""
        return None if self.routed is None else self.routed.mhz

    @property
    def latency_us(self) -> float | None:
        """Microseconds of one inference."""
        return None if self.cycles is None or self.mhz is None else self.cycles.latency / self.mhz

    @property
    def per_second(self) -> float | None:
        """Inferences a second, one close upon another."""
        return None if self.cycles is None or self.mhz is None else self.mhz * 1e6 / self.cycles.apart

    def to_dict(self) -> dict[str, Any]:
        derived = {"mhz": self.mhz, "latency_us": self.latency_us, "inferences_per_second": self.per_second}
        return {**asdict(self), **derived}

    def rows(self) -> Iterator[tuple[str, str]]:
        """(what, how much), for people."""
        found = self.resources
        yield "LUT", f"{found.lut:,}"
        if found.lut_ram:
            yield "LUT as memory", f"{found.lut_ram:,}"
        yield "FF", f"{found.ff:,}"
        yield "block RAM", f"{found.bram:,g}"
        yield "DSP", f"{found.dsp:,}"
        for name, (used, there) in sorted((self.routed.used if self.routed else {}).items()):
            yield f"placed {name}", f"{used:,} of {there:,}"
        yield "Fmax", self._fmax()
        if self.cycles is None:
            yield "cycles", "not simulated"
            return
        yield "cycles an inference", f"{self.cycles.latency:,.0f}"
        yield "cycles between two", f"{self.cycles.apart:,.0f}"
        if self.latency_us is not None and self.per_second is not None:
            yield "time an inference", f"{self.latency_us:,.2f} us"
            yield "inferences a second", f"{self.per_second:,.0f}"

    def _fmax(self) -> str:
        if self.routed is None:
            return "none: synthesis only"
        best, clocks = f"{self.routed.mhz:.1f} MHz", self.routed.clocks
        if len(clocks) < 2:
            return best
        seed = max(clocks, key=lambda seed: clocks[seed])
        return f"{best} (seed {seed}; the slowest of {len(clocks)} placements: {min(clocks.values()):.1f} MHz)"
