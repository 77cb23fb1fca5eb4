"""Reports: one self-contained page of what is known of a network."""

from squat_deploy.reporting.api import report

__all__ = ["report"]
