"""`verify`: every executor on the same input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from squat_deploy.agreement import EXECUTORS, USUAL
from squat_deploy.agreement import verify as compare
from squat_deploy.agreement.api import other_model
from squat_deploy.cli.documents import finish, following, gathered, grid
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
    Samples,
    TimeUnitOption,
    Window,
)
from squat_deploy.cli.sources import imported, is_export, is_nir, written_of
from squat_deploy.cli.sources import loaded as loaded_model
from squat_deploy.errors import ConfigError
from squat_deploy.loading import load
from squat_deploy.network import Network
from squat_deploy.network.tabled import inputs_line
from squat_deploy.reading import labels_of

if TYPE_CHECKING:
    from torch import nn


_DEFAULT = f"By default {', '.join(USUAL)}: all of them that can run here; torch runs with --model."


def verify(
    network: NetworkFile,
    model: Annotated[
        str | None,
        typer.Option(help="The torch model: path/to/file.py:factory, .nir, a file of train, or .onnx."),
    ] = None,
    checkpoint: Checkpoint = None,
    exact: Exact = False,
    neurons: NeuronFile = None,
    inputs: InputsFile = None,
    real: Real = False,
    window: Window = None,
    time_unit: TimeUnitOption = None,
    labels: LabelsFile = None,
    samples: Samples = 64,
    executor: Annotated[
        list[str] | None, typer.Option(help=f"An executor (repeatable): {', '.join(EXECUTORS)}. {_DEFAULT}")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run torch, NumPy, compiled C++ and the ONNX graphs on the same input and compare whole traces."""
    loaded = load(network)
    with gathered() as texts:
        trained, state = trained_of("verify", model, checkpoint, neurons)
        trained = exact_form("verify", trained, loaded, state) if exact else trained
    data, notes, doubtful = network_inputs(loaded, inputs, samples, real=real, window=window, unit=time_unit)
    classes = None if labels is None else labels_of(labels)
    kind: Literal["given", "random"] = "random" if inputs is None else "given"
    options: dict[str, Any] = {"labels": classes, "executors": executor, "inputs_are": kind}
    found = compare(loaded, trained, data, initial_state=state, **options)
    own = found.warnings
    if is_nir(model) and written_of(model) == loaded.digest:  # its layers hold the same numbers otherwise
        own = tuple(text for text in own if text not in other_model(loaded, trained))
        notes = [*notes, f"{model} says that it was written of this network"]
    agreement = replace(found, warnings=(*own, *texts, *doubtful))
    finish(
        agreement,
        as_json,
        {"digest": loaded.digest, "notes": notes, **grid(loaded.input)},
        (*notes, inputs_line(loaded), *([following("squat-deploy", "hls", network)] if agreement.agrees else [])),
    )


def exact_form(command: str, model: nn.Module | None, network: Network, state: Any) -> nn.Module:
    """The model that was lowered with --exact. Raises: ConfigError without a model."""
    if model is None:
        raise ConfigError(f"{command}: --exact is about the torch model: give --model")
    from squat_deploy.lowering import exact

    return exact(model, network.input, network.steps, initial_state=state)


def trained_of(
    command: str, model: str | None, checkpoint: Path | None, neurons: Path | None
) -> tuple[nn.Module | None, Any]:
    """The torch model that a command names, if it does, and its initial state.

    Raises: ConfigError for options that belong to the other kind of model.
    """
    export = is_export(model)
    if (neurons is not None and not export) or (checkpoint is not None and (model is None or export)):
        raise ConfigError(
            f"{command}: --checkpoint belongs to a --model in Python, --neurons to one that ends in .onnx"
        )
    if model is None:
        return None, None
    if export:
        return imported(model, neurons)[0], None
    return loaded_model(model, checkpoint)
