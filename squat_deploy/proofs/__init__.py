"""Proofs of SystemVerilog projects: every neuron unit against its network, every module of the library by its rules."""

from squat_deploy.proofs.proving import prove
from squat_deploy.proofs.table import Certificate, Row

__all__ = ["Certificate", "Row", "prove"]
