"""Training of the reference networks: float warm-up, then quantized weights and states together (QAT + SQUAT)."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from squat_deploy.errors import ConfigError, FileFormatError, translated
from squat_deploy.files import make_folder
from squat_deploy.lab.config import FLOAT_BITS, TrainConfig
from squat_deploy.lab.datasets import Samples
from squat_deploy.lab.scaling import match_currents
from squat_deploy.snn.calibrating import calibrate_states
from squat_deploy.snn.checkpoint import load_training, load_weights, model_metadata, save_model, save_training
from squat_deploy.snn.copying import warm_up
from squat_deploy.snn.quantizers import StateQuantizer
from squat_deploy.snn.running import leaves, run_sequence, why_not_compiled

CHECKPOINT = "checkpoint.safetensors"
MODEL = "model.safetensors"
_EVALUATION_BATCH = 1000
_LONG_RUN = 500  # batches
_LOGIT_STEPS = 10  # spike counts of long sequences would saturate the softmax


def train(
    config: TrainConfig,
    training: Samples,
    test: Samples,
    folder: Path,
    *,
    resume: bool = False,
    quiet: bool = False,
    compiled: bool | None = None,
    device: str | torch.device | None = None,
) -> tuple[nn.Sequential, list[dict[str, float]]]:
    """Trains, with a checkpoint after every epoch, and writes `model.safetensors` at the end.

    Args:
        compiled: run neurons as compiled loops (the same numbers, several times faster; needs a C++ compiler); by
            default on a CPU where the run is long enough to win back the time of compiling and it can be done.
        device: to train on; a GPU by default where torch finds one. Batches are drawn on the CPU, so that they are the
            same on every device; what is computed of them differs by rounding.

    Returns: the model on the CPU in eval mode, and one row an epoch (loss, test accuracy).

    Raises:
        ConfigError: `folder` holds a run already and `resume` is not set, or another configuration; no epoch is left to
            train with quantization; a device that is not there; or norms and a last batch of one sample.
        FileFormatError: a checkpoint that cannot be read.
    """
    if config.states_from >= config.epochs and {config.weight_bits, config.state_bits} != {FLOAT_BITS}:
        raise ConfigError(f"{config.states_from} of {config.epochs} epochs in float leave none with quantization")
    place = _place(device)
    count = config.samples or len(training.labels)
    inputs, labels = torch.from_numpy(training.inputs[:count]), torch.from_numpy(training.labels[:count])
    _check_batches(config, len(labels))
    model = _fresh(config, training).to(place)
    history, optimizer = _begun(config, folder, model, resume)
    batches = -(-len(labels) // config.batch)
    if compiled is None:
        compiled = place.type == "cpu" and batches * config.epochs >= _LONG_RUN and shutil.which("g++") is not None
        compiled = compiled and _compiles(model, inputs[: config.batch], config, len(history))
    with _full_float32(place), _progress(quiet) as progress:
        task = progress.add_task("training", total=batches * config.epochs, completed=batches * len(history), note="")
        for epoch in range(len(history), config.epochs):
            quantized = epoch >= config.float_epochs
            if epoch == config.states_from and config.limits != "fixed":
                _calibrate(model, config, inputs[:_EVALUATION_BATCH])
            set_state_quantization(model, epoch >= config.states_from)
            options: Any = {"quantized": quantized, "compiled": compiled}
            losses = []
            for loss in _epoch(model, optimizer, inputs, labels, config, epoch, **options):
                losses.append(loss)
                progress.advance(task)
            accuracy = evaluate(model, test, config.steps, quantized=quantized, compiled=compiled)
            mean_loss = float(torch.stack(losses).mean())
            history.append({"epoch": epoch, "loss": mean_loss, "accuracy": accuracy})
            progress.update(task, note=f"epoch {epoch + 1}: loss {mean_loss:.3f}, test {accuracy:.2%}")
            state = {"config": config.model_dump(mode="json"), "history": history}
            save_training(folder / CHECKPOINT, model, optimizer, state)
    set_state_quantization(model.cpu(), True)
    save_model(model, folder / MODEL, {"config": config.model_dump(mode="json"), "history": history})
    return model.eval(), history


def _check_batches(config: TrainConfig, samples: int) -> None:
    """Raises: ConfigError where a norm would take its statistics of one number."""
    last = (samples - 1) % config.batch + 1
    if config.norms and last == 1 and (config.encoding == "direct" or config.steps == 1):
        rule = "norms: every batch needs two samples or more"
        raise ConfigError(f"{rule}; got {samples} in batches of {config.batch}; choose another batch")


def _place(device: str | torch.device | None) -> torch.device:
    """Where to train. Raises: ConfigError for a device that is not there."""
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        probe = torch.zeros(1, device=chosen)
        probe.cpu()  # nothing comes back from "meta"
    except (RuntimeError, AssertionError, ImportError) as error:  # torch built without CUDA asserts
        raise ConfigError(f"device {chosen}: torch cannot use it: {str(error).splitlines()[0]}; choose cpu") from error
    return probe.device


def _compiles(model: nn.Module, inputs: Tensor, config: TrainConfig, epoch: int) -> bool:
    """Whether loops can be compiled here; says so where not."""
    direct = config.encoding == "direct"
    set_state_quantization(model, epoch >= config.states_from)
    options: Any = {"direct": direct, "quantized": epoch >= config.float_epochs}
    why = why_not_compiled(model, _shown(inputs, direct), config.steps, **options)
    if why is not None:
        warnings.warn(f"training goes on several times slower: loops cannot be compiled: {why}", stacklevel=3)
    return why is None


@contextmanager
def _full_float32(place: torch.device) -> Iterator[None]:
    """Convolutions of GPUs keep 10 bits of a number unless told otherwise (TF32), fewer than a sum of spikes has."""
    if place.type != "cuda":
        yield
        return
    cudnn: Any = torch.backends.cudnn
    settings = cudnn.conv
    before, settings.fp32_precision = settings.fp32_precision, "ieee"
    try:
        yield
    finally:
        settings.fp32_precision = before


def _fresh(config: TrainConfig, training: Samples) -> nn.Sequential:
    """The model before its first update, on the CPU."""
    torch.manual_seed(config.seed)
    model = config.model()
    if config.current_std:
        direct = config.encoding == "direct"
        shown = _shown(torch.from_numpy(training.inputs[:_EVALUATION_BATCH]), direct)
        match_currents(model, shown, config.steps, config.current_std, direct=direct)
    warm_up(model)
    return model


def _epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor,
    labels: Tensor,
    config: TrainConfig,
    epoch: int,
    *,
    quantized: bool,
    compiled: bool,
) -> Iterator[Tensor]:
    """The loss of every batch of one epoch, after its update."""
    batches, place = -(-len(labels) // config.batch), next(model.parameters()).device
    options: Any = {"direct": config.encoding == "direct", "quantized": quantized, "clip": config.clip}
    for index, (values, classes) in enumerate(_batches(inputs, labels, config)):
        _set_rate(optimizer, config, epoch + index / batches)
        whole = compiled and len(classes) == config.batch  # the last batch has another shape
        shown, wanted = values.to(place), classes.to(place)
        yield train_step(model, optimizer, shown, wanted, config.steps, **options, compiled=whole)


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor,
    classes: Tensor,
    steps: int,
    *,
    direct: bool = True,
    quantized: bool = True,
    clip: float = 0,
    compiled: bool = False,
) -> Tensor:
    """One update on a batch (B, ...) or (T, B, ...): cross-entropy of the spikes in ten steps, a scalar."""
    spikes = run_sequence(model, inputs, steps, direct=direct, quantize_weights=quantized, compiled=compiled)
    loss = count_loss(spikes, classes)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    if clip:
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    for _, module in leaves(model):
        table = getattr(module, "state_quant", None)
        if isinstance(table, StateQuantizer) and table.learned:
            table.arrange()
    return loss.detach()


def count_loss(spikes: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy of the spikes (T, B, classes) in ten steps, a scalar."""
    return nn.functional.cross_entropy(spikes.sum(dim=0) * (_LOGIT_STEPS / len(spikes)), classes)


