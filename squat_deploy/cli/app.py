"""From PyTorch to an FPGA without changing a single bit.

Every command prints for people, or one JSON document with --json, and exits 0 only when all is well; 1 for what the
user can mend, 2 for wrong usage, 70 for a fault of this program, 130 for Ctrl-C.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from squat_deploy import toolchain
from squat_deploy.agreement import Agreement, check_labels, verify
from squat_deploy.arrays import read_npy
from squat_deploy.backends.hls import HlsConfig, emit_hls
from squat_deploy.cli.console import Answers, Commands, answer, check_paths, guarded, told
from squat_deploy.cli.tables import (
    agreement_table,
    assumption_lines,
    certificate_table,
    checked_table,
    cost_line,
    inputs_line,
    network_table,
    ports_table,
    trials_table,
)
from squat_deploy.errors import ConfigError, FileFormatError, SquatError, SquatWarning
from squat_deploy.files import check_target, write_file
from squat_deploy.lab import bundled
from squat_deploy.network import Encoding, InputSpec, Network
from squat_deploy.network.activity import counted, warnings_of, warnings_on
from squat_deploy.network.grid import as_integers, doubts, grid_of, step_of
from squat_deploy.network.origin import Origin
from squat_deploy.network.readout import Readout
from squat_deploy.network.storage import save
from squat_deploy.readers.networks import load
from squat_deploy.snn.levels import Kind

if TYPE_CHECKING:
    from torch import nn

app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)
console = Answers()

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
NetworkFile = Annotated[Path, typer.Argument(help="A saved network (.safetensors), or its graph (.onnx).")]
InputsFile = Annotated[Path | None, typer.Option(help="Integer inputs as .npy, (B, ...) or (T, B, ...).")]
Real = Annotated[bool, typer.Option("--real", help="Inputs are real values: round them to the network's own grid.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file of --out that is not of this model.")]
LabelsFile = Annotated[Path | None, typer.Option(help="Classes as .npy, (B,).")]
DataFolder = Annotated[Path | None, typer.Option(help="Folder of the Fashion-MNIST IDX files, or .npz file of events.")]
_MAX_RANDOM_VALUES = 2**26  # of inputs, or of what a network gives for them


def _emit(document: dict[str, Any], as_json: bool, *tables: Table | str) -> None:
    if as_json:
        answer({"ok": True, **document})
        return
    _warn(document.get("warnings", ()))
    for table in tables:
        console.print(table)


@contextmanager
def _gathered() -> Iterator[list[str]]:
    """Collects every SquatWarning of the block; others go their way."""
    texts: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", SquatWarning)
        shown = warnings.showwarning

        def keep(message: Warning | str, category: type[Warning], *rest: Any) -> None:
            if issubclass(category, SquatWarning):
                texts.append(str(message))
            else:
                shown(message, category, *rest)

        warnings.showwarning = keep  # type: ignore[assignment]
        yield texts


def _warn(texts: Iterable[str]) -> None:
    """Prints what is exact and yet probably not what the user wants, on stderr."""
    for text in texts:
        told("warning:", text, "bold yellow")


def _array(path: Path) -> NDArray[Any]:
    """An .npy array, never unpickled."""
    return read_npy(path)


def _inputs(
    network: Network, path: Path | None, samples: int, real: bool, seed: int = 0
) -> tuple[NDArray[Any], list[str], list[str]]:
    """The user's inputs as integers, or random ones over the whole range; what was done to them; what is doubtful."""
    if path is not None:
        return as_integers(network.input, _array(path), real=real)
    if real:
        raise ConfigError("--real is of inputs of your own: give --inputs")
    spec = network.input
    lead = (samples,) if spec.encoding == "direct" else (network.steps, samples)
    widest = max(spec.size * (len(lead) == 1 or network.steps), network.outputs)
    if samples * widest > _MAX_RANDOM_VALUES:
        raise ConfigError(f"--samples: at most {_MAX_RANDOM_VALUES // widest} sequences of this network; got {samples}")
    return np.random.default_rng(seed).integers(spec.low, spec.high + 1, (*lead, *spec.shape)), [], []


