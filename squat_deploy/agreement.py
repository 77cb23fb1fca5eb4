"""`verify`: every executor on the same input, whole traces compared, the first difference named."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy import toolchain
from squat_deploy.backends.hls import HlsConfig, emit_hls
from squat_deploy.errors import ConfigError, ToolError
from squat_deploy.network import IntArray, Network, Neuron
from squat_deploy.simulator import LayerTrace, Result, simulate

if TYPE_CHECKING:
    from torch import nn

EXECUTORS = ("torch", "numpy", "c++")
_TORCH_BATCH = 500


@dataclass(frozen=True)
class ExecutorRow:
    """One executor's share of an agreement.

    Attributes:
        values: how many values were compared with the NumPy trace.
        mismatches: how many differ.
        first: where the first difference is.
        accuracy: share of correct classes, if labels were given.
        samples_per_second: of this run, tracing included; None where too short to time.
    """

    executor: str
    samples: int
    steps: int
    values: int
    mismatches: int
    first: str | None
    accuracy: float | None
    samples_per_second: float | None


@dataclass(frozen=True)
class Agreement:
    """Result of `verify`."""

    rows: tuple[ExecutorRow, ...]

    @property
    def agrees(self) -> bool:
        """Whether no executor differs anywhere."""
        return all(row.mismatches == 0 for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"agrees": self.agrees, "executors": [asdict(row) for row in self.rows]}


def verify(
    network: Network,
    model: nn.Module | None,
    inputs: NDArray[Any],
    *,
    labels: NDArray[Any] | None = None,
    executors: Sequence[str] = EXECUTORS,
    config: HlsConfig | None = None,
    folder: str | Path | None = None,
) -> Agreement:
    """Runs the executors on the same integer inputs and compares every state and spike of every step and layer.

    Args:
        model: the trained torch model; needed for the executor "torch".
        inputs: integers, as for `simulate`.
        labels: (B,) classes, for the accuracy.
        executors: any of "torch", "numpy", "c++"; NumPy's trace is the reference.
        config: options of the HLS project that is compiled for "c++".
        folder: emit that project here and keep it; by default it is temporary.

    Raises: ConfigError for unknown executors; ToolError where the C++ cannot be built.
    """
    if unknown := sorted(set(executors) - set(EXECUTORS)):
        raise ConfigError(f"verify: unknown executor {', '.join(unknown)}; there are {', '.join(EXECUTORS)}")
    if model is None and "torch" in executors:
        raise ConfigError("verify: the executor 'torch' needs the trained model")
    checked = network.input.check(inputs, network.steps)
    check_labels(labels, checked.shape[0 if network.input.encoding == "direct" else 1])
    started = time.perf_counter()
    reference = simulate(network, checked, trace=True)
    rows = [_numpy_row(network, reference, labels, time.perf_counter() - started)]
    if "torch" in executors:
        assert model is not None
        with _evaluating(model):
            rows.insert(0, _torch_row(network, model, checked, reference, labels))
    if "c++" in executors:
        rows.append(_cpp_row(network, checked, reference, labels, config or HlsConfig(), folder))
    return Agreement(tuple(row for row in rows if row.executor in executors))


def check_labels(labels: NDArray[Any] | None, samples: int) -> None:
    """Raises: ConfigError unless labels are one integer a sample."""
    if labels is None:
        return
    array = np.asarray(labels)
    if array.shape != (samples,) or array.dtype.kind not in "iu":
        raise ConfigError(f"labels: expected {samples} integers; got {array.dtype} of shape {array.shape}")


def _accuracy(classes: IntArray, labels: NDArray[Any] | None) -> float | None:
    return None if labels is None else float((classes == np.asarray(labels)).mean())


def _numpy_row(network: Network, reference: Result, labels: NDArray[Any] | None, seconds: float) -> ExecutorRow:
    samples = len(reference.counts)
    values = sum(layer.states.size + layer.spikes.size for layer in reference.trace or ())
    accuracy = _accuracy(reference.classes, labels)
    return ExecutorRow("numpy", samples, network.steps, values, 0, None, accuracy, samples / seconds)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode for a while; every module gets its own mode back, whatever happens."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _torch_row(
    network: Network, model: nn.Module, inputs: IntArray, reference: Result, labels: NDArray[Any] | None
) -> ExecutorRow:
    """The trained model in batches; membranes are compared as float32, bit for bit."""
    import torch

    from squat_deploy.training.sequence import run_model

    direct = network.input.encoding == "direct"
    real = torch.from_numpy((inputs * network.input.step).astype(np.float32))
    samples = len(reference.counts)
    mismatches, first, seconds = 0, None, 0.0
    counts = np.zeros_like(reference.counts)
    _check_widths(network, model, real[:1] if direct else real[:, :1], direct)
    for start in range(0, samples, _TORCH_BATCH):
        window = slice(start, start + _TORCH_BATCH)
        began = time.perf_counter()
        with torch.no_grad():
            traces = run_model(model, real[window] if direct else real[:, window], network.steps, direct=direct)
        seconds += time.perf_counter() - began
        for neuron, layer, trace in zip(network.neurons, reference.trace or (), traces.values(), strict=True):
            spikes, membranes = torch.stack(trace.spikes).numpy(), torch.stack(trace.membranes).numpy()
            wrong, where = compare_torch(neuron, layer, window, spikes, membranes)
            mismatches, first = mismatches + wrong, first or where
        counts[window] = spikes.sum(axis=0).astype(np.int64)
    values = sum(layer.states.size + layer.spikes.size for layer in reference.trace or ())
    accuracy = _accuracy(counts.argmax(axis=1), labels)
    return ExecutorRow("torch", samples, network.steps, values, mismatches, first, accuracy, samples / seconds)


def _check_widths(network: Network, model: nn.Module, real: Any, direct: bool) -> None:
    """Raises: ConfigError where this model cannot be the one that was lowered."""
    import torch

    from squat_deploy.training.sequence import run_model

    try:
        with torch.no_grad():
            traces = run_model(model, real, 1, direct=direct)
    except RuntimeError as error:
        raise ConfigError(f"verify: this model does not take the network's inputs: {error}") from error
    widths = [trace.spikes[0].shape[-1] for trace in traces.values()]
    expected = [neuron.neurons for neuron in network.neurons]
    if widths != expected:
        raise ConfigError(f"verify: the model has neuron layers of {widths}, the network of {expected}: not the same")


def compare_torch(
    neuron: Neuron, layer: LayerTrace, window: slice, spikes: NDArray[Any], membranes: NDArray[Any]
) -> tuple[int, str | None]:
    """(differences, the first one) between one batch of the model and the NumPy trace."""
    want = neuron.membranes[neuron.table, layer.states[:, window]]
    wrong_state = membranes.reshape(want.shape) != want
    wrong_spike = spikes.reshape(want.shape).astype(bool) != layer.spikes[:, window]
    wrong = wrong_state | wrong_spike
    if not wrong.any():
        return 0, None
    step, sample, index = (int(v) for v in np.argwhere(wrong)[0])
    where = f"sequence {(window.start or 0) + sample} step {step} {neuron.name} neuron {index}"
    return int(wrong_state.sum() + wrong_spike.sum()), where


def _cpp_row(
    network: Network,
    inputs: IntArray,
    reference: Result,
    labels: NDArray[Any] | None,
    config: HlsConfig,
    folder: str | Path | None,
) -> ExecutorRow:
    """The emitted project with these inputs as golden data: its own testbench does the comparison."""
    toolchain.require("make")
    with tempfile.TemporaryDirectory(prefix="squat-") as scratch:
        project = emit_hls(network, folder or Path(scratch) / "project", config, stimulus=inputs)
        toolchain.run(["make", "-s", "build-host/csim"], project)
        log = toolchain.run(["./build-host/csim", "tb/data", "--time"], project, may_fail=True)
    outcome = parse_testbench(log)
    samples = len(reference.counts)
    accuracy = _accuracy(reference.classes, labels) if outcome.mismatches == 0 else None
    return ExecutorRow(
        "c++",
        samples,
        network.steps,
        outcome.values,
        outcome.mismatches,
        outcome.first,
        accuracy,
        samples / outcome.seconds if outcome.seconds else None,
    )


@dataclass(frozen=True)
class Outcome:
    """What a testbench printed."""

    values: int
    mismatches: int
    first: str | None
    seconds: float


def parse_testbench(log: str) -> Outcome:
    """Reads the log of an emitted testbench. Raises: ToolError if it did not come to its last line."""
    last = re.search(r"^(?:PASS|FAIL): (\d+) mismatches in (\d+) values", log, re.MULTILINE)
    if last is None:
        raise ToolError(f"the testbench did not finish:\n{toolchain.tail(log)}")
    first = re.search(r"^FIRST DIFFERENCE: (.*)$", log, re.MULTILINE)
    timed = re.search(r"^TIME \d+ sequences ([\d.]+) s$", log, re.MULTILINE)
    return Outcome(int(last[2]), int(last[1]), first[1] if first else None, float(timed[1]) if timed else 0.0)
