"""`prove`: a SystemVerilog project against its network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from squat_deploy.cli.documents import emit, following
from squat_deploy.cli.options import Json
from squat_deploy.cli.tables import proofs_table
from squat_deploy.progress import report as say
from squat_deploy.proofs import prove as prove_project


def prove(
    project: Annotated[Path, typer.Argument(help="A project that `rtl` has written.")],
    *,
    as_json: Json = False,
) -> None:
    """Prove that every neuron unit of a SystemVerilog project is its table, and that modules keep their rules."""
    certificate = prove_project(project, say=say)
    notes = [f"without proofs of their own: {', '.join(certificate.uncovered)}"] if certificate.uncovered else []
    failed = [f"FAILED: {row.unit}: {row.how}" for row in certificate.rows if not row.holds]
    after = [following("squat-deploy", "synth", project)] if certificate.holds else []
    done = f"wrote {project / 'reports' / 'proofs.txt'}"
    emit(certificate.to_dict(), as_json, proofs_table(certificate), *notes, *failed, done, *after)
    if not certificate.holds:
        raise typer.Exit(1)
