"""squat_deploy: spiking networks with quantized states, from PyTorch to an FPGA without changing a single bit."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from squat_deploy.agreement import verify
    from squat_deploy.backends.hls import HlsConfig, emit_hls
    from squat_deploy.backends.qonnx import emit_qonnx
    from squat_deploy.certificate import Certificate
    from squat_deploy.lowering import check, lower
    from squat_deploy.lowering.imported import import_qonnx
    from squat_deploy.lowering.nir_model import read_nir
    from squat_deploy.network import InputSpec, Network
    from squat_deploy.simulator import simulate
    from squat_deploy.storage import load, save
    from squat_deploy.training.ptq import quantize, search_bits

__version__ = "0.1.0"
__all__ = [
    "Certificate",
    "HlsConfig",
    "InputSpec",
    "Network",
    "check",
    "emit_hls",
    "emit_qonnx",
    "import_qonnx",
    "load",
    "lower",
    "quantize",
    "read_nir",
    "save",
    "search_bits",
    "simulate",
    "verify",
]


_LAZY = {  # on first use: without torch or onnx all else works, and a Ctrl-C finds the command in charge
    "Certificate": "squat_deploy.certificate",
    "HlsConfig": "squat_deploy.backends.hls",
    "InputSpec": "squat_deploy.network",
    "Network": "squat_deploy.network",
    "check": "squat_deploy.lowering",
    "emit_hls": "squat_deploy.backends.hls",
    "emit_qonnx": "squat_deploy.backends.qonnx",
    "import_qonnx": "squat_deploy.lowering.imported",
    "load": "squat_deploy.storage",
    "lower": "squat_deploy.lowering",
    "quantize": "squat_deploy.training.ptq",
    "read_nir": "squat_deploy.lowering.nir_model",
    "save": "squat_deploy.storage",
    "search_bits": "squat_deploy.training.ptq",
    "simulate": "squat_deploy.simulator",
    "verify": "squat_deploy.agreement",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
