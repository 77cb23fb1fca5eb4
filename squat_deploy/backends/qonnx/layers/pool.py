"""The plan of a pooling: windows gathered and reduced; in QONNX's convention a MaxPool, or a Conv with ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from squat_deploy.backends.qonnx.builder import GraphBuilder, Tensor
from squat_deploy.backends.qonnx.layers.base import Containers, Head, Made, padded, planes, window_attributes
from squat_deploy.backends.qonnx.layers.joins import JoinPlan, fields_of
from squat_deploy.network.layers import Pool2d, Range


@dataclass(frozen=True, kw_only=True)
class PoolPlan(JoinPlan):
    """Sum or maximum of windows."""

    operation: Literal["pool"] = "pool"

    @staticmethod
    def of(head: Head, layer: Pool2d, taken: Sequence[Range]) -> PoolPlan:
        """By the ranges of what it takes."""
        values = math.prod(layer.kernel) if layer.kind == "sum" else 1
        return PoolPlan(**fields_of(head, layer, taken, (values,)))

    def join(self) -> Pool2d:
        return Pool2d.of(self.layer, {"geometry": np.array(self.sizes, dtype=np.int64)})

    @property
    def window_values(self) -> int:
        return self.join().width

    def nodes(self, b: GraphBuilder, taken: Sequence[Tensor], before: Made, types: Containers) -> Made:
        if types.floats:
            return {"value": self._convolved(b, taken[0], self.join())}
        (x,) = self.branches(b, taken, types)
        return {"value": self._gathered(b, x, self.join())}

    def _gathered(self, b: GraphBuilder, x: Tensor, pool: Pool2d) -> Tensor:
        name, inside = self.name, np.arange(1, pool.input_sizes[0] + 1, dtype=np.int64)[None]
        places = pool.windows(inside, 0).reshape(pool.outputs, -1)  # 0 lies outside
        if pool.kind == "max":  # one of its own values in place of each that lies outside
            places = np.where(places == 0, pool.first_inputs()[:, None] + 1, places)
        if (places == 0).any():
            x = padded(b, x, name)
        else:
            places = places - 1
        rows = b.constant(f"{name}.places", places)
        seen = b.node("Gather", [x, rows], f"{name}.windows", shape=(x.shape[0], *places.shape), axis=1)
        axis = b.constant(f"{name}.window_axis", np.array([-1], dtype=np.int64))
        operator, shape = "ReduceSum" if pool.kind == "sum" else "ReduceMax", (x.shape[0], pool.outputs)
        return b.node(operator, [seen, axis], f"{name}.pooled", shape=shape, bounds=self.given, keepdims=0)

    def _convolved(self, b: GraphBuilder, x: Tensor, pool: Pool2d) -> Tensor:
        """Sums of windows are a depthwise Conv with weights of one."""
        name, channels = self.name, pool.input_shape[0]
        operator, taken, sizes = "MaxPool", [planes(b, x, pool.input_shape)], window_attributes(pool.window)
        if pool.kind == "sum":
            operator, sizes = "Conv", {**sizes, "dilations": (1, 1), "group": channels}
            taken.append(b.constant(f"{name}.ones", np.ones((channels, 1, *pool.kernel), dtype=np.float32)))
        shape = (1, *pool.output_shape)
        total = b.node(operator, taken, f"{name}.planes", shape=shape, bounds=self.given, **sizes)
        return b.node("Flatten", [total], f"{name}.pooled", shape=(1, pool.outputs), axis=1)
