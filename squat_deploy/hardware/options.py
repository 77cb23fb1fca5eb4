"""Options of an HLS project."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from squat_deploy.network.encoders import Encoder

DEFAULT_PE = 16


class HlsConfig(BaseModel):
    """Options of an HLS project; the command line takes its options, their texts and their defaults from here."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    part: str = Field("xc7z020clg400-1", pattern=r"^[A-Za-z0-9_.-]+$")
    """Target part, as Vitis names it."""
    clock_ns: float = Field(5.0, gt=0, le=1000)
    """Target clock period."""
    pe: int | dict[str, int] = DEFAULT_PE
    """Channels updated in parallel (neurons, where there are no channels), for all layers, up to what each has, or by
    the name of a neuron layer."""
    form: Literal["auto", "offset", "threshold"] = "auto"
    """Form of the tables; auto: thresholds up to 4 levels, else offset where it exists."""
    encoder: Encoder | None = None
    """Stands in front of the first layer of a network that takes a sequence of frames: the core then takes intensities
    and makes spikes of them (rate, latency), or takes the address events of a sensor."""
    vectors: int | None = Field(None, ge=1, le=100_000)
    """Golden sequences if no inputs are given, at most: chosen for what they reach (weights, thresholds), and no more
    than reach something new; by default at most 1024, with some four million states and spikes."""
