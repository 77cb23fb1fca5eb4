"""squat_deploy: spiking networks with quantized states, from PyTorch to an FPGA without changing a single bit."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from squat_deploy import moved

if TYPE_CHECKING:
    from squat_deploy.agreement import deviation, verify
    from squat_deploy.backends.hls import HlsConfig, emit_hls, fold
    from squat_deploy.backends.qonnx import emit_qonnx
    from squat_deploy.backends.rtl import RtlConfig, emit_rtl
    from squat_deploy.backends.testbench import emit_testbench
    from squat_deploy.errors import (
        ConfigError,
        DatasetError,
        ExportError,
        FileFormatError,
        InternalError,
        LoweringError,
        NotProvenError,
        SquatError,
        SquatWarning,
        ToolError,
    )
    from squat_deploy.loading import load
    from squat_deploy.lowering import check, exact, lower
    from squat_deploy.network import InputSpec, Network
    from squat_deploy.network.certificate import Certificate
    from squat_deploy.network.simulator import simulate
    from squat_deploy.network.storage import save
    from squat_deploy.readers.brevitas.model import import_qonnx
    from squat_deploy.readers.nir.model import read_nir
    from squat_deploy.readers.nir.writing import write_nir
    from squat_deploy.reading import read_inputs
    from squat_deploy.reporting import report
    from squat_deploy.snn.ptq import quantize, search_bits

__version__ = "0.1.0"
__all__ = [
    "Certificate",
    "ConfigError",
    "DatasetError",
    "ExportError",
    "FileFormatError",
    "HlsConfig",
    "InputSpec",
    "InternalError",
    "LoweringError",
    "Network",
    "NotProvenError",
    "RtlConfig",
    "SquatError",
    "SquatWarning",
    "ToolError",
    "check",
    "deviation",
    "emit_hls",
    "emit_qonnx",
    "emit_rtl",
    "emit_testbench",
    "exact",
    "fold",
    "import_qonnx",
    "load",
    "lower",
    "quantize",
    "read_inputs",
    "read_nir",
    "report",
    "save",
    "search_bits",
    "simulate",
    "verify",
    "write_nir",
]


_LAZY = {  # on first use: without torch or onnx all else works, and a Ctrl-C finds the command in charge
    "Certificate": "squat_deploy.network.certificate",
    "ConfigError": "squat_deploy.errors",
    "DatasetError": "squat_deploy.errors",
    "ExportError": "squat_deploy.errors",
    "FileFormatError": "squat_deploy.errors",
    "HlsConfig": "squat_deploy.backends.hls",
    "InputSpec": "squat_deploy.network",
    "InternalError": "squat_deploy.errors",
    "LoweringError": "squat_deploy.errors",
    "Network": "squat_deploy.network",
    "NotProvenError": "squat_deploy.errors",
    "RtlConfig": "squat_deploy.backends.rtl",
    "SquatError": "squat_deploy.errors",
    "SquatWarning": "squat_deploy.errors",
    "ToolError": "squat_deploy.errors",
    "check": "squat_deploy.lowering",
    "deviation": "squat_deploy.agreement",
    "emit_hls": "squat_deploy.backends.hls",
    "emit_qonnx": "squat_deploy.backends.qonnx",
    "emit_rtl": "squat_deploy.backends.rtl",
    "emit_testbench": "squat_deploy.backends.testbench",
    "exact": "squat_deploy.lowering",
    "fold": "squat_deploy.backends.hls",
    "import_qonnx": "squat_deploy.readers.brevitas.model",
    "load": "squat_deploy.loading",
    "lower": "squat_deploy.lowering",
    "quantize": "squat_deploy.snn.ptq",
    "read_inputs": "squat_deploy.reading",
    "read_nir": "squat_deploy.readers.nir.model",
    "report": "squat_deploy.reporting",
    "save": "squat_deploy.network.storage",
    "search_bits": "squat_deploy.snn.ptq",
    "simulate": "squat_deploy.network.simulator",
    "verify": "squat_deploy.agreement",
    "write_nir": "squat_deploy.readers.nir.writing",
}
moved.install()


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Names that are made on first use too, so that they are completed."""
    return sorted({*globals(), *__all__})
