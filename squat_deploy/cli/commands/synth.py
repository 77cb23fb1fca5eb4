"""`synth`: what a SystemVerilog project costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from squat_deploy.cli.documents import emit, following
from squat_deploy.cli.options import Json
from squat_deploy.cli.tables import two_columns
from squat_deploy.progress import report as say
from squat_deploy.synthesis import TARGETS, synthesize

_TARGETS = "; ".join(
    f"{target.name} ({target.about}{': ' if target.devices else ''}"
    f"{', '.join(device.name for device in target.devices)})"
    for target in TARGETS.values()
)


def synth(
    project: Annotated[Path, typer.Argument(help="A project that `rtl` has written.")],
    *,
    target: Annotated[str, typer.Option(help=f"One of {_TARGETS}.")] = "ecp5",
    device: Annotated[str | None, typer.Option(help="Of the target; its first by default.")] = None,
    frequency: Annotated[float, typer.Option(min=1.0, max=1000.0, help="MHz that placement aims at.")] = 150.0,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of the first placement.")] = 1,
    seeds: Annotated[
        int, typer.Option(min=1, max=1000, help="Placements, from that seed on; the fastest is kept.")
    ] = 1,
    simulate: Annotated[bool, typer.Option(help="Count the cycles of the golden sequences.")] = True,
    as_json: Json = False,
) -> None:
    """Synthesise, place and route a SystemVerilog project, and say what it takes and how fast it is."""
    report = synthesize(
        project, target, device=device, frequency=frequency, seed=seed, seeds=seeds, simulate=simulate, say=say
    )
    title = report.target if report.device is None else f"{report.target} {report.device}"
    done = f"wrote {project / 'reports' / f'synth.{report.target}.json'}"
    emit(
        report.to_dict(),
        as_json,
        two_columns(f"{title}: measured", report.rows()),
        done,
        following("squat-deploy", "prove", project),
    )
