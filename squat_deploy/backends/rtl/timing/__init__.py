"""Cycles of an RTL core, exactly as a simulation counts them, from the plan and what flows in it."""

from squat_deploy.backends.rtl.timing.cycles import ends_of

__all__ = ["ends_of"]
