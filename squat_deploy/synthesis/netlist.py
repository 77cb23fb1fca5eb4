"""From SystemVerilog to cells: the script for yosys, and how far it is."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from squat_deploy.errors import ToolError
from squat_deploy.synthesis.running import run_logged
from squat_deploy.synthesis.targets import Target
from squat_deploy.toolchain import has_package

Say = Callable[[str, int, int], object]  # what is done, how much of it is, and of how much
_CHILD = Path(__file__).with_name("yosys_child.py")
_PASS = re.compile(r"(\d+)\.(?:(\d+)\.)* Executing (.+?)(?: pass| \(|\.{3}|\.$|$)")
_PASSES = 60  # of the second rank that a synthesis has, about


def script(target: Target, work: Path) -> list[str]:
    """Commands that write the cells of the core, and for nextpnr a netlist of the core between a few pins.

    The core is made alone, so that its cells are counted alone; the pins are made beside it, and joined to it last.
    """
    core = [
        # Deferred: a module is read with the parameters of its instances alone, since those name its memories.
        "read_verilog -defer -sv rtl/lib/*.sv rtl/squat_core.sv",
        f"{target.synth} {target.core} -top squat_core",
        f"tee -q -o {work}/cells.json stat -json",
    ]
    if target.package is None:
        return core
    return [
        *core,
        "design -stash core",
        "design -copy-from core -as squat_core squat_core",
        "blackbox squat_core",
        "read_verilog -sv synth/squat_pins.sv",
        f"{target.synth} -top squat_pins",
        "delete squat_core",
        "design -copy-from core -as squat_core squat_core",
        "hierarchy -top squat_pins",
        "flatten",
        "opt_clean",
        "delete t:$scopeinfo",
        f"write_json {work}/netlist.json",
    ]


def netlist(target: Target, project: Path, work: Path, say: Say) -> tuple[Mapping[str, int], float]:
    """Cells {type: count} of the core, and CPU seconds; `work` is relative to the project. Raises: ToolError."""
    return cells_of(script(target, work), project, work, say)


def cells_of(commands: Sequence[str], project: Path, work: Path, say: Say) -> tuple[Mapping[str, int], float]:
    """Runs commands of yosys that leave `work`/cells.json. Raises: ToolError."""
    if not has_package("pyosys"):
        raise ToolError("yosys is not here: pip install 'squat_deploy[rtl]'")
    seen = _Passes(say)
    log = project / work / "yosys.log"
    child = [sys.executable, "-P", str(_CHILD)]
    seconds = run_logged("yosys", child, project, log, given="\n".join(commands), line=seen.take)
    report = json.loads((project / work / "cells.json").read_text())
    return report["design"]["num_cells_by_type"], seconds


class _Passes:
    """Tells which pass runs, and how many of the main ones have."""

    def __init__(self, say: Say) -> None:
        self._say, self._done = say, 0

    def take(self, line: str) -> None:
        found = _PASS.match(line)
        if found is None:
            return
        ranks = line.split(" ", 1)[0].strip(".").split(".")
        if len(ranks) == 2:
            self._done = min(self._done + 1, _PASSES)
        self._say(f"yosys: {found[3].lower()[:40]}", self._done, _PASSES)
