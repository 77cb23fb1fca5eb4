"""C++ HLS projects out of a Network."""

from squat_deploy.backends.hls.project import emit_hls, fold, render
from squat_deploy.hardware.options import HlsConfig

__all__ = ["HlsConfig", "emit_hls", "fold", "render"]
