"""`report`: one HTML file of what is known of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from squat_deploy.cli.commands.verify import exact_form, trained_of
from squat_deploy.cli.documents import emit, following, gathered
from squat_deploy.cli.fields import with_fields
from squat_deploy.cli.inputs import network_inputs
from squat_deploy.cli.options import (
    Checkpoint,
    Exact,
    InputsFile,
    Json,
    LabelsFile,
    NetworkFile,
    NeuronFile,
    Real,
    TimeUnitOption,
    Window,
)
from squat_deploy.hardware.options import HlsConfig
from squat_deploy.loading import load
from squat_deploy.reading import labels_of


@with_fields(HlsConfig, only=("part", "clock_ns", "fit"))
def report(
    network: NetworkFile,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="HTML file; an old one is replaced.")] = Path("report.html"),
    model: Annotated[str | None, typer.Option(help="The torch model, as for verify; it is compared.")] = None,
    checkpoint: Checkpoint = None,
    exact: Exact = False,
    neurons: NeuronFile = None,
    inputs: InputsFile = None,
    real: Real = False,
    window: Window = None,
    time_unit: TimeUnitOption = None,
    labels: LabelsFile = None,
    agreement: Annotated[Path | None, typer.Option(help="What `verify --json` wrote for this network.")] = None,
    hls: Annotated[Path | None, typer.Option(help="HLS project whose folding is shown.")] = None,
    rtl: Annotated[Path | None, typer.Option(help="SystemVerilog project of the network.")] = None,
    sample: Annotated[
        int | None, typer.Option(min=0, help="Sequence to draw spike by spike; by default a usual one.")
    ] = None,
    fields: dict[str, Any],
    as_json: Json = False,
) -> None:
    """Write one HTML page: graph, proof, levels, spikes, activity, cycles, resources, and what to change next."""
    from squat_deploy.reporting.api import report as write
    from squat_deploy.reporting.projects import read_agreement

    loaded = load(network)
    agreed = None if agreement is None else read_agreement(loaded, agreement)
    with gathered() as texts:
        trained, state = trained_of("report", model, checkpoint, neurons)
        trained = exact_form("report", trained, loaded, state) if exact else trained
        data, notes, doubtful = None, list[str](), list[str]()
        if inputs is not None or real:
            data, notes, doubtful = network_inputs(loaded, inputs, 0, real=real, window=window, unit=time_unit)
        classes = None if labels is None else labels_of(labels)
        config = HlsConfig(**fields) if fields else None
        own: dict[str, Any] = {"labels": classes, "agreement": agreed, "hls": hls, "rtl": rtl, "config": config}
        page = write(loaded, out, model=trained, inputs=data, sample=sample, initial_state=state, **own)
    document = {"report": str(page), "digest": loaded.digest, "notes": notes, "warnings": [*texts, *doubtful]}
    after = (
        ("make", "-C", rtl, "sim") if rtl else ("make", "-C", hls, "csim") if hls else ("squat-deploy", "hls", network)
    )
    emit(document, as_json, *notes, f"wrote {page}; open it in a browser, it needs nothing else", following(*after))
