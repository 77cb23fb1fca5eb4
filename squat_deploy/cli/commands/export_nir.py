"""`export-nir`: a network and its torch model as a NIR file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from squat_deploy.cli import sources
from squat_deploy.cli.documents import emit, following, gathered, grid
from squat_deploy.cli.options import Checkpoint, Json, NetworkFile
from squat_deploy.loading import load


def export_nir(
    network: NetworkFile,
    model: Annotated[str, typer.Option(help="Its torch model: path/to/file.py:factory, .nir, or a file of train.")],
    checkpoint: Checkpoint = None,
    dt: Annotated[float, typer.Option(help="The time step that time constants are stated for.")] = 1e-4,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="NIR file; NAME.nir by default.")] = None,
    as_json: Json = False,
) -> None:
    """Write a network as NIR: nodes for any reader, and metadata that make the same integers of them again."""
    from squat_deploy.readers.nir.writing import write_nir

    target = out or Path(f"{sources.stem_of(network)}.nir")
    loaded = load(network)
    with gathered() as texts:
        trained, state = sources.loaded(model, checkpoint)
        write_nir(loaded, trained, target, dt=dt, initial_state=state)
    document = {"nir": str(target), "digest": loaded.digest, "dt": dt, "warnings": texts, **grid(loaded.input)}
    emit(document, as_json, f"wrote {target}", following("squat-deploy", "nir", target))
