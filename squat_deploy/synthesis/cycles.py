"""Cycles of the golden sequences, counted by the project's own simulation."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from squat_deploy.errors import ToolError
from squat_deploy.synthesis.netlist import Say
from squat_deploy.synthesis.running import run_logged
from squat_deploy.toolchain import has_package, require

_COUNTED = re.compile(r"^CYCLES (\d+) for (\d+) sequences", re.MULTILINE)


@dataclass(frozen=True)
class Cycles:
    """Of one sequence, on average over the golden ones.

    Attributes:
        latency: from its start to its last score, alone in the core.
        apart: between the starts of two, one close upon another.
        sequences: that were run.
    """

    latency: float
    apart: float
    sequences: int


def simulated(project: Path, work: Path, say: Say) -> Cycles | None:
    """Builds and runs the simulation of a project; None where Verilator is not here.

    Raises: ToolError, also where the core differs from its golden data: the cost of a wrong core is of no use.
    """
    if not has_package("verilator"):
        return None
    require("make")
    say("simulation: compiling", 0, 3)
    log = project / work / "simulation.log"
    build = ["make", "-s", "build/squat_tb", f"PYTHON={sys.executable}"]
    run_logged("simulation", build, project, log, line=lambda text: None)
    say("simulation: one after another", 1, 3)
    alone, sequences = _run(project, log, "--alone")
    say("simulation: back to back", 2, 3)
    together, _ = _run(project, log)
    return Cycles(alone / sequences, together / sequences, sequences)


def _run(project: Path, log: Path, *arguments: str) -> tuple[int, int]:
    """(cycles, sequences)."""
    lines = list[str]()
    try:
        run_logged("simulation", ["./build/squat_tb", *arguments], project, log, line=lines.append)
    except ToolError as error:
        first = next((line for line in lines if line.startswith(("FIRST DIFFERENCE", "ERROR"))), None)
        raise error if first is None else ToolError(f"simulation: {first}\n    log: {log}") from error
    found = _COUNTED.search("\n".join(lines))
    if found is None:
        raise ToolError(f"simulation: it counts no cycles: write the project anew with `squat-deploy rtl`; log: {log}")
    return int(found[1]), int(found[2])
