"""`testbench`: a testbench in C for a core of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from squat_deploy.backends.hls import HlsConfig
from squat_deploy.backends.testbench import emit_testbench
from squat_deploy.cli.documents import emit, following, grid
from squat_deploy.cli.fields import with_fields
from squat_deploy.cli.inputs import network_inputs
from squat_deploy.cli.options import InputsFile, Json, NetworkFile, Real, TimeUnitOption, Window
from squat_deploy.cli.sources import stem_of
from squat_deploy.loading import load
from squat_deploy.network.grid import doubts
from squat_deploy.network.tabled import inputs_line


@with_fields(HlsConfig, only=("vectors",))
def testbench(
    network: NetworkFile,
    *,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Its folder; testbench_NAME by default.")] = None,
    inputs: InputsFile = None,
    real: Real = False,
    window: Window = None,
    time_unit: TimeUnitOption = None,
    constants: Annotated[
        bool, typer.Option("--constants", help="Write weights and tables too, as plain arrays, each with its law.")
    ] = False,
    fields: dict[str, Any],
    as_json: Json = False,
) -> None:
    """Write a self-checking testbench in C, with golden data, for a core that you write yourself."""
    loaded, name = load(network), stem_of(network)
    target = out or Path(f"testbench_{name if name.isidentifier() else 'network'}")
    data, notes, texts = None, list[str](), list[str]()
    if inputs is not None or real:
        data, notes, texts = network_inputs(loaded, inputs, 0, real=real, window=window, unit=time_unit)
    project = emit_testbench(loaded, target, stimulus=data, constants=constants, **fields)
    texts += doubts(loaded, data) if data is not None else ()
    document = {"testbench": str(project), "notes": notes, "warnings": texts, **grid(loaded.input)}
    after = following("make", "-C", project, "check", "DUT=my_core.c")
    write = f"now write the core that {project / 'dut.h'} asks for, as {project / 'my_core.c'}"
    emit(document, as_json, *notes, inputs_line(loaded), f"wrote {project}", write, after)
