"""Which step of the inputs a recorded call takes: all steps lie along one axis, which may have been moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from squat_deploy.snn.quantizers import InputQuantizer

if TYPE_CHECKING:
    from squat_deploy.lowering.folding import Event

SAME = frozenset(["clone", "contiguous", "detach"])
MOVES = frozenset(["transpose", "permute", "swapaxes", "swapdims", "movedim", "moveaxis"])
_WHOLE = slice(None)


@dataclass(frozen=True, eq=False)
class Taken:
    """A part of all inputs.

    Attributes:
        axis: that of time in what is indexed, 0 or 1.
        axes: how many there are.
        index: of the part; shown: as the user wrote it.
        grid: the call of an input quantizer in between.
    """

    axis: int
    axes: int
    index: tuple[Any, ...]
    shown: Any
    grid: Event | None

    def is_step(self, number: int) -> bool:
        """Whether it is all of this time step and no other."""
        step = alone(self.index, self.axis, self.axes)
        return isinstance(step, int | np.integer) and not isinstance(step, bool) and step == number


def alone(index: Any, axis: int, rank: int) -> Any:
    """What an index says of one axis where it takes all of the others, else None."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if sum(part is Ellipsis for part in parts) == 1:
        place = next(place for place, part in enumerate(parts) if part is Ellipsis)
        parts[place : place + 1] = [_WHOLE] * (rank - len(parts) + 1)
    others = [part for place, part in enumerate(parts) if place != axis]
    whole = len(parts) <= rank and all(isinstance(part, slice) and part == _WHOLE for part in others)
    return parts[axis] if whole and axis < len(parts) else None


def taken_of(event: Event, root: Event) -> Taken | None:
    """What a call takes of all inputs, where it takes a part of them."""
    options = event.options
    if event.function == "getitem":
        shown = options["index"]
        index = shown if isinstance(shown, tuple) else (shown,)
    elif event.function in ("select", "unbind") or event.function.startswith("unbind along axis"):
        shown, dim = options.get("index"), options.get("dim", 0)
        index = (*(_WHOLE,) * (dim % len(event.inputs[0].shape)), shown)
    else:
        return None
    found = time_of(event.inputs[0], root)
    return None if found is None else Taken(found[0], len(root.shape), index, shown, found[1])


def time_of(event: Event, root: Event) -> tuple[int, Event | None] | None:
    """The axis of time in a value that is all inputs, and the call of an input quantizer on the way."""
    axis, grid = 0, None
    while event is not root:
        if len(event.inputs) != 1:
            return None
        (source,) = event.inputs
        if event.function in MOVES:
            moved = order_of(event)
            if moved[2:] != list(range(2, len(moved))):
                return None
            axis ^= moved[0]  # from the last move to the first: two of them cancel out
        elif isinstance(event.module, InputQuantizer) and grid is None:
            grid = event
        elif event.function not in SAME:
            return None
        event = source
    return axis, grid


def order_of(event: Event) -> list[int]:
    """Which axis of its source stands in each place of what a call of `MOVES` gives."""
    axes = len(event.inputs[0].shape)
    blank = torch.empty(tuple(range(1, axes + 1)), device="meta")  # sizes that name their axes
    return [size - 1 for size in getattr(torch, event.function)(blank, **event.options).shape]
