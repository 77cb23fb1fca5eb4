"""`verify`: every engine on the same input, whole traces compared, the first difference named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from squat_deploy.agreement.result import Agreement, ExecutorRow, accuracy_of, check_labels, judged
from squat_deploy.backends.hls import HlsConfig
from squat_deploy.engines import ENGINES, Case, Engine
from squat_deploy.errors import ConfigError, ExportError, InternalError, ToolError
from squat_deploy.network import Network
from squat_deploy.network.activity import fired, warnings_of, warnings_on
from squat_deploy.network.certificate import EXACT_FORM
from squat_deploy.network.encoders import frames_of, takes_intensities
from squat_deploy.network.grid import doubts, integers_of
from squat_deploy.network.network import check_network
from squat_deploy.network.observed import Observed, compare
from squat_deploy.network.tally import Tally
from squat_deploy.progress import report

if TYPE_CHECKING:
    from torch import nn

EXECUTORS = tuple(dict.fromkeys(engine.name for engine in ENGINES))
USUAL = tuple(dict.fromkeys(engine.name for engine in ENGINES if engine.by_default))  # where nobody names any


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
    real: bool = False,
    initial_state: Any = None,
) -> Agreement:
    """Runs the executors on the same integer inputs and compares every value of every step and layer.

    Args:
        model: the trained torch model; needed for the executor "torch".
        inputs: integers, as for `simulate`; intensities (B, *shape) where `config` has an encoder of them.
        labels: (B,) classes, for the accuracy.
        executors: any of "torch", "numpy", "c++", "onnxruntime" (emitted step and sequence graphs, default optimization
            level), "qonnx" (those and the finn graph; the first 16 samples) and "rtlsim" (the emitted SystemVerilog in
            Verilator; only where it is named); by default all others that can run here, and `Agreement.not_run` names
            those that cannot. NumPy's trace is the reference.
        config: options of the HLS project that is compiled for "c++"; "rtlsim" takes its folding and form.
        folder: emit that project here and keep it; by default it is temporary.
        initial_state: of a model that takes its states: what it is given first, as for `lower`.
        inputs_are: how the agreement speaks of the inputs: the user's own, or random ones.
        real: the inputs are real values, in the model's units, to be rounded to the network's own grid; floats that lie
            on it are taken without. Either is told in a SquatWarning.

    `Agreement.warnings` tells of another model than the one that was lowered, of layers that do not live, and of
    inputs that are hardly on the network's grid.

    Raises: ConfigError for unknown executors; ToolError where a named one is missing or the C++ cannot be built.
    """
    check_network(network)
    engines, not_run = _choose(executors, model)
    config = config or HlsConfig()
    if not takes_intensities(config.encoder):
        inputs = integers_of(network.input, inputs, real=real)
    inputs_checked = network.input.check(frames_of(config.encoder, inputs, network.steps), network.steps)
    fed = inputs if takes_intensities(config.encoder) else inputs_checked
    case = Case(network, inputs_checked, model, config, fed, Path(folder) if folder else None, initial_state)
    check_labels(labels, case.samples)
    rows: list[ExecutorRow] = []
    notes: list[str] = []
    for engine in engines:
        try:
            row, told = _row(engine, case, labels)
        except ExportError as error:
            if executors is not None and not engine.form:
                raise
            not_run.append(f"{engine.label}: {error}")
        else:
            rows, notes = [*rows, row], [*notes, *told]
    sequences, (reference, _) = f"{case.samples} {inputs_are} sequences", case.simulated
    warnings = (*other_model(network, model), *notes, *warnings_of(network))
    warnings += doubts(network, case.inputs) if inputs_are == "given" else ()
    warnings += warnings_on(network, fired(reference.trace or ()), case.samples, f"the {sequences}")
    return Agreement(tuple(rows), tuple(not_run), warnings, sequences)


def _row(engine: Engine, case: Case, labels: NDArray[Any] | None) -> tuple[ExecutorRow, tuple[str, ...]]:
    """One engine's share, and what a reader should know. Raises: ExportError, ToolError, as `Engine.run`."""
    tally, parts = Tally(), []
    for part in _observed(engine, case):
        compare(tally, case.network, case.simulated[0], part)
        parts.append(replace(part, layers=(), derived=(), scores=None))  # traces are large
    samples, seconds = sum(part.samples for part in parts), sum(part.seconds for part in parts)
    classes = np.concatenate([part.classes for part in parts if part.classes is not None])
    accuracy = accuracy_of(classes, None if labels is None else labels[:samples])
    rate = samples / seconds if seconds else None
    counts = judged(tally, parts[0].verdict)
    row = ExecutorRow(engine.name, samples, case.network.steps, *counts, accuracy, rate, engine.form)
    return row, parts[0].notes


def _observed(engine: Engine, case: Case) -> Iterator[Observed]:
    """What an engine gives. Raises: InternalError where that is not whole: what is not there would not differ."""
    done, due = 0, min(case.samples, engine.most or case.samples)
    report(f"{engine.label}: sequences", done, due)
    with closing(engine.run(case)) as parts:
        for part in parts:
            if part.start != done or not all({"spike"} < seen.values.keys() for seen in part.layers):
                raise InternalError(f"{engine.label}: no whole traces of the sequences from {done}")
            done += part.samples
            report(f"{engine.label}: sequences", done, due)
            yield part
    if done != due:
        raise InternalError(f"{engine.label}: traces of {done} sequences, where {due} were asked for")


def other_model(network: Network, model: nn.Module | None) -> tuple[str, ...]:
    """That this is not the model that was lowered, if so and if the network says which one it was."""
    if model is None or not network.origin.model:
        return ()
    from squat_deploy.snn.identity import model_digest
    from squat_deploy.snn.layers import is_exact_form

    own, lowered = model_digest(model), network.origin.model
    if own == lowered:
        return ()
    if EXACT_FORM in network.certificate.assumptions and not is_exact_form(model):
        return (
            "the network is of a model's exact form: give verify that too, sd.exact(model, spec, steps) or --exact",
        )
    return (
        f"this is another model: its weights and levels (digest {own[:12]}) are not those of the model that was lowered"
        f" (digest {lowered[:12]}); was a checkpoint left out (--checkpoint), or is it the float model of a network"
        " that quantize made (its checkpoint lies beside the network, *.model.safetensors)?",
    )


def _choose(executors: Sequence[str] | None, model: nn.Module | None) -> tuple[list[Engine], list[str]]:
    """The engines to run, and why others are left out."""
    if unknown := sorted(set(executors or ()) - set(EXECUTORS)):
        raise ConfigError(f"verify: unknown executor {', '.join(unknown)}; there are {', '.join(EXECUTORS)}")
    if executors is not None and not executors:
        raise ConfigError(f"verify: name at least one executor of {', '.join(EXECUTORS)}")
    wanted = [engine for engine in ENGINES if (engine.by_default if executors is None else engine.name in executors)]
    if executors is not None:
        for engine in wanted:
            if engine.needs_model and model is None:
                raise ConfigError(f"verify: the executor {engine.name!r} needs the trained model")
        for reason in filter(None, (engine.missing() for engine in wanted)):
            raise ToolError(f"verify: {reason}")
        return wanted, []
    missing = {engine: _missing(engine, model) for engine in wanted}
    return [engine for engine in wanted if not missing[engine]], list(dict.fromkeys(filter(None, missing.values())))


def _missing(engine: Engine, model: nn.Module | None) -> str:
    if engine.needs_model and model is None:
        return f"{engine.name}: no trained model was given"
    return engine.missing()
