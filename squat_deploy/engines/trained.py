"""The trained torch model as an executor."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.agreement.result import ExecutorRow
from squat_deploy.errors import ConfigError, LoweringError, SquatError
from squat_deploy.network import IntArray, Network
from squat_deploy.network.readout import Readout
from squat_deploy.network.simulator import LayerTrace, Result
from squat_deploy.network.tally import Tally
from squat_deploy.snn.comparing import accuracy_of, bytes_a_sample, compare_run, names_of, traces_of
from squat_deploy.snn.returned import Returned

if TYPE_CHECKING:
    from torch import Tensor, nn

    from squat_deploy.snn.running import LayerTrace as ModelTrace
    from squat_deploy.snn.running import OwnRun

_BATCH = 500
_BYTES = 2**28  # of a batch's traces, the model's and the network's


def torch_row(
    network: Network, model: nn.Module, inputs: IntArray, reference: Result, labels: NDArray[Any] | None
) -> tuple[ExecutorRow, tuple[str, ...]]:
    """The trained model in batches, on the CPU, each on a copy of its own; the user's model stays as it is.

    Every spike and every membrane is compared, what the model returns where it is recognised, and the class.

    Returns: the row, and what a reader should know: where this model's layers have other names than the network's.
    """
    import torch

    from squat_deploy.snn.copying import frozen_copy, undisturbed

    with undisturbed():
        model = frozen_copy(model)
        direct = network.input.encoding == "direct"
        real = torch.from_numpy((inputs * network.input.step).astype(np.float32))
        looped, returned, warnings = _form(network, model, real[:1] if direct else real[:, :1])
        samples, tally, seconds = len(reference.scores), Tally(), 0.0
        classes = np.zeros_like(reference.classes)
        size = max(1, min(_BATCH, _BYTES // bytes_a_sample(network)))
        for start in range(0, samples, size):
            window = slice(start, start + size)
            values = real[window] if direct else real[:, window]
            run, spent = _timed_run(model, values, network.steps, looped, direct)
            seconds += spent
            compare_run(tally, network, _part(reference.trace or (), window), run, returned, start)
            classes[window] = _read_out(network.readout, traces_of(network, run.traces)[-1])
    tally.compare("class", reference.classes, classes)
    accuracy = accuracy_of(classes, labels)
    counts = tally.values, tally.mismatches, tally.first
    rate = samples / seconds if seconds else None
    return ExecutorRow("torch", samples, network.steps, *counts, accuracy, rate), warnings


def _timed_run(model: nn.Module, values: Tensor, steps: int, looped: bool, direct: bool) -> tuple[OwnRun, float]:
    import torch

    from squat_deploy.snn.copying import deep_copy
    from squat_deploy.snn.running import own_run

    fresh = deep_copy(model)
    began = time.perf_counter()
    with torch.no_grad():
        run = own_run(fresh, values, steps, looped=looped, direct=direct)
    return run, time.perf_counter() - began


def _part(layers: Sequence[LayerTrace], window: slice) -> list[LayerTrace]:
    return [
        LayerTrace(layer.name, layer.sums[:, window], layer.states[:, window], layer.spikes[:, window])
        for layer in layers
    ]


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


def _form(network: Network, model: nn.Module, real: Tensor) -> tuple[bool, Sequence[Returned], tuple[str, ...]]:
    """Whether the model loops over time, what of its results is recognised, and layers that only the order matches.

    Raises: ConfigError where this model cannot be the one that was lowered.
    """
    from squat_deploy.lowering.returned import returned_of
    from squat_deploy.snn.copying import deep_copy
    from squat_deploy.snn.running import is_plain, loops_over_time

    direct, steps = network.input.encoding == "direct", network.steps
    try:
        looped = not is_plain(model) and loops_over_time(deep_copy(model), real, steps, direct=direct)
        run, _ = _timed_run(model, real, steps, looped, direct)
    except SquatError:
        raise
    except Exception as error:
        raise ConfigError(f"verify: this model does not take the network's inputs: {error}") from error
    widths = [trace.spikes[0][0].numel() for trace in traces_of(network, run.traces)]
    expected = [neuron.neurons for neuron in network.neurons]
    if widths != expected:
        raise ConfigError(f"verify: the model has neuron layers of {widths}, the network of {expected}: not the same")
    names = names_of(network, run.traces)
    others = [
        f"{name} = {neuron.name}" for name, neuron in zip(names, network.neurons, strict=True) if name != neuron.name
    ]
    warnings = (f"layers are matched by their order, not by name: {', '.join(others)}",) if others else ()
    try:
        return looped, returned_of(deep_copy(model), network.input, steps, run), warnings
    except LoweringError:
        return looped, (), warnings
