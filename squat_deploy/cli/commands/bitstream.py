"""`bitstream`: the configuration of a board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from squat_deploy.cli.documents import emit, following
from squat_deploy.cli.options import Json
from squat_deploy.cli.tables import two_columns
from squat_deploy.progress import report as say
from squat_deploy.synthesis import make_bitstream


def bitstream(
    project: Annotated[Path, typer.Argument(help="A project that `rtl --board` has written.")],
    *,
    device: Annotated[str | None, typer.Option(help="Where the board comes with several: 25k, 45k, 85k.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of the placement.")] = 1,
    as_json: Json = False,
) -> None:
    """Synthesise, place, route and pack the board of a SystemVerilog project."""
    made = make_bitstream(project, device=device, seed=seed, say=say)
    rows, title = made.rows(), f"{made.board}, {made.device}"
    document = {"board": made.board, "device": made.device, "path": str(made.path), **rows}
    emit(
        document,
        as_json,
        two_columns(title, rows.items()),
        f"wrote {made.path}",
        following("make", "-C", project, "load"),
    )
