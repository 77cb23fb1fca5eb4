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
from squat_deploy.network import IntArray
from squat_deploy.network.limits import MAX_STATES
from squat_deploy.snn.levels import FloatArray, from_ordered, to_ordered
from squat_deploy.snn.neurons import kind_of, spike_value
from squat_deploy.snn.quantizers import StateQuantizer


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


class _Given(nn.Module):
    """In place of recurrent synapses: their current is given."""

    def __init__(self) -> None:
        super().__init__()
        self.current: Tensor | float = 0.0

    def forward(self, _: Tensor) -> Tensor | float:
        return self.current


class NeuronProbe:
    """A copy of one trained neuron with scalar parameters, stepped from any states with any current."""

    def __init__(self, neuron: nn.Module, index: Mapping[str, int], quantizer: StateQuantizer, name: str) -> None:
        """Args: index: which of its values each parameter takes, by name."""
        self.name, self.kind = name, kind_of(neuron)
        module: Any = copy.deepcopy(neuron).cpu().eval()
        module.init_hidden = module.output = False
        self.module = module
        self._given = _Given()
        if self.kind.recurrent:
            module.recurrent = self._given
        for parameter, place in index.items():
            _set_scalar(module, parameter, place)
        self._recorder = _Recorder(quantizer)
        del module.state_quant
        module.state_quant = self._recorder
        self.levels: FloatArray = quantizer.levels.numpy()

    def step(self, current: FloatArray, states: FloatArray, recurrent: FloatArray | None = None) -> Stepped:
        """`run`, and the level of each state."""
        values, fired = self.run(current, states, recurrent)
        quantized = [*(values[..., d] for d in range(values.shape[-1] - 1)), self._recorder.last.numpy()]
        levels = np.stack([np.searchsorted(self.levels, value) for value in quantized], axis=-1)
        return Stepped(levels.astype(np.int64), values, fired)

    @torch.no_grad()
    def run(
        self, current: FloatArray, states: FloatArray, recurrent: FloatArray | None = None
    ) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Carried states (..., D) and spikes (...) after one time step from `states` (..., D), broadcast with currents.

        Args:
            recurrent: current of the neuron's own recurrent synapses, where it is added apart.
        """
        shape = np.broadcast_shapes(current.shape, states.shape[:-1])
        tensors = [torch.from_numpy(_wide(states[..., d], shape)) for d in range(states.shape[-1])]
        self._given.current = 0.0 if recurrent is None else torch.from_numpy(_wide(recurrent, shape))
        spikes = [torch.zeros(shape)] if self.kind.recurrent else []
        fired, *carried = self.module(torch.from_numpy(_wide(current, shape)), *spikes, *tensors)
        return np.stack([state.numpy() for state in carried], axis=-1) + np.float32(0), fired.numpy() > 0

    @torch.no_grad()
    def fire_level(self) -> int:
        """First level that spikes; the number of levels if none does."""
        spikes = self.module.fire(torch.from_numpy(self.levels.copy())).numpy()
        first = int(np.argmax(spikes > 0)) if spikes.any() else self.levels.size
        if not np.array_equal(spikes, (np.arange(self.levels.size) >= first) * np.float32(spike_value(self.module))):
            got = f"{spikes.tolist()} for the levels"
            hint = "use a surrogate of snntorch.surrogate whose forward is (x > 0)"
            raise LoweringError((Fault(self.name, "spikes are a step at the threshold", got, hint),))
        return first


def _wide(values: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    return np.array(np.broadcast_to(values, shape), dtype=np.float32)


def _set_scalar(module: nn.Module, name: str, index: int) -> None:
    value = getattr(module, name).detach().reshape(-1)
    scalar = (value.float() if value.is_floating_point() else value)[index].clone()
    if name in module._parameters:
        module._parameters[name] = nn.Parameter(scalar, requires_grad=False)
    else:
        module._buffers[name] = scalar


@dataclass(frozen=True, eq=False)
class Stepped:
    """What a step gave: level of each state (..., D), carried states (..., D), whether it fired (...)."""

    levels: IntArray
    carried: FloatArray
    fired: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class NeuronMachine:
    """A neuron as a finite-state machine on float32 currents.

    Attributes:
        states: (S, D) carried states, the membrane last; levels come first where D is 1, so that state and level agree.
        boundaries: (S, L-1), the smallest current that leads above level j; infinite where none in range does.
        successor: (S, L) next state; arbitrary where that pair cannot occur.
        fire_level: first level that spikes.
    """

    states: FloatArray
    boundaries: FloatArray
    successor: IntArray
    fire_level: int
    initial_state: int

    @property
    def membranes(self) -> FloatArray:
        """(S,)."""
        return self.states[:, -1]


def extract_machine(probe: NeuronProbe, limit: float) -> NeuronMachine:
    """Closes the set of states from rest (0.0) under all currents in -limit..limit.

    Raises: LoweringError for more than `MAX_STATES` states.
    """
    rest = (0.0,) * len(probe.kind.states)
    alone = len(rest) == 1
    known = probe.levels.tolist() if alone else []
    states: dict[tuple[float, ...], int] = {(value,): index for index, value in enumerate(known)}
    initial = states.setdefault(rest, len(states))
    boundaries: list[FloatArray] = []
    reached: list[tuple[IntArray, IntArray]] = []
    fire = probe.fire_level()
    while len(boundaries) < len(states):
        new = np.array([*states][len(boundaries) :], dtype=np.float32)
        found = _joint_boundaries(probe, new, np.float32(limit), fire)
        boundaries.extend(found)
        edges = np.concatenate([np.full((len(new), 1), -limit, dtype=np.float32), found], axis=1).clip(-limit, limit)
        stepped = probe.step(edges, new[:, None])
        levels = stepped.levels[..., 0] if alone else np.broadcast_to(np.arange(edges.shape[1]), edges.shape)
        reached.append((levels, _numbered(stepped.carried, states)))
        if len(states) > MAX_STATES:
            rule = f"an offset for each state that decides as the trained neuron, or at most {MAX_STATES} joint states"
            got = f"no such offsets, and more states, of {' and '.join(probe.kind.states)}"
            hint = (
                "use levels without equal gaps, state_quant(bits, uniform=False), or another alpha or beta: float32 "
                "rounds sums that meet a decision exactly either way; or up to 4 state bits"
            )
            raise LoweringError((Fault(probe.name, rule, got, hint),))
    successor = np.tile(np.arange(len(boundaries[0]) + 1) % len(states), (len(states), 1))
    levels, after = (np.concatenate(parts) for parts in zip(*reached, strict=True))
    np.put_along_axis(successor, levels, after, axis=1)
    if fire == probe.levels.size:
        fire = successor.shape[1]  # never
    elif fire and not alone:
        fire += (probe.levels.size - 1) * (len(rest) - 1)
    return NeuronMachine(np.array([*states], dtype=np.float32), np.stack(boundaries), successor, fire, initial)


def _numbered(carried: FloatArray, states: dict[tuple[float, ...], int]) -> IntArray:
    """Number of every joint state (..., D); new ones are added in the order in which they come."""
    flat = np.ascontiguousarray(carried.reshape(-1, carried.shape[-1]))
    bits = flat.view(f"i{flat.itemsize * flat.shape[1]}")[:, 0]
    _, first, place = np.unique(bits, return_index=True, return_inverse=True)
    numbers = np.zeros(first.size, dtype=np.int64)
    for index in np.argsort(first):
        numbers[index] = states.setdefault(tuple(flat[first[index]].tolist()), len(states))
    return numbers[place].reshape(carried.shape[:-1])


def _joint_boundaries(probe: NeuronProbe, states: FloatArray, limit: np.float32, fire: int) -> FloatArray:
    """Currents at which any state changes its level, ascending, (states, changes).

    With two states, the change that fires comes at a fixed place: those before it are padded in front, those behind it
    at the end, so that one fire level serves all states.
    """
    membrane = bisected(probe, states, limit, -1)
    if len(probe.kind.states) == 1:
        return membrane
    others = np.concatenate([bisected(probe, states, limit, d) for d in range(len(probe.kind.states) - 1)], axis=1)
    if not 0 < fire <= membrane.shape[1]:  # always or never: padded at the end, to the same width
        padding = np.full(others.shape, np.inf, dtype=np.float32)
        return np.concatenate([np.sort(np.concatenate([others, membrane], axis=1), axis=1), padding], axis=1)
    first = membrane[:, fire - 1 : fire]
    below, above = membrane[:, : fire - 1], membrane[:, fire:]
    early, late = np.where(others < first, others, -np.inf), np.where(others < first, np.inf, others)
    front = np.sort(np.concatenate([early, below], axis=1), axis=1)
    back = np.sort(np.concatenate([late, above], axis=1), axis=1)
    return np.concatenate([front, first, back], axis=1).astype(np.float32)


def bisected(probe: NeuronProbe, states: FloatArray, limit: np.float32, place: int) -> FloatArray:
    """Smallest current in (-limit, limit] that takes one state above level j, (states, levels - 1), or infinities."""
    index = np.arange(probe.levels.size - 1)
    shape = (len(states), index.size)
    low, high = np.full(shape, to_ordered(np.array(-limit))), np.full(shape, to_ordered(np.array(limit)))

    def above(order: IntArray) -> NDArray[np.bool_]:
        return probe.step(from_ordered(order), states[:, None]).levels[..., place] > index

    always, never = above(low), ~above(high)
    while (high - low > 1).any():
        middle = (low + high) >> 1
        over = above(middle)
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    result = np.where(always, np.float32(-np.inf), from_ordered(high))
    return np.where(never, np.float32(np.inf), result).astype(np.float32)


def first_sums(currents: NDArray[np.float32], boundaries: FloatArray) -> IntArray:
    """Index of the first (ascending) current that reaches each boundary; `currents.size` where none does."""
    return np.searchsorted(currents, boundaries, side="left").astype(np.int64)
