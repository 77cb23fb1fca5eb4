"""Comparing traces value by value with the reference, and classes with labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import ConfigError
from squat_deploy.network import IntArray, Network, Neuron
from squat_deploy.simulator import LayerTrace, Result

T = TypeVar("T")


def check_labels(labels: NDArray[Any] | None, samples: int) -> None:
    """Raises: ConfigError unless labels are one integer a sample."""
    if labels is None:
        return
    array = np.asarray(labels)
    if array.shape != (samples,) or array.dtype.kind not in "iu":
        raise ConfigError(f"labels: expected {samples} integers; got {array.dtype} of shape {array.shape}")


def accuracy_of(classes: IntArray, labels: NDArray[Any] | None) -> float | None:
    """Share of correct classes, if there are labels."""
    return None if labels is None else float((classes == np.asarray(labels)).mean())


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


def traces_of(network: Network, traces: Mapping[str, T]) -> list[T]:
    """The traces of a model in the order of the network's neurons: by name, or by order where the names are others.

    Raises: ConfigError where the model has other neuron layers.
    """
    names = [neuron.name for neuron in network.neurons]
    if len(set(names)) == len(names) and set(names) <= set(traces):
        return [traces[name] for name in names]
    if len(traces) != len(names):
        got = f"neuron layers {', '.join(traces)}, the network {', '.join(names)}"
        raise ConfigError(f"verify: the model has {got}: not the same")
    return list(traces.values())


def compare_traces(reference: Result, result: Result) -> tuple[int, int, str | None]:
    """(values compared, differences, the first one) of the first samples: sums, states, spikes, scores, classes."""
    samples, wrong, first = len(result.scores), 0, None
    values = result.scores.size + samples
    for want, got in zip(reference.trace or (), result.trace or (), strict=True):
        for key, what in (("sums", "synaptic sum"), ("states", "state"), ("spikes", "spike")):
            differs = getattr(want, key)[:, :samples] != getattr(got, key)
            values, wrong = values + differs.size, wrong + int(differs.sum())
            if differs.any() and first is None:
                step, sample, index = (int(v) for v in np.argwhere(differs)[0])
                first = f"sequence {sample} step {step} {want.name} neuron {index}: {what}"
    ends = {
        "scores": int((reference.scores[:samples] != result.scores).sum()),
        "classes": int((reference.classes[:samples] != result.classes).sum()),
    }
    return values, wrong + sum(ends.values()), first or next((what for what, n in ends.items() if n), None)
