"""`certify`: what has been proven of a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from squat_deploy.cli.documents import console, emit, following, grid, summary
from squat_deploy.cli.options import Json, NetworkFile
from squat_deploy.cli.tables import assumption_lines, certificate_table
from squat_deploy.errors import ConfigError
from squat_deploy.files import write_file
from squat_deploy.loading import load
from squat_deploy.network.activity import warnings_of
from squat_deploy.network.tabled import inputs_line


def certify(
    network: NetworkFile,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Also save the certificate as JSON.")] = None,
    as_json: Json = False,
) -> None:
    """Show what has been proven of a network; exit 0 only if every layer is."""
    loaded = load(network)
    certificate = loaded.certificate
    if out is not None:
        content = {**certificate.to_dict(), **grid(loaded.input), "origin": loaded.origin.to_dict()}
        write_file(out, (json.dumps(content, indent=2) + "\n").encode())
    table, lines = certificate_table(certificate), (inputs_line(loaded), *assumption_lines(certificate))
    if not certificate.proven:
        if not as_json:
            console.print(table, *lines)
        raise ConfigError(f"{network}: not proven in every layer")
    emit(
        {"warnings": warnings_of(loaded), **summary(loaded)},
        as_json,
        table,
        *lines,
        following("squat-deploy", "verify", network),
    )
