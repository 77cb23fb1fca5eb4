"""Address events (time, neuron) of many recordings, and the frames that a network takes of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.arrays import read_npz
from squat_deploy.errors import DatasetError
from squat_deploy.lab.datasets import Samples, Split

MAX_BYTES = 2**36  # of all frames
MAX_TIME = 2**45  # microseconds, a year: products with it stay within 64 bits


@dataclass(frozen=True, eq=False)
class Events:
    """Recordings one after the other; recording i is `offsets[i]:offsets[i + 1]`.

    Attributes:
        times: (E,) int64, microseconds from the start of its recording.
        addresses: (E,) int64, row-major position in `shape`.
        offsets: (N + 1,) int64.
        labels: (N,) int64.
        is_test: (N,) bool.
        shape: of one frame, (channels,) or (polarities, height, width).
    """

    times: NDArray[np.int64]
    addresses: NDArray[np.int64]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    is_test: NDArray[np.bool_]
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        ends, size = self.offsets, math.prod(self.shape)
        if any(array.ndim != 1 for array in (ends, self.labels, self.is_test, self.times, self.addresses)):
            raise DatasetError("events: times, addresses, offsets, labels and is_test must have one dimension")
        count = len(self.labels)
        if len(ends) != count + 1 or len(self.is_test) != count or len(self.times) != len(self.addresses):
            raise DatasetError("events: as many labels as recordings, and as many times as addresses, are needed")
        if ends[0] != 0 or ends[-1] != len(self.times) or (np.diff(ends) < 0).any():
            raise DatasetError("events: offsets must ascend from 0 to the number of events")
        if len(self.times) and (self.times.min() < 0 or self.addresses.min() < 0 or self.addresses.max() >= size):
            raise DatasetError(f"events: a time below 0, or an address outside {self.shape}")
        if len(self.times) and self.times.max() > MAX_TIME:
            raise DatasetError(f"events: a time beyond {MAX_TIME} microseconds")

    def pooled(self, pixels: int) -> Events:
        """Squares of so many pixels a side as one; recordings of a single dimension stay as they are.

        Raises: DatasetError where the squares do not cover the frame.
        """
        if pixels == 1 or len(self.shape) == 1:
            return self
        if any(side % pixels for side in self.shape[-2:]):
            raise DatasetError(f"events: squares of {pixels} x {pixels} pixels do not cover {self.shape}")
        shape = (*self.shape[:-2], *(side // pixels for side in self.shape[-2:]))
        *lead, row, column = np.unravel_index(self.addresses, self.shape)
        addresses = np.ravel_multi_index((*lead, row // pixels, column // pixels), shape)
        return replace(self, addresses=addresses, shape=shape)

    def frames(self, steps: int, duration: int, high: int = 1, split: Split = "train") -> Samples:
        """Events counted in `steps` windows of equal length, counts beyond `high` cut to it.

        Args:
            duration: microseconds that the windows cover from the start; what comes later is dropped.

        Returns: inputs (N, steps, *shape) uint8.
        """
        chosen = np.flatnonzero(self.is_test == (split == "test"))
        if not len(chosen):
            raise DatasetError(f"events: no recordings to {split} with")
        size = math.prod(self.shape)
        if (needed := len(chosen) * steps * size) > MAX_BYTES:
            raise DatasetError(f"events: {steps} frames of {self.shape} take {needed} bytes in all; choose fewer steps")
        frames = np.zeros((len(chosen), steps * size), dtype=np.uint8)
        for row, index in enumerate(chosen):
            part = slice(self.offsets[index], self.offsets[index + 1])
            window = self.times[part] * steps // duration
            kept = window < steps
            cells = window[kept] * size + self.addresses[part][kept]
            frames[row] = np.minimum(np.bincount(cells, minlength=steps * size), high)
        return Samples(frames.reshape(len(chosen), steps, *self.shape), self.labels[chosen], "sequence")


def read_nmnist(path: str | Path) -> Events:
    """N-MNIST (Orchard et al., CC BY-SA 4.0) as flat arrays t (microseconds), x, y, p, offsets, labels, is_test.

    Raises: DatasetError.
    """
    arrays = _arrays(Path(path), ("t", "x", "y", "p", "offsets", "labels", "is_test"))
    for name, size in (("p", 2), ("y", 34), ("x", 34)):  # each by itself: a large x would be a pixel of the next row
        if len(arrays[name]) and (arrays[name].min() < 0 or arrays[name].max() >= size):
            raise DatasetError(f"{path}: {name} must be 0 to {size - 1}")
    if not len(arrays["t"]) == len(arrays["x"]) == len(arrays["y"]) == len(arrays["p"]):
        raise DatasetError(f"{path}: t, x, y and p must have one length")
    addresses = (arrays["p"] * 34 + arrays["y"]) * 34 + arrays["x"]
    return _events(arrays, arrays["t"], addresses, (2, 34, 34))


def read_cochlea(path: str | Path, channels: int = 700) -> Events:
    """Spoken digits as spikes of cochlea channels: t_half_ms (0.5 ms), unit, offsets, labels, is_test.

    Raises: DatasetError.
    """
    arrays = _arrays(Path(path), ("t_half_ms", "unit", "offsets", "labels", "is_test"))
    return _events(arrays, arrays["t_half_ms"] * 500, arrays["unit"], (channels,))


def _events(arrays: dict[str, NDArray[Any]], times: Any, addresses: Any, shape: tuple[int, ...]) -> Events:
    return Events(times, addresses, arrays["offsets"], arrays["labels"], arrays["is_test"].astype(bool), shape)


def _arrays(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[np.int64]]:
    if not path.exists():
        raise DatasetError(f"{path}: no such file")
    found = {}
    for name, array in read_npz(path, names, DatasetError).items():
        if array.dtype.kind not in "biu" or array.ndim != 1:
            raise DatasetError(f"{path}: {name} must be integers (N,); got {array.dtype} of shape {array.shape}")
        if len(array) and (array.min() < -MAX_TIME or array.max() > MAX_TIME):
            raise DatasetError(f"{path}: {name}: a value beyond {MAX_TIME}")
        found[name] = array.astype(np.int64)
    return found
