"""The protocol of plans: what decides the nodes of a layer, its nodes in any form, its arrays there and back."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from squat_deploy.backends.qonnx.builder import FLOAT, INT32, INT64, UINT8, Bounds, GraphBuilder, Tensor, container
from squat_deploy.network import IntArray
from squat_deploy.network.layers import Layer, Range
from squat_deploy.network.window import Window

Arrays = dict[str, IntArray]
Role = Literal["value", "sum", "state", "spikes", "past", "membrane"]  # what is carried is ordered by these
ROLES: tuple[Role, ...] = get_args(Role)
Made = Mapping[Role, Tensor]
INT32_MAX = 2**31 - 1
SPIKES: Bounds = (0, 1)


@dataclass(frozen=True)
class Containers:
    """What a form holds its integers in: float32, as QONNX has it, or integers."""

    floats: bool

    @property
    def state(self) -> int:
        """Of states and levels."""
        return FLOAT if self.floats else INT32

    @property
    def spike(self) -> int:
        """Of spikes."""
        return FLOAT if self.floats else UINT8

    def entering(self, bounds: Bounds) -> int:
        """Of what enters."""
        return FLOAT if self.floats else container(bounds)

    def whole(self, largest: int) -> int:
        """Of numbers up to a magnitude, where one more is still one."""
        if self.floats:
            return FLOAT
        return INT32 if largest < INT32_MAX else INT64


INTEGERS, FLOATS = Containers(floats=False), Containers(floats=True)


@dataclass(frozen=True)
class Carry:
    """What a layer takes of the step before.

    Attributes:
        prefix: of the layer's tensors.
        width: values a sample.
        start: each of them in the first step.
        element, bounds: as of a `Tensor`.
    """

    prefix: str
    role: Role
    width: int
    start: int
    element: int
    bounds: Bounds

    def tensor(self, samples: int | str, name: str = "") -> Tensor:
        """Its tensor; without a name that which enters a step."""
        entering = f"{self.prefix}.{self.role}{'_before' if self.role == 'spikes' else ''}"
        return Tensor(name or entering, self.element, (samples, self.width), self.bounds)


@dataclass(frozen=True)
class Head:
    """What every plan has.

    Attributes:
        layer: its name in the Network.
        name: prefix of its tensors, unique in the graph.
        takes: as in `Network.wires`.
    """

    layer: str
    name: str
    takes: tuple[int, ...]


class BasePlan(Head, ABC):
    """The plan of a layer; a frozen dataclass of what its metadata hold, with `outputs` as its layer has them.

    Attributes:
        remembers, late: as of its layer.
        traced: what a trace gives of it.
    """

    remembers: ClassVar[bool] = False
    late: ClassVar[bool] = False
    traced: ClassVar[tuple[Role, ...]] = ()

    @property
    @abstractmethod
    def input_sizes(self) -> tuple[int, ...]:
        """As of its layer."""

    @property
    @abstractmethod
    def given(self) -> Bounds:
        """Range of what it gives."""

    @property
    def largest_sum(self) -> int:
        """Largest magnitude of all sums and partial sums."""
        return 0

    @property
    def window_values(self) -> int:
        """What all positions of a kernel together see of a sample. Raises: ConfigError for sizes that do not fit."""
        return 0

    def rules(self) -> dict[str, bool]:
        """What must hold of its sizes: "must have ...", and whether it does."""
        return {}

    def carries(self, types: Containers, *, late: bool) -> list[Carry]:
        """What it takes of the step before; `late` where others take what it gave then."""
        return []

    @abstractmethod
    def nodes(self, b: GraphBuilder, taken: Sequence[Tensor], before: Made, types: Containers) -> Made:
        """Its nodes of one step: the value (N, outputs) that it gives, what it carries on, what is traced.

        Args:
            taken: one an input, (N, ...).
            before: what it carries of the step before.
        """

    def tensors(self, saved: Arrays) -> Arrays:
        """Its tensors by name, as the integer forms hold them, of the arrays that its layer saves."""
        return {}

    @abstractmethod
    def made_of(self, tensors: Arrays) -> Layer:
        """The layer of its tensors. Raises: ValueError, LookupError, ConfigError for sizes that do not fit."""


def ends(elements: Range, prefix: str = "") -> dict[str, Any]:
    """Lowest and highest value of all elements, as fields of a plan."""
    return {f"{prefix}low": int(elements[0].min()), f"{prefix}high": int(elements[1].max())}


def flat(b: GraphBuilder, x: Tensor) -> Tensor:
    """(N, ...) to (N, size)."""
    batch, *sizes = x.shape
    if len(sizes) == 1:
        return x
    name, size = f"{x.name}.flat", math.prod(int(size) for size in sizes)
    return b.tensors.get(name) or b.node("Flatten", [x], name, shape=(batch, size), axis=1)


def planes(b: GraphBuilder, x: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """(N, ...) to (N, C, H, W)."""
    wanted = (x.shape[0], *shape)
    if x.shape == wanted:
        return x
    name = f"{x.name}.planes"
    if name in b.tensors and b.tensors[name].shape != wanted:
        name += "x".join(map(str, shape))
    if name in b.tensors:
        return b.tensors[name]
    target = b.constant(f"{name}_shape", np.array([-1, *shape], dtype=np.int64))
    return b.node("Reshape", [x, target], name, shape=wanted)


def padded(b: GraphBuilder, x: Tensor, name: str) -> Tensor:
    """A zero before the first value of (N, size), for whatever lies outside."""
    (batch, size), (low, high) = x.shape, x.bounds
    front = b.constant(f"{name}.padding", np.array([0, 1, 0, 0], dtype=np.int64))
    shape, wide = (batch, int(size) + 1), (min(low, 0), max(high, 0))
    return b.node("Pad", [x, front], f"{name}.padded", shape=shape, bounds=wide)


def window_attributes(window: Window) -> dict[str, Any]:
    """Attributes of all operators with a kernel that moves."""
    return {"kernel_shape": window.kernel, "strides": window.stride, "pads": (*window.padding, *window.padding)}
