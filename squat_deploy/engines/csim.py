"""The emitted HLS project, compiled and run by its own testbench, as an executor."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from squat_deploy import toolchain
from squat_deploy.agreement.result import ExecutorRow
from squat_deploy.backends.hls import HlsConfig, emit_hls
from squat_deploy.errors import ToolError
from squat_deploy.network import IntArray, Network
from squat_deploy.network.simulator import Result
from squat_deploy.snn.comparing import accuracy_of


def cpp_row(
    network: Network,
    inputs: IntArray,
    reference: Result,
    labels: NDArray[Any] | None,
    config: HlsConfig,
    folder: str | Path | None,
) -> ExecutorRow:
    """The emitted project with these inputs as golden data: its own testbench does the comparison."""
    toolchain.require("make")
    with tempfile.TemporaryDirectory(prefix="squat-") as scratch:
        project = emit_hls(network, folder or Path(scratch) / "project", config, stimulus=inputs)
        toolchain.run(["make", "-s", "build-host/csim"], project)
        log = toolchain.run(["./build-host/csim", "tb/data", "--time"], project, may_fail=True)
    outcome = parse_testbench(log)
    samples = len(reference.scores)
    least = network.steps * samples * sum(2 * neuron.neurons for neuron in network.neurons) + reference.scores.size
    if outcome.mismatches == 0 and outcome.values < least:
        raise ToolError(f"the testbench compared {outcome.values:,} values, where {least:,} were asked for")
    accuracy = accuracy_of(reference.classes, labels) if outcome.mismatches == 0 else None
    return ExecutorRow(
        "c++",
        samples,
        network.steps,
        outcome.values,
        outcome.mismatches,
        outcome.first,
        accuracy,
        samples / outcome.seconds if outcome.seconds else None,
    )


@dataclass(frozen=True)
class Outcome:
    """What a testbench printed."""

    values: int
    mismatches: int
    first: str | None
    seconds: float


def parse_testbench(log: str) -> Outcome:
    """Reads the log of an emitted testbench. Raises: ToolError if it did not come to its last line."""
    last = re.search(r"^(?:PASS|FAIL): (\d+) mismatches in (\d+) values", log, re.MULTILINE)
    if last is None:
        raise ToolError(f"the testbench did not finish:\n{toolchain.tail(log)}")
    first = re.search(r"^FIRST DIFFERENCE: (.*)$", log, re.MULTILINE)
    timed = re.search(r"^TIME \d+ sequences ([\d.]+) s$", log, re.MULTILINE)
    return Outcome(int(last[2]), int(last[1]), first[1] if first else None, float(timed[1]) if timed else 0.0)