def _summary(network: Network) -> dict[str, Any]:
    return {
        "name": network.name,
        "digest": network.digest,
        "steps": network.steps,
        **_grid(network),
        "origin": network.origin.to_dict(),
        **network.certificate.to_dict(),
    }


def _grid(network: Network) -> dict[str, Any]:
    return {"input": {**vars(network.input), "shape": list(network.input.shape)}}


@app.command()
@guarded
def train(
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and the model.")] = Path("runs/fashion_mnist"),
    config: Annotated[Path | None, typer.Option(help="YAML file of a training; other options go before it.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training data [60].")] = None,
    state_bits: Annotated[int | None, typer.Option(help="Width of the membrane, 1 to 8 [2].")] = None,
    weight_bits: Annotated[int | None, typer.Option(help="Width of the weights, 2 to 8 [4].")] = None,
    levels: Annotated[Kind | None, typer.Option(help="Spacing of the levels [threshold-centred].")] = None,
    hidden: Annotated[int | None, typer.Option(help="Hidden neurons of the dense network [256].")] = None,
    float_epochs: Annotated[int | None, typer.Option(help="First epochs in float [0].")] = None,
    batch: Annotated[int | None, typer.Option(help="Samples an update [128].")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Adam's, at the start of the cosine [0.001].")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed [0].")] = None,
    device: Annotated[str | None, typer.Option(help="As torch names it, e.g. cpu [a GPU where there is one].")] = None,
    data: DataFolder = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch missing data into --data.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Train a network with quantized weights and states: by default the bundled one on Fashion-MNIST."""
    from squat_deploy.configs import read_yaml
    from squat_deploy.lab.data import read_data
    from squat_deploy.lab.loop import MODEL, TrainConfig
    from squat_deploy.lab.loop import train as run_training

    stated = {
        "epochs": epochs,
        "state_bits": state_bits,
        "weight_bits": weight_bits,
        "kind": levels,
        "sizes": None if hidden is None else (784, hidden, 10),
        "float_epochs": float_epochs,
        "batch": batch,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    chosen = TrainConfig() if config is None else read_yaml(config, TrainConfig)
    changed = {key: value for key, value in stated.items() if value is not None}
    chosen = TrainConfig.model_validate({**chosen.model_dump(), **changed})
    training, test = read_data(chosen, data, download=download)
    _, history = run_training(chosen, training, test, out, resume=resume, quiet=as_json, device=device)
    document = {"model": str(out / MODEL), "config": chosen.model_dump(mode="json"), "history": history}
    _emit(document, as_json, f"test accuracy {history[-1]['accuracy']:.2%}; the model is in {out / MODEL}")


study_app = typer.Typer(no_args_is_help=True, help="Grids of trainings and quantizations, and what came out.")
app.add_typer(study_app, name="study")


@study_app.command(name="run")
@guarded
def study_run(
    config: Annotated[Path, typer.Argument(help="YAML file of the study.")],
    out: Annotated[Path, typer.Option(help="Folder of its cells; those that are in it are not run again.")],
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, e.g. tcp://host:8786.")] = None,
    jobs: Annotated[int, typer.Option(min=1, max=1024, help="Processes on this machine, without --scheduler.")] = 2,
    data: DataFolder = None,
    as_json: Json = False,
) -> None:
    """Run the cells of a study that are not there yet; interrupted trainings go on from their checkpoints."""
    from squat_deploy.configs import read_yaml
    from squat_deploy.lab.study.config import Study
    from squat_deploy.lab.study.running import run_study

    count = run_study(read_yaml(config, Study), out, scheduler=scheduler, jobs=jobs, place=data, quiet=as_json)
    _emit({"cells": count, "store": str(out)}, as_json, f"ran {count} cells; the store is {out}")


@study_app.command(name="report")
@guarded
def study_report(
    stores: Annotated[list[Path], typer.Argument(help="Folders of cells, a section each.")],
    out: Annotated[Path, typer.Option(help="Markdown file to write; its pictures go beside it.")],
    as_json: Json = False,
) -> None:
    """Write tables (mean and 95 % interval over seeds) and pictures of the stored cells."""
    from squat_deploy.lab.study.report import write_report

    write_report(stores, out)
    _emit({"report": str(out)}, as_json, f"wrote {out}")


ModelArgument = Annotated[
    str, typer.Argument(help="The torch model as path/to/file.py:factory, or a QONNX export of Brevitas (.onnx).")
]
NeuronFile = Annotated[Path | None, typer.Option(help="YAML file with the neurons of a QONNX export.")]
Shape = Annotated[str | None, typer.Option(help="Shape of one sample, e.g. 784 or 2,34,34.")]
Low = Annotated[int | None, typer.Option(help="Lowest input integer.")]
High = Annotated[int | None, typer.Option(help="Highest input integer.")]
Step = Annotated[str | None, typer.Option(help="Value of one input integer, e.g. 1/256 or 2^-8.")]
Calibration = Annotated[Path | None, typer.Option(help="Inputs as .npy, as the model sees them: they say the grid.")]
Encoded = Annotated[Literal["direct", "sequence"], typer.Option(help="One frame, or one a step.")]
Checkpoint = Annotated[Path | None, typer.Option(help="State dict: safetensors, or a torch file of weights only.")]
ReadoutOption = Annotated[Readout, typer.Option(help="How the last neurons become a class.")]
Unproven = Annotated[bool, typer.Option("--allow-unproven", help="Carry layers that are not proven.")]


@app.command()
@guarded
def lower(
    model: ModelArgument,
    steps: Annotated[int | None, typer.Option(help="Time steps of one sequence.")] = None,
    neurons: NeuronFile = None,
    out: Annotated[Path, typer.Option(help="Where to save the network.")] = Path("network.safetensors"),
    checkpoint: Checkpoint = None,
    shape: Shape = None,
    low: Low = None,
    high: High = None,
    step: Step = None,
    calibration: Calibration = None,
    encoding: Encoded = "direct",
    readout: ReadoutOption = "count",
    allow_unproven: Unproven = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Turn a trained torch model into a network of integers, proven equal to it."""
    from squat_deploy.lowering import load_model
    from squat_deploy.lowering import lower as lower_model

    imported, given = model.endswith(".onnx"), (steps, checkpoint, shape, low, high, step, calibration)
    if imported and (any(value is not None for value in given) or encoding != "direct"):
        raise ConfigError("lower: with an .onnx file, steps and inputs are stated in the YAML file of --neurons")
    if not imported and (steps is None or neurons is not None):
        raise ConfigError("lower: a model in Python needs --steps, and no --neurons")
    source = _source(model)
    _check_target(out, source, overwrite=overwrite, ask=not as_json)
    loaded: nn.Module
    with _gathered() as texts:
        if imported:
            loaded, spec, count = _imported(model, neurons)
            name, origin = Path(model).stem, Origin()
        else:
            loaded, count = load_model(model, checkpoint, trained=True), steps or 0
            spec, origin = _stated(loaded, count, shape, low, high, step, calibration, encoding)
            name = model.rsplit(":", 1)[-1]
        made = lower_model(loaded, spec, count, readout=readout, allow_unproven=allow_unproven, name=name)
    network = replace(made, origin=replace(origin, model=made.origin.model, source=source))
    save(network, out)
    weights = _weights(model, checkpoint)
    notes = (weights, f"saved {out}")
    tables = (network_table(network), certificate_table(network.certificate), *notes)
    document = {"network": str(out), "weights": weights, "warnings": texts, **_summary(network)}
    _emit(document, as_json, *tables)


def _stated(
    model: nn.Module,
    steps: int,
    shape: str | None,
    low: int | None,
    high: int | None,
    step: str | None,
    calibration: Path | None,
    encoding: Encoding,
) -> tuple[InputSpec, Origin]:
    """What enters a model, as options, data, or the model itself say; and the integers that were seen in the data."""
    from squat_deploy.lowering.loading import check_own_grid, infer_input

    worth = None if step is None else step_of(step)
    if calibration is None:
        spec = infer_input(model, _shape(shape), low, high, worth, encoding)
        if high is None:
            check_own_grid(model, spec, steps)
        return spec, Origin()
    if (low, high, step) != (None, None, None):
        raise ConfigError("inputs: --calibration says the grid; leave out --low, --high and --step")
    data = _array(calibration)
    sample = _shape(shape) or data.shape[1 if encoding == "direct" else 2 :] or None
    (low, high, worth), origin = _calibrated_grid(model, data)
    spec = infer_input(model, sample, low, high, worth, encoding)
    check_own_grid(model, spec, steps)
    return spec, origin


def _calibrated_grid(model: nn.Module, data: NDArray[Any]) -> tuple[tuple[int, int, float], Origin]:
    """The grid of a model's InputQuantizer, else that of the data; and the integers that were seen."""
    from squat_deploy.snn.quantizers import InputQuantizer

    own = next((module for module in model.modules() if isinstance(module, InputQuantizer)), None)
    low, high, step = grid_of(data) if own is None else (own.low, own.high, own.step)
    seen = InputSpec((1,), low, high, step).quantize(data)
    return (low, high, step), Origin(lowest=int(seen.min()), highest=int(seen.max()))


def _source(model: str) -> str:
    """The file and the factory as a network records them, without folders."""
    name = Path(model).name
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:255]


def _check_target(out: Path, source: str, *, overwrite: bool, ask: bool) -> None:
    """Raises: ConfigError where a file is in the way that was not made from the same file of the user's."""
    if overwrite or not out.is_file():
        return
    try:
        origin = load(out).origin
        what = f"a network that was made from {origin.source}" if origin.source else "a network that names no model"
        if origin.source and origin.file == Origin(source=source).file:
            return
    except SquatError:
        what = "no network of squat_deploy"
    _refuse_unless_told(out, what, ask=ask)


def _refuse_unless_told(path: Path, what: str, *, ask: bool) -> None:
    if ask and _is_terminal() and typer.confirm(f"{path} is {what}; replace it?"):
        return
    raise ConfigError(f"{path} exists and is {what}; choose another --out, or give --overwrite to replace it")


def _is_terminal() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty()


def _weights(model: str, checkpoint: Path | None) -> str:
    if model.endswith(".onnx") or checkpoint is not None:
        return f"weights: those of {checkpoint or model}"
    return f"weights: those that {model.rsplit(':', 1)[-1]}() made (no --checkpoint)"


@app.command(name="quantize")
@guarded
def quantize_command(
    model: Annotated[str, typer.Argument(help="A float snnTorch model as path/to/file.py:factory.")],
    steps: Annotated[int, typer.Option(help="Time steps of one sequence.")],
    calibration: Annotated[Path, typer.Option(help="Inputs as .npy, (B, ...) or (T, B, ...), in the model's units.")],
    labels: LabelsFile = None,
    checkpoint: Checkpoint = None,
    weight_bits: Annotated[int, typer.Option(help="Width of the weights, 2 to 8.")] = 4,
    state_bits: Annotated[int, typer.Option(help="Width of the membranes, 1 to 8.")] = 4,
    levels: Annotated[Kind, typer.Option(help="Spacing of the levels.")] = "threshold-centred",
    budget: Annotated[float | None, typer.Option(help="Search bits a layer that cost at most this accuracy.")] = None,
    encoding: Encoded = "direct",
    out: Annotated[Path, typer.Option(help="Where to save the network.")] = Path("network.safetensors"),
    allow_unproven: Unproven = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Quantize a model that was never trained with quantization, lower it, and show what it cost."""
    from squat_deploy.lowering import load_model
    from squat_deploy.lowering import lower as lower_model
    from squat_deploy.snn.checkpoint import save_model
    from squat_deploy.snn.ptq import Recipe, calibrated, input_spec, quantize, search_bits

    source = _source(model)
    beside = out.parent / f"{out.stem}.model.safetensors"
    given = {"model": model, "calibration": calibration, "labels": labels, "checkpoint": checkpoint}
    check_paths({**given, "out": beside})
    check_target(out)
    _check_target(out, source, overwrite=overwrite, ask=not as_json)
    _check_beside(beside, source, overwrite=overwrite, ask=not as_json)
    if budget is not None and labels is None:
        raise ConfigError("quantize: --budget is of accuracy, so it needs --labels")
    trials: list[dict[str, Any]] = []
    options: dict[str, Any] = {"steps": steps, "levels": levels, "encoding": encoding}
    with _gathered() as texts:
        loaded = load_model(model, checkpoint, trained=True)
        data, score = calibrated(_array(calibration), None if labels is None else _array(labels), steps, encoding)
        if budget is None:
            made = quantize(loaded, data, weight_bits=weight_bits, state_bits=state_bits, **options)
        else:
            found = search_bits(loaded, data, score, budget=budget, **options)
            made, trials = found.model, [vars(trial) for trial in found.trials]
        spec, name = input_spec(made, data, encoding), model.rsplit(":", 1)[-1]
        lowered = lower_model(made, spec, steps, allow_unproven=allow_unproven, name=name)
    seen = spec.quantize(data.numpy())
    ends: dict[str, Any] = {"lowest": int(seen.min()), "highest": int(seen.max())}
    network = replace(lowered, origin=replace(lowered.origin, source=source, **ends))
    save_model(made, beside, {"source": source, "quantized": asdict(Recipe.of(loaded, made))})
    save(network, out)
    accuracy = None if labels is None else {"float": score(loaded), "quantized": score(made)}
    weights = _weights(model, checkpoint)
    document: dict[str, Any] = {"network": str(out), "model": str(beside), "accuracy": accuracy, "trials": trials}
    document |= {"weights": weights, "warnings": texts, **_summary(network)}
    notes = [] if accuracy is None else [f"accuracy: {accuracy['float']:.2%} in float, {accuracy['quantized']:.2%} now"]
    search = [trials_table(trials)] if trials else []
    notes.insert(0, weights)
    tables: list[Table | str] = [network_table(network), certificate_table(network.certificate), *notes]
    saved = f"saved {out}, and the quantized torch model as {beside}, a checkpoint of {source} for verify"
    _emit(document, as_json, *search, *tables, saved)


def _check_beside(path: Path, source: str, *, overwrite: bool, ask: bool) -> None:
    """Raises: ConfigError where a file is in the way that `quantize` did not write for the same file of the user's."""
    from squat_deploy.snn.checkpoint import model_metadata

    if overwrite or not path.is_file():
        return
    with suppress(FileFormatError):
        if Origin(source=str(model_metadata(path).get("source", ""))).file == Origin(source=source).file:
            return
    _refuse_unless_told(path, f"no model that quantize made from {source}", ask=ask)


@app.command(name="check")
@guarded
def check_command(
    model: Annotated[str, typer.Argument(help="The torch model as path/to/file.py:factory.")],
    steps: Annotated[int, typer.Option(help="Time steps of one sequence.")],
    checkpoint: Checkpoint = None,
    shape: Shape = None,
    low: Low = None,
    high: High = None,
    step: Step = None,
    calibration: Calibration = None,
    encoding: Encoded = "direct",
    readout: ReadoutOption = "count",
    allow_unproven: Unproven = False,
    as_json: Json = False,
) -> None:
    """Say what becomes of every layer of a model, trained or not; exit 0 only if `lower` would take it."""
    from squat_deploy.lowering import check, load_model

    with _gathered() as texts:
        loaded = load_model(model, checkpoint)
        spec, _ = _stated(loaded, steps, shape, low, high, step, calibration, encoding)
        rows = check(loaded, spec, steps, readout=readout)
    bad = ("refused",) if allow_unproven else ("refused", "not proven")
    refused = any(row.verdict in bad for row in rows)
    if as_json:
        grid = {"input": {**vars(spec), "shape": list(spec.shape)}}
        answer({"ok": not refused, "layers": [vars(row) for row in rows], "warnings": texts, **grid})
    else:
        _warn(texts)
        console.print(checked_table(rows))
        console.print(f"inputs: {spec.described}")
    if refused:
        raise typer.Exit(1)


def _imported(weights: str, neurons: Path | None) -> tuple[nn.Sequential, InputSpec, int]:
    """Model, inputs and time steps of a QONNX export of Brevitas and its neuron file."""
    from squat_deploy.readers.brevitas.model import imported_model

    if neurons is None:
        raise ConfigError(f"{weights}: an .onnx file has weights only; give the neurons as a YAML file with --neurons")
    return imported_model(Path(weights), neurons)


def _shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--shape: expected integers like 784 or 2,34,34; got {text!r}") from error


@app.command()
@guarded
def certify(
    network: NetworkFile,
    out: Annotated[Path | None, typer.Option(help="Also save the certificate as JSON.")] = None,
    as_json: Json = False,
) -> None:
    """Show what has been proven of a network; exit 0 only if every layer is."""
    loaded = load(network)
    if out is not None:
        content = {**loaded.certificate.to_dict(), **_grid(loaded), "origin": loaded.origin.to_dict()}
        write_file(out, (json.dumps(content, indent=2) + "\n").encode())
    tables = (certificate_table(loaded.certificate), inputs_line(loaded))
    if not loaded.certificate.proven and not as_json:
        console.print(*tables, *assumption_lines(loaded.certificate), sep="\n")
    if not loaded.certificate.proven:
        raise ConfigError(f"{network}: not proven in every layer")
    document = {"warnings": warnings_of(loaded), **_summary(loaded)}
    _emit(document, as_json, *tables, *assumption_lines(loaded.certificate))


@app.command(name="simulate")
@guarded
def simulate_command(
    network: NetworkFile,
    inputs: InputsFile = None,
    real: Real = False,
    samples: Annotated[int, typer.Option(min=1, help="Random sequences if no inputs are given.")] = 8,
    labels: LabelsFile = None,
    out: Annotated[Path | None, typer.Option(help="Save scores, and the trace, as .npz.")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Keep sums, states and spikes of every step.")] = False,
    as_json: Json = False,
) -> None:
    """Run a network on integer inputs with the NumPy executor."""
    loaded = load(network)
    data, notes, texts = _inputs(loaded, inputs, samples, real)
    result, counts = counted(loaded, data, trace=trace)
    described = f"{len(result.scores)} {'random' if inputs is None else 'given'} sequences"
    document: dict[str, Any] = {"classes": result.classes.tolist(), "scores": result.scores.tolist()}
    texts += doubts(loaded, data) if inputs is not None else ()
    texts += [*warnings_of(loaded), *warnings_on(loaded, counts, len(result.scores), f"the {described}")]
    document |= {"inputs": described, "notes": notes, "warnings": texts, **_grid(loaded)}
    if labels is not None:
        classes = _array(labels)
        check_labels(classes, len(result.classes))
        document["accuracy"] = float((result.classes == classes).mean())
    if out is not None:
        _save_result(out, result.scores, result.trace or ())
    table = Table("sequence", "class", "scores", title=described, caption=inputs_line(loaded))
    for index, scores in enumerate(result.scores[:20].tolist()):
        table.add_row(str(index), str(result.classes[index]), " ".join(map(str, scores)))
    lines = [f"accuracy {document['accuracy']:.2%}"] if labels is not None else []
    _emit(document, as_json, *notes, table, *lines)


def _save_result(path: Path, scores: NDArray[Any], trace: tuple[Any, ...]) -> None:
    import io

    arrays: dict[str, Any] = {"scores": scores}
    for index, layer in enumerate(trace, start=1):
        arrays |= {f"layer{index}_{key}": getattr(layer, key) for key in ("sums", "states", "spikes")}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_file(path, buffer.getvalue())


@app.command()
@guarded
def hls(
    network: NetworkFile,
    out: Annotated[Path | None, typer.Option(help="Project folder; hls_out/NAME by default.")] = None,
    inputs: InputsFile = None,
    real: Real = False,
    pe: Annotated[list[str] | None, typer.Option(help="Neurons in parallel: 8, or lif1=16 (repeatable).")] = None,
    form: Annotated[Literal["auto", "offset", "threshold"], typer.Option(help="Form of the tables.")] = "auto",
    part: Annotated[str, typer.Option(help="Target part.")] = "xc7z020clg400-1",
    clock_ns: Annotated[float, typer.Option(help="Target clock period.")] = 5.0,
    vectors: Annotated[int, typer.Option(help="Random golden sequences if no inputs are given.")] = 8,
    as_json: Json = False,
) -> None:
    """Write a C++ HLS project with its C testbench and golden data."""
    loaded = load(network)
    config = HlsConfig(part=part, clock_ns=clock_ns, pe=_folding(pe), form=form, vectors=vectors)
    target = out or Path("hls_out") / (_stem(network) if _stem(network).isidentifier() else "network")
    data, notes, texts = (None, [], []) if inputs is None and not real else _inputs(loaded, inputs, 0, real)
    project = emit_hls(loaded, target, config, stimulus=data)
    estimate = (project / "reports" / "estimate.txt").read_text()
    texts += doubts(loaded, data) if data is not None else ()
    _emit(
        {"project": str(project), "estimate": estimate, "notes": notes, "warnings": texts, **_grid(loaded)},
        as_json,
        *notes,
        estimate,
        inputs_line(loaded),
        f"wrote {project}; next: make -C {project} csim",
    )


def _stem(network: Path) -> str:
    """Name of a network's file, the form of a graph left out."""
    return network.stem.removesuffix(".step").removesuffix(".sequence").removesuffix(".finn")


@app.command(name="qonnx")
@guarded
def qonnx_command(
    network: NetworkFile,
    form: Annotated[
        Literal["step", "sequence", "finn"],
        typer.Option(help="One step; all steps in a Scan; or one step in QONNX's float32 convention."),
    ] = "step",
    out: Annotated[Path | None, typer.Option(help="ONNX file; NAME.FORM.onnx by default.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="A fixed batch size; any by default.")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Also output sums, states and spikes of every layer.")] = False,
    picture: Annotated[Path | None, typer.Option(help="Also draw the graph: .svg, .pdf or .png (Graphviz).")] = None,
    as_json: Json = False,
) -> None:
    """Write a network as an ONNX graph of integers, which every command reads in its place."""
    from squat_deploy.backends.qonnx import description, emit_qonnx, write_model

    target = out or Path(f"{_stem(network)}.{form}.onnx")
    check_paths({"network": network, "out": target, "picture": picture})
    check_target(target)  # before the picture is there
    loaded = load(network)
    model = emit_qonnx(loaded, form=form, batch=batch, trace=trace)
    ports = description.ports(model)
    document: dict[str, Any] = {"onnx": str(target), "form": form, "digest": loaded.digest, **_grid(loaded)}
    document["ports"] = [vars(port) for port in ports]
    lines = [inputs_line(loaded)]
    if form == "finn":
        from squat_deploy.backends.qonnx.cost import step_cost

        spent = step_cost(loaded)
        document["cost"] = vars(spent)
        lines.append(cost_line(spent))
    if picture is not None:
        from squat_deploy.backends.qonnx.picture import draw

        draw(model, picture)
        lines.append(f"drew {picture}")
    write_model(model, target)
    lines.append(f"wrote {target}")
    _emit(document, as_json, ports_table(ports, f"{loaded.name}: {form}, {len(model.graph.node)} nodes"), *lines)


def _folding(options: list[str] | None) -> int | dict[str, int]:
    """`8` for all layers, or `name=8` for some."""
    if not options:
        return HlsConfig().pe
    try:
        if len(options) == 1 and "=" not in options[0]:
            return int(options[0])
        return {name: int(value) for name, value in (option.rsplit("=", 1) for option in options)}
    except ValueError as error:
        raise ConfigError(f"--pe: expected 8, or NAME=8; got {' '.join(options)}") from error


@app.command(name="verify")
@guarded
def verify_command(
    network: NetworkFile,
    model: Annotated[
        str | None, typer.Option(help="The torch model as path/to/file.py:factory, or an export with --neurons.")
    ] = None,
    checkpoint: Checkpoint = None,
    neurons: NeuronFile = None,
    inputs: InputsFile = None,
    real: Real = False,
    labels: LabelsFile = None,
    samples: Annotated[int, typer.Option(min=1, help="Random sequences if no inputs are given.")] = 64,
    executor: Annotated[
        list[str] | None,
        typer.Option(help="An executor (repeatable): torch, numpy, c++, onnxruntime, qonnx."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run torch, NumPy, compiled C++ and the ONNX graphs on the same input and compare whole traces."""
    loaded = load(network)
    torch_model: nn.Module | None = None
    onnx_model = model is not None and model.endswith(".onnx")
    if (neurons is not None and not onnx_model) or (checkpoint is not None and (model is None or onnx_model)):
        raise ConfigError("verify: --checkpoint belongs to a --model in Python, --neurons to one that ends in .onnx")
    with _gathered() as texts:
        if model is not None and onnx_model:
            torch_model = _imported(model, neurons)[0]
        elif model is not None:
            from squat_deploy.lowering import load_model

            torch_model = load_model(model, checkpoint)
    data, notes, doubtful = _inputs(loaded, inputs, samples, real)
    classes = None if labels is None else _array(labels)
    kind: Literal["given", "random"] = "random" if inputs is None else "given"
    found = verify(loaded, torch_model, data, labels=classes, executors=executor, inputs_are=kind)
    agreement = replace(found, warnings=(*found.warnings, *texts, *doubtful))
    _finish(agreement, as_json, {"notes": notes, **_grid(loaded)}, (*notes, inputs_line(loaded)))


def _finish(
    agreement: Agreement, as_json: bool, document: dict[str, Any] | None = None, lines: Iterable[str] = ()
) -> None:
    """Prints an agreement; exits 1 with the first difference if there is none."""
    if as_json:
        answer({"ok": agreement.agrees, **(document or {}), **agreement.to_dict()})
    else:
        _warn(agreement.warnings)
        console.print(agreement_table(agreement))
        for line in lines:
            console.print(line)
        for reason in agreement.not_run:
            console.print(f"not run: {reason}")
    if not agreement.agrees:
        if not as_json:
            first = next(row for row in agreement.rows if row.mismatches)
            told(f"{first.label} differs first at", str(first.first))
        raise typer.Exit(1)


@app.command()
@guarded
def doctor(as_json: Json = False) -> None:
    """List the tools and packages that are here, and what the others are for."""
    found = [(tool.name, tool.find(), tool.purpose, tool.required, tool.hint) for tool in toolchain.TOOLS]
    packages = [
        (
            name,
            "installed" if toolchain.has_package(name) else None,
            purpose,
            False,
            f"pip install 'squat_deploy[{extra}]'",
        )
        for name, extra, purpose in toolchain.PACKAGES
    ]
    table = Table("what", "found", "for", "how to get it")
    for name, path, purpose, required, hint in found + packages:
        missing = Text("missing", style="red") if required else Text("not here", style="yellow")
        table.add_row(name, path or missing, purpose, "" if path else hint)
    document = {"tools": {name: path for name, path, *_ in found + packages}}
    absent = [name for name, path, _, required, _ in found if required and not path]
    if absent:
        if not as_json:
            console.print(table)
        raise ConfigError(f"missing: {', '.join(absent)}")
    _emit(document, as_json, table)


@app.command()
@guarded
def demo(
    out: Annotated[Path, typer.Option(help="HLS project folder.")] = Path("hls_out/fashion_mnist"),
    data: DataFolder = None,
    as_json: Json = False,
) -> None:
    """The whole line on the bundled model: lower, certify, simulate, write the HLS project, compile and run it."""
    from squat_deploy.lab.datasets import available, fashion_mnist
    from squat_deploy.lowering import lower as lower_model

    model, spec = bundled.model(), bundled.input_spec()
    network = lower_model(model, spec, bundled.STEPS, name="fashion_mnist")
    real, labels = bundled.images()
    # a folder that the user names is read or refused
    whole = fashion_mnist("test", data) if data is not None or available(data) else None
    project = emit_hls(network, out, stimulus=spec.quantize(real[:16]))
    if not as_json:
        console.print(network_table(network), certificate_table(network.certificate), f"wrote {project}")
    if whole is not None:
        real, labels = whole.real(), whole.labels
    elif not as_json:
        console.print(f"the whole test set is not here; using the bundled {len(labels)} images")
    agreement = verify(network, model, spec.quantize(real), labels=labels)
    _finish(agreement, as_json, {"project": str(project), **_summary(network)})
