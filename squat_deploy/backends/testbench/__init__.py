"""A testbench alone, for cores that others write."""

from squat_deploy.backends.testbench.project import emit_testbench, render

__all__ = ["emit_testbench", "render"]
