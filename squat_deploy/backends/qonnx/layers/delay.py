"""The plan of a delay: what comes is put before what is kept, and each element is gathered from its step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import FailFast

from squat_deploy.backends.qonnx.builder import Bounds, GraphBuilder, Tensor
from squat_deploy.backends.qonnx.layers.base import Arrays, BasePlan, Carry, Containers, Head, Made, flat
from squat_deploy.network import IntArray
from squat_deploy.network.layers import Delay, Range
from squat_deploy.network.layers.delay import MAX_DELAY


@dataclass(frozen=True)
class DelayPlan(BasePlan):
    """One delay.

    Attributes:
        steps: of every element, or one for all.
        low, high: range of what it takes and gives, 0 included.
    """

    size: int
    steps: Annotated[tuple[int, ...], FailFast()]
    low: int
    high: int
    kind: Literal["delay"] = "delay"
    remembers: ClassVar[bool] = True

    @staticmethod
    def of(head: Head, layer: Delay, taken: Sequence[Range]) -> DelayPlan:
        """By the ranges of what it takes."""
        low, high = layer.partial_range(*taken)
        steps = tuple(layer.steps[: 1 if np.ptp(layer.steps) == 0 else None].tolist())
        return DelayPlan(**vars(head), size=layer.outputs, steps=steps, low=low, high=high)

    @property
    def outputs(self) -> int:
        return self.size

    @property
    def given(self) -> Bounds:
        return self.low, self.high

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return (self.size,)

    @property
    def past(self) -> int:
        """Values that it keeps of the steps before, the newest first."""
        return max(self.steps, default=0) * self.size

    @property
    def largest_sum(self) -> int:
        return max(-self.low, self.high)

    @property
    def window_values(self) -> int:
        return self.past + self.size

    def rules(self) -> dict[str, bool]:
        return {
            "one delay, or one an element": len(self.steps) in (1, self.size),
            f"delays of 0 to {MAX_DELAY} steps": all(0 <= steps <= MAX_DELAY for steps in self.steps),
        }

    def carries(self, types: Containers, *, late: bool) -> list[Carry]:
        kept = Carry(self.name, "past", self.past, 0, types.whole(self.largest_sum), self.given)
        return [kept] if self.past else []

    def nodes(self, b: GraphBuilder, taken: Sequence[Tensor], before: Made, types: Containers) -> Made:
        """Kept (N, past) are the values of the last steps, the newest first."""
        name, width = self.name, self.size + self.past
        x = b.cast(flat(b, taken[0]), f"{name}.input", types.whole(self.largest_sum))
        if not self.past:
            return {"value": x}
        batch, history = x.shape[0], [x, before["past"]]
        wide = b.node("Concat", history, f"{name}.history", shape=(batch, width), bounds=self.given, axis=1)
        places = b.constant(f"{name}.places", self._every_step() * self.size + np.arange(self.size))
        out = b.node("Gather", [wide, places], f"{name}.delayed", shape=(batch, self.size), axis=1)
        kept = b.constant(f"{name}.kept", np.arange(self.past))
        past = b.node("Gather", [wide, kept], f"{name}.past_next", shape=(batch, self.past), axis=1)
        return {"value": out, "past": past}

    def made_of(self, tensors: Arrays) -> Delay:
        return Delay(self.layer, self._every_step())

    def _every_step(self) -> IntArray:
        """(size,) steps of each element."""
        return np.broadcast_to(np.array(self.steps, dtype=np.int64), self.size).copy()
