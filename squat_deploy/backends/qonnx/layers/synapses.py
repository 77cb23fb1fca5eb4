"""The plan of synapses: a product of inputs and weights, and a bias."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np

from squat_deploy.backends.qonnx.builder import FLOAT, INT8, Bounds, GraphBuilder, Shape, Tensor, container
from squat_deploy.backends.qonnx.layers.base import (
    INT32_MAX,
    Arrays,
    BasePlan,
    Containers,
    Head,
    Made,
    ends,
    flat,
    padded,
    planes,
    window_attributes,
)
from squat_deploy.errors import ConfigError
from squat_deploy.network import IntArray
from squat_deploy.network.layers import Conv2d, Dense, Range, Synapses
from squat_deploy.network.limits import MAX_PATCH_VALUES

Operator = Literal["MatMulInteger", "ConvInteger", "MatMul", "Conv"]
INT16_MAX = 2**15 - 1


@dataclass(frozen=True)
class Product:
    """A product of inputs and weights: its operator, and the containers of both and of the sums."""

    operator: Operator
    operand: int
    weight: int
    total: int


@dataclass(frozen=True)
class ConvPlan:
    """Sizes of a convolution, as in `Conv2d`, which knows the rest."""

    input_shape: tuple[int, int, int]
    weight_shape: tuple[int, int, int, int]
    output_shape: tuple[int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    @classmethod
    def of(cls, layer: Conv2d) -> Self:
        """The sizes of a layer."""
        o, c, height, width = layer.weight.shape
        sizes = layer.stride, layer.padding, layer.dilation, layer.groups
        return cls(layer.input_shape, (o, c, height, width), layer.output_shape, *sizes)

    def empty(self) -> Conv2d:
        """The convolution without its weights."""
        weight, bias = np.zeros(self.weight_shape, dtype=np.int64), np.zeros(self.weight_shape[0], dtype=np.int64)
        sizes = self.stride, self.padding, self.dilation, self.groups
        return Conv2d("convolution", weight, bias, self.input_shape, *sizes)

    @property
    def matrix_shape(self) -> tuple[int, int, int]:
        """(groups, O / groups, C / groups * kernel)."""
        return self.groups, self.weight_shape[0] // self.groups, math.prod(self.weight_shape[1:])

    def places(self) -> IntArray:
        """(groups, C / groups * kernel, H' W') which input each product takes; 0 is the padding, inputs follow."""
        layer = self.empty()
        return layer.patches(np.arange(1, layer.inputs + 1)[None])[0].transpose(0, 2, 1)


@dataclass(frozen=True)
class WeightedPlan(BasePlan):
    """What plans of synapses share.

    Attributes:
        input_low, input_high, weight_low, weight_high, sum_low, sum_high: ranges, inclusive.
        partial_low, partial_high: range of every partial sum in any order, the bias included.
        bias: range of the bias, or None without one.
    """

    inputs: int
    outputs: int
    input_low: int
    input_high: int
    weight_low: int
    weight_high: int
    sum_low: int
    sum_high: int
    partial_low: int
    partial_high: int
    bias: tuple[int, int] | None

    @staticmethod
    def ranges(head: Head, layer: Synapses, taken: Sequence[Range]) -> dict[str, Any]:
        """These fields, by the range of its inputs."""
        partial_low, partial_high = layer.partial_range(taken[0])
        return {
            **vars(head),
            "inputs": layer.inputs,
            "outputs": layer.outputs,
            **ends(taken[0], "input_"),
            **ends((layer.weight, layer.weight), "weight_"),
            **ends(layer.range(taken[0]), "sum_"),
            "partial_low": partial_low,
            "partial_high": partial_high,
            "bias": (int(layer.bias.min()), int(layer.bias.max())) if layer.bias.any() else None,
        }

    @property
    def given(self) -> Bounds:
        return self.sum_low, self.sum_high

    @property
    def weight_range(self) -> Bounds:
        return self.weight_low, self.weight_high

    @property
    def partial_range(self) -> Bounds:
        return self.partial_low, self.partial_high

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return (self.inputs,)

    @property
    def largest_sum(self) -> int:
        return max(-self.partial_low, self.partial_high, *(abs(end) for end in self.bias or (0,)))

    def product(self, types: Containers) -> Product:
        """MatMulInteger where every CPU computes it exactly, else MatMul on int32 or int64.

        x86 CPUs without VNNI add two 8-bit products in a saturating 16-bit register, after moving signed inputs by
        128; so both have to fit together.
        """
        if types.floats:
            return Product("MatMul", FLOAT, FLOAT, FLOAT)
        weight, total = max(-self.weight_low, self.weight_high), max(-self.partial_low, self.partial_high)
        narrow = self.weight_low >= -128 and self.weight_high <= 127
        signed = self.input_low < 0
        fits = (self.input_low >= -128 and self.input_high <= 127) if signed else self.input_high <= 255
        largest, sums = 255 if signed else self.input_high, types.whole(total)
        if not (narrow and fits and 2 * largest * weight <= INT16_MAX and total < INT32_MAX):
            return Product("MatMul", sums, sums, sums)
        return Product("MatMulInteger", container((self.input_low, self.input_high)), INT8, sums)

    def _biased(self, b: GraphBuilder, total: Tensor, shape: Shape, name: str) -> Tensor:
        """Sums and the bias, if there is one."""
        if self.bias is None:
            return total
        bias = b.parameter(f"{self.name}.bias", total.element, shape, self.bias)
        return b.node("Add", [total, bias], name, bounds=self.given)

    def with_bias(self, weight: IntArray, saved: Arrays) -> Arrays:
        """Its tensors, the weights as they are held."""
        found = {f"{self.name}.weight": weight}
        return found if self.bias is None else found | {f"{self.name}.bias": saved["bias"]}

    def bias_of(self, tensors: Arrays, channels: int) -> IntArray:
        """(channels,) the bias of its layer."""
        return tensors.get(f"{self.name}.bias", np.zeros(channels, dtype=np.int64)).reshape(-1)


@dataclass(frozen=True)
class SynapsePlan(WeightedPlan):
    """Fully connected synapses, or a convolution.

    Attributes:
        conv: the sizes of a convolution, or None for fully connected synapses.
    """

    conv: ConvPlan | None
    kind: Literal["synapses"] = "synapses"

    @classmethod
    def of(cls, head: Head, layer: Dense | Conv2d, taken: Sequence[Range]) -> Self:
        """By the range of its inputs."""
        conv = ConvPlan.of(layer) if isinstance(layer, Conv2d) else None
        return cls(**cls.ranges(head, layer, taken), conv=conv)

    @property
    def window_values(self) -> int:
        if self.conv is None:
            return 0
        if min(self.conv.weight_shape) < 1 or math.prod(self.conv.weight_shape) > MAX_PATCH_VALUES:
            raise ConfigError(f"weights of shape {self.conv.weight_shape}")
        layer = self.conv.empty()
        if (layer.inputs, layer.outputs, layer.output_shape) != (self.inputs, self.outputs, self.conv.output_shape):
            raise ConfigError("a convolution of other sizes")
        return max(layer.patch_values, layer.padded_values)

    def product(self, types: Containers) -> Product:
        """Of a convolution, Conv in float32 and ConvInteger of 8 bits."""
        found = super().product(types)
        moving: dict[str, Operator] = {"MatMul": "Conv" if types.floats else "MatMul", "MatMulInteger": "ConvInteger"}
        return found if self.conv is None else replace(found, operator=moving[found.operator])

    def nodes(self, b: GraphBuilder, taken: Sequence[Tensor], before: Made, types: Containers) -> Made:
        x, product = taken[0], self.product(types)
        result, shape = f"{self.name}.synaptic_sum", (x.shape[0], self.outputs)
        if self.conv is not None:
            total = self._convolved(b, x, self.conv, product)
            total = self._biased(b, total, (self.conv.weight_shape[0], 1, 1), f"{self.name}.synaptic_planes")
            return {"value": b.node("Flatten", [total], result, shape=shape, bounds=self.given, axis=1)}
        x = b.cast(flat(b, x), f"{self.name}.input", product.operand)
        weight = b.parameter(f"{self.name}.weight", product.weight, (self.inputs, self.outputs), self.weight_range)
        name, bounds = (result, self.given) if self.bias is None else (f"{self.name}.product", self.partial_range)
        total = b.node(product.operator, [x, weight], name, element=product.total, shape=shape, bounds=bounds)
        return {"value": self._biased(b, total, (self.outputs,), result)}

    def _convolved(self, b: GraphBuilder, x: Tensor, conv: ConvPlan, product: Product) -> Tensor:
        """(N, O, H', W') without the bias; MatMul is for wide integers, which ConvInteger does not take."""
        name, bounds, shape = self.name, self.partial_range, (x.shape[0], *conv.output_shape)
        if product.operator != "MatMul":
            x = planes(b, b.cast(x, f"{name}.input", product.operand), conv.input_shape)
            weight = b.parameter(f"{name}.weight", product.weight, conv.weight_shape, self.weight_range)
            sizes = {**window_attributes(conv.empty().window), "dilations": conv.dilation, "group": conv.groups}
            result, element = f"{name}.product", product.total
            return b.node(product.operator, [x, weight], result, element=element, shape=shape, bounds=bounds, **sizes)
        whole = padded(b, b.cast(flat(b, x), f"{name}.input", product.operand), name)
        places = b.constant(f"{name}.places", conv.places())
        seen = b.node("Gather", [whole, places], f"{name}.patches", shape=(x.shape[0], *places.shape), axis=1)
        weight = b.parameter(f"{name}.weight", product.weight, conv.matrix_shape, self.weight_range)
        grouped = (x.shape[0], *conv.matrix_shape[:2], places.shape[2])
        total = b.node("MatMul", [weight, seen], f"{name}.sums_by_group", shape=grouped, bounds=bounds)
        target = b.constant(f"{name}.product_shape", np.array([-1, *conv.output_shape], dtype=np.int64))
        return b.node("Reshape", [total, target], f"{name}.product", shape=shape)

    def tensors(self, saved: Arrays) -> Arrays:
        return self.with_bias(saved["weight"].T if self.conv is None else saved["weight"], saved)

    def made_of(self, tensors: Arrays) -> Dense | Conv2d:
        weight, conv = tensors[f"{self.name}.weight"], self.conv
        bias = self.bias_of(tensors, self.outputs if conv is None else conv.weight_shape[0])
        if conv is None:
            return Dense(self.layer, np.ascontiguousarray(weight.T), bias)
        return replace(conv.empty(), name=self.layer, weight=weight.reshape(conv.weight_shape), bias=bias)
