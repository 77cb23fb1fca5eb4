"""The emitted ONNX graphs as executors, in ONNX Runtime and in qonnx."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.agreement.result import ExecutorRow
from squat_deploy.errors import ExportError
from squat_deploy.network import IntArray, Network
from squat_deploy.network.simulator import Result
from squat_deploy.snn.comparing import accuracy_of, compare_traces

QONNX_SAMPLES = 16  # qonnx's executor is an interpreter: 10 to 100 ms a step


def graph_rows(
    network: Network, inputs: IntArray, reference: Result, labels: NDArray[Any] | None, engine: str
) -> tuple[list[ExecutorRow], list[str]]:
    """The emitted ONNX graphs in one engine, and the forms that cannot hold this network."""
    from squat_deploy.engines.onnx import ENGINE_FORMS, run_form

    axis = 0 if network.input.encoding == "direct" else 1
    samples = min(len(reference.scores), QONNX_SAMPLES if engine == "qonnx" else len(reference.scores))
    part = np.take(inputs, range(samples), axis=axis)
    rows, refused = [], []
    for form in ENGINE_FORMS[engine]:
        began = time.perf_counter()
        try:
            result = run_form(network, part, form, engine)
        except ExportError as error:
            refused.append(f"{engine} {form}: {error}")
            continue
        seconds = time.perf_counter() - began
        tally = compare_traces(reference, result, samples)
        complete = labels is not None and len(result.classes) == samples
        accuracy = accuracy_of(result.classes, labels[:samples] if complete and labels is not None else None)
        rows.append(
            ExecutorRow(
                engine,
                samples,
                network.steps,
                tally.values,
                tally.mismatches,
                tally.first,
                accuracy,
                samples / seconds,
                form,
            )
        )
    return rows, refused
