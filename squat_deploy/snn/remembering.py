"""Layers beside neurons that remember something from step to step, in buffers of their own."""

from __future__ import annotations

from torch import nn

from squat_deploy.snn.delay import PAST

REMEMBERING: dict[type[nn.Module], tuple[str, ...]] = {**PAST}  # the names of these buffers; empty ones are at rest
