"""Synthesis, placement and routing of RTL projects by open tools that come as wheels: what a core costs, measured."""

from squat_deploy.synthesis.flow import synthesize
from squat_deploy.synthesis.report import Report
from squat_deploy.synthesis.targets import TARGETS, Target

__all__ = ["TARGETS", "Report", "Target", "synthesize"]
