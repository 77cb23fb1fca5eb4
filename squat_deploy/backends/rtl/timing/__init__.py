"""Cycles of an RTL core, exactly as a simulation counts them, from the plan and what flows in it."""

from squat_deploy.backends.rtl.timing.cycles import ends_of, spans_of
from squat_deploy.backends.rtl.timing.spans import Span

__all__ = ["Span", "ends_of", "spans_of"]
