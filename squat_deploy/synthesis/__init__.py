"""Synthesis, placement and routing of RTL projects by open tools that come as wheels: what a core costs, measured."""

from squat_deploy.synthesis.bitstream import Bitstream, make_bitstream
from squat_deploy.synthesis.flow import synthesize
from squat_deploy.synthesis.report import Report
from squat_deploy.synthesis.targets import TARGETS, Target

__all__ = ["TARGETS", "Bitstream", "Report", "Target", "make_bitstream", "synthesize"]
