"""What a project's core is made of, as Yosys elaborates its top: every neuron unit with its parameters."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from squat_deploy.errors import ExportError
from squat_deploy.proofs.solving import elaborated

TOP = "squat_core"
UNITS = ("squat_neuron", "squat_pair")
_REGISTER = re.compile(r"\$(?!mux|pmux).*(ff|latch|sr|memwr)")

_FILES = ("TABLE", "BOUNDARIES", "NEXT_BOUNDS")  # parameters that name files, and may be as short as a number
Parameters = Mapping[str, int | str]


@dataclass(frozen=True)
class Found:
    """A neuron unit of the core.

    Attributes:
        kind: its module.
        layer: number of the neurons that it belongs to, as their instance is called.
        lane: of that layer.
        around: parameters of the layer's instance, `parameters` of the unit.
        restless: registers of the unit that do not wait for its `move`.
    """

    kind: str
    layer: int
    lane: int
    around: Parameters
    parameters: Parameters
    restless: tuple[str, ...]

    @property
    def memories(self) -> Mapping[str, str]:
        """The path of every memory by the name of its parameter."""
        return {name: value for name, value in self.parameters.items() if isinstance(value, str)}


@dataclass(frozen=True)
class Cell:
    """An instance in the top: its module and parameters."""

    kind: str
    parameters: Parameters


@dataclass(frozen=True)
class Core:
    """What is looked at.

    Attributes:
        units: all neuron units, layer by layer.
        cells: all instances of the top by their names.
    """

    units: tuple[Found, ...]
    cells: Mapping[str, Cell]


def core_of(project: Path) -> Core:
    """Raises: ToolError where Yosys cannot read the core."""
    with tempfile.TemporaryDirectory(prefix="squat-") as scratch:
        path = Path(scratch) / "core.json"
        commands = ["read_verilog -sv -defer rtl/lib/*.sv rtl/squat_core.sv", f"hierarchy -top {TOP}"]
        commands += ["proc", "opt_dff -nosdff"]
        elaborated([*commands, f"write_json {path}"], project)
        modules = json.loads(path.read_text())["modules"]
    tops = {name: modules.get(cell["type"]) for name, cell in modules[TOP]["cells"].items()}
    cells = {name: _cell(module) for name, module in tops.items() if module is not None}
    return Core(tuple(_found(modules)), cells)


def check_parts(found: Set[str], planned: Set[str], project: Path) -> None:
    """Raises: ExportError where a core has other parts, by name, than its plan: none goes unproven."""
    for names, one, other in ((found - planned, "core", "network"), (planned - found, "network", "core")):
        if names:
            raise ExportError(f"{project}: the {one} has {min(names)}, the {other} has not; write it anew")


def _cell(module: Mapping[str, Any]) -> Cell:
    return Cell(str(module["attributes"].get("hdlname", "")), _parameters(module))


def _found(modules: Mapping[str, Any]) -> Iterator[Found]:
    for name, cell in modules[TOP]["cells"].items():
        module = modules.get(cell["type"], {"cells": {}})
        for inside, unit in module["cells"].items():
            own = modules.get(unit["type"], {"attributes": {}})
            if (kind := own["attributes"].get("hdlname")) in UNITS:
                loose = tuple(_restless(own, modules))
                yield Found(kind, _number(name), _number(inside), _parameters(module), _parameters(own), loose)


def _restless(module: Mapping[str, Any], modules: Mapping[str, Any]) -> Iterator[str]:
    """Registers that change without `move`: all of them must be enabled by it and by nothing else, here and inside."""
    move = module["ports"]["move"]["bits"]
    for name, cell in module["cells"].items():
        if cell["type"] in modules:
            if cell["connections"].get("move") != move:
                yield name
            else:
                yield from _restless(modules[cell["type"]], modules)
        elif _REGISTER.match(cell["type"]):
            held = cell["type"] == "$dffe" and cell["connections"]["EN"] == move
            if not held or cell["parameters"]["EN_POLARITY"][-1] != "1":
                yield name


def _number(name: str) -> int:
    """The number in the name of an instance: `neurons2`, `g_lane[3].neuron`."""
    found = re.search(r"\d+", name)
    return int(found[0]) if found else 0


def _parameters(module: Mapping[str, Any]) -> Parameters:
    return {name: _value(text, name in _FILES) for name, text in module["parameter_default_values"].items()}


def _value(text: str, named: bool) -> int | str:
    """Yosys writes numbers and some texts as bits, 32 for an `int`, and for a file's name of four letters."""
    if not text or set(text) - {"0", "1"}:
        return text
    if len(text) <= 32 and not named:
        number = int(text, 2)
        return number - (number >> 31 << 32)
    return int(text, 2).to_bytes(len(text) // 8, "big").decode("ascii", "replace").strip("\0")
