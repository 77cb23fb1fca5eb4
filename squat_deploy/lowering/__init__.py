"""Lowering: a trained torch model becomes a Network of integers (needs the `train` extra)."""

from squat_deploy.lowering.api import lower

__all__ = ["lower"]
