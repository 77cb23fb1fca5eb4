"""The plan of a transposed convolution: every product, gathered and summed; in QONNX's convention a ConvTranspose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np

from squat_deploy.backends.qonnx.builder import FLOAT, GraphBuilder, Tensor
from squat_deploy.backends.qonnx.layers.base import (
    Arrays,
    Containers,
    Head,
    Made,
    flat,
    padded,
    planes,
    window_attributes,
)
from squat_deploy.backends.qonnx.layers.synapses import WeightedPlan
from squat_deploy.errors import ConfigError
from squat_deploy.network import IntArray
from squat_deploy.network.layers import ConvTranspose2d, Range
from squat_deploy.network.limits import MAX_PATCH_VALUES


@dataclass(frozen=True)
class TransposedPlan(WeightedPlan):
    """Sizes as in `ConvTranspose2d`, which knows the rest; its weights are held as ONNX has them, inputs first."""

    input_shape: tuple[int, int, int]
    weight_shape: tuple[int, int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    output_padding: tuple[int, int]
    kind: Literal["transposed"] = "transposed"

    @classmethod
    def of(cls, head: Head, layer: ConvTranspose2d, taken: Sequence[Range]) -> Self:
        """By the range of its inputs."""
        o, c, height, width = layer.weight.shape
        sizes = ("input_shape", "stride", "padding", "dilation", "groups", "output_padding")
        known: dict[str, Any] = {key: getattr(layer, key) for key in sizes}
        return cls(**cls.ranges(head, layer, taken), weight_shape=(o, c, height, width), **known)

    def empty(self) -> ConvTranspose2d:
        """The layer without its weights."""
        weight, bias = np.zeros(self.weight_shape, dtype=np.int64), np.zeros(self.weight_shape[0], dtype=np.int64)
        sizes = self.stride, self.padding, self.dilation, self.groups, self.output_padding
        return ConvTranspose2d(self.layer, weight, bias, self.input_shape, *sizes)

    @property
    def window_values(self) -> int:
        if min(self.weight_shape) < 1 or math.prod(self.weight_shape) > MAX_PATCH_VALUES:
            raise ConfigError(f"weights of shape {self.weight_shape}")
        layer = self.empty()
        if (layer.inputs, layer.outputs) != (self.inputs, self.outputs):
            raise ConfigError("a transposed convolution of other sizes")
        return max(layer.patch_values, layer.padded_values, layer.width, layer.outputs * math.prod(layer.window.meets))

    def nodes(self, b: GraphBuilder, taken: Sequence[Tensor], before: Made, types: Containers) -> Made:
        layer, name = self.empty(), self.name
        standard = all(more < step for more, step in zip(self.output_padding, self.stride, strict=True))
        if types.floats and standard:  # ONNX Runtime takes no more output padding than that
            total = self._convolved(b, taken[0], layer)
        else:
            total = self._gathered(b, taken[0], layer, types)
        total = self._biased(b, total, (self.weight_shape[0], 1, 1), f"{name}.synaptic_planes")
        shape = (total.shape[0], self.outputs)
        return {"value": b.node("Flatten", [total], f"{name}.synaptic_sum", shape=shape, bounds=self.given, axis=1)}

    def _convolved(self, b: GraphBuilder, x: Tensor, layer: ConvTranspose2d) -> Tensor:
        x = planes(b, x, layer.input_shape)
        o, c, *kernel = self.weight_shape
        weight = b.parameter(
            f"{self.name}.weight", FLOAT, (c * self.groups, o // self.groups, *kernel), self.weight_range
        )
        sizes = {**window_attributes(layer.window), "dilations": self.dilation, "group": self.groups}
        sizes["output_padding"], name = self.output_padding, f"{self.name}.product"
        shape = (x.shape[0], *layer.output_shape)
        return b.node("ConvTranspose", [x, weight], name, shape=shape, bounds=self.partial_range, **sizes)

    def _gathered(self, b: GraphBuilder, x: Tensor, layer: ConvTranspose2d, types: Containers) -> Tensor:
        """The products of every value with all its taps, gathered where they come together."""
        name, bounds, product = self.name, self.partial_range, self.product(types)
        (o, c, *kernel), groups, batch = self.weight_shape, self.groups, x.shape[0]
        x = b.cast(flat(b, x), f"{name}.input", product.operand)
        positions, taps = layer.inputs // (c * groups), o // groups * math.prod(kernel)
        order = np.arange(layer.inputs).reshape(groups, c, positions).swapaxes(1, 2)
        rows = b.constant(f"{name}.order", order)
        x = b.node("Gather", [x, rows], f"{name}.positions", shape=(batch, *order.shape), axis=1)
        weight = b.parameter(f"{name}.weight", product.weight, (groups, c, taps), self.weight_range)
        shape = (batch, groups, positions, taps)
        made = b.node(
            product.operator, [x, weight], f"{name}.products", element=product.total, shape=shape, bounds=self._apart(c)
        )
        places = b.constant(f"{name}.places", self.places(layer))
        seen = [padded(b, flat(b, made), name), places]
        met = b.node("Gather", seen, f"{name}.met", shape=(batch, *places.shape), axis=1)
        axis = b.constant(f"{name}.met_axis", np.array([-1], dtype=np.int64))
        shape = (batch, *layer.output_shape)
        return b.node("ReduceSum", [met, axis], f"{name}.product", shape=shape, bounds=bounds, keepdims=0)

    def _apart(self, channels: int) -> tuple[int, int]:
        """Range of the products, those included that belong nowhere in the plane, so that no sum holds them."""
        ends = [
            value * weight * channels for value in (self.input_low, self.input_high) for weight in self.weight_range
        ]
        return min(*ends, self.partial_range[0]), max(*ends, self.partial_range[1])

    def places(self, layer: ConvTranspose2d) -> IntArray:
        """(O, H', W', most that meet) products (groups, positions, O / groups, taps) of each sum, from 1; 0 is none."""
        channels, taps = len(layer.weight) // self.groups, math.prod(layer.kernel)
        plane = replace(layer.window, input_shape=(1, *layer.input_shape[1:]))
        positions = plane.inputs
        seen = plane.views(np.arange(1, positions + 1)[None]).reshape(*layer.output_shape[1:], taps)
        here = np.where(seen, (seen - 1) * channels * taps + np.arange(taps) + 1, 0)
        here = np.sort(here, axis=-1)[..., taps - math.prod(layer.window.meets) :]
        group, channel = np.divmod(np.arange(len(layer.weight)), channels)
        starts = (group * positions * channels + channel) * taps
        return np.where(here, here + starts[:, None, None, None], 0)

    def tensors(self, saved: Arrays) -> Arrays:
        o, c, *kernel = self.weight_shape
        weight = saved["weight"].reshape(self.groups, o // self.groups, c, *kernel).swapaxes(1, 2)
        return self.with_bias(weight, saved)

    def made_of(self, tensors: Arrays) -> ConvTranspose2d:
        o, c, *kernel = self.weight_shape
        held = tensors[f"{self.name}.weight"].reshape(self.groups, c, o // self.groups, *kernel)
        return replace(
            self.empty(), weight=held.swapaxes(1, 2).reshape(self.weight_shape), bias=self.bias_of(tensors, o)
        )
