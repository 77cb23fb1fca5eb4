"""`verify`: every executor on the same input, whole traces compared, the first difference named."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from squat_deploy import toolchain
from squat_deploy.agreement.result import Agreement, ExecutorRow
from squat_deploy.backends.hls import HlsConfig
from squat_deploy.engines.csim import cpp_row
from squat_deploy.engines.graphs import graph_rows
from squat_deploy.engines.trained import torch_row
from squat_deploy.errors import ConfigError, ExportError, ToolError
from squat_deploy.network import Network
from squat_deploy.network.activity import fired, warnings_of, warnings_on
from squat_deploy.network.encoders import frames_of, takes_intensities
from squat_deploy.network.grid import doubts
from squat_deploy.network.simulator import Result, simulate
from squat_deploy.snn.comparing import accuracy_of, check_labels

if TYPE_CHECKING:
    from torch import nn

EXECUTORS = ("torch", "numpy", "c++", "onnxruntime", "qonnx")
_PACKAGES = {"torch": ("torch",), "onnxruntime": ("onnx", "onnxruntime"), "qonnx": ("onnx", "qonnx")}


def verify(
    network: Network,
    model: nn.Module | None,
    inputs: NDArray[Any],
    *,
    labels: NDArray[Any] | None = None,
    executors: Sequence[str] | None = None,
    config: HlsConfig | None = None,
    folder: str | Path | None = None,
    inputs_are: Literal["given", "random"] = "given",
) -> Agreement:
    """Runs the executors on the same integer inputs and compares every value of every step and layer.

    Args:
        model: the trained torch model; needed for the executor "torch".
        inputs: integers, as for `simulate`; intensities (B, *shape) where `config` has an encoder of them.
        labels: (B,) classes, for the accuracy.
        executors: any of "torch", "numpy", "c++", "onnxruntime" (emitted step and sequence graphs, default optimization
            level) and "qonnx" (those and the finn graph; the first 16 samples); by default all that can run here, and
            `Agreement.not_run` names the others. NumPy's trace is the reference.
        config: options of the HLS project that is compiled for "c++".
        folder: emit that project here and keep it; by default it is temporary.
        inputs_are: how the agreement speaks of the inputs: the user's own, or random ones.

    `Agreement.warnings` tells of another model than the one that was lowered, of layers that do not live, and of
    inputs that are hardly on the network's grid.

    Raises: ConfigError for unknown executors; ToolError where a named one is missing or the C++ cannot be built.
    """
    chosen, not_run = _choose(executors, model)
    encoder = config.encoder if config else None
    checked = network.input.check(frames_of(encoder, inputs, network.steps), network.steps)
    check_labels(labels, checked.shape[0 if network.input.encoding == "direct" else 1])
    started = time.perf_counter()
    reference = simulate(network, checked, trace=True)
    rows = [_numpy_row(network, reference, labels, time.perf_counter() - started)] if "numpy" in chosen else []
    differs: tuple[str, ...] = ()
    if "torch" in chosen:
        from squat_deploy.lowering.environment import differences, read_environment

        assert model is not None
        row, found_in_model = torch_row(network, model, checked, reference, labels)
        rows.insert(0, row)
        differs = (*differences(network.certificate, read_environment(model)), *found_in_model)
    if "c++" in chosen:
        shown = inputs if takes_intensities(encoder) else checked
        try:
            rows.append(cpp_row(network, shown, reference, labels, config or HlsConfig(), folder))
        except ExportError as error:
            if executors is not None:
                raise
            not_run.append(f"c++: {error}")
    for engine in (name for name in ("onnxruntime", "qonnx") if name in chosen):
        found, refused = graph_rows(network, checked, reference, labels, engine)
        rows, not_run = rows + found, not_run + refused
    sequences = f"{len(reference.scores)} {inputs_are} sequences"
    told = (*other_model(network, model), *differs, *warnings_of(network))
    told += doubts(network, checked) if inputs_are == "given" else ()
    told += warnings_on(network, fired(reference.trace or ()), len(reference.scores), f"the {sequences}")
    return Agreement(tuple(rows), tuple(not_run), told, sequences)


def other_model(network: Network, model: nn.Module | None) -> tuple[str, ...]:
    """That this is not the model that was lowered, if so and if the network says which one it was."""
    if model is None or not network.origin.model:
        return ()
    from squat_deploy.snn.identity import model_digest

    own, lowered = model_digest(model), network.origin.model
    if own == lowered:
        return ()
    return (
        f"this is another model: its weights and levels (digest {own[:12]}) are not those of the model that was lowered"
        f" (digest {lowered[:12]}); was a checkpoint left out (--checkpoint), or is it the float model of a network"
        " that quantize made (its checkpoint lies beside the network, *.model.safetensors)?",
    )


def _choose(executors: Sequence[str] | None, model: nn.Module | None) -> tuple[list[str], list[str]]:
    """The executors to run, and why others are left out."""
    if unknown := sorted(set(executors or ()) - set(EXECUTORS)):
        raise ConfigError(f"verify: unknown executor {', '.join(unknown)}; there are {', '.join(EXECUTORS)}")
    if executors is not None and not executors:
        raise ConfigError(f"verify: name at least one executor of {', '.join(EXECUTORS)}")
    if model is None and "torch" in (executors or ()):
        raise ConfigError("verify: the executor 'torch' needs the trained model")
    missing = {name: _missing(name) for name in executors or EXECUTORS}
    if executors is not None:
        for reason in filter(None, missing.values()):
            raise ToolError(f"verify: {reason}")
        return list(executors), []
    if model is None:
        missing["torch"] = "torch: no trained model was given"
    return [name for name, reason in missing.items() if not reason], [why for why in missing.values() if why]


def _missing(executor: str) -> str:
    """Why an executor cannot run, or nothing."""
    absent = [name for name in _PACKAGES.get(executor, ()) if not toolchain.has_package(name)]
    extra = "train" if executor == "torch" else "qonnx"
    return f"{executor}: needs {' and '.join(absent)} (pip install 'squat_deploy[{extra}]')" if absent else ""


def _numpy_row(network: Network, reference: Result, labels: NDArray[Any] | None, seconds: float) -> ExecutorRow:
    samples = len(reference.scores)
    values = sum(layer.states.size + layer.spikes.size for layer in reference.trace or ())
    accuracy = accuracy_of(reference.classes, labels)
    return ExecutorRow("numpy", samples, network.steps, values, 0, None, accuracy, samples / seconds)
