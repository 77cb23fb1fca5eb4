"""Options of an RTL project."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from squat_deploy.hardware.options import Options
from squat_deploy.hardware.serial_boards import SerialBoardName
from squat_deploy.network.encoders import Encoder


class RtlConfig(Options):
    """Options of an RTL project; the command line takes its options, their texts and their defaults from here."""

    pe: int | dict[str, int] | None = None
    """Neurons updated in parallel, for all layers, up to what each has, or by the name of a layer. What is left open
    gets as few as keep the pace of 16 everywhere."""
    simd: int = Field(1, ge=1, le=32)
    """Events that fully connected synapses take a cycle: dealt over so many banks, each with a weight memory of
    its own; behind neurons as many of these as divide the neurons that are updated at once."""
    share: int = Field(0, ge=0, le=4096)
    """Lanes that share a neuron unit; 0: as many as keep up with the events of an average step, of the inputs
    that are given, or of random ones."""
    form: Literal["auto", "offset", "threshold"] = "auto"
    """Form of the tables; auto: thresholds up to 4 levels, else offset where it exists."""
    encoder: Encoder | None = None
    """Stands in front of the first layer of a network that takes a sequence of frames: the core then takes intensities
    and makes spikes of them (rate, latency), or counts address events (events)."""
    vectors: int | None = Field(None, ge=1, le=100_000)
    """Golden sequences if no inputs are given, at most: chosen for what they reach (weights, thresholds), and no more
    than reach something new; by default at most 4096, with some eight million states and spikes."""
    board: SerialBoardName | None = None
    """Adds a top with a serial line for this board, its pins, and the host's driver."""
