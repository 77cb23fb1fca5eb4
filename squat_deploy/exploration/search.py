"""The search for a folding: cycles by the model of the streams, resources by measured prices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from squat_deploy.backends.rtl import RtlConfig
from squat_deploy.backends.rtl.project import pacing_of, plan_for
from squat_deploy.backends.rtl.timing import ends_of
from squat_deploy.errors import ConfigError, ExportError
from squat_deploy.exploration.prices import Prices, prices_of
from squat_deploy.hardware.design import outline_of
from squat_deploy.hardware.lanes import widths
from squat_deploy.hardware.options import HlsConfig
from squat_deploy.network import IntArray, Network
from squat_deploy.network.simulator import Result, simulate

Say = Callable[[str, int, int], object]
_BANKS = (1, 2, 4, 8, 16)
_WAIT = 0.1  # of the heaviest layer's cycles, that another may make it wait


@dataclass(frozen=True)
class Wanted:
    """What a folding must keep to; None for whatever.

    Attributes:
        mhz: of the clock; None for the one that such cores were routed for.
        max_lut, max_bram: None for what the largest device has, if it is known.
        max_us: from the start of a sequence to its last score.
        min_fps: sequences a second, one close upon another.
    """

    target: str = "ecp5"
    mhz: float | None = None
    max_lut: int | None = None
    max_bram: int | None = None
    max_us: float | None = None
    min_fps: float | None = None

    def on(self, most: tuple[int, int] | None) -> Wanted:
        """The same, on a device that has so many LUTs and block RAMs."""
        if most is None:
            return self
        return replace(
            self, max_lut=min(self.max_lut or most[0], most[0]), max_bram=min(self.max_bram or most[1], most[1])
        )


@dataclass(frozen=True)
class Choice:
    """A folding.

    Attributes:
        latency, apart: cycles of an average golden sequence: alone, and between two starts.
        lut, ff, bram: estimated.
    """

    config: RtlConfig
    latency: float
    apart: float
    lut: float
    ff: float
    bram: float
    mhz: float

    @property
    def us(self) -> float:
        """Microseconds from the start of a sequence to its last score."""
        return self.latency / self.mhz

    @property
    def fps(self) -> float:
        """Sequences a second."""
        return self.mhz * 1e6 / self.apart

    @property
    def folding(self) -> str:
        """As options of the command line."""
        pe = self.config.pe
        named = pe.items() if isinstance(pe, dict) else ()
        return " ".join([*(f"--pe {name}={lanes}" for name, lanes in named), f"--simd {self.config.simd}"])

    @property
    def told(self) -> str:
        """Its figures in a line."""
        return f"{self.lut:,.0f} LUT, {self.bram:g} BRAM, {self.us:,.2f} us, {self.fps:,.0f} a second"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        figures = {name: getattr(self, name) for name in ("latency", "apart", "lut", "ff", "bram", "mhz", "us", "fps")}
        return {"pe": self.config.pe, "simd": self.config.simd, **figures}

    def keeps(self, wanted: Wanted) -> bool:
        """Whether it is what is wanted."""
        most = ((self.lut, wanted.max_lut), (self.bram, wanted.max_bram), (self.us, wanted.max_us))
        enough = wanted.min_fps is None or self.fps >= wanted.min_fps
        return enough and all(limit is None or found <= limit for found, limit in most)

    def beats(self, other: Choice) -> bool:
        """Whether it is no worse in time, LUTs and block RAMs, and better in one of them."""
        mine, theirs = (self.latency, self.lut, self.bram), (other.latency, other.lut, other.bram)
        return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))


@dataclass(frozen=True)
class Exploration:
    """All foldings that were tried.

    Attributes:
        front: those that no other beats, the smallest first.
        chosen: the smallest that is wanted where a time is wanted, else the fastest that is; None where there is none.
    """

    wanted: Wanted
    tried: tuple[Choice, ...]
    front: tuple[Choice, ...]
    chosen: Choice | None
    prices: Prices

    @property
    def nearest(self) -> str:
        """Where nothing is as wanted: the smallest and the fastest that there are."""
        small, fast = self.front[0], min(self.front, key=lambda one: one.latency)
        return f"the smallest takes {small.told}, the fastest {fast.told}"

    @property
    def _why(self) -> str:
        timed = self.wanted.max_us is not None or self.wanted.min_fps is not None
        return "the smallest that is fast enough" if timed else "the fastest"

    @property
    def said(self) -> tuple[str, ...]:
        """What its figures are, in sentences."""
        errors = "; ".join(
            f"{kind.upper()} {middle:.0%} in the middle, {most:.0%} at most"
            for kind, (middle, most) in self.prices.error.items()
        )
        clock, most = self.front[0].mhz, self.wanted.on(self.prices.most)
        limits = "" if most.max_lut is None else f", of at most {most.max_lut:,} LUT and {most.max_bram:,} BRAM"
        return (
            "cycles: by the model of the streams, equal to the simulation of the core",
            f"LUT, FF, BRAM: estimated from runs for {self.wanted.target}; error on a run left out: {errors}",
            "LUT: those that are memories, and carry chains of ECP5, among them",
            f"time: at {clock:g} MHz" + ("" if self.wanted.mhz else ", the slowest placement of such cores"),
            f"chosen: {self._why}{limits}",
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "target": self.wanted.target,
            "chosen": None if self.chosen is None else self.chosen.to_dict(),
            "front": [one.to_dict() for one in self.front],
            "tried": len(self.tried),
            "error": dict(self.prices.error),
        }


def explore(
    network: Network, inputs: IntArray, wanted: Wanted, *, say: Say = lambda what, done, total: None
) -> Exploration:
    """Folds a network in every way in which its layers keep pace with one another.

    Args:
        inputs: checked integers whose events decide about cycles.
        say: is told what is done, how much of it is, and of how much.

    Raises: ConfigError for a target without measured runs; ExportError where RTL does not take the network.
    """
    prices = prices_of(wanted.target)
    if prices is None:
        raise ConfigError(f"--target {wanted.target}: no synthesis runs are stored for it; use ecp5 or xc7")
    result = simulate(network, inputs, trace=True)
    plan = plan_for(network, RtlConfig(pe=1), inputs, result)  # says why, if RTL does not take it at all
    mhz = wanted.mhz or prices.clock(plan)
    if mhz is None:
        raise ConfigError(f"--target {wanted.target}: no such core was routed, so that there is no clock; give --mhz")
    foldings = list(_foldings(network, inputs, result))
    tried = list[Choice]()
    for number, config in enumerate(foldings):
        say(f"folding {number + 1} of {len(foldings)}", number, len(foldings))
        choice = _tried(network, inputs, result, config, prices, mhz)
        if choice is not None:
            tried.append(choice)
    front = sorted((one for one in tried if not any(other.beats(one) for other in tried)), key=lambda one: one.lut)
    return Exploration(wanted, tuple(tried), tuple(front), _chosen(front, wanted.on(prices.most)), prices)


def _chosen(front: list[Choice], wanted: Wanted) -> Choice | None:
    kept = [one for one in front if one.keeps(wanted)]
    timed = wanted.max_us is not None or wanted.min_fps is not None
    return min(kept, key=lambda one: (one.lut, one.bram) if timed else (one.latency, one.lut), default=None)


def _tried(
    network: Network, inputs: IntArray, result: Result, config: RtlConfig, prices: Prices, mhz: float
) -> Choice | None:
    """None where it cannot be folded so."""
    try:
        plan = plan_for(network, config, inputs, result)
    except ExportError:
        return None
    found = prices.resources(plan)
    alone, close = ends_of(plan, inputs, result, alone=True), ends_of(plan, inputs, result)
    latency = float(alone[-1]) / len(alone)
    return Choice(config, latency, float(close[-1]) / len(close), found["lut"], found["ff"], found["bram"], mhz)


def _foldings(network: Network, inputs: IntArray, result: Result) -> Iterator[RtlConfig]:
    """Every width of the layer with most work; the others as narrow as keep up with it."""
    outline = outline_of(network, HlsConfig())
    pacing = pacing_of(outline, 1, inputs, result)
    processes = outline.graph.processes
    heaviest = max(processes, key=lambda process: pacing.cycles(process, 1).mean())
    neurons = {layer.name for layer in network.neurons}
    seen = set[tuple[int, ...]]()
    for lanes, banks in product(widths(outline.widest(heaviest)), _BANKS):
        pace = pacing.cycles(heaviest, lanes)
        narrow = {
            one.name: pacing.narrowest(one, pace, 1.1 * float(pace.mean())) for one in processes if one.name in neurons
        }
        pe = {name: lanes if name == heaviest.name else few for name, few in narrow.items()}
        if (key := (*pe.values(), banks)) not in seen:
            seen.add(key)
            yield RtlConfig(pe=pe, simd=banks)
