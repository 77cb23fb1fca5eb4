"""What the user says of a NIR file, and what is still to be said: all of it in one message."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from squat_deploy.cli.inputs import TIME_UNIT, parsed_shape
from squat_deploy.errors import ConfigError
from squat_deploy.network import Encoding, InputSpec
from squat_deploy.network.grid import step_of
from squat_deploy.network.readout import OF_MEMBRANES, Readout
from squat_deploy.reading import TimeUnit, data_for
from squat_deploy.snn.levels import Kind

if TYPE_CHECKING:
    from torch import Tensor, nn

    from squat_deploy.readers.nir.asking import Opened, Question
    from squat_deploy.readers.nir.site import NirOptions

_DRAWN = 64  # random sequences that stand in for data


class NirStated(BaseModel):
    """What the user says of a NIR file."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    dt: float | None = None
    """Length of a time step, in the file's unit of time."""
    reset: Literal["subtract", "zero", "none"] | None = None
    """What a spike does to the membrane; subtract where every v_reset is 0."""
    reset_at_once: bool = False
    """Whether it acts in the step of the spike."""
    shape: str | None = None
    """Shape of one sample, where an older file says steps too."""
    steps: int | None = None
    """Time steps of one sequence."""
    weight_bits: int | None = None
    """Width of the weights, 2 to 8."""
    state_bits: int | None = None
    """Width of the membranes, 1 to 8."""
    levels: Kind = "threshold-centred"
    """Spacing of the levels."""
    calibration: Path | None = None
    """Inputs as the network sees them, one frame a sequence or one a step: they say ranges and grid."""
    window: int | None = None
    """Of events: ticks that one time step takes."""
    time_unit: TimeUnit | None = Field(None, description=TIME_UNIT)
    input_bits: int = Field(8, ge=1, le=16)
    """Width of the integers that real inputs are rounded to."""
    low: int = 0
    """Lowest input integer, without data."""
    high: int | None = None
    """Highest input integer, without data."""
    input_step: str | None = None
    """Value of one input integer, e.g. 1/256 or 2^-8, without data."""
    encoding: Encoding | None = None
    """One frame, or one a step; with data, their axes say it."""
    readout: Readout | None = None
    """How the last neurons become a class; count where they spike."""

    def nir_options(self) -> NirOptions:
        """What the reader takes."""
        from squat_deploy.readers.nir.site import NirOptions

        return NirOptions(self.dt, self.reset, not self.reset_at_once, parsed_shape(self.shape))


@dataclass(frozen=True, eq=False)
class NirInputs:
    """What stands for the user's inputs: float32 data, in the model's units, how they are shown, and what to tell."""

    data: Tensor
    encoding: Encoding
    grid: InputSpec | None
    notes: tuple[str, ...]


def ask(file: Path, opened: Opened, stated: NirStated, typed: dict[str, Any]) -> None:
    """Raises: ConfigError that lists everything that is open, with the command that says it."""
    asked = [*opened.questions, *_open_here(opened, stated)]
    if not asked:
        return
    known = [
        f"--{key.replace('_', '-')} {shlex.quote(str(value))}" for key, value in typed.items() if value is not True
    ]
    flags = [f"--{key.replace('_', '-')}" for key, value in typed.items() if value is True]
    answers = [f"{question.option} {question.example}" for question in asked]
    command = " ".join(["squat-deploy nir", shlex.quote(str(file)), *known, *flags, *answers])
    width = max(map(len, answers))
    listed = (f"  {answer:{width}}  {question.why}" for answer, question in zip(answers, asked, strict=True))
    raise ConfigError(
        "\n".join([f"{file}: the file leaves open, and nobody has said:", *listed, "for example:", f"  {command}"])
    )


def refuse_options(file: Path, typed: dict[str, Any]) -> None:
    """Raises: ConfigError for anything that is said of a file which says all itself."""
    if typed:
        names = ", ".join(f"--{key.replace('_', '-')}" for key in typed)
        raise ConfigError(f"{file}: squat_deploy wrote it, and it says all that is open; leave out {names}")


def _open_here(opened: Opened, stated: NirStated) -> list[Question]:
    """What no NIR file says."""
    from squat_deploy.readers.nir.asking import Question

    axes = ", ".join(map(str, opened.shape))
    found = []
    if stated.steps is None:
        found.append(Question("--steps", "25", "time steps of one sequence"))
    if stated.weight_bits is None:
        found.append(Question("--weight-bits", "4", "width of the weights, 2 to 8"))
    if stated.state_bits is None:
        found.append(Question("--state-bits", "4", "width of the membranes, 1 to 8"))
    if stated.calibration is None and stated.high is None:
        why = f"what comes in: spikes here; or --calibration FILE with data (B, {axes}) or (T, B, {axes})"
        found.append(Question("--high", "1 --encoding sequence", why))
    elif stated.calibration is None and stated.encoding is None:
        found.append(Question("--encoding", "sequence", "one frame a step, or one for all (direct)"))
    if opened.of_membranes and stated.readout not in OF_MEMBRANES:
        found.append(Question("--readout", "highest-membrane", "the last node does not spike; or last-membrane"))
    return found


def inputs_of(opened: Opened, stated: NirStated) -> NirInputs:
    """The user's data, or random integers over the range that was stated. Raises: ConfigError, FileFormatError."""
    import torch

    from squat_deploy.snn.ptq import calibrated

    assert stated.steps is not None
    if stated.calibration is not None:
        if stated.high is not None or stated.input_step is not None or stated.low:
            raise ConfigError("nir: --calibration says the grid; leave out --low, --high and --input-step")
        values, notes = data_for(opened.shape, stated.steps, stated.calibration, stated.window, stated.time_unit)
        encoding: Encoding = "direct" if values.ndim == len(opened.shape) + 1 else "sequence"
        if stated.encoding not in (None, encoding):
            got = f"{values.shape}, which are {encoding}"
            raise ConfigError(f"nir: --encoding {stated.encoding} with data of another one: shape {got}; leave it out")
        before = values.ndim - len(opened.shape)
        if before not in (1, 2) or values.shape[before:] != opened.shape:
            axes = f"one or two axes before {opened.shape}"
            raise ConfigError(f"calibration: samples have the shape of the file, {axes}; got {values.shape}")
        return NirInputs(calibrated(values, None, stated.steps, encoding)[0], encoding, None, tuple(notes))
    assert stated.high is not None and stated.encoding is not None
    step = 1.0 if stated.input_step is None else step_of(stated.input_step)
    spec = InputSpec(opened.shape, stated.low, stated.high, step, stated.encoding)
    lead = (_DRAWN,) if stated.encoding == "direct" else (stated.steps, _DRAWN)
    drawn = np.random.default_rng(0).integers(spec.low, spec.high + 1, (*lead, *spec.shape))
    told = f"ranges of the states: from {_DRAWN} sequences of random {spec.low}..{spec.high}; --calibration takes data"
    return NirInputs(torch.from_numpy((drawn * step).astype(np.float32)), stated.encoding, spec, (told,))


def behind_grid(model: nn.Module, spec: InputSpec | None) -> nn.Module:
    """A float model behind an InputQuantizer of the grid that was stated, where small integers are not all it says."""
    from squat_deploy.snn.ptq import behind_quantizer
    from squat_deploy.snn.quantizers import InputQuantizer

    if spec is None or (spec.step == 1 and max(-spec.low, spec.high) < 2**8):
        return model
    return behind_quantizer(InputQuantizer(spec.step, spec.low, spec.high), model)
