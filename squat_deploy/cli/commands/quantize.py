"""`quantize`: a float model becomes a quantized one, and a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType

from squat_deploy.cli import sources, targets
from squat_deploy.cli.documents import emit, following, gathered, summary
from squat_deploy.cli.guarding import check_paths
from squat_deploy.cli.inputs import parsed_shape, seen_in
from squat_deploy.cli.options import (
    BatchFirst,
    Checkpoint,
    DataFile,
    Encoded,
    Json,
    LabelsFile,
    NetworkOut,
    NirOut,
    Overwrite,
    ReadoutOption,
    Steps,
    TimeUnitOption,
    Unproven,
    Window,
)
from squat_deploy.cli.tables import certificate_table, network_table, trials_table
from squat_deploy.errors import ConfigError
from squat_deploy.network import Network
from squat_deploy.network.storage import save
from squat_deploy.reading import data_for, labels_of
from squat_deploy.snn.levels import Kind

if TYPE_CHECKING:
    from torch import Tensor, nn


def quantize(
    model: Annotated[str, typer.Argument(help="A float snnTorch model as path/to/file.py:factory.")],
    steps: Steps,
    calibration: DataFile,
    labels: LabelsFile = None,
    shape: Annotated[str | None, typer.Option(help="Shape of one sample, where the data does not say it.")] = None,
    window: Window = None,
    time_unit: TimeUnitOption = None,
    checkpoint: Checkpoint = None,
    weight_bits: Annotated[int, typer.Option(help="Width of the weights, 2 to 8.")] = 4,
    state_bits: Annotated[int, typer.Option(help="Width of the membranes, 1 to 8.")] = 4,
    levels: Annotated[Kind, typer.Option(help="Spacing of the levels.")] = "threshold-centred",
    budget: Annotated[float | None, typer.Option(help="Search bits a layer that cost at most this accuracy.")] = None,
    encoding: Encoded = "direct",
    readout: ReadoutOption = "count",
    batch_first: BatchFirst = False,
    out: NetworkOut = Path("network.safetensors"),
    nir: NirOut = None,
    allow_unproven: Unproven = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Quantize a model that was never trained with quantization, lower it, and show what it cost."""
    from squat_deploy import lowering
    from squat_deploy.snn.checkpoint import save_model
    from squat_deploy.snn.ptq import Recipe, calibrated, input_spec
    from squat_deploy.snn.states import made_state

    source, beside = sources.source_of(model), out.parent / f"{out.stem}.model.safetensors"
    read = {"model": model, "calibration": calibration, "labels": labels, "checkpoint": checkpoint}
    check_paths({**read, "out": beside, "nir": nir})
    targets.check_both(out, beside, source, overwrite=overwrite, ask=not as_json)
    _check_labels(labels, budget, readout)
    options: dict[str, Any] = {"steps": steps, "levels": levels, "encoding": encoding, "time_first": not batch_first}
    with gathered() as texts:
        loaded, state = lowering.load_with_state(model, checkpoint, trained=True)
        options["initial_state"] = first = made_state(state)
        values, notes = data_for(parsed_shape(shape), steps, calibration, window, time_unit)
        classes = None if labels is None else labels_of(labels)
        data, score = calibrated(values, classes, steps, encoding, first, time_first=not batch_first)
        made, trials = _quantized(loaded, data, score, (weight_bits, state_bits), budget, options)
        spec, name = input_spec(made, data, encoding, time_first=not batch_first), sources.name_of(model)
        said = {"readout": readout, "allow_unproven": allow_unproven, "name": name, "initial_state": first}
        lowered = lowering.lower(made, spec, steps, **said)
    network = replace(lowered, origin=replace(lowered.origin, source=source, **seen_in(data.numpy(), spec)))
    _write_nir(network, made, nir, first)
    save_model(made, beside, {"source": source, "quantized": asdict(Recipe.of(loaded, made))})
    save(network, out)
    accuracy = None if labels is None else {"float": score(loaded), "quantized": score(made)}
    weights = sources.weights_line(model, checkpoint)
    files = {"network": str(out), "model": str(beside), **({"nir": str(nir)} if nir else {})}
    document: dict[str, Any] = {**files, "accuracy": accuracy, "trials": trials, "weights": weights, "notes": notes}
    saved = f"saved {out}, and the quantized torch model as {beside}, a checkpoint of {source} for verify"
    saved += f"; as {nir} it needs no {source}" if nir else ""
    tables = _tables(network, trials, weights, accuracy)
    after = following("squat-deploy", "verify", out, "--model", model, "--checkpoint", beside)
    emit({**document, "warnings": texts, **summary(network)}, as_json, *notes, *tables, saved, after)


def _check_labels(labels: Path | None, budget: float | None, readout: str) -> None:
    """Raises: ConfigError where an accuracy is asked for that is not computed here."""
    if budget is not None and labels is None:
        raise ConfigError("quantize: --budget is about accuracy, which needs --labels")
    if labels is not None and readout != "count":
        text = f"quantize: the accuracy on --labels is that of spike counts, not of --readout {readout}"
        raise ConfigError(f"{text}; leave --labels to `simulate`")


def _write_nir(network: Network, model: nn.Module, path: Path | None, initial_state: Any) -> None:
    """If it is asked for. Raises: LoweringError for layers that NIR has no node for."""
    from squat_deploy.readers.nir.writing import write_nir

    if path is not None:
        write_nir(network, model, path, initial_state=initial_state)


def _quantized(
    model: nn.Module,
    data: Tensor,
    score: Callable[[nn.Module], float],
    widths: tuple[int, int],
    budget: float | None,
    options: dict[str, Any],
) -> tuple[nn.Module, list[dict[str, Any]]]:
    """The quantized model, of these widths or of those found, and the trials of the search."""
    from squat_deploy.snn import ptq

    if budget is None:
        return ptq.quantize(model, data, weight_bits=widths[0], state_bits=widths[1], **options), []
    found = ptq.search_bits(model, data, score, budget=budget, **options)
    return found.model, [vars(trial) for trial in found.trials]


def _tables(
    network: Network, trials: list[dict[str, Any]], weights: str, accuracy: dict[str, float] | None
) -> Iterator[RenderableType]:
    if trials:
        yield trials_table(trials)
    yield network_table(network)
    yield certificate_table(network.certificate)
    yield weights
    if accuracy is not None:
        yield f"accuracy: {accuracy['float']:.2%} in float, {accuracy['quantized']:.2%} now"
