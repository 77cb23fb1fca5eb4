"""Lowering: a trained torch model becomes a Network of integers (needs the `train` extra)."""

from squat_deploy.lowering.api import lower
from squat_deploy.lowering.loading import infer_input, load_model

__all__ = ["infer_input", "load_model", "lower"]
