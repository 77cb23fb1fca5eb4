"""The two tasks of a study, pure functions of their arguments, so that any worker on any machine can run them."""

from __future__ import annotations

import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from squat_deploy.agreement import verify
from squat_deploy.lab.config import Dataset, TrainConfig
from squat_deploy.lab.data import read_data
from squat_deploy.lab.datasets import Samples
from squat_deploy.lab.loop import MODEL, evaluate, train, trained_model
from squat_deploy.lab.study.config import TRAINS_STATES, TRAINS_WEIGHTS, Cell, Training
from squat_deploy.lab.study.measuring import gradient_cosine, layers_measured, membranes_measured
from squat_deploy.lowering import lower
from squat_deploy.network import InputSpec
from squat_deploy.snn.ptq import input_spec, quantize
from squat_deploy.snn.settling import settle_norms

_CALIBRATION = 500  # training samples that decide ranges and levels
_COMPARED = 64  # test samples whose whole traces are compared
_SETTLINGS = 5  # rounds of moving batch-norms clear of decisions, far below what an accuracy notices
_MEASURED = 500  # test samples that spikes are counted on


def train_task(training: Training, folder: str, place: str | None) -> bytes:
    """Trains, or goes on where a worker that died left off. Returns: the bytes of the model file."""
    torch.set_num_threads(1)
    run = Path(folder)
    if not (run / MODEL).exists():
        train(training.config, *_data(training.config, place), run, resume=True, quiet=True)
    return (run / MODEL).read_bytes()


def cell_task(cell: Cell, model: bytes, place: str | None) -> dict[str, Any]:
    """Quantizes what was not quantized in training, scores it, lowers it, and compares whole traces with C++."""
    torch.set_num_threads(1)
    began, config = time.perf_counter(), cell.training.config
    training, test = _data(config, place)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL
        path.write_bytes(model)
        trained, _ = trained_model(path)
    made = trained if cell.method == "float" else _deployed(cell, trained, training)
    result: dict[str, Any] = {"accuracy": evaluate(made, test, config.steps)}
    made.eval()
    seen, direct = _shown(test, _MEASURED, test.encoding == "direct"), test.encoding == "direct"
    result["layers"] = layers_measured(made, seen, config.steps, direct=direct)
    if cell.method == "float":
        result["membranes"] = membranes_measured(made, seen, config.steps, direct=direct)
    else:
        labels = torch.from_numpy(test.labels[:_MEASURED])
        result["gradient_cosine"] = gradient_cosine(made, seen, labels, config.steps, direct=direct)
        result |= _checked(made, config, test)
    return {**result, "seconds": round(time.perf_counter() - began, 1)}


def _deployed(cell: Cell, trained: nn.Module, training: Samples) -> nn.Module:
    if cell.method in TRAINS_STATES and cell.method in TRAINS_WEIGHTS:
        return trained
    data = _shown(training, _CALIBRATION, training.encoding == "direct")
    levels: Any = "fitted" if cell.levels == "learned" else cell.levels
    widths = {"weight_bits": cell.weight_bits, "state_bits": cell.state_bits, "levels": levels}
    return quantize(trained, data, steps=cell.training.config.steps, encoding=training.encoding, **widths)


def _checked(model: nn.Module, config: TrainConfig, test: Samples) -> dict[str, Any]:
    data = _shown(test, _COMPARED, test.encoding == "direct")
    spec = input_spec(model, data, test.encoding)
    network = lower(model, spec, config.steps, allow_unproven=True)
    for _ in range(_SETTLINGS):
        if network.certificate.proven or not settle_norms(model, network):
            break
        network = lower(model, spec, config.steps, allow_unproven=True)
    agreement = verify(network, model, _integers(data, spec), executors=("torch", "numpy", "c++"))
    return {
        "digest": network.digest,
        "proven": network.certificate.proven,
        "values": sum(row.values for row in agreement.rows),
        "mismatches": sum(row.mismatches for row in agreement.rows),
    }


def _integers(data: torch.Tensor, spec: InputSpec) -> np.ndarray[Any, Any]:
    return np.clip(np.round(data.numpy() / spec.step), spec.low, spec.high).astype(np.int64)


def _shown(samples: Samples, count: int, direct: bool) -> torch.Tensor:
    values = torch.from_numpy(samples.inputs[:count]).float()
    return values if direct else values.transpose(0, 1)


@lru_cache(maxsize=2)
def _read(dataset: Dataset, steps: int, duration: int, pixels: int, place: str | None) -> tuple[Samples, Samples]:
    config = TrainConfig(dataset=dataset, steps=steps, duration=duration, pixels=pixels)
    return read_data(config, None if place is None else Path(place))


def _data(config: TrainConfig, place: str | None) -> tuple[Samples, Samples]:
    return _read(config.dataset, config.steps, config.duration, config.pixels, place)
