"""From PyTorch to an FPGA without changing a single bit.

Every command prints for people, or one JSON document with --json, and exits 0 only when all is well; 1 for what the
user can mend, 2 for wrong usage, 70 for a fault of this program, 130 for Ctrl-C.
"""

from __future__ import annotations

import typer

from squat_deploy.cli.commands import study
from squat_deploy.cli.commands.bitstream import bitstream
from squat_deploy.cli.commands.certify import certify
from squat_deploy.cli.commands.check import check
from squat_deploy.cli.commands.demo import demo
from squat_deploy.cli.commands.doctor import doctor
from squat_deploy.cli.commands.explore import explore
from squat_deploy.cli.commands.export_nir import export_nir
from squat_deploy.cli.commands.hls import hls
from squat_deploy.cli.commands.lower import lower
from squat_deploy.cli.commands.nir import nir
from squat_deploy.cli.commands.prove import prove
from squat_deploy.cli.commands.qonnx import qonnx
from squat_deploy.cli.commands.quantize import quantize
from squat_deploy.cli.commands.report import report
from squat_deploy.cli.commands.rtl import rtl
from squat_deploy.cli.commands.simulate import simulate
from squat_deploy.cli.commands.synth import synth
from squat_deploy.cli.commands.testbench import testbench
from squat_deploy.cli.commands.train import train
from squat_deploy.cli.commands.verify import verify
from squat_deploy.cli.group import Commands
from squat_deploy.cli.guarding import guarded

app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)
_BRING_IN = (train, lower, quantize, nir, check, certify, simulate)
_EXPORT = (hls, explore, rtl, prove, synth, bitstream, testbench, qonnx, export_nir)
for command in (*_BRING_IN, *_EXPORT, verify, report, doctor, demo):
    app.command()(guarded(command))

studies = typer.Typer(no_args_is_help=True, help="Grids of trainings and quantizations, and what came out.")
for command in (study.run, study.report):
    studies.command()(guarded(command))
app.add_typer(studies, name="study")
