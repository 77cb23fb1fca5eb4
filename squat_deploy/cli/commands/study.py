"""`study run` and `study report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from squat_deploy.cli.documents import emit, following
from squat_deploy.cli.options import DataFolder, Json


def run(
    config: Annotated[Path, typer.Argument(help="YAML file of the study.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of its cells; those that are in it are not run again.")
    ],
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, e.g. tcp://host:8786.")] = None,
    jobs: Annotated[int, typer.Option(min=1, max=1024, help="Processes on this machine, without --scheduler.")] = 2,
    data: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Run the cells of a study that are not there yet; interrupted trainings go on from their checkpoints."""
    from squat_deploy.configs import read_yaml
    from squat_deploy.lab.study.config import Study
    from squat_deploy.lab.study.running import run_study

    count = run_study(read_yaml(config, Study), out, scheduler=scheduler, jobs=jobs, place=data, quiet=as_json)
    emit(
        {"cells": count, "store": str(out)},
        as_json,
        f"ran {count} cells; the store is {out}",
        following("squat-deploy", "study", "report", out, "--out", f"{out}.md"),
    )


def report(
    stores: Annotated[list[Path], typer.Argument(help="Folders of cells, a section each.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Markdown file to write; its pictures go beside it.")],
    as_json: Json = False,
) -> None:
    """Write tables (mean and 95 % interval over seeds) and pictures of the stored cells."""
    from squat_deploy.lab.study.report import write_report

    write_report(stores, out)
    emit({"report": str(out)}, as_json, f"wrote {out}")
