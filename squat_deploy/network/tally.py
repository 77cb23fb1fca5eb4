"""Comparing and counting in one place, so that what is counted is what was compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class Tally:
    """How many values were compared, how many differ, and where the first difference is.

    Values are compared as numbers: -0.0 equals 0.0, NaN equals nothing, and a spike is what it is worth, not whether it
    is there. Shapes never broadcast: arrays of another shape differ in every value.

    Attributes:
        layer: of the first difference; empty for scores and classes.
    """

    values: int = 0
    mismatches: int = 0
    first: str | None = None
    layer: str = ""

    def compare(
        self, what: str, want: NDArray[Any], got: NDArray[Any], layer: str = "", start: int = 0, step: int = 0
    ) -> None:
        """Compares (T, B, N) values of a layer, (B, classes) or (B,) of a network; their first sequence and step."""
        self.values += want.size
        if want.shape != got.shape:
            self._note(want.size, f"{layer or 'output'}: {what} of shape {got.shape}, expected {want.shape}", layer)
            return
        differs = want != got
        if differs.any():
            index = tuple(int(v) for v in np.argwhere(differs)[0])
            values = f"{what} {got[index].item()}, expected {want[index].item()}"
            self._note(int(differs.sum()), f"{_place(index, layer, start, step)}: {values}", layer)

    def _note(self, count: int, where: str, layer: str) -> None:
        self.mismatches += count
        if count and self.first is None:
            self.first, self.layer = where, layer


def _place(index: tuple[int, ...], layer: str, start: int, step: int) -> str:
    if len(index) == 3:
        return f"sequence {start + index[1]} step {step + index[0]} {layer} neuron {index[2]}"
    place = "".join(f" {layer or 'output'} {'neuron' if layer else 'class'} {part}" for part in index[1:])
    return f"sequence {start + index[0]}{place}"
