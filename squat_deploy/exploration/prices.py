"""Resources of a core by what synthesis runs have measured: a price for each feature, never below zero."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from squat_deploy.backends.rtl.plan import RtlPlan
from squat_deploy.backends.rtl.planes import Plane
from squat_deploy.exploration.features import features_of

KINDS = ("lut", "ff", "bram")
STORED = Path(__file__).with_name("measured.json")


@dataclass(frozen=True)
class Run:
    """A core that was synthesised.

    Attributes:
        about: what it was.
        features: as `features_of` counts them.
        found: resources by `KINDS`.
    """

    target: str
    about: str
    features: tuple[float, ...]
    found: Mapping[str, float]


@dataclass(frozen=True)
class Prices:
    """Of a target.

    Attributes:
        each: of every feature, a row a kind of resource.
        error: of each kind, the middle and the largest relative error on a run that the prices do not know.
        mhz: that cores were routed for, the least of those that are `dense` and of those with `planes`; None where
            there is no timing.
        most: LUTs and block RAMs of the largest device that is placed on; None where none is.
    """

    each: NDArray[np.float64]
    error: Mapping[str, tuple[float, float]]
    mhz: Mapping[str, float] | None
    most: tuple[int, int] | None

    def resources(self, plan: RtlPlan) -> dict[str, float]:
        """LUTs, flip-flops and block RAMs of a core; among LUTs are memories, and on ECP5 carry chains."""
        return dict(zip(KINDS, (self.each @ features_of(plan)).tolist(), strict=True))

    def clock(self, plan: RtlPlan) -> float | None:
        """MHz that cores of its kind were routed for; None where none was."""
        kind = "planes" if any(isinstance(one, Plane) for one in plan.instances) else "dense"
        return (self.mhz or {}).get(kind)


@cache
def prices_of(target: str) -> Prices | None:
    """As `python -m benchmarks.rtl_prices` has fitted them; None for a target of which no runs are stored."""
    stored = json.loads(STORED.read_text())["prices"].get(target)
    if stored is None:
        return None
    error = {kind: (pair[0], pair[1]) for kind, pair in stored["error"].items()}
    most = None if stored["most"] is None else (stored["most"][0], stored["most"][1])
    return Prices(np.array(stored["each"]), error, stored["mhz"], most)


def runs() -> list[Run]:
    """All that are stored."""
    return [
        Run(one["target"], one["about"], tuple(one["features"]), one["found"])
        for one in json.loads(STORED.read_text())["runs"]
    ]
