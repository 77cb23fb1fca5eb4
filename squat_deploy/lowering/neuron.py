"""Extracting a neuron's finite-state machine by running the trained snnTorch module, never by re-deriving it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from squat_deploy.errors import Fault, LoweringError
from squat_deploy.levels import FloatArray, from_ordered, to_ordered
from squat_deploy.network import IntArray
from squat_deploy.quantize import StateQuantizer


class _Recorder(nn.Module):
    """Stands in front of a state quantizer and keeps its last result: with reset_delay=False nobody else shows it."""

    def __init__(self, quantizer: StateQuantizer) -> None:
        super().__init__()
        self.quantizer = quantizer
        self.last = torch.zeros(0)

    def forward(self, values: Tensor) -> Tensor:
        if values is not self.last:  # fire() quantizes the same membrane a second time
            self.last = self.quantizer(values)
        return self.last


class NeuronProbe:
    """A copy of one trained neuron with scalar parameters, stepped from any membrane with any current."""

    def __init__(self, neuron: nn.Module, index: Mapping[str, int], quantizer: StateQuantizer, name: str) -> None:
        """Args: index: which of its values each parameter takes, by name."""
        self.name = name
        module: Any = copy.deepcopy(neuron).cpu().eval()
        module.init_hidden = module.output = False
        self.module = module
        for parameter, place in index.items():
            _set_scalar(self.module, parameter, place)
        self._recorder = _Recorder(quantizer)
        del self.module.state_quant
        self.module.state_quant = self._recorder
        self.levels: FloatArray = quantizer.levels.numpy()

    @torch.no_grad()
    def step(self, current: FloatArray, membrane: FloatArray) -> tuple[IntArray, FloatArray]:
        """One time step: (level index, carried membrane), of the common shape of the inputs."""
        current, membrane = (np.ascontiguousarray(a, dtype=np.float32) for a in np.broadcast_arrays(current, membrane))
        _, carried = self.module(torch.from_numpy(current), torch.from_numpy(membrane.copy()))
        level = np.searchsorted(self.levels, self._recorder.last.numpy())
        return level.astype(np.int64), carried.numpy() + np.float32(0)

    @torch.no_grad()
    def fire_level(self) -> int:
        """First level that spikes; the number of levels if none does."""
        spikes = self.module.fire(torch.from_numpy(self.levels.copy())).numpy()
        first = int(np.argmax(spikes > 0)) if spikes.any() else self.levels.size
        if not np.array_equal(spikes, (np.arange(self.levels.size) >= first).astype(np.float32)):
            got = f"{spikes.tolist()} for the levels"
            hint = "use a surrogate of snntorch.surrogate whose forward is (x > 0)"
            raise LoweringError((Fault(self.name, "spikes are 0 or 1, a step at the threshold", got, hint),))
        return first


def _set_scalar(module: nn.Module, name: str, index: int) -> None:
    value = getattr(module, name).detach().float().reshape(-1)
    scalar = value[index].clone()
    if name in module._parameters:
        module._parameters[name] = nn.Parameter(scalar, requires_grad=False)
    else:
        module._buffers[name] = scalar


@dataclass(frozen=True, eq=False)
class NeuronMachine:
    """A neuron as a finite-state machine on float32 currents.

    Attributes:
        states: (S,) carried membranes; the levels come first, so that state and level index agree where they can.
        boundaries: (S, L-1), the smallest current that leads above level j; infinite where none in range does.
        successor: (S, L) next state; the level itself where that pair cannot occur.
    """

    levels: FloatArray
    states: FloatArray
    boundaries: FloatArray
    successor: IntArray
    fire_level: int
    initial_state: int


def extract_machine(probe: NeuronProbe, limit: float) -> NeuronMachine:
    """Closes the set of states from rest (0.0) under all currents in -limit..limit."""
    states: dict[float, int] = {value: index for index, value in enumerate(probe.levels.tolist())}
    initial = states.setdefault(0.0, len(states))
    boundaries: list[FloatArray] = []
    rows: list[dict[int, int]] = []
    while len(boundaries) < len(states):
        new = np.array([*states][len(boundaries) :], dtype=np.float32)
        found = _bisect(probe, new, np.float32(limit))
        boundaries.extend(found)
        edges = np.concatenate([np.full((new.size, 1), -limit, dtype=np.float32), found], axis=1).clip(-limit, limit)
        level, carried = probe.step(edges, new[:, None])
        for i in range(new.size):
            pairs = zip(level[i].tolist(), carried[i].tolist(), strict=True)
            rows.append({j: states.setdefault(value, len(states)) for j, value in pairs})
    successor = np.tile(np.arange(probe.levels.size), (len(states), 1))
    for i, row in enumerate(rows):
        successor[i, list(row)] = list(row.values())
    return NeuronMachine(
        probe.levels,
        np.array([*states], dtype=np.float32),
        np.stack(boundaries),
        successor,
        probe.fire_level(),
        initial,
    )


def _bisect(probe: NeuronProbe, states: FloatArray, limit: np.float32) -> FloatArray:
    """Smallest current in (-limit, limit] above level j, shape (states, levels - 1); infinities where there is none."""
    index = np.arange(probe.levels.size - 1)
    shape = (states.size, index.size)
    low, high = np.full(shape, to_ordered(np.array(-limit))), np.full(shape, to_ordered(np.array(limit)))
    always = probe.step(from_ordered(low), states[:, None])[0] > index
    never = probe.step(from_ordered(high), states[:, None])[0] <= index
    while (high - low > 1).any():
        middle = (low + high) >> 1
        above = probe.step(from_ordered(middle), states[:, None])[0] > index
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    result = np.where(always, np.float32(-np.inf), from_ordered(high))
    return np.where(never, np.float32(np.inf), result).astype(np.float32)


def first_sums(currents: NDArray[np.float32], boundaries: FloatArray) -> IntArray:
    """Index of the first (ascending) current that reaches each boundary; `currents.size` where none does."""
    return np.searchsorted(currents, boundaries, side="left").astype(np.int64)
