"""`rtl`: a SystemVerilog project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from squat_deploy.backends.rtl import RtlConfig, emit_rtl
from squat_deploy.cli.commands.hls import by_layer
from squat_deploy.cli.documents import emit, following, grid
from squat_deploy.cli.fields import with_fields
from squat_deploy.cli.inputs import network_inputs
from squat_deploy.cli.options import InputsFile, Json, NetworkFile, Real, TimeUnitOption, Window
from squat_deploy.cli.sources import stem_of
from squat_deploy.cli.tables import folding_table
from squat_deploy.files import MANIFEST
from squat_deploy.loading import load
from squat_deploy.network.grid import doubts
from squat_deploy.network.tabled import inputs_line


@with_fields(
    RtlConfig,
    leave_out=("encoder",),
    spellings={"pe": by_layer("pe", 16, "Neurons in parallel, by default as few as keep the pace of 16 in all layers")},
)
def rtl(
    network: NetworkFile,
    *,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Project folder; rtl_out/NAME by default.")] = None,
    inputs: InputsFile = None,
    real: Real = False,
    window: Window = None,
    time_unit: TimeUnitOption = None,
    fields: dict[str, Any],
    as_json: Json = False,
) -> None:
    """Write a SystemVerilog project with golden data, which open tools lint and simulate."""
    loaded = load(network)
    name = stem_of(network)
    target = out or Path("rtl_out") / (name if name.isidentifier() else "network")
    data, notes, texts = None, list[str](), list[str]()
    if inputs is not None or real:
        data, notes, texts = network_inputs(loaded, inputs, 0, real=real, window=window, unit=time_unit)
    project = emit_rtl(loaded, target, RtlConfig(**fields), stimulus=data)
    folding = json.loads((project / MANIFEST).read_text())["folding"]
    texts += doubts(loaded, data) if data is not None else ()
    document = {"project": str(project), "folding": folding, "notes": notes, "warnings": texts, **grid(loaded.input)}
    after = ("make", "-C", project, "sim") if fields.get("board") is None else ("squat-deploy", "bitstream", project)
    emit(document, as_json, *notes, folding_table(folding), inputs_line(loaded), f"wrote {project}", following(*after))
