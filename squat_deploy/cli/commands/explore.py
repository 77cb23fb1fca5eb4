"""`explore`: foldings of a SystemVerilog core, what each costs, and the one that is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from squat_deploy.cli.documents import emit, following, grid
from squat_deploy.cli.inputs import network_inputs
from squat_deploy.cli.options import InputsFile, Json, NetworkFile, Real, Window
from squat_deploy.cli.tables import exploration_table
from squat_deploy.errors import ConfigError
from squat_deploy.exploration import Wanted
from squat_deploy.exploration import explore as search
from squat_deploy.exploration.picture import drawn
from squat_deploy.files import write_file
from squat_deploy.hardware.vectors import random_stimulus
from squat_deploy.loading import load
from squat_deploy.network.tabled import inputs_line
from squat_deploy.progress import report as say

_SEQUENCES = 4  # random ones that are timed
_MOST = 8  # of those that are given
_RANDOM = "cycles of random inputs: give --inputs that are like yours"


def explore(
    network: NetworkFile,
    *,
    target: Annotated[str, typer.Option(help="ecp5 or xc7.")] = "ecp5",
    mhz: Annotated[float | None, typer.Option(min=1, max=1000, help="Of the clock; by default as routed.")] = None,
    max_lut: Annotated[int | None, typer.Option(min=1, help="LUTs at most.")] = None,
    max_bram: Annotated[int | None, typer.Option(min=1, help="Block RAMs at most.")] = None,
    max_us: Annotated[float | None, typer.Option(min=0, help="Microseconds to the last score at most.")] = None,
    min_fps: Annotated[float | None, typer.Option(min=0, help="Sequences a second at least.")] = None,
    inputs: InputsFile = None,
    real: Real = False,
    window: Window = None,
    picture: Annotated[Path | None, typer.Option(help="Draw all foldings into this SVG file.")] = None,
    as_json: Json = False,
) -> None:
    """Say what every sensible folding of a network costs as SystemVerilog, and choose one."""
    loaded = load(network)
    notes, texts = list[str](), list[str]()
    if inputs is None:
        data, texts = (
            random_stimulus(loaded, _SEQUENCES + 2),
            ["cycles of random inputs: give --inputs that are like yours"],
        )
    else:
        data, notes, texts = network_inputs(loaded, inputs, 0, real=real, window=window)
    axis = 0 if loaded.input.encoding == "direct" else 1
    timed, there = _SEQUENCES if inputs is None else _MOST, data.shape[axis]
    if inputs is not None and there > timed:
        notes = [*notes, f"cycles: those of the last {timed} of {there:,} sequences"]
    data = data[-timed:] if axis == 0 else data[:, -timed:]
    wanted = Wanted(target, mhz, max_lut, max_bram, max_us, min_fps)
    found = search(loaded, data, wanted, say=say)
    if picture is not None:
        write_file(picture, drawn(found))
    if found.chosen is None:
        raise ConfigError(f"no folding keeps to these limits; the nearest: {found.nearest}")
    document: dict[str, Any] = {**found.to_dict(), "notes": notes, "warnings": texts, **grid(loaded.input)}
    next_ = following("squat-deploy", "rtl", network, *found.chosen.folding.split(" "))
    emit(document, as_json, *notes, exploration_table(found), *found.said, inputs_line(loaded), next_)