@torch.no_grad()
def evaluate(
    model: nn.Module, samples: Samples, steps: int, *, quantized: bool = True, compiled: bool = False
) -> float:
    """Share of samples whose class has the most spikes."""
    model.eval()
    correct, direct, place = 0, samples.encoding == "direct", next(model.parameters()).device
    for chosen in np.array_split(np.arange(len(samples.labels)), -(-len(samples.labels) // _EVALUATION_BATCH)):
        values = _shown(torch.from_numpy(samples.inputs[chosen]), direct).to(place)
        whole = compiled and len(chosen) == _EVALUATION_BATCH
        spikes = run_sequence(model, values, steps, direct=direct, quantize_weights=quantized, compiled=whole)
        counts = spikes.sum(dim=0).cpu()
        correct += int((counts.argmax(dim=1) == torch.from_numpy(samples.labels[chosen])).sum())
    model.train()
    return correct / len(samples.labels)


def trained_model(path: Path) -> tuple[nn.Sequential, TrainConfig]:
    """A model that `train` wrote, in eval mode, and how it was trained. Raises: FileFormatError."""
    stated, size = model_metadata(path).get("config"), path.stat().st_size
    with translated(FileFormatError, f"{path}: not a model of this project's training"):
        config = TrainConfig.model_validate(stated)
        layers = [*pairwise(config.sizes), (config.features, config.sizes[-1])]
        if any(inputs * outputs > size for inputs, outputs in layers):
            raise ValueError("it states layers that are larger than the file")
        model = config.model()
    load_weights(model, path)
    return model.eval(), config


def _calibrate(model: nn.Module, config: TrainConfig, inputs: Tensor) -> None:
    direct = config.encoding == "direct"
    shown = _shown(inputs, direct).to(next(model.parameters()).device)
    kind = None if config.limits == "fitted" else config.kind
    calibrate_states(model, kind, shown, config.steps, direct=direct, base=config.exponent)


def set_state_quantization(model: nn.Module, enabled: bool) -> None:
    """Switches every StateQuantizer of the model on or off (float warm-up)."""
    for module in model.modules():
        if isinstance(module, StateQuantizer):
            module.enabled = enabled


def _begun(
    config: TrainConfig, folder: Path, model: nn.Module, resume: bool
) -> tuple[list[dict[str, float]], torch.optim.Optimizer]:
    """What a run in this folder has done so far, and its optimizer; the model goes on from there."""
    path = folder / CHECKPOINT
    if not os.path.lexists(path):
        make_folder(folder)
        return [], _optimizer(config, model)
    if not resume:
        raise ConfigError(f"{path} exists; go on with --resume, or choose another folder")
    progress, optimizer = load_training(path, model, partial(_optimizer, config))
    with translated(FileFormatError, f"{path}: not a checkpoint of this training run"):
        same, history = TrainConfig.model_validate(progress["config"]) == config, progress["history"]
    if not same:
        raise ConfigError(f"{path} was written with other options; resume with the same, or choose another folder")
    if not isinstance(history, list) or not all(map(_is_row, history)) or len(history) > config.epochs:
        raise FileFormatError(f"{path}: no history of {config.epochs} epochs or fewer in it")
    return history, optimizer


def _is_row(row: object) -> bool:
    return isinstance(row, dict) and all(type(row.get(key)) in (int, float) for key in ("epoch", "loss", "accuracy"))


def _optimizer(config: TrainConfig, model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=config.learning_rate)


def _batches(inputs: Tensor, labels: Tensor, config: TrainConfig) -> Iterator[tuple[Tensor, Tensor]]:
    for chosen in torch.split(torch.randperm(len(labels)), config.batch):
        yield _shown(_augmented(inputs[chosen], config), config.encoding == "direct"), labels[chosen]


def _augmented(values: Tensor, config: TrainConfig) -> Tensor:
    if config.flip:
        mirrored = torch.rand(len(values), *[1] * (values.ndim - 1)) < 0.5
        values = torch.where(mirrored, values.flip(-1), values)
    if config.shift:
        axes = (-1,) if values.ndim < 4 else (-2, -1)
        values = values.roll(torch.randint(-config.shift, config.shift + 1, (len(axes),)).tolist(), axes)
    return values


def _shown(values: Tensor, direct: bool) -> Tensor:
    """(B, ...) as it is, (B, T, ...) as (T, B, ...); float32."""
    return (values if direct else values.transpose(0, 1)).float()


def _set_rate(optimizer: torch.optim.Optimizer, config: TrainConfig, epoch: float) -> None:
    """A function of the epoch alone, so that a resumed run needs no schedule state."""
    begin, end = 0, config.epochs
    if config.schedule == "restarted":
        begin, end = (0, config.states_from) if epoch < config.states_from else (config.states_from, end)
    share = 0.5 * (1 + np.cos(np.pi * (epoch - begin) / (end - begin)))
    rate = config.learning_rate * (1.0 if config.schedule == "constant" else share)
    for group in optimizer.param_groups:
        group["lr"] = float(rate)


def _progress(quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        disable=quiet,
    )
