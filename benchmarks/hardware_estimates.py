"""What the HLS back end expects of the folding of a measured core, and what each kind of module of that core takes."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import squat_deploy as sd
from benchmarks.hardware_cells import Cell
from squat_deploy.hardware.budget import budget_of
from squat_deploy.hardware.design import design_of
from squat_deploy.hardware.logic import CONTROL
from squat_deploy.hardware.options import HlsConfig
from squat_deploy.hardware.schedule import estimate, event_counts
from squat_deploy.hardware.units import Firing, Unit
from squat_deploy.hardware.units.scatter import Scatter
from squat_deploy.network import IntArray
from squat_deploy.network.simulator import simulate
from squat_deploy.synthesis.targets import TARGETS, resources_of

KINDS = ("synapses", "neurons", "events", "control")
_SYNAPSES = ("scatter", "scatter_plane", "walk")
_MODULE = re.compile(r"squat_(\w+)$")


def expected(network: sd.Network, stimulus: IntArray, cell: Cell) -> dict[str, Any]:
    """LUT, FF, BRAM (36 kbit) and cycles of one inference by the estimates of HLS; it takes two events at most.

    And its LUTs by `KINDS`.
    """
    events: Literal[1, 2] = 2 if cell.simd > 1 else 1
    design = design_of(network, HlsConfig(pe=cell.lanes, events=events))
    usage = budget_of(design, "").total
    schedule = estimate(design, event_counts(design, stimulus, simulate(network, stimulus, trace=True)))
    units = (design.entry, *design.parts, design.readout)
    lut = {kind: sum(unit.usage.lut - CONTROL.lut for unit in units if _kind(unit) == kind) for kind in KINDS[:3]}
    whole = {"lut": usage.lut, "ff": usage.ff, "bram": usage.bram18 / 2, "cycles": schedule.mean_cycles}
    return {**whole, "parts": {**lut, "control": CONTROL.lut * len(units)}}


def _kind(unit: Unit) -> str:
    return "synapses" if isinstance(unit, Scatter) else "neurons" if isinstance(unit, Firing) else "events"


def measured(parts: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """LUTs of the modules of a core by `KINDS`: the control of each stands in it."""
    found = dict.fromkeys(KINDS[:3], 0.0)
    for module, resources in parts.items():
        kind = "neurons" if module == "neurons" else "synapses" if module in _SYNAPSES else "events"
        found[kind] += resources["lut"] + resources["lut_ram"]
    return found


def digest_of(project: Path) -> str:
    """Of the SystemVerilog of a core, without its comments, and of its memories: what is synthesised."""
    total = hashlib.sha256()
    for path in sorted([*project.glob("rtl/**/*.sv"), *project.glob("memories/*.hex")]):
        text = re.sub(r"//.*", "", path.read_text()).split()
        total.update(json.dumps([path.relative_to(project).as_posix(), text]).encode())
    return total.hexdigest()


def parts_of(cells: Path) -> dict[str, dict[str, float]]:
    """{module: resources} of what a core's top instantiates, where yosys kept modules apart; {} where it did not."""
    modules = json.loads(cells.read_text())["modules"]
    found = dict[str, Counter[str]]()
    for name, count in modules[r"\squat_core"]["num_cells_by_type"].items():
        if kind := _MODULE.search(name):
            each = _cells(modules, name)
            found.setdefault(kind[1], Counter()).update({cell: count * number for cell, number in each.items()})
    return {kind: vars(resources_of(TARGETS["xc7"], counts)) for kind, counts in sorted(found.items())}


def _cells(modules: Mapping[str, Any], name: str) -> Counter[str]:
    """{cell: count} of a module, those of its modules with them."""
    total = Counter[str]()
    for kind, count in modules[name if name in modules else f"\\{name}"]["num_cells_by_type"].items():
        if kind in modules or f"\\{kind}" in modules:
            total.update({cell: count * number for cell, number in _cells(modules, kind).items()})
        else:
            total[kind] += count
    return total
