"""The emitted HLS project, compiled and run on this machine."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy import toolchain
from squat_deploy.backends.hls import emit_hls
from squat_deploy.engines.base import Case, Engine
from squat_deploy.errors import ToolError
from squat_deploy.hardware.records import record_of
from squat_deploy.network import Network
from squat_deploy.network.observed import Observed, Seen, Verdict
from squat_deploy.network.simulator import Result


@dataclass(frozen=True)
class CsimEngine(Engine):
    """The C++ in its testbench, which gives the trace of the design, and a verdict of its own.

    The design under test writes states and spikes to its trace streams, and no sums: states depend on them, so a wrong
    one shows where it matters. Classes follow from the scores that the core sends.
    """

    name: str = "c++"

    def missing(self) -> str:
        needed = ("make",) if os.environ.get("CXX") else ("make", "C++ compiler")
        tools = (tool for tool in toolchain.TOOLS if tool.name in needed)
        absent = [f"{tool.name} ({tool.hint})" for tool in tools if tool.find() is None]
        return f"{self.name}: needs {' and '.join(absent)}" if absent else ""

    def run(self, case: Case) -> Generator[Observed, None, None]:
        network, (reference, _) = case.network, case.simulated
        with tempfile.TemporaryDirectory(prefix="squat-") as scratch:
            project, trace = case.folder or Path(scratch) / "project", Path(scratch) / "trace"
            emit_hls(network, project, case.config, stimulus=case.fed, reference=reference)
            toolchain.run(["make", "-s", "build-host/csim"], project)
            log = toolchain.run(
                ["./build-host/csim", "tb/data", "--time", "--trace", str(trace)], project, may_fail=True
            )
            verdict, seconds = parse_testbench(log)
            least = case.samples * sum(network.steps * 2 * layer.neurons for layer in network.neurons)
            least += case.samples * network.outputs
            if verdict.mismatches == 0 and verdict.values < least:
                raise ToolError(f"the testbench compared {verdict.values:,} values, where {least:,} were asked for")
            layers, scores = read_trace(network, trace)
            yield Observed(0, case.samples, layers, scores, Result(scores).classes, (), seconds, verdict)


def parse_testbench(log: str) -> tuple[Verdict, float]:
    """Verdict and seconds by the log of an emitted testbench. Raises: ToolError if it did not come to its last line."""
    last = re.search(r"^(?:PASS|FAIL): (\d+) mismatches in (\d+) values", log, re.MULTILINE)
    if last is None:
        raise ToolError(f"the testbench did not finish:\n{toolchain.tail(log)}")
    first = re.search(r"^FIRST DIFFERENCE: (.*)$", log, re.MULTILINE)
    timed = re.search(r"^TIME \d+ sequences ([\d.]+) s$", log, re.MULTILINE)
    return Verdict(int(last[2]), int(last[1]), first[1] if first else None), float(timed[1]) if timed else 0.0


def read_trace(network: Network, path: Path) -> tuple[tuple[Seen, ...], NDArray[Any]]:
    """What `csim --trace` wrote: a record a sequence, of which the testbench says how it is laid out.

    Returns: states and spikes (T, B, N) of every layer, and scores (B, classes).
    """
    whole = np.memmap(path, record_of(network), mode="r")
    layers = (whole["steps"][f"layer{index}"].swapaxes(0, 1) for index in range(len(network.neurons)))
    return tuple(Seen({"state": layer["state"], "spike": layer["spike"]}) for layer in layers), whole["scores"]
