"""squat_deploy: spiking networks with quantized states, from PyTorch to an FPGA without changing a single bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squat_deploy.backends.hls import HlsConfig, emit_hls
from squat_deploy.certificate import Certificate
from squat_deploy.network import InputSpec, Network
from squat_deploy.simulator import simulate
from squat_deploy.storage import load, save

if TYPE_CHECKING:
    from squat_deploy.agreement import verify
    from squat_deploy.lowering import lower

__version__ = "0.1.0"
__all__ = [
    "Certificate",
    "HlsConfig",
    "InputSpec",
    "Network",
    "emit_hls",
    "load",
    "lower",
    "save",
    "simulate",
    "verify",
]


def __getattr__(name: str) -> Any:
    """`lower` and `verify` are imported on first use, so that all else works where torch is not installed."""
    if name == "lower":
        from squat_deploy.lowering import lower

        return lower
    if name == "verify":
        from squat_deploy.agreement import verify

        return verify
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
