"""`simulate`: a network on integer inputs, by NumPy."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from squat_deploy.agreement import check_labels
from squat_deploy.backends.testbench.views import numbers_of
from squat_deploy.cli.documents import emit, following, grid
from squat_deploy.cli.inputs import network_inputs
from squat_deploy.cli.options import InputsFile, Json, LabelsFile, NetworkFile, Real, Samples, TimeUnitOption, Window
from squat_deploy.cli.tables import scores_table
from squat_deploy.files import write_file
from squat_deploy.loading import load
from squat_deploy.network import Network
from squat_deploy.network.activity import counted, warnings_of, warnings_on
from squat_deploy.network.grid import doubts
from squat_deploy.network.simulator import Result
from squat_deploy.network.tabled import inputs_line
from squat_deploy.reading import labels_of


def simulate(
    network: NetworkFile,
    inputs: InputsFile = None,
    real: Real = False,
    window: Window = None,
    time_unit: TimeUnitOption = None,
    samples: Samples = 8,
    labels: LabelsFile = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Save scores, values of membranes, and the trace, as .npz.")
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Keep sums, states and spikes of every step.")] = False,
    as_json: Json = False,
) -> None:
    """Run a network on integer inputs with the NumPy executor."""
    loaded = load(network)
    data, notes, texts = network_inputs(loaded, inputs, samples, real=real, window=window, unit=time_unit)
    result, counts = counted(loaded, data, trace=trace)
    described = f"{len(result.scores)} {'random' if inputs is None else 'given'} sequences"
    texts += doubts(loaded, data) if inputs is not None else ()
    texts += [*warnings_of(loaded), *warnings_on(loaded, counts, len(result.scores), f"the {described}")]
    document: dict[str, Any] = {"classes": result.classes.tolist(), "scores": result.scores.tolist()}
    document |= {"inputs": described, "notes": notes, "warnings": texts, **grid(loaded.input)}
    lines = []
    if loaded.values is not None:
        law = {"described": loaded.values.described, "step": loaded.values.step, "divisor": loaded.values.divisor}
        integers = loaded.values.integers(result.scores)
        document |= {
            "values": {**law, "integers": integers.tolist(), "real": loaded.values.real(result.scores).tolist()}
        }
        lines.append(loaded.values.described)
    if labels is not None:
        classes = labels_of(labels)
        check_labels(classes, len(result.classes))
        document["accuracy"] = float((result.classes == classes).mean())
        lines.append(f"accuracy {document['accuracy']:.2%}")
    if out is not None:
        lines.append(f"saved {out}: {', '.join(_save(out, loaded, result))}")
    lines.append(following("squat-deploy", "verify", network))
    emit(document, as_json, *notes, scores_table(result, described, inputs_line(loaded)), *lines)


def _save(path: Path, network: Network, result: Result) -> list[str]:
    """Returns: the names of the arrays."""
    arrays: dict[str, Any] = {"scores": result.scores}
    if network.values is not None:
        arrays["values"] = network.values.real(result.scores)
    for number, layer in zip(numbers_of(network), result.trace or (), strict=bool(result.trace)):
        own = {"name": np.array(layer.name), "sum": layer.sums, "state": layer.states, "spike": layer.spikes}
        arrays |= {f"layer{number}_{key}": values for key, values in own.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_file(path, buffer.getvalue())
    return list(arrays)
