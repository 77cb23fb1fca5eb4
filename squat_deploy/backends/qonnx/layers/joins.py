"""Plans of layers without weights: what they share, sums of branches, branches one after another."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import FailFast

from squat_deploy.backends.qonnx.builder import Bounds, GraphBuilder, Tensor
from squat_deploy.backends.qonnx.layers.base import Arrays, BasePlan, Containers, Head, Made, ends, flat
from squat_deploy.network.layers import Add, Concat, Join, Range


@dataclass(frozen=True, kw_only=True)
class JoinPlan(BasePlan):
    """One layer without weights.

    Attributes:
        sizes: the integers that decide what it gives, one after another.
        low, high: range of the results.
        largest: largest magnitude of all that it takes, gives or makes on its way.
    """

    operation: str
    sizes: Annotated[tuple[int, ...], FailFast()]
    low: int
    high: int
    largest: int
    kind: Literal["join"] = "join"

    @abstractmethod
    def join(self) -> Join:
        """The layer itself. Raises: ValueError, LookupError, ConfigError for sizes that do not fit."""

    @property
    def outputs(self) -> int:
        return self.join().outputs

    @property
    def given(self) -> Bounds:
        return self.low, self.high

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return self.join().input_sizes

    @property
    def largest_sum(self) -> int:
        return self.largest

    def made_of(self, tensors: Arrays) -> Join:
        return self.join()

    def branches(self, b: GraphBuilder, taken: Sequence[Tensor], types: Containers) -> list[Tensor]:
        """(N, size) each, all in one container."""
        element = types.whole(self.largest)
        return [b.cast(flat(b, x), f"{self.name}.input{i}", element) for i, x in enumerate(taken)]


def fields_of(head: Head, layer: Join, taken: Sequence[Range], factors: Sequence[int]) -> dict[str, Any]:
    """Of a layer that takes values in these ranges; `factors` bound what is made of each value."""
    pairs = zip(taken, factors, strict=True)
    largest = sum(int(np.abs(end).max()) * factor for pair, factor in pairs for end in pair)  # of every partial sum
    sizes = tuple(int(size) for array in layer.arrays().values() for size in array.reshape(-1))
    return {**vars(head), "sizes": sizes, **ends(layer.range(*taken)), "largest": largest}


@dataclass(frozen=True, kw_only=True)
class AddPlan(JoinPlan):
    """A sum of branches, each times its factor."""

    operation: Literal["add"] = "add"

    @staticmethod
    def of(head: Head, layer: Add, taken: Sequence[Range]) -> AddPlan:
        """By the ranges of what it takes."""
        return AddPlan(**fields_of(head, layer, taken, layer.factors))

    def join(self) -> Add:
        return Add(self.layer, self.sizes[0], self.sizes[1:])

    def nodes(self, b: GraphBuilder, taken: Sequence[Tensor], before: Made, types: Containers) -> Made:
        values = zip(self.branches(b, taken, types), self.join().factors, strict=True)
        first, *others, last = (self._term(b, x, i, factor) for i, (x, factor) in enumerate(values))
        for i, term in enumerate(others, start=1):
            bounds = (first.bounds[0] + term.bounds[0], first.bounds[1] + term.bounds[1])
            first = b.node("Add", [first, term], f"{self.name}.partial{i}", bounds=bounds)
        return {"value": b.node("Add", [first, last], f"{self.name}.added", bounds=self.given)}

    def _term(self, b: GraphBuilder, x: Tensor, branch: int, factor: int) -> Tensor:
        if factor == 1:
            return x
        by = b.constant(f"{self.name}.factor{branch}", np.array(factor, dtype=x.dtype))
        return b.node("Mul", [x, by], f"{self.name}.term{branch}", bounds=(x.bounds[0] * factor, x.bounds[1] * factor))


@dataclass(frozen=True, kw_only=True)
class ConcatPlan(JoinPlan):
    """Branches one after another."""

    operation: Literal["concat"] = "concat"

    @staticmethod
    def of(head: Head, layer: Concat, taken: Sequence[Range]) -> ConcatPlan:
        """By the ranges of what it takes."""
        return ConcatPlan(**fields_of(head, layer, taken, (1,) * len(layer.sizes)))

    def join(self) -> Concat:
        return Concat(self.layer, self.sizes)

    def nodes(self, b: GraphBuilder, taken: Sequence[Tensor], before: Made, types: Containers) -> Made:
        values = self.branches(b, taken, types)
        shape = (values[0].shape[0], self.outputs)
        return {"value": b.node("Concat", values, f"{self.name}.joined", shape=shape, bounds=self.given, axis=1)}
