"""Options of an HLS project."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from squat_deploy.errors import ConfigError, faults_of
from squat_deploy.hardware.boards import BOARDS, BoardName
from squat_deploy.network.encoders import Encoder

_PART = r"^[A-Za-z0-9_.-]+$"


class Options(BaseModel):
    """Options whose faults are errors of this package."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def __init__(self, **given: Any) -> None:
        """Raises: ConfigError for unknown options, and values that they cannot have."""
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise ConfigError(f"options: {faults_of(error)}") from error


class HlsConfig(Options):
    """Options of an HLS project; the command line takes its options, their texts and their defaults from here."""

    part: str = Field("xc7z020clg400-1", pattern=_PART)
    """Target part, as Vitis names it."""
    clock_ns: float = Field(5.0, gt=0, le=1000)
    """Target clock period."""
    pe: int | dict[str, int] | None = None
    """Channels updated in parallel (neurons, where there are no channels): for all layers, up to what each has, or by
    the name of a layer. What is left open is chosen so that no layer waits for another."""
    fit: str | None = Field(None, pattern=_PART)
    """Part to fold for: as few cycles as it has room for. Instead of `part`."""
    target_cycles: int | None = Field(None, gt=0)
    """Cycles of a mean inference to fold for, with as little as it takes."""
    target_us: float | None = Field(None, gt=0)
    """Microseconds of a mean inference to fold for, instead of cycles."""
    events: Literal[1, 2] | dict[str, Literal[1, 2]] | None = None
    """Events that synapses take a cycle: two through both ports of their ROM, where they are fully connected, else one;
    for all layers, or by the name of the neuron layer behind them. What is left open is chosen."""
    form: Literal["auto", "offset", "threshold"] = "auto"
    """Form of the tables; auto: thresholds up to 4 levels, else offset where it exists."""
    encoder: Encoder | None = None
    """Stands in front of the first layer of a network that takes a sequence of frames: the core then takes intensities
    and makes spikes of them (rate, latency), or takes the address events of a sensor."""
    vectors: int | None = Field(None, ge=1, le=100_000)
    """Golden sequences if no inputs are given, at most: chosen for what they reach (weights, thresholds), and no more
    than reach something new; by default at most 4096, with some eight million states and spikes."""
    board: BoardName | None = None
    """Adds a Vivado design for this board, a driver for PYNQ and a notebook; the part is then the board's."""

    @model_validator(mode="before")
    @classmethod
    def _with_part(cls, given: Any) -> Any:
        """The part to fit is the part, and so is that of the board."""
        if not isinstance(given, dict):
            return given
        fit, board = given.get("fit"), given.get("board")
        if fit is not None:
            if (part := given.get("part", fit)) != fit:
                raise ValueError(f"fit: is the part to fold for, and part says {part}; leave part out")
            return {**given, "part": fit}
        return {"part": BOARDS[board].part, **given} if board in tuple(BOARDS) else given

    @model_validator(mode="after")
    def _check_part(self) -> Self:
        if self.board is not None and self.part != (part := BOARDS[self.board].part):
            raise ValueError(f"board {self.board} has the part {part}; got part {self.part}: leave the part away")
        return self

    @model_validator(mode="after")
    def _has_one_goal(self) -> Self:
        goals = [name for name in ("target_cycles", "target_us", "fit") if getattr(self, name) is not None]
        if goals[:2] == ["target_cycles", "target_us"]:
            raise ValueError("target_us: says the same as target_cycles; leave one of them out")
        if goals and isinstance(self.pe, int):
            raise ValueError(f"pe: one number for all layers leaves {goals[0]} nothing to choose; give it by layer")
        return self

    @property
    def target(self) -> float | None:
        """Cycles of a mean inference that are asked for."""
        return self.target_cycles if self.target_us is None else self.target_us * 1000 / self.clock_ns
