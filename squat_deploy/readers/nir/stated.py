"""What this package writes into the metadata of NIR files, so that the same integers come back: read with suspicion."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from squat_deploy.network import Encoding, InputSpec
from squat_deploy.network.readout import Readout

KEY = "squat_deploy"
Reset = Literal["subtract", "zero", "none"]
MAX_TEXT = 2**20
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Step = Annotated[_Number, Field(gt=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Weights(_Strict):
    """Of synapses: what one integer of each output is worth."""

    scale: list[_Step] = Field(max_length=2**20, min_length=1)


class States(_Strict):
    """Of neurons: their levels, and the reset that NIR has no word for; of readouts the threshold, too."""

    levels: list[_Number] = Field(max_length=256, min_length=2)
    reset: Reset
    reset_delay: bool
    threshold: _Number | None = None


class Whole(_Strict):
    """Of the graph: what the network was lowered with; `quantizer` where the model rounds its inputs itself."""

    dt: _Step
    steps: int = Field(ge=1, lt=2**16)
    readout: Readout
    low: int
    high: int
    step: _Step
    encoding: Encoding
    quantizer: bool
    digest: str = Field(max_length=64)
    version: Literal[1] = 1

    def spec(self, shape: tuple[int, ...]) -> InputSpec:
        """What enters. Raises: ConfigError."""
        return InputSpec(shape, self.low, self.high, self.step, self.encoding)


def parsed(text: str, kind: str) -> BaseModel:
    """The metadata of a node of nir. Raises: ValueError, as pydantic, for anything else."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"metadata of more than {MAX_TEXT} characters")
    model: type[BaseModel] = Weights if kind in ("Linear", "Affine", "Conv1d", "Conv2d") else States
    return (Whole if kind == "NIRGraph" else model).model_validate_json(text)
