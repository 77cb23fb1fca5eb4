"""ONNX and QONNX: integer graphs out of a Network, and back; the only place that imports onnx."""

from squat_deploy.backends.qonnx.emitting import emit_qonnx, write_model
from squat_deploy.backends.qonnx.reading import load_qonnx

__all__ = ["emit_qonnx", "load_qonnx", "write_model"]
