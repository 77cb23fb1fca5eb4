"""Training of the reference network: float warm-up, then quantized weights and states together (QAT + SQUAT)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from squat_deploy.errors import ConfigError, FileFormatError
from squat_deploy.levels import Kind
from squat_deploy.quantizers import StateQuantizer
from squat_deploy.training.checkpoint import load_training, save_model, save_training
from squat_deploy.training.datasets import Images
from squat_deploy.training.models import dense_lif_net
from squat_deploy.training.sequence import run_sequence

CHECKPOINT = "checkpoint.safetensors"
MODEL = "model.safetensors"
_EVALUATION_BATCH = 1000


class TrainConfig(BaseModel):
    """All that decides a training run; saved with its checkpoints.

    Attributes:
        sizes: neurons a layer, inputs first.
        steps: time steps a sequence, the input shown at each.
        float_epochs: first epochs in float, before weights and states are quantized.
        surrogate_slope: alpha of the arctan surrogate gradient; smaller is wider.
        flip: mirror half of the training images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sizes: tuple[int, ...] = (784, 256, 10)
    weight_bits: int = Field(4, ge=2, le=8)
    state_bits: int = Field(2, ge=1, le=8)
    kind: Kind = "threshold-centred"
    input_bits: int = Field(4, ge=1, le=8)
    beta: float = Field(0.97, ge=0, le=1)
    surrogate_slope: float = Field(1.0, gt=0)
    steps: int = Field(10, ge=1)
    epochs: int = Field(60, ge=1)
    float_epochs: int = Field(0, ge=0)
    batch: int = Field(128, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    flip: bool = True
    seed: int = 0

    def model(self) -> nn.Sequential:
        """The network to train, freshly initialized."""
        return dense_lif_net(
            self.sizes,
            weight_bits=self.weight_bits,
            state_bits=self.state_bits,
            kind=self.kind,
            beta=self.beta,
            input_bits=self.input_bits,
            surrogate_slope=self.surrogate_slope,
        )


def train(
    config: TrainConfig, training: Images, test: Images, folder: Path, *, resume: bool = False, quiet: bool = False
) -> tuple[nn.Sequential, list[dict[str, float]]]:
    """Trains, with a checkpoint after every epoch, and writes `model.safetensors` at the end.

    Returns: the model in eval mode, and one row an epoch (loss, test accuracy).

    Raises:
        ConfigError: `folder` holds a run already and `resume` is not set, or another configuration.
        FileFormatError: a checkpoint that cannot be read.
    """
    torch.manual_seed(config.seed)
    model = config.model()
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    history = _restore(config, folder, model, optimizer, resume)
    pixels, labels = torch.from_numpy(training.real()), torch.from_numpy(training.labels)
    batches = -(-len(labels) // config.batch)
    with _progress(quiet) as progress:
        task = progress.add_task("training", total=batches * config.epochs, completed=batches * len(history), note="")
        for epoch in range(len(history), config.epochs):
            quantized = epoch >= config.float_epochs
            set_state_quantization(model, quantized)
            losses = []
            for index, (images, classes) in enumerate(_batches(pixels, labels, config)):
                _set_rate(optimizer, config, epoch + index / batches)
                losses.append(train_step(model, optimizer, images, classes, config.steps, quantized=quantized))
                progress.advance(task)
            accuracy = evaluate(model, test, config.steps, quantized=quantized)
            history.append({"epoch": epoch, "loss": float(np.mean(losses)), "accuracy": accuracy})
            progress.update(task, note=f"epoch {epoch + 1}: loss {np.mean(losses):.3f}, test {accuracy:.2%}")
            state = {"config": config.model_dump(mode="json"), "history": history}
            save_training(folder / CHECKPOINT, model, optimizer, state)
    set_state_quantization(model, True)
    save_model(model, folder / MODEL, {"config": config.model_dump(mode="json"), "history": history})
    return model.eval(), history


def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, classes: Tensor, steps: int, *, quantized: bool
) -> float:
    """One update on a batch: cross-entropy of the spike counts."""
    counts = run_sequence(model, images, steps, quantize_weights=quantized).sum(dim=0)
    loss = nn.functional.cross_entropy(counts, classes)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item()


@torch.no_grad()
def evaluate(model: nn.Module, images: Images, steps: int, *, quantized: bool = True) -> float:
    """Share of images whose class has the most spikes."""
    model.eval()
    correct = 0
    pixels, labels = torch.from_numpy(images.real()), torch.from_numpy(images.labels)
    for batch, classes in zip(
        torch.split(pixels, _EVALUATION_BATCH), torch.split(labels, _EVALUATION_BATCH), strict=True
    ):
        counts = run_sequence(model, batch, steps, quantize_weights=quantized).sum(dim=0)
        correct += int((counts.argmax(dim=1) == classes).sum())
    model.train()
    return correct / len(labels)


def set_state_quantization(model: nn.Module, enabled: bool) -> None:
    """Switches every StateQuantizer of the model on or off (float warm-up)."""
    for module in model.modules():
        if isinstance(module, StateQuantizer):
            module.enabled = enabled


def _restore(
    config: TrainConfig, folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, resume: bool
) -> list[dict[str, float]]:
    path = folder / CHECKPOINT
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        return []
    if not resume:
        raise ConfigError(f"{path} exists; go on with --resume, or choose another folder")
    progress = load_training(path, model, optimizer)
    if TrainConfig.model_validate(progress["config"]) != config:
        raise ConfigError(f"{path} was written with other options; resume with the same, or choose another folder")
    history: Any = progress["history"]
    if not isinstance(history, list):
        raise FileFormatError(f"{path}: no history in it")
    return history


def _batches(pixels: Tensor, labels: Tensor, config: TrainConfig) -> Iterator[tuple[Tensor, Tensor]]:
    for chosen in torch.split(torch.randperm(len(labels)), config.batch):
        images = pixels[chosen]
        if config.flip:
            square = images.reshape(len(images), 28, -1)
            mirrored = torch.rand(len(images), 1, 1) < 0.5
            images = torch.where(mirrored, square.flip(-1), square).reshape(len(images), -1)
        yield images, labels[chosen]


def _set_rate(optimizer: torch.optim.Optimizer, config: TrainConfig, epoch: float) -> None:
    """Cosine schedule, a function of the epoch alone, so that a resumed run needs no schedule state."""
    rate = config.learning_rate * 0.5 * (1 + np.cos(np.pi * epoch / config.epochs))
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
