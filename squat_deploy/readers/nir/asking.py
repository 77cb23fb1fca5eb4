"""What a NIR file leaves open for a network of integers, as questions: option, an answer as an example, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nir
import numpy as np

from squat_deploy.errors import LoweringError
from squat_deploy.readers.nir.file import read_graph
from squat_deploy.readers.nir.graph import Stage, chain
from squat_deploy.readers.nir.model import first_shape, guessed_step, time_step
from squat_deploy.readers.nir.scales import READOUTS
from squat_deploy.readers.nir.site import NirOptions
from squat_deploy.readers.nir.stated import Whole


@dataclass(frozen=True)
class Question:
    """One thing that nobody has said yet."""

    option: str
    example: str
    why: str


@dataclass(frozen=True)
class Opened:
    """A file before it is read as a model: what it asks, the shape of one sample, and whether membranes are read.

    Attributes:
        whole: of a file that `write_nir` wrote, all of it said; it asks nothing.
    """

    questions: tuple[Question, ...]
    shape: tuple[int, ...]
    of_membranes: bool
    whole: Whole | None = None


def opened(path: str | Path, options: NirOptions) -> Opened:
    """Raises: FileFormatError, LoweringError, as `read_nir` for what is no question of options."""
    graph = read_graph(Path(path))
    stages = chain(graph)
    if graph.stated is not None:
        return Opened((), first_shape(stages, options), isinstance(stages[-2].node, READOUTS), graph.stated)
    asked = [question for question in (_step(stages, options), _reset(stages, options)) if question is not None]
    try:
        shape = first_shape(stages, options)
    except LoweringError:
        if options.shape is not None:
            raise
        shape = tuple(int(size) for size in np.ravel(*stages[0].node.input_type.values())[-1:])
        asked.append(Question("--shape", ",".join(map(str, shape)), "one sample in one time step: the input says more"))
    return Opened(tuple(asked), shape, isinstance(stages[-2].node, READOUTS))


def _step(stages: tuple[Stage, ...], options: NirOptions) -> Question | None:
    try:
        time_step(stages, options)
    except LoweringError:
        step = guessed_step(stages)
        why = "length of a time step, in the file's unit of time"
        if step is None:
            return Question("--dt", "0.001", f"{why}: Norse takes 0.001, snnTorch's exporter writes 0.0001")
        return Question(
            "--dt", f"{step:.4g}", f"{why}: tau / r is {step:.4g} everywhere, as snnTorch's exporter writes"
        )
    return None


def _reset(stages: tuple[Stage, ...], options: NirOptions) -> Question | None:
    resets = [
        np.asarray(stage.node.v_reset) for stage in stages if isinstance(stage.node, nir.LIF | nir.CubaLIF | nir.IF)
    ]
    if options.reset is not None or not any(values.any() for values in resets):
        return None
    return Question("--reset", "subtract", "what a spike does to the membrane: v_reset is not 0, and has no part in it")
