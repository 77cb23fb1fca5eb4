"""From what the output neurons do to one score a class: the class is the highest score, the lowest index on ties.

Every readout is a score that is updated step by step, so that simulator, graphs and hardware keep one integer a class:

- "count": number of spikes;
- "first": steps since the first spike, that step included, 0 without one; the first to fire has the highest score;
- "highest-membrane": highest state index of all steps;
- "last-membrane": state index after the last step;
- "mean-membrane": sum over all steps of the membrane as an integer above the lowest one (`values.py`).

State indices stand for membranes only where they ascend with them, which `order_rule` checks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import ConfigError

Readout = Literal["count", "first", "highest-membrane", "last-membrane", "mean-membrane"]
READOUTS: tuple[Readout, ...] = ("count", "first", "highest-membrane", "last-membrane", "mean-membrane")
SCORES: dict[Readout, str] = {
    "count": "spikes since the last restart",
    "first": "steps since the first spike, that step included, 0 without one",
    "highest-membrane": "highest state index since the last restart",
    "last-membrane": "state index after the last step",
    "mean-membrane": "sum of the membranes since the last restart, as integers above the lowest one",
}
OF_MEMBRANES: tuple[Readout, ...] = ("highest-membrane", "last-membrane", "mean-membrane")


def updated(
    readout: Readout, scores: NDArray[np.int64], spikes: Any, states: Any, worth: Sequence[int] = ()
) -> NDArray[np.int64]:
    """Scores (B, classes) after one more step with these spikes and state indices (B, classes).

    Args: worth: of "mean-membrane", what every state adds (`Values.worth`).
    """
    if readout == "count":
        return scores + spikes
    if readout == "first":
        return scores + (spikes | (scores > 0))
    indices = np.asarray(states, dtype=np.int64)
    if readout == "mean-membrane":
        return scores + np.array(worth, dtype=np.int64)[indices]
    return np.maximum(scores, indices) if readout == "highest-membrane" else indices


def scores_so_far(
    readout: Readout, spikes: NDArray[np.bool_], states: NDArray[Any], worth: Sequence[int] = ()
) -> Iterator[NDArray[np.int64]]:
    """Scores (B, classes) after every step of whole sequences (T, B, classes)."""
    scores = np.zeros(spikes.shape[1:], dtype=np.int64)
    for fired, indices in zip(spikes, states, strict=True):
        scores = updated(readout, scores, fired, indices, worth)
        yield scores


def scores_of(
    readout: Readout, spikes: NDArray[np.bool_], states: NDArray[Any], worth: Sequence[int] = ()
) -> NDArray[np.int64]:
    """Scores (B, classes) of whole sequences (T, B, classes)."""
    return list(scores_so_far(readout, spikes, states, worth))[-1]


def population(scores: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Scores (B, outputs) of populations, one after another in equal shares: their sums (B, classes).

    The class is the highest sum, as with the population codes of snntorch.functional. Raises: ConfigError.
    """
    outputs = scores.shape[-1]
    if classes < 1 or outputs % classes:
        raise ConfigError(f"population: {outputs} outputs make no {classes} populations of one size")
    sums: NDArray[np.int64] = np.asarray(scores, dtype=np.int64).reshape(-1, classes, outputs // classes).sum(axis=2)
    return sums


def order_rule(membranes: NDArray[np.float32], successor: NDArray[np.int64]) -> str | None:
    """Why the state indices of an output layer do not stand for its membranes (K, states), or None.

    Args: successor: (K, states, levels); a rest state to which no step leads is not looked at.
    """
    membranes = membranes[:, np.unique(successor)]
    if (np.diff(membranes, axis=1) <= 0).any():
        return "a membrane readout needs state indices that ascend with the membrane"
    if (membranes != membranes[0]).any():
        return "a membrane readout needs the same level table for every class"
    return None
