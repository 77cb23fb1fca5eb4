"""Networks in files: their own, and the ONNX graphs that this package wrote."""

from __future__ import annotations

from pathlib import Path

from squat_deploy.network import Network, storage


def load(path: str | Path) -> Network:
    """Reads a network, from its own file or from an ONNX graph (`.onnx`) of `emit_qonnx`, and checks all of it.

    Raises: FileFormatError, with what is wrong, for a file that is missing, truncated, not a network, or altered.
    """
    if Path(path).suffix.lower() != ".onnx":
        return storage.load(path)
    from squat_deploy.backends.qonnx.reading import load_qonnx

    return load_qonnx(Path(path))
