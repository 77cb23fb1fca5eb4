"""`hls`: a C++ HLS project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from squat_deploy.backends.hls import HlsConfig, emit_hls
from squat_deploy.cli.documents import emit, following, grid
from squat_deploy.cli.fields import Spelling, with_fields
from squat_deploy.cli.inputs import network_inputs
from squat_deploy.cli.options import InputsFile, Json, NetworkFile, Real, TimeUnitOption, Window
from squat_deploy.cli.sources import stem_of
from squat_deploy.errors import ConfigError
from squat_deploy.files import MANIFEST
from squat_deploy.loading import load
from squat_deploy.network.grid import doubts
from squat_deploy.network.tabled import inputs_line


def by_layer(name: str, example: int, text: str, stated: object = None) -> Spelling:
    """`8` for all layers, or `name=8` for some."""

    def read(options: list[str]) -> int | dict[str, int]:
        try:
            if len(options) == 1 and "=" not in options[0]:
                return int(options[0])
            return {layer: int(value) for layer, value in (option.rsplit("=", 1) for option in options)}
        except ValueError as error:
            raise ConfigError(f"--{name}: expected {example}, or NAME={example}; got {' '.join(options)}") from error

    default = None if stated is None else [str(stated)]
    return Spelling(
        kind=list[str] | None, default=default, text=f"{text}: {example}, or lif1={example} (repeatable).", read=read
    )


_SPELLINGS = {
    "pe": by_layer("pe", 8, "Neurons in parallel, by default so that no layer waits"),
    "events": by_layer("events", 2, "Events a cycle that fully connected synapses take", HlsConfig().events),
}


@with_fields(HlsConfig, leave_out=("encoder",), spellings=_SPELLINGS)  # an encoder is a model of its own
def hls(
    network: NetworkFile,
    *,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Project folder; hls_out/NAME by default.")] = None,
    inputs: InputsFile = None,
    real: Real = False,
    window: Window = None,
    time_unit: TimeUnitOption = None,
    fields: dict[str, Any],
    as_json: Json = False,
) -> None:
    """Write a C++ HLS project with its C testbench and golden data."""
    loaded = load(network)
    name = stem_of(network)
    target = out or Path("hls_out") / (name if name.isidentifier() else "network")
    config = HlsConfig(**fields)
    data, notes, texts = None, list[str](), list[str]()
    if inputs is not None or real:
        data, notes, texts = network_inputs(loaded, inputs, 0, real=real, window=window, unit=time_unit)
    project = emit_hls(loaded, target, config, stimulus=data)
    estimate = (project / "reports" / "estimate.txt").read_text()
    folding = json.loads((project / MANIFEST).read_text())["folding"]
    texts += doubts(loaded, data) if data is not None else ()
    document = {"project": str(project), "estimate": estimate, "folding": folding, "notes": notes, "warnings": texts}
    lines = [inputs_line(loaded), _golden_line(project, loaded.steps), f"wrote {project}"]
    after = following("make", "-C", project, "csim")
    emit({**document, **grid(loaded.input)}, as_json, *notes, estimate, *lines, after)


def _golden_line(project: Path, steps: int) -> str:
    """How many sequences there are, and why the testbench runs more."""
    count = len((project / "tb" / "data" / "scores.dat").read_text().splitlines()) // steps
    again = "the first cut off in the middle, and the last behind it"
    again += "; the first in two calls" if steps > 1 else ""
    return f"golden data: {count} sequences; the testbench runs {3 if steps > 1 else 2} of them once more: {again}"
