"""ONNX and QONNX: integer graphs out of a Network, and back; the only place that imports onnx."""
