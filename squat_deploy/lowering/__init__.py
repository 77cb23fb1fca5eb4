"""Lowering: a trained torch model becomes a Network of integers (needs the `train` extra)."""

from squat_deploy.lowering.api import lower
from squat_deploy.lowering.checking import CheckedLayer, check
from squat_deploy.lowering.integers_first import exact
from squat_deploy.lowering.loading import infer_input, load_model, load_with_state

__all__ = ["CheckedLayer", "check", "exact", "infer_input", "load_model", "load_with_state", "lower"]
