"""The trained torch model as an executor."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.agreement.comparing import accuracy_of, compare_torch, traces_of
from squat_deploy.agreement.result import ExecutorRow
from squat_deploy.errors import ConfigError
from squat_deploy.network import IntArray, Network
from squat_deploy.readout import Readout
from squat_deploy.simulator import Result

if TYPE_CHECKING:
    from torch import nn

    from squat_deploy.training.sequence import LayerTrace as ModelTrace

_BATCH = 500


def torch_row(
    network: Network, model: nn.Module, inputs: IntArray, reference: Result, labels: NDArray[Any] | None
) -> ExecutorRow:
    """The trained model in batches, on the CPU; membranes are compared as float32, bit for bit."""
    import torch

    from squat_deploy.training.copying import frozen_copy
    from squat_deploy.training.sequence import run_model

    model = frozen_copy(model)
    direct = network.input.encoding == "direct"
    real = torch.from_numpy((inputs * network.input.step).astype(np.float32))
    samples = len(reference.scores)
    mismatches, first, seconds = 0, None, 0.0
    classes = np.zeros_like(reference.classes)
    _check_widths(network, model, real[:1] if direct else real[:, :1], direct)
    for start in range(0, samples, _BATCH):
        window = slice(start, start + _BATCH)
        began = time.perf_counter()
        with torch.no_grad():
            traces = run_model(model, real[window] if direct else real[:, window], network.steps, direct=direct)
        seconds += time.perf_counter() - began
        for neuron, layer, trace in zip(
            network.neurons, reference.trace or (), traces_of(network, traces), strict=True
        ):
            spikes, membranes = torch.stack(trace.spikes).numpy(), torch.stack(trace.membranes).numpy()
            wrong, where = compare_torch(neuron, layer, window, spikes, membranes)
            mismatches, first = mismatches + wrong, first or where
        classes[window] = _read_out(network.readout, traces_of(network, traces)[-1])
    wrong = int((classes[window] != reference.classes[window]).sum())
    mismatches, first = mismatches + wrong, first or ("classes" if wrong else None)
    values = samples + sum(layer.states.size + layer.spikes.size for layer in reference.trace or ())
    accuracy = accuracy_of(classes, labels)
    return ExecutorRow("torch", samples, network.steps, values, mismatches, first, accuracy, samples / seconds)


def _read_out(readout: Readout, trace: ModelTrace) -> NDArray[np.int64]:
    """(B,) class by torch's own sums, maxima and ties, on the spikes and membranes of the trained output layer."""
    import torch

    spikes, membranes = (torch.stack(values).flatten(2) for values in (trace.spikes, trace.membranes))
    steps = len(spikes)
    if readout == "count":
        classes = spikes.sum(dim=0).argmax(dim=1)
    elif readout == "first":
        fired = torch.where(spikes > 0, torch.arange(steps).reshape(-1, 1, 1), steps)
        classes = fired.amin(dim=0).argmin(dim=1)
    else:
        classes = (membranes.amax(dim=0) if readout == "highest-membrane" else membranes[-1]).argmax(dim=1)
    return classes.numpy()


def _check_widths(network: Network, model: nn.Module, real: Any, direct: bool) -> None:
    """Raises: ConfigError where this model cannot be the one that was lowered."""
    import torch

    from squat_deploy.training.sequence import run_model

    try:
        with torch.no_grad():
            traces = run_model(model, real, network.steps, direct=direct)
    except RuntimeError as error:
        raise ConfigError(f"verify: this model does not take the network's inputs: {error}") from error
    widths = [trace.spikes[0][0].numel() for trace in traces_of(network, traces)]
    expected = [neuron.neurons for neuron in network.neurons]
    if widths != expected:
        raise ConfigError(f"verify: the model has neuron layers of {widths}, the network of {expected}: not the same")
