"""ONNX and QONNX: integer graphs out of a Network, and back; the only place that imports onnx."""

import importlib.util

from squat_deploy.errors import ToolError

if importlib.util.find_spec("onnx") is None:
    raise ToolError("ONNX graphs need the package onnx: pip install 'squat_deploy[qonnx]'")

from squat_deploy.backends.qonnx.emitting import emit_qonnx, write_model
from squat_deploy.backends.qonnx.reading import load_qonnx

__all__ = ["emit_qonnx", "load_qonnx", "write_model"]
