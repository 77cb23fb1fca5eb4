"""What enters a network or a model, as the user says it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from squat_deploy.errors import ConfigError, SquatWarning
from squat_deploy.network import Encoding, InputSpec, Network
from squat_deploy.network.grid import as_integers, grid_of, step_of
from squat_deploy.network.origin import Origin
from squat_deploy.reading import TimeUnit, data_for, inputs_for

if TYPE_CHECKING:
    from torch import nn

TIME_UNIT = "Of events: unit of their times, where the file does not say it; ticks are microseconds then."
_MAX_RANDOM_VALUES = 2**26  # of inputs, or of what a network gives for them


class InputOptions(BaseModel):
    """What the user says of the inputs of a torch model."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    shape: str | None = None
    """Shape of one sample, e.g. 784 or 2,34,34."""
    low: int | None = None
    """Lowest input integer."""
    high: int | None = None
    """Highest input integer."""
    step: str | None = None
    """Value of one input integer, e.g. 1/256 or 2^-8."""
    calibration: Path | None = None
    """Inputs as the model sees them (.npy, IDX, images, ...): they say the grid."""
    window: int | None = None
    """Of events: ticks that one time step takes."""
    time_unit: TimeUnit | None = Field(None, description=TIME_UNIT)
    encoding: Encoding = "direct"
    """One frame, or one a step."""
    batch_first: bool = False
    """The model takes sequences as (batch, steps, ...)."""

    def spec(self, model: nn.Module, steps: int, initial_state: Any = None) -> tuple[InputSpec, Origin]:
        """What enters a model, as options, data, or the model itself say; and the integers that were seen in the data.

        Raises: ConfigError.
        """
        from squat_deploy.lowering.loading import check_own_grid, infer_input

        worth = None if self.step is None else step_of(self.step)
        if self.calibration is not None:
            return self._calibrated(model, steps, self.calibration, initial_state)
        shape = parsed_shape(self.shape)
        spec = infer_input(model, shape, self.low, self.high, worth, self.encoding, self.batch_first)
        if self.high is None:
            check_own_grid(model, spec, steps, initial_state)
        return spec, Origin()

    def _calibrated(
        self, model: nn.Module, steps: int, calibration: Path, initial_state: Any
    ) -> tuple[InputSpec, Origin]:
        from squat_deploy.lowering.loading import check_own_grid, infer_input, own_grid

        if (self.low, self.high, self.step) != (None, None, None):
            raise ConfigError("inputs: --calibration says the grid; leave out --low, --high and --input-step")
        data, told = data_for(parsed_shape(self.shape), steps, calibration, self.window, self.time_unit)
        for text in told:
            warnings.warn(text, SquatWarning, stacklevel=2)
        sample = parsed_shape(self.shape) or data.shape[1 if self.encoding == "direct" else 2 :] or None
        low, high, step = own_grid(model) or grid_of(data)
        origin = Origin(**seen_in(data, InputSpec((1,), low, high, step)))
        spec = infer_input(model, sample, low, high, step, self.encoding, self.batch_first)
        check_own_grid(model, spec, steps, initial_state)
        return spec, origin


def seen_in(data: NDArray[Any], spec: InputSpec) -> dict[str, Any]:
    """The lowest and the highest integer that real inputs are on the grid of a spec."""
    seen = spec.quantize(data)
    return {"lowest": int(seen.min()), "highest": int(seen.max())}


def parsed_shape(text: str | None) -> tuple[int, ...] | None:
    """Sizes as people write them, 2,34,34. Raises: ConfigError."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--shape: expected integers like 784 or 2,34,34; got {text!r}") from error


def network_inputs(
    network: Network,
    path: Path | None,
    samples: int,
    *,
    real: bool,
    window: int | None = None,
    unit: TimeUnit | None = None,
) -> tuple[NDArray[Any], list[str], list[str]]:
    """The user's inputs as integers, or random ones over the whole range; what was done to them; what is doubtful."""
    if path is not None:
        data, told = inputs_for(network.input, network.steps, path, window, real=real, unit=unit)
        made, done, doubtful = as_integers(network.input, data, real=real)
        return made, [*told, *done], doubtful
    if real:
        raise ConfigError("--real is about inputs of your own: give --inputs")
    spec = network.input
    lead = (samples,) if spec.encoding == "direct" else (network.steps, samples)
    widest = max(spec.size * (len(lead) == 1 or network.steps), network.outputs)
    if samples * widest > _MAX_RANDOM_VALUES:
        raise ConfigError(f"--samples: at most {_MAX_RANDOM_VALUES // widest} sequences of this network; got {samples}")
    return np.random.default_rng(0).integers(spec.low, spec.high + 1, (*lead, *spec.shape)), [], []
