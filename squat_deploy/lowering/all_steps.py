"""Time folded into the batch: layers see all steps at once, (T, B, ...) as (T * B, ...), which is taken apart again.

A step of what they give is what they give of that step, since no layer looks from one sample to another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from squat_deploy.lowering.entries import MOVES, SAME, alone, order_of, time_of
from squat_deploy.lowering.options import read_options
from squat_deploy.lowering.program import Call, Kind
from squat_deploy.snn.delay import REMEMBERING
from squat_deploy.snn.neurons import NEURONS

if TYPE_CHECKING:
    from squat_deploy.lowering.folding import Event

_APART = frozenset(["view", "reshape", "unflatten"])
_JOINED = frozenset(["flatten", "view", "reshape"])
_NO_CALL = frozenset(["input", "state", "zeros", "a constant"])


@dataclass(frozen=True, eq=False)
class AllSteps:
    """Finds one step in values of all.

    Attributes:
        root: the inputs, (T, B, ...), or None where they are the same at every step.
        number: the time step whose inputs may be taken; batch: B.
        call: of an event of one step.
    """

    root: Event | None
    number: int
    batch: int
    call: Callable[[Event], Call]

    def taken(self, event: Event) -> Call | None:
        """The call behind `values[step]` or `values[:, step]`, where the values are of all steps; else None."""
        if len(event.inputs) != 1:
            return None
        (values,), options, rank = event.inputs, event.options, len(event.inputs[0].shape)
        for axis in range(min(rank, 2)):
            step: Any = None
            if event.function == "getitem":
                step = alone(options["index"], axis, rank)
            elif event.function.startswith(("select", "unbind")) and options.get("dim", 0) % rank == axis:
                step = options.get("index")
            counts = isinstance(step, int | np.integer) and not isinstance(step, bool)
            if counts and (found := self._of(values, axis, int(step))) is not None:
                return found
        return None

    def _of(self, values: Event, axis: int, step: int) -> Call | None:
        """A step of values in which time lies along this axis, 0 or 1, and the batch along the other."""
        if self.root is not None and (time := time_of(values, self.root)) is not None:
            entry = Call("input", "input") if (time[0], step) == (axis, self.number) else None
            grid = time[1]
            return entry if entry is None or grid is None else Call("module", grid.label, (entry,), grid.module)
        if values.function == "stack" and int(values.options.get("dim", 0)) % len(values.shape) == axis:
            return self.call(values.inputs[step]) if 0 <= step < len(values.inputs) else None
        if values.function in SAME:
            return self._of(values.inputs[0], axis, step)
        if values.function in MOVES and (order := order_of(values))[2:] == list(range(2, len(order))):
            return self._of(values.inputs[0], axis ^ order[0], step)
        if values.function not in _APART or len(values.shape) < 2 or values.shape[1 - axis] != self.batch:
            return None
        inner = self._joined(values.inputs[0], axis, values.shape[axis], step)
        return None if inner is None else _shaped(values, inner, values.shape[2:])

    def _joined(self, values: Event, axis: int, steps: int, step: int) -> Call | None:
        """A step of (T * B, ...), or (B * T, ...) where time lies along axis 1 of what it was made of."""
        if values.shape[:1] != (steps * self.batch,) or not values.inputs or values.function in _NO_CALL:
            return None
        if isinstance(values.module, NEURONS) or type(values.module) in REMEMBERING:
            return None
        whole = (steps, self.batch) if axis == 0 else (self.batch, steps)
        if values.function in _JOINED and values.inputs[0].shape[:2] == whole:
            inner = self._of(values.inputs[0], axis, step)
            return None if inner is None else _shaped(values, inner, values.shape[1:])
        known = [found for given in values.inputs if (found := self._joined(given, axis, steps, step)) is not None]
        if len(known) < len(values.inputs):
            return None
        kind: Kind = "function" if values.module is None else "module"
        options, shape = read_options(values.function, values.options), values.shape[1:]
        return Call(kind, values.label, tuple(known), values.module, values.function, options, shape)


def _shaped(values: Event, inner: Call, shape: tuple[int, ...]) -> Call:
    return Call("function", values.label, (inner,), function="reshape", shape=shape)
