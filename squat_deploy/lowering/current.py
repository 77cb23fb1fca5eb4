"""The input current of a neuron as the trained model computes it from the integer synaptic sum, and how surely.

`Current.values` runs the trained float32 arithmetic on exact integers; `Current.error` bounds by how much the model's
own float32 result can differ, by the rules of `rounding.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from squat_deploy.lowering.rounding import Floats, norm_error, scaled_error
from squat_deploy.network import IntArray
from squat_deploy.snn.layers import ScaleThenShift

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d


@dataclass(frozen=True, eq=False)
class Current:
    """Synaptic sums to input currents, neuron by neuron.

    Attributes:
        rule: name of the argument for `error`, as the certificate shows it.
        unit: (N,) value of one synaptic sum in model units.
        bias: (N,) float bias that is not part of the synaptic sum.
        scale: (N,) multiplied once after the integer sum ("int-then-scale"), or None.
        sum_error: (N,) bound of the rounding error of the model's own float32 sum; 0 where it is exact.
        norm: the trained batch norm that follows, in eval mode, or None.
        channel: (N,) which channel of the norm each neuron belongs to.
        flipped: (N,) neurons whose weights were negated because the norm's slope is negative.
    """

    rule: str
    unit: Floats
    bias: Floats
    sum_error: Floats
    scale: Floats | None = None
    norm: BatchNorm | None = None
    channel: IntArray | None = None
    flipped: NDArray[np.bool_] | None = None

    @classmethod
    def exact(cls, size: int, unit: float | Floats) -> Current:
        """Integers times a power of two."""
        return cls("exact grid", np.full(size, unit), np.zeros(size), np.zeros(size))

    @property
    def on_grid(self) -> bool:
        """Whether every current is exactly `sum * unit + bias`."""
        return self.rule == "exact grid" and self.scale is None and self.norm is None

    def with_norm(self, norm: BatchNorm, channel: IntArray) -> Current:
        """This current behind a batch norm; slopes below zero are folded into the sign of the synaptic sum."""
        slope = torch.ones_like(norm.running_var) if norm.weight is None else norm.weight  # type: ignore[arg-type]
        flipped = slope.detach().numpy()[channel] < 0
        kind = "scale and shift" if isinstance(norm, ScaleThenShift) else "batch norm"
        return replace(self, rule=f"{self.rule} + {kind}", norm=norm, channel=channel, flipped=flipped)

    def select(self, places: IntArray) -> Current:
        """The currents of some neurons, in this order."""
        arrays: dict[str, Any] = {
            key: value[places] for key, value in vars(self).items() if isinstance(value, np.ndarray)
        }
        return replace(self, **arrays)

    def columns(self) -> Floats:
        """(N, ...), equal rows for neurons that turn equal sums into equal currents (`alike`)."""
        parts = [self.unit, self.bias, self.sum_error, *([] if self.scale is None else [self.scale])]
        if self.norm is not None:
            tensors = (self.norm.running_mean, self.norm.running_var, self.norm.weight, self.norm.bias)
            parts += [t.detach().double().cpu().numpy()[self.channel] for t in tensors if t is not None]
        return np.stack(parts, axis=1)

    def values(self, neuron: int, sums: IntArray) -> NDArray[np.float32]:
        """Currents of one neuron for its synaptic sums, shapes (M,), float32, in membrane units."""
        linear = self._linear(neuron, sums)
        if self.norm is None:
            return linear
        if isinstance(self.norm, ScaleThenShift):
            scale, shift = (factor[self._channel(neuron)].numpy() for factor in self.norm.factors())
            return linear * scale + shift  # float32, rounded after each
        with torch.no_grad():
            return self._norm_of(neuron)(torch.from_numpy(linear)[:, None])[:, 0].numpy()

    def error(self, neuron: int, sums: IntArray) -> Floats:
        """Bound of |the model's current - values|, shape (M,)."""
        error = np.full(sums.shape, self.sum_error[neuron])
        if self.scale is not None and self.sum_error[neuron]:  # one multiply and one add on an inexact sum
            size = np.abs(sums * self.unit[neuron])
            error = scaled_error(error, size, self.scale[neuron], self.bias[neuron])
        if self.norm is None or (isinstance(self.norm, ScaleThenShift) and not error.any()):
            return error
        norm = self._norm_of(neuron)
        mean, variance = float(norm.running_mean[0]), float(norm.running_var[0])  # type: ignore[index]
        slope = (1.0 if norm.weight is None else float(norm.weight[0])) / np.sqrt(variance + norm.eps)
        shift = 0.0 if norm.bias is None else float(norm.bias[0])
        size = np.abs(self._linear(neuron, sums).astype(np.float64))
        return norm_error(error, size, float(slope), mean, shift)

    def _linear(self, neuron: int, sums: IntArray) -> NDArray[np.float32]:
        signed = -sums if self.flipped is not None and self.flipped[neuron] else sums
        with np.errstate(over="ignore"):  # infinite currents are refused, as all that are too large
            if self.scale is None:
                return (signed * self.unit[neuron] + self.bias[neuron]).astype(np.float32)
            exact = (signed * self.unit[neuron]).astype(np.float32)
            scaled = exact * np.float32(self.scale[neuron])
            return scaled + np.float32(self.bias[neuron])

    def _norm_of(self, neuron: int) -> nn.BatchNorm1d:
        """The trained norm restricted to one channel; valid until it is asked for another."""
        assert self.norm is not None
        if self._last == [neuron]:
            return self._single
        self._last[:], single = [neuron], self._single
        for name in ("running_mean", "running_var", "weight", "bias"):
            source, target = getattr(self.norm, name), getattr(single, name)
            if source is not None:
                target.data.copy_(source.detach()[self._channel(neuron)].reshape(1))
        return single

    @cached_property
    def _single(self) -> nn.BatchNorm1d:
        assert self.norm is not None
        return nn.BatchNorm1d(1, eps=self.norm.eps, affine=self.norm.affine).eval().requires_grad_(False)

    @cached_property
    def _last(self) -> list[int]:
        """The neuron whose norm `_single` is."""
        return []

    def _channel(self, neuron: int) -> int:
        assert self.channel is not None
        return int(self.channel[neuron])


def alike(columns: Floats) -> list[IntArray]:
    """Which rows are equal: their positions, ascending; the groups in the order in which they first come."""
    rows = np.ascontiguousarray(columns + 0.0)  # one zero
    _, first, group = np.unique(
        rows.view(f"V{rows.itemsize * rows.shape[1]}")[:, 0], return_index=True, return_inverse=True
    )
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    return [members[place] for place in np.argsort(first)]
