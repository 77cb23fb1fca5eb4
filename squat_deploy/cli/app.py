"""From PyTorch to an FPGA without changing a single bit.

Every command prints for people, or one JSON document with --json, and exits 0 only when all is well; 1 for what the
user can mend, 2 for wrong usage, 70 for a fault of this program, 130 for Ctrl-C.
"""

from __future__ import annotations

from typing import Annotated

import typer

import squat_deploy
from squat_deploy.cli.commands import study
from squat_deploy.cli.commands.bitstream import bitstream
from squat_deploy.cli.commands.certify import certify
from squat_deploy.cli.commands.check import check
from squat_deploy.cli.commands.config import config
from squat_deploy.cli.commands.demo import demo
from squat_deploy.cli.commands.doctor import doctor
from squat_deploy.cli.commands.explore import explore
from squat_deploy.cli.commands.export_nir import export_nir
from squat_deploy.cli.commands.hls import hls
from squat_deploy.cli.commands.lower import lower
from squat_deploy.cli.commands.new import new
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
from squat_deploy.cli.documents import console
from squat_deploy.cli.group import Command, Commands
from squat_deploy.cli.guarding import guarded

app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)
GROUPS = {
    "Start": (demo, new, doctor, config),
    "Train": (train,),
    "Bring in": (lower, quantize, nir),
    "Check": (check, certify, simulate, verify, prove, report),
    "Export": (hls, rtl, testbench, qonnx, export_nir),
    "Build": (explore, synth, bitstream),
}
for group, commands in GROUPS.items():
    for command in commands:
        app.command(cls=Command, rich_help_panel=group)(guarded(command))


def _say_version(asked: bool) -> None:
    if asked:
        console.print(f"squat-deploy {squat_deploy.__version__}")
        raise typer.Exit


@app.callback(help=__doc__)
def _all(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...


studies = typer.Typer(no_args_is_help=True, help="Grids of trainings and quantizations, and what came out.")
for command in (study.run, study.report):
    studies.command(cls=Command)(guarded(command))
app.add_typer(studies, name="study", rich_help_panel="Train")
