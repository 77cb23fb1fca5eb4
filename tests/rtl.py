"""A core in SystemVerilog held to the simulator: what it gives, and when."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np

import squat_deploy as sd
from squat_deploy import toolchain
from squat_deploy.backends.rtl import RtlConfig
from squat_deploy.backends.rtl.project import plan_for
from squat_deploy.backends.rtl.timing import ends_of
from squat_deploy.engines.rtlsim import with_sums
from squat_deploy.errors import ExportError
from squat_deploy.network.encoders import frames_of
from squat_deploy.network.observed import Seen
from squat_deploy.network.simulator import Result, simulate
from tests.drawing import Drawn
from tests.graph_drawing import draw_graph, draw_inputs

PYTHON = f"PYTHON={sys.executable}"


def simulated(project: Path, *arguments: str) -> str:
    toolchain.run(["make", "-s", "build/squat_tb", PYTHON, "OPT=-O0"], project)
    return toolchain.run(["./build/squat_tb", *arguments], project, may_fail=True)


def assert_agrees(network: sd.Network, inputs: np.ndarray, config: RtlConfig, project: Path) -> None:
    """Whole traces: with gaps, alone or not, in parts, cut off, without a reset, or in mid-sequence; and the cycles."""
    sd.emit_rtl(network, project, config, stimulus=inputs)
    resets = (("--reset", str(cycles)) for cycles in (1, 40, 97, 333))
    for arguments in (
        ("--stall", "7", "--calls", "5", "--power-up", "3"),
        ("--stall", "8", "--alone"),
        ("--calls", "9"),
        *resets,
    ):
        assert "\nPASS: 0 mismatches in " in simulated(project, *arguments), arguments
    frames = network.input.check(frames_of(config.encoder, inputs, network.steps), network.steps)
    result = simulate(network, frames, trace=True)
    assert_same_sums(network, project, result)
    for alone in (False, True):
        log = simulated(project, *["--alone"] * alone)
        ends = ends_of(plan_for(network, config, frames, result), frames, result, alone=alone)
        assert "\nPASS: 0 mismatches in " in log
        assert f"\nCYCLES {ends[-1]} for {len(ends)} sequences\n" in f"\n{log}"


def assert_same_sums(network: sd.Network, project: Path, result: Result) -> None:
    """All that neurons read, in parts and cut off too."""
    simulated(project, "--sums", "sums.bin", "--stall", "5", "--calls", "6")
    none = tuple(Seen() for _ in network.neurons)
    for layer, seen in zip(result.trace or (), with_sums(network, none, project / "sums.bin"), strict=True):
        assert np.array_equal(seen.values["synaptic sum"], layer.sums), layer.name


def assert_both_agree(drawn: Drawn, network: sd.Network, seed: int, folder: Path) -> None:
    """A network in a folding by its seed, and a graph, whose layers and joins models do not all make."""
    simd = seed % 4 // 2 + 1
    config = RtlConfig(pe=seed % 5 + 1, simd=simd, share=seed % 2, form=drawn.config.form, encoder=drawn.config.encoder)
    _assert_agrees_or_refused(network, drawn.inputs, config, folder / "model")
    graph = draw_graph(seed)
    config = RtlConfig(pe=seed % 3 + 1, simd=simd, share=1)
    _assert_agrees_or_refused(graph, draw_inputs(graph, 4, seed), config, folder / "graph")


def _assert_agrees_or_refused(network: sd.Network, inputs: np.ndarray, config: RtlConfig, project: Path) -> None:
    """Nothing is refused but banks that the words of the input do not fill, and there what the refusal says works."""
    try:
        assert_agrees(network, inputs, config, project)
    except ExportError as error:
        works = re.search(r"(?:several events a cycle|cannot be dealt over \d+ banks); use simd=(\d+)$", str(error))
        assert works is not None and int(works[1]) < config.simd, error
        assert_agrees(network, inputs, config.model_copy(update={"simd": int(works[1])}), project)
