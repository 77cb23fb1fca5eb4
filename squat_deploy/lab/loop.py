"""Training of the reference networks: float warm-up, then quantized weights and states together (QAT + SQUAT)."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from squat_deploy.errors import ConfigError, FileFormatError, translated
from squat_deploy.files import make_folder
from squat_deploy.lab.datasets import Samples
from squat_deploy.lab.models import (
    FLOAT_BITS,
    Recipe,
    Surrogate,
    SurrogateAt,
    WeightScale,
    conv_lif_net,
    dense_lif_net,
    recurrent_lif_net,
)
from squat_deploy.lab.scaling import match_currents
from squat_deploy.network import Encoding
from squat_deploy.snn.calibrating import calibrate_states
from squat_deploy.snn.checkpoint import load_training, load_weights, model_metadata, save_model, save_training
from squat_deploy.snn.copying import warm_up
from squat_deploy.snn.levels import MAX_BITS, Kind
from squat_deploy.snn.quantizers import StateQuantizer
from squat_deploy.snn.running import leaves, run_sequence, why_not_compiled


def _width(bits: int) -> int:
    if not (1 <= bits <= MAX_BITS or bits == FLOAT_BITS):
        raise ValueError(f"1 to {MAX_BITS} bits, or {FLOAT_BITS} for float")
    return bits


Width = Annotated[int, AfterValidator(_width)]
Dataset = Literal["fashion-mnist", "n-mnist", "fsdd-spikes", "shd", "dvs-gesture"]
CHECKPOINT = "checkpoint.safetensors"
MODEL = "model.safetensors"
MAX_SIZE, MAX_WEIGHTS = 2**20, 2**28  # of a layer
_EVALUATION_BATCH = 1000
_LONG_RUN = 500  # batches
_LOGIT_STEPS = 10  # spike counts of long sequences would saturate the softmax


class TrainConfig(BaseModel):
    """All that decides a training run; saved with its checkpoints.

    Attributes:
        dataset: what to train on; `training.data` reads it.
        samples: how many of the training set to take, the first ones; 0 for all.
        duration: microseconds of a recording that the steps divide (event data).
        pixels: of an event camera, a side, that make one input.
        net: which network of `training.models`; `sizes` are its neurons or channels a layer, inputs first.
        norms: of a dense net, a batch-norm before every neuron layer but the last; convolutional ones always have them.
        features: of a convolutional net, what its last pooling leaves.
        input_bits: width of the pixels of images; not used by nets that take counts of events.
        steps: time steps a sequence.
        float_epochs: first epochs in float, before weights and states are quantized.
        float_state_epochs: first epochs with float states; weights are quantized after `float_epochs`.
        weight_bits, state_bits: 1 to 8, or 32 for float.
        current_std: standard deviation, in thresholds, that the initial weights of every layer are scaled to give its
            currents; 0 leaves them as they are drawn (`training.scaling.match_currents`).
        schedule: of the learning rate, functions of the epoch alone: "constant", "cosine", or "restarted", a cosine
            that begins anew where states begin to be quantized (warm restarts, arXiv 1608.03983).
        others: as in `Recipe`.
        flip: mirror half of the training images.
        shift: move each batch by up to so many pixels (or channels of a cochlea), what leaves comes in opposite.
        limits: of the states, "fixed" as the two fields above say; or taken from the membranes that the network has, on
            a thousand training samples, at the epoch in which states begin to be quantized: "calibrated" stretches the
            table over them, "fitted" takes the levels that flip the fewest spikes (`fitting.best_levels`).
        clip: largest norm of a gradient, 0 for any: recurrent networks need one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: Dataset = "fashion-mnist"
    samples: int = Field(0, ge=0)
    duration: int = Field(300_000, ge=1)
    pixels: int = Field(1, ge=1)
    net: Literal["dense", "conv", "recurrent"] = "dense"
    sizes: tuple[int, ...] = (784, 256, 10)
    norms: bool = False
    features: int = Field(0, ge=0)
    weight_bits: Width = 4
    state_bits: Width = 2
    weight_scale: WeightScale = "power-of-two"
    kind: Kind = "threshold-centred"
    exponent: float | None = Field(None, gt=0)
    above: int | None = Field(None, ge=1)
    learned: bool = False
    input_bits: int = Field(4, ge=1, le=8)
    beta: float = Field(0.97, ge=0, le=1)
    neuron: Literal["leaky", "synaptic"] = "leaky"
    alpha: float = Field(0.5, ge=0, le=1)
    surrogate: Surrogate = "atan"
    surrogate_at: SurrogateAt = "levels"
    surrogate_slope: float = Field(1.0, gt=0)
    current_std: float = Field(0, ge=0)
    lower_limit: float = Field(0, ge=0)
    upper_limit: float = Field(0.2, gt=0)
    limits: Literal["fixed", "calibrated", "fitted"] = "fixed"
    clipped: bool = False
    steps: int = Field(10, ge=1, lt=2**16)
    epochs: int = Field(60, ge=1)
    float_epochs: int = Field(0, ge=0)
    float_state_epochs: int = Field(0, ge=0)
    batch: int = Field(128, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    schedule: Literal["cosine", "restarted", "constant"] = "cosine"
    flip: bool = True
    shift: int = Field(0, ge=0)
    clip: float = Field(0, ge=0)
    seed: int = Field(0, ge=-(2**63), lt=2**63)

    @model_validator(mode="after")
    def _has_sizes(self) -> TrainConfig:
        if len(self.sizes) < 2 or any(not 1 <= size <= MAX_SIZE for size in self.sizes):
            raise ValueError(f"sizes: two or more, each 1 to {MAX_SIZE}; got {self.sizes[:9]}")
        if any(a * b > MAX_WEIGHTS for a, b in pairwise(self.sizes)) or self.features * self.sizes[-1] > MAX_WEIGHTS:
            raise ValueError(f"sizes: a layer of more than {MAX_WEIGHTS} weights")
        return self

    @model_validator(mode="after")
    def _has_limits(self) -> TrainConfig:
        if self.limits == "calibrated" and self.kind in ("rest", "ternary", "fixed-point"):
            raise ValueError(f"limits calibrated: {self.kind} levels have a range of their own")
        if self.limits == "fitted" and self.kind == "ternary":
            raise ValueError("limits fitted: makes tables of 2, 4, 8 ... levels; ternary states have 3")
        return self

    @model_validator(mode="after")
    def _has_levels_above(self) -> TrainConfig:
        if self.above is not None and self.state_bits != FLOAT_BITS:
            if self.kind != "rest":
                raise ValueError(f"above: is of rest levels; got kind {self.kind}")
            if self.limits == "fitted":
                raise ValueError("above: limits fitted decides it; leave one of them out")
        return self

    @model_validator(mode="after")
    def _has_norms(self) -> TrainConfig:
        if self.norms and (self.net != "dense" or len(self.sizes) < 3):
            raise ValueError(f"norms: stand before hidden neurons of dense nets; got {self.net}, sizes {self.sizes}")
        if self.norms and self.weight_scale == "shared":
            raise ValueError("norms: would change the steps of weights with weight_scale shared; leave one of them out")
        return self

    @property
    def states_from(self) -> int:
        """The first epoch with quantized states."""
        return max(self.float_epochs, self.float_state_epochs)

    @property
    def encoding(self) -> Encoding:
        """Images are shown at every step, recordings are a sequence of frames."""
        return "direct" if self.dataset == "fashion-mnist" else "sequence"

    def model(self) -> nn.Sequential:
        """The network to train, freshly initialized."""
        recipe = self.model_dump(include={field.name for field in fields(Recipe)})
        bits = self.input_bits if self.encoding == "direct" else None
        if self.net == "conv":
            return conv_lif_net(self.sizes, self.features, input_bits=bits, **recipe)
        if self.net == "recurrent":
            return recurrent_lif_net(self.sizes, **recipe)
        return dense_lif_net(self.sizes, norms=self.norms, input_bits=bits, **recipe)


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
