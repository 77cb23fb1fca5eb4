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
    events: Literal[1, 2] | dict[str, Literal[1, 2]] = 2
    """Events that synapses take a cycle: two through both ports of their ROM, where they are fully connected, else one;
    for all layers, or by the name of the neuron layer behind them."""
    form: Literal["auto", "offset", "threshold"] = "auto"
    """Form of the tables; auto: thresholds up to 4 levels, else offset where it exists."""
    encoder: Encoder | None = None
    """Stands in front of the first layer of a network that takes a sequence of frames: the core then takes intensities
    and makes spikes of them (rate, latency), or takes the address events of a sensor."""
    vectors: int = Field(8, ge=1, le=100_000)
    """Random golden sequences if no inputs are given."""
