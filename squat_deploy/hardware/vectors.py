"""Golden vectors: stimulus, and every state index and spike that it must lead to, as text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.coverage.reached import Reached
from squat_deploy.hardware.stimulus.choosing import chosen
from squat_deploy.hardware.stimulus.feeding import Feeding
from squat_deploy.network import IntArray, Network
from squat_deploy.network.encoders import AnyEncoder, takes_intensities
from squat_deploy.network.readout import scores_so_far
from squat_deploy.network.simulator import Result

_DATA = 2**23  # golden states and spikes, by default
_LEAST, _MOST = 8, 4096  # sequences, by default
USUAL = 8  # random sequences that stand for usual ones, where cycles are estimated
_MOST_TEXTS = 2**17  # numbers that are spelled once and looked up


@lru_cache(maxsize=2)
def golden_inputs(
    network: Network, count: int | None = None, encoder: AnyEncoder | None = None
) -> tuple[IntArray, Reached]:
    """Sequences chosen for what they reach, and that; the same for the same network.

    Args: count: sequences, at most; None: as many as golden data of a stated size has room for.

    Returns: what a core is fed, (B, *shape) where one frame is a sequence, else (T, B, *shape).
    """
    feeding = Feeding(network, encoder)
    if count is None:
        values = 2 * network.steps * sum(neuron.neurons for neuron in network.neurons)
        count = min(_MOST, max(_LEAST, _DATA // values))
    block, reached = chosen(feeding, count)
    inputs = feeding.taken(block)
    inputs.flags.writeable = False  # others get the same
    return inputs, reached


def default_stimulus(network: Network, count: int | None = None, encoder: AnyEncoder | None = None) -> IntArray:
    """The golden sequences alone."""
    return golden_inputs(network, count, encoder)[0]


def random_stimulus(network: Network, count: int, encoder: AnyEncoder | None = None) -> IntArray:
    """Random sequences, the same for the same network; the first is all low, the second all high."""
    spec, rng = network.input, np.random.default_rng(int(network.digest[:16], 16))
    low, high, single = spec.low, spec.high, spec.encoding == "direct"
    if takes_intensities(encoder):
        low, high, single = 0, 2**encoder.bits - 1, True
    values = rng.integers(low, high + 1, (*((count,) if single else (network.steps, count)), *spec.shape))
    axis = 0 if single else 1
    for position, extreme in enumerate((low, high)[: max(0, count - 1)]):
        values[(slice(None),) * axis + (position,)] = extreme
    return values


def golden_data(
    network: Network, inputs: NDArray[Any], single: bool, result: Result, numbers: Sequence[int]
) -> dict[str, str]:
    """Golden files of the testbench by name: comma-separated integers, one frame or step a line.

    Args:
        inputs: what the core takes, (B, *shape) where one frame is a sequence (`single`), else (T, B, *shape).
        numbers: of the neuron layers in the design.
    """
    size = network.input.size
    if single:
        frames = inputs.reshape(-1, size)
    else:
        frames = inputs.reshape(network.steps, -1, size).transpose(1, 0, 2).reshape(-1, size)
    files = {"stimulus.dat": csv_lines(frames), "scores.dat": csv_lines(_by_sequence(_scores(network, result)))}
    for number, layer in zip(numbers, result.trace or (), strict=True):
        for kind, values in (("state", layer.states), ("spike", layer.spikes)):
            files[f"layer{number}_{kind}.dat"] = csv_lines(_by_sequence(values))
    return files


def _by_sequence(values: NDArray[Any]) -> NDArray[Any]:
    """(T, B, N) to (B T, N)."""
    return values.transpose(1, 0, 2).reshape(-1, values.shape[2])


def _scores(network: Network, result: Result) -> IntArray:
    """(T, B, classes) scores after every step."""
    assert result.trace is not None
    last, output = result.trace[-1], network.neurons[-1]
    seen = output.membrane_states(last.states)
    return np.stack(list(scores_so_far(network.readout, last.spikes, seen, network.worth)))


def csv_lines(rows: NDArray[Any]) -> str:
    """Integers (lines, values) as text, each followed by a comma, so that C++ can include the file too."""
    if rows.min() >= 0 and rows.max() <= 9:
        return _digit_lines(rows)
    if rows.max() - rows.min() > _MOST_TEXTS:
        return "".join(",".join(map(str, row)) + ",\n" for row in rows.tolist())
    texts = np.array([str(v) for v in range(int(rows.min()), int(rows.max()) + 1)], dtype=object)
    offset = int(rows.min())
    return "".join(",".join(texts[row.astype(np.int64) - offset]) + ",\n" for row in rows)


def _digit_lines(rows: NDArray[Any]) -> str:
    """`csv_lines` for single digits, the common case of large golden data, as one array of bytes."""
    text = np.full((rows.shape[0], 2 * rows.shape[1] + 1), ord(","), dtype=np.uint8)
    text[:, 0:-1:2] = rows + ord("0")
    text[:, -1] = ord("\n")
    return text.tobytes().decode("ascii")
