"""`lower`: a trained torch model becomes a network of integers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from squat_deploy.agreement import Deviation, deviation
from squat_deploy.cli import sources, targets
from squat_deploy.cli.documents import emit, following, gathered, summary
from squat_deploy.cli.inputs import InputOptions, network_inputs
from squat_deploy.cli.options import (
    Checkpoint,
    Exact,
    Json,
    NetworkOut,
    NeuronFile,
    Overwrite,
    ReadoutOption,
    Unproven,
    with_input_options,
)
from squat_deploy.cli.tables import certificate_table, network_table
from squat_deploy.errors import ConfigError
from squat_deploy.network import InputSpec, Network
from squat_deploy.network.origin import Origin
from squat_deploy.network.storage import save
from squat_deploy.reading import TimeUnit

if TYPE_CHECKING:
    from torch import nn


@with_input_options
def lower(
    model: Annotated[
        str, typer.Argument(help="The torch model: path/to/file.py:factory, a file of train (.safetensors), or .onnx.")
    ],
    *,
    steps: Annotated[int | None, typer.Option(help="Time steps of one sequence.")] = None,
    neurons: NeuronFile = None,
    out: NetworkOut = Path("network.safetensors"),
    checkpoint: Checkpoint = None,
    fields: dict[str, Any],
    readout: ReadoutOption = "count",
    exact: Exact = False,
    inputs: Annotated[
        Path | None, typer.Option(help="With --exact: inputs on which it is compared with the trained model.")
    ] = None,
    real: Annotated[bool, typer.Option("--real", help="With --exact: these inputs are real values.")] = False,
    samples: Annotated[int, typer.Option(min=1, help="With --exact: random sequences instead of --inputs.")] = 64,
    allow_unproven: Unproven = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Turn a trained torch model into a network of integers, proven equal to it."""
    from squat_deploy.lowering import exact as exact_form
    from squat_deploy.lowering import lower as lower_model

    stated = InputOptions(**fields)
    if not exact and (inputs is not None or real):
        raise ConfigError(
            "lower: --inputs and --real go with --exact: they show how far its form is from the trained model"
        )
    _check_options(model, steps, neurons, checkpoint, stated)
    source = sources.source_of(model)
    targets.check_network(out, source, overwrite=overwrite, ask=not as_json)
    with gathered() as texts:
        (loaded, state), spec, count, origin = _loaded(model, steps or 0, neurons, checkpoint, stated)
        options: dict[str, Any] = {"name": sources.name_of(model), "initial_state": state}
        lowered = exact_form(loaded, spec, count, initial_state=state) if exact else loaded
        made = lower_model(lowered, spec, count, readout=readout, allow_unproven=allow_unproven, **options)
    network = replace(made, origin=replace(origin, model=made.origin.model, source=source))
    save(network, out)
    weights = sources.weights_line(model, checkpoint)
    document = {"network": str(out), "weights": weights, "warnings": texts, **summary(network)}
    tables = (network_table(network), certificate_table(network.certificate))
    lines = [weights, f"saved {out}", _next(out, model, checkpoint, neurons, exact=exact)]
    if exact:
        given = inputs, samples, stated.window, stated.time_unit
        told, notes, doubtful = _deviation(network, (loaded, lowered, state), *given, real=real)
        document |= {"exact": told.to_dict(), "notes": notes, "warnings": [*texts, *doubtful]}
        lines = [*notes, f"exact form: {told.line}", *lines]
    emit(document, as_json, *tables, *lines)


def _next(out: Path, model: str, checkpoint: Path | None, neurons: Path | None, *, exact: bool) -> str:
    """The comparison with the model, named as it was here."""
    own = ("--checkpoint", checkpoint) if checkpoint else ("--neurons", neurons) if neurons else ()
    return following("squat-deploy", "verify", out, "--model", model, *own, *(["--exact"] if exact else []))


def _deviation(
    network: Network,
    models: tuple[nn.Module, nn.Module, Any],
    path: Path | None,
    samples: int,
    window: int | None,
    unit: TimeUnit | None,
    *,
    real: bool,
) -> tuple[Deviation, list[str], list[str]]:
    """How far the exact form is from the trained model; what was done to the inputs; what is doubtful of them.

    Args: models: the trained one, its exact form, and the initial state of both.
    """
    data, notes, doubtful = None, list[str](), list[str]()
    if path or real:
        data, notes, doubtful = network_inputs(network, path, samples, real=real, window=window, unit=unit)
    model, other, state = models
    options: dict[str, Any] = {"samples": samples, "readout": network.readout, "initial_state": state}
    return deviation(model, other, network.input, network.steps, data, **options), notes, doubtful


def _check_options(
    model: str, steps: int | None, neurons: Path | None, checkpoint: Path | None, stated: InputOptions
) -> None:
    """Raises: ConfigError for options that belong to the other kind of model."""
    if sources.is_trained(model):
        if (steps, neurons, checkpoint) != (None, None, None) or stated != InputOptions():
            raise ConfigError(f"lower: {model} says its weights, steps and inputs itself; leave those options out")
    elif not sources.is_export(model):
        if neurons is not None:
            raise ConfigError(
                "lower: --neurons goes with .onnx files; a model in Python has its own neurons: leave it out"
            )
        if steps is None:
            raise ConfigError("lower: a model in Python needs --steps, the time steps of a sequence, e.g. --steps 10")
    elif steps is not None or checkpoint is not None or stated != InputOptions():
        raise ConfigError("lower: with an .onnx file, steps and inputs are stated in the YAML file of --neurons")


def _loaded(
    model: str, steps: int, neurons: Path | None, checkpoint: Path | None, stated: InputOptions
) -> tuple[tuple[nn.Module, Any], InputSpec, int, Origin]:
    """A model and its initial state, its inputs, its time steps, and the integers that were seen in calibration."""
    if sources.is_export(model):
        read, spec, steps = sources.imported(model, neurons)
        return (read, None), spec, steps, Origin()
    if sources.is_trained(model):
        read, spec, steps = sources.made_by_training(model)
        return (read, None), spec, steps, Origin()
    loaded, state = sources.loaded(model, checkpoint, trained=True)
    spec, origin = stated.spec(loaded, steps, state)
    return (loaded, state), spec, steps, origin
