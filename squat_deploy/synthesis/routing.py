"""Placement and routing: nextpnr of the wheels, and what it reports."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from squat_deploy.errors import ToolError
from squat_deploy.synthesis.netlist import Say
from squat_deploy.synthesis.running import run_logged
from squat_deploy.synthesis.targets import Device, Resources, Target
from squat_deploy.toolchain import has_package

_STEPS = (("Packing", 0), ("Running main analytical placer", 1), ("Running router", 2), ("Max frequency", 3))
START = "import sys; from {package} import run_{tool} as run; sys.exit(run(sys.argv[1:]))"
FEWER_WEIGHTS = "use smaller layers or fewer bits of weights, or --target ecp5"
LESS = "use a lower PE, smaller layers or fewer bits"
_SMALLER = {"LUT": "use a lower PE", "FF": "use a lower PE", "block RAM": FEWER_WEIGHTS}
_FULL = re.compile(r"no bels remaining|unable to place|exceed|utilisation|capacity|no available", re.IGNORECASE)
_USED = re.compile(r"^Info:\s+(\w{1,40}):\s+(\d{1,9})/\s*(\d{1,9})\s+\d+%", re.MULTILINE)  # of its table


@dataclass(frozen=True)
class Routed:
    """A placed and routed core with its pins.

    Attributes:
        path: where the longest path begins and ends.
        used: {kind of place: (used, there are)}.
        clocks: MHz of every placement that was tried, by its seed; `mhz` is the highest.
    """

    mhz: float
    path: tuple[str, str]
    used: Mapping[str, tuple[int, int]]
    seconds: float
    clocks: Mapping[int, float] = field(default_factory=dict)


def check_size(target: Target, device: Device, found: Resources) -> None:
    """Raises: ToolError before placement where a core cannot fit."""
    counted = (("LUT", found.lut + found.lut_ram), ("FF", found.ff), ("block RAM", found.bram))
    for what, need in counted:
        there = {"LUT": device.lut, "FF": device.ff, "block RAM": device.bram}[what]
        if need > there:
            raise too_large(target, device, f"it takes {need:,.0f} {what}, the device has {there:,}", _SMALLER[what])


def too_large(target: Target, device: Device, why: str, smaller: str = LESS) -> ToolError:
    """With a larger device of the family, if there is one, else with what makes the core smaller."""
    larger = [other.name for other in target.devices if other.bram > device.bram and other.lut > device.lut]
    instead = f"use --device {larger[-1]}" if larger else smaller
    return ToolError(f"the core does not fit {target.name} {device.name}: {why}; {instead}")


def fastest(
    target: Target, device: Device, project: Path, work: Path, *, frequency: float, seeds: Sequence[int], say: Say
) -> Routed:
    """Places and routes once a seed, and keeps what has the fastest clock, its log and its report.

    Raises: as `route`, where no seed succeeds.
    """
    best, kept, failed = None, dict[Path, bytes](), None
    clocks, seconds = dict[int, float](), 0.0
    for number, seed in enumerate(seeds, 1):
        which = f" (placement {number} of {len(seeds)})" if len(seeds) > 1 else ""
        told = partial(_told, say, which)
        try:
            tried = route(target, device, project, work, frequency=frequency, seed=seed, say=told)
        except ToolError as error:
            failed = error
            continue
        clocks[seed], seconds = tried.mhz, seconds + tried.seconds
        if best is None or tried.mhz > best.mhz:
            best, kept = tried, {path: path.read_bytes() for path in (project / work).glob("nextpnr.*")}
    if best is None:
        assert failed is not None
        raise failed
    for path, content in kept.items():
        path.write_bytes(content)
    return replace(best, clocks=clocks, seconds=seconds)


def route(
    target: Target, device: Device, project: Path, work: Path, *, frequency: float, seed: int, say: Say
) -> Routed:
    """Places and routes `work`/netlist.json. Raises: ToolError, also where it does not fit."""
    arguments = _arguments(device, project, work, frequency, seed)
    return placed(target, device, project, work, arguments=arguments, say=say)


def placed(target: Target, device: Device, project: Path, work: Path, *, arguments: Sequence[str], say: Say) -> Routed:
    """Runs nextpnr with arguments beside those of the device. Raises: ToolError, also where it does not fit."""
    seen, log = _Steps(say), project / work / "nextpnr.log"
    report = ["--report", f"{work}/nextpnr.json"]
    seconds = _nextpnr(target, device, project, work, arguments=[*report, *arguments], log=log, line=seen.take)
    return _read(json.loads((project / work / "nextpnr.json").read_text()), seconds)


def packed(target: Target, device: Device, project: Path, work: Path) -> dict[str, int]:
    """{kind of place: how many `work`/netlist.json takes}, without placing any. Raises: ToolError."""
    log = project / work / "pack.log"
    _nextpnr(target, device, project, work, arguments=["--pack-only"], log=log, line=lambda text: None)
    return {kind: int(used) for kind, used, _ in _USED.findall(log.read_text(errors="replace"))}


def _nextpnr(
    target: Target,
    device: Device,
    project: Path,
    work: Path,
    *,
    arguments: Sequence[str],
    log: Path,
    line: Callable[[str], object],
) -> float:
    """CPU seconds that it took. Raises: ToolError."""
    assert target.package is not None
    package = target.package.replace("-", "_")
    if not has_package(package):
        raise ToolError(f"nextpnr for {target.name} is not here: pip install 'squat_deploy[rtl]'")
    start = START.format(package=package, tool=package.removeprefix("yowasp_"))
    command = [sys.executable, "-c", start, *device.arguments, "--json", f"{work}/netlist.json", *arguments]
    try:
        return run_logged("nextpnr", command, project, log, line=line)
    except ToolError as error:
        if over := _over(log):
            raise too_large(target, device, over) from error
        if _FULL.search(str(error)):
            raise too_large(target, device, str(error)) from error
        raise


def _told(say: Say, which: str, what: str, done: int, total: int) -> None:
    say(what + which, done, total)


def _over(log: Path) -> str:
    """What nextpnr counted and the device has not, by its log; empty where all is there."""
    for kind, used, there in _USED.findall(log.read_text(errors="replace")):
        if int(used) > int(there):
            return f"it takes {int(used):,} {kind}, the device has {int(there):,}; log: {log}"
    return ""


def _arguments(device: Device, project: Path, work: Path, frequency: float, seed: int) -> list[str]:
    """Locations of pins go into a file beside the netlist."""
    goal = ["--freq", f"{frequency:g}", "--timing-allow-fail", "--seed", str(seed)]
    if not device.pins:
        return goal
    places = "".join(f'IO_LOC "{port}" {pin};\n' for port, pin in device.pins.items())
    (project / work / "pins.cst").write_text(places)
    return [*goal, "--vopt", f"cst={work}/pins.cst"]


def _read(report: Mapping[str, Any], seconds: float) -> Routed:
    clocks = [clock["achieved"] for clock in report["fmax"].values()]
    if not clocks:
        raise ToolError("nextpnr reports no clock: the core has no path from register to register")
    used = {name: (part["used"], part["available"]) for name, part in report["utilization"].items() if part["used"]}
    return Routed(min(clocks), _longest(report), used, seconds)


def _longest(report: Mapping[str, Any]) -> tuple[str, str]:
    """Cells of the path that says how fast the clock may be."""
    own = [path["path"] for path in report.get("critical_paths", ()) if path["from"] == path["to"]]
    return (own[0][0]["from"]["cell"], own[0][-1]["to"]["cell"]) if own else ("", "")


class _Steps:
    """Tells what nextpnr does."""

    def __init__(self, say: Say) -> None:
        self._say, self._done = say, 0

    def take(self, line: str) -> None:
        text = line.removeprefix("Info: ").strip()
        self._done = max([self._done, *(number for start, number in _STEPS if text.startswith(start))])
        if line.startswith("Info: "):
            self._say(f"nextpnr: {text[:40]}", self._done, len(_STEPS))
