"""SystemVerilog projects: hand-written modules, one generated top, and memories from the hardware plan."""

from squat_deploy.backends.rtl.options import RtlConfig
from squat_deploy.backends.rtl.project import emit_rtl

__all__ = ["RtlConfig", "emit_rtl"]
