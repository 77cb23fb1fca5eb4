"""Golden vectors: stimulus, and every state index and spike that it must lead to, as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.coverage.reached import Reached
from squat_deploy.hardware.stimulus.choosing import chosen
from squat_deploy.hardware.stimulus.feeding import Feeding
from squat_deploy.network import IntArray, Network
from squat_deploy.network.encoders import AnyEncoder
from squat_deploy.network.simulator import Result

_DATA = 2**22  # golden states and spikes, by default
_LEAST, _MOST = 8, 1024  # sequences, by default


def default_stimulus(network: Network, count: int | None = None, encoder: AnyEncoder | None = None) -> IntArray:
    """Sequences chosen for what they reach, the same for the same network; see `golden_inputs`."""
    return golden_inputs(network, count, encoder)[0]


def golden_inputs(
    network: Network, count: int | None = None, encoder: AnyEncoder | None = None
) -> tuple[IntArray, Reached]:
    """What a core is fed, (B, *shape) where one frame is a sequence, else (T, B, *shape), and what that reaches.

    Args: count: sequences, at most; None: as many as golden data of a stated size has room for.
    """
    feeding = Feeding(network, encoder)
    if count is None:
        count = min(_MOST, max(_LEAST, _DATA // values_compared(network)))
    block, reached = chosen(feeding, count)
    return feeding.taken(block), reached


def values_compared(network: Network) -> int:
    """States and spikes of one sequence."""
    return 2 * network.steps * sum(neuron.neurons for neuron in network.neurons)


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
    files = {"stimulus.dat": csv_lines(frames)}
    for number, layer in zip(numbers, result.trace or (), strict=True):
        for kind, values in (("state", layer.states), ("spike", layer.spikes)):
            by_sequence = values.transpose(1, 0, 2).reshape(-1, values.shape[2])
            files[f"layer{number}_{kind}.dat"] = csv_lines(by_sequence)
    return files


def csv_lines(rows: NDArray[Any]) -> str:
    """Integers (lines, values) as text, each followed by a comma, so that C++ can include the file too."""
    if rows.min() >= 0 and rows.max() <= 9:
        return _digit_lines(rows)
    texts = np.array([str(v) for v in range(int(rows.min()), int(rows.max()) + 1)], dtype=object)
    offset = int(rows.min())
    return "".join(",".join(texts[row.astype(np.int64) - offset]) + ",\n" for row in rows)


def _digit_lines(rows: NDArray[Any]) -> str:
    """`csv_lines` for single digits, the common case of large golden data, as one array of bytes."""
    text = np.full((rows.shape[0], 2 * rows.shape[1] + 1), ord(","), dtype=np.uint8)
    text[:, 0:-1:2] = rows + ord("0")
    text[:, -1] = ord("\n")
    return text.tobytes().decode("ascii")
