"""The schedule against the emitted C++ itself, whose native build counts the cycles of its loops (`count_cycles.h`)."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np

import squat_deploy as sd
from squat_deploy.hardware.design import Design
from squat_deploy.hardware.graph import Node
from squat_deploy.hardware.schedule import event_counts, finish, stage_costs
from squat_deploy.hardware.units.base import LOOP_OVERHEAD_CYCLES, loop
from squat_deploy.network.encoders import frames_of
from tests.precompiled import SHIMS, precompiled

HEADER = SHIMS / "count_cycles.h"


@contextmanager
def cycles_compared(network: sd.Network, inputs: np.ndarray, config: sd.HlsConfig | None = None) -> Iterator[None]:
    """The project that is built and run meanwhile counts; every stage must take in every step what the schedule says.

    Args:
        inputs: those that the project is emitted with.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cycles"
        with mock.patch.dict(os.environ, CXXFLAGS=counting_flags(), SQUAT_CYCLES=str(path)):
            yield
        assert_cycles(network, inputs, config or sd.HlsConfig(), path.read_text())


def counting_flags() -> str:
    """CXXFLAGS of a build that counts."""
    flags = f"{os.environ.get('CXXFLAGS', '-O2')} -fno-exceptions -DSQUAT_LOOP_OVERHEAD={LOOP_OVERHEAD_CYCLES}"
    return f"{flags} -include {precompiled(HEADER, flags)}"


def assert_cycles(network: sd.Network, inputs: np.ndarray, config: sd.HlsConfig, counted: str) -> None:
    """By what a counting build wrote: its stages, in the buffers of the design, take the cycles of the schedule."""
    frames = network.input.check(frames_of(config.encoder, inputs, network.steps), network.steps)
    result = sd.simulate(network, frames, trace=True)
    folding = sd.fold(network, config, stimulus=inputs, reference=result)
    design = folding.design
    costs = stage_costs(design, event_counts(design, frames, result))
    want = np.stack([cost for stages in costs for cost in stages])  # (stages, sequences, T)
    got = _counts(design, counted, want[0].size).T.reshape(want.shape) - _traced(design)[:, None, None]
    assert len(_names(design)) == len(want)
    wrong = np.argwhere(got != want)
    assert not len(wrong), _difference(design, wrong[0].tolist(), got, want)
    assert finish(design.graph, [list(got)]).mean() == folding.schedule.mean_cycles


def _stages(design: Design) -> list[tuple[Node, ...]]:
    return [stage for process in design.graph.processes for stage in process.stages]


def _traced(design: Design) -> np.ndarray:
    """(stages,) cycles of writing traces, which the schedule leaves out: only a testbench takes them."""
    if design.graph.streamed:
        return np.zeros(len(_names(design)))
    loops = [
        sum(loop(part.size) for part in design.parts_of(stage) if part.kind == "neurons") for stage in _stages(design)
    ]
    return np.array([0, *loops, 0])


def _counts(design: Design, counted: str, steps: int) -> np.ndarray:
    """(steps, stages) cycles of the golden sequences, which run first."""
    stages, first = _stages(design), design.graph.entry_stages
    columns = {"read_frame": 0, "read_input": 0, "list": first - 1, "read_out": first + len(stages)}
    layers = {node.number: column for column, stage in enumerate(stages, start=first) for node in reversed(stage)}
    starts = {node.number: column for column, stage in reversed([*enumerate(stages, start=first)]) for node in stage}
    found = np.zeros((steps, first + len(stages) + 1))
    for step, file, function, cycles in map(str.split, counted.splitlines()):
        if int(step) < steps and file.startswith("src/") and function != "tell":
            layer = re.fullmatch(r"src/layer(\d+)\.h", file)
            of_layer = layers if function == "list" else starts
            found[int(step), of_layer[int(layer[1])] if layer else columns[function]] += int(cycles)
    return found


def _names(design: Design) -> list[str]:
    """Of all stages."""
    parts = [str([part.kind for part in design.parts_of(nodes)]) for nodes in _stages(design)]
    return [*["input"] * design.graph.entry_stages, *parts, "readout"]


def _difference(design: Design, at: list[int], got: np.ndarray, want: np.ndarray) -> str:
    stage, sequence, step = at
    found = f"{got[*at]:.0f} cycles counted, {want[*at]:.0f} estimated"
    return f"{_names(design)[stage]}, sequence {sequence}, step {step}: {found}"
