"""C++ HLS projects out of a Network; the only place that imports jinja2."""

from squat_deploy.backends.hls.config import HlsConfig
from squat_deploy.backends.hls.project import emit_hls, render

__all__ = ["HlsConfig", "emit_hls", "render"]
