"""Convolutions."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import ConfigError
from squat_deploy.network.layers.base import IntArray, freeze
from squat_deploy.network.layers.dense import Dense
from squat_deploy.network.layers.synapses import Synapses
from squat_deploy.network.limits import MAX_PATCH_VALUES
from squat_deploy.network.window import Pair, Window


@dataclass(frozen=True, eq=False)
class Convolution(Synapses):
    """Synapses that share a kernel over (C, H, W) integers; neurons are numbered as (O, H', W') flattened.

    Attributes:
        weight: (O, C / groups, kernel height, kernel width).
        bias: (O,), in units of the synaptic sum.
        input_shape: (C, H, W).
        stride, padding, dilation: (vertical, horizontal).
    """

    name: str
    weight: IntArray
    bias: IntArray
    input_shape: tuple[int, int, int]
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    axes: ClassVar[int] = 4
    empty: ClassVar[str] = "its kernel does not fit into"

    def __post_init__(self) -> None:
        freeze(self)
        channels, positive = self.input_shape[0], (*self.input_shape, *self.stride, *self.dilation, self.groups)
        if self.weight.ndim != 4 or min(positive) < 1 or min(self.padding) < 0:
            raise ConfigError(f"{self.name}: weights {self.weight.shape}, {self.geometry.tolist()} are no convolution")
        if self.weight.shape[1] * self.groups != channels or self.weight.shape[0] % self.groups:
            raise ConfigError(
                f"{self.name}: {self.groups} groups of {self.weight.shape} do not take {channels} channels"
            )
        if min(self.output_shape) < 1:
            raise ConfigError(f"{self.name}: {self.empty} inputs of shape {self.input_shape}")

    @classmethod
    def of(cls, name: str, arrays: dict[str, IntArray]) -> Self:
        channels, height, width, *pairs, groups = arrays["geometry"].reshape(-1).tolist()
        stride, padding, dilation, *more = zip(pairs[::2], pairs[1::2], strict=True)
        shape = channels, height, width
        return cls(name, arrays["weight"], arrays["bias"], shape, stride, padding, dilation, groups, *more)

    @property
    @abstractmethod
    def window(self) -> Window:
        """What each position sees."""

    @property
    def kernel(self) -> Pair:
        return int(self.weight.shape[2]), int(self.weight.shape[3])

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """(O, H', W')."""
        return int(self.weight.shape[0]), *self.window.output_sizes

    @property
    def inputs(self) -> int:
        return self.window.inputs

    @property
    def outputs(self) -> int:
        return int(self.weight.shape[0]) * self.positions

    @property
    def positions(self) -> int:
        """H' W'."""
        height, width = self.window.output_sizes
        return height * width

    @property
    def patch_values(self) -> int:
        """Size of `patches` for one sample."""
        return self.positions * self.groups * int(self.weight[0].size)

    @property
    def padded_values(self) -> int:
        """Size of one padded sample."""
        return self.window.padded_values

    @property
    def width(self) -> int:
        return self.patch_values

    @property
    def geometry(self) -> IntArray:
        """All sizes in one row: (C, H, W), stride, padding, dilation, what else there is, groups."""
        pairs = (*self.stride, *self.padding, *self.dilation, *self._more)
        return np.array([*self.input_shape, *pairs, self.groups], dtype=np.int64)

    @property
    def _more(self) -> tuple[int, ...]:
        return ()

    def patches(self, values: NDArray[Any]) -> NDArray[Any]:
        """(B, inputs) to what each position sees: (B, groups, H' W', C / groups * kernel)."""
        windows = self.window.views(values)  # (B, C, H', W', kh, kw)
        samples = len(windows)
        grouped = windows.reshape(samples, self.groups, -1, *windows.shape[2:]).transpose(0, 1, 3, 4, 2, 5, 6)
        return grouped.reshape(samples, self.groups, self.positions, -1)

    @property
    def neuron_bias(self) -> IntArray:
        return np.repeat(self.bias, self.positions)

    def _shape_rules(self) -> list[str]:
        if max(self.patch_values, self.padded_values) > MAX_PATCH_VALUES:
            return [f"a convolution of more than {MAX_PATCH_VALUES} products a channel, or inputs with their padding"]
        return super()._shape_rules()

    def arrays(self) -> dict[str, IntArray]:
        return {**super().arrays(), "geometry": self.geometry}

    def unrolled(self) -> Dense:
        """The same sums as fully connected synapses (outputs, inputs), zeros where no synapse is."""
        places = self.patches(np.arange(1, self.inputs + 1)[None])[0]  # (groups, positions, K), 0 for padding
        kernels = self.weight.reshape(self.groups, len(self.weight) // self.groups, -1)
        weight = np.zeros((*kernels.shape[:2], self.positions, self.inputs + 1), dtype=np.int64)
        for group, position in np.ndindex(places.shape[:2]):
            weight[group, :, position, places[group, position]] = kernels[group].T
        return Dense(self.name, weight.reshape(self.outputs, -1)[:, 1:], self.neuron_bias)

    def about(self) -> tuple[str, str]:
        return planes(self.input_shape, self.kernel, self.output_shape), self._weights_told()


@dataclass(frozen=True, eq=False)
class Conv2d(Convolution):
    """A convolution, zero-padded."""

    def __post_init__(self) -> None:
        super().__post_init__()
        reach = (gap * (size - 1) for gap, size in zip(self.dilation, self.kernel, strict=True))
        if any(pad > most for pad, most in zip(self.padding, reach, strict=True)):
            raise ConfigError(f"{self.name}: padding {self.padding} reaches beyond its kernel {self.kernel}")

    @cached_property
    def window(self) -> Window:
        """What each position sees."""
        return Window(self.input_shape, self.kernel, self.stride, self.padding, self.dilation)

    def matrix(self, weight: NDArray[Any]) -> NDArray[Any]:
        """Weights (O, ...) as the factor of `patches`: (groups, C / groups * kernel, O / groups)."""
        return weight.reshape(self.groups, len(weight) // self.groups, -1).transpose(0, 2, 1)

    def multiply(self, values: NDArray[Any], matrix: NDArray[Any]) -> NDArray[Any]:
        return (self.patches(values) @ matrix).transpose(0, 1, 3, 2).reshape(len(values), -1)


def planes(*shapes: tuple[int, ...]) -> str:
    """Input, kernel and output shape in words."""
    return "{} * {} = {}".format(*("x".join(map(str, shape)) for shape in shapes))
