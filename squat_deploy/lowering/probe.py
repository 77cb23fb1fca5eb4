"""A trained neuron that is stepped from any states with any current, many of both at once.

Everything that is said of a neuron comes from `NeuronProbe.step`. It is elementwise: an element of a batch is computed
as it would be alone, to the bit (torch adds and multiplies element by element, and a test compares both ways), so that
states, currents and parameter sets may stand in one batch in any arrangement. How many do is up to the caller, who
bounds memory by it (`BATCH`). A spike function of the user's need not be elementwise: whoever proves something of one
runs it in more than one arrangement.
"""

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
from squat_deploy.snn.levels import FloatArray
from squat_deploy.snn.neurons import kind_of, spike_value
from squat_deploy.snn.quantizers import StateQuantizer

BATCH = 2**16  # elements of a step: its dozen intermediate arrays of 256 KiB stay in a core's cache


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


@dataclass(frozen=True, eq=False)
class Stepped:
    """What a step gave.

    Attributes:
        states: the carried states, (...) each, the membrane last; a zero may be negative.
        quantized: the same as they were quantized: with reset_delay=False another membrane is carried.
        fired: (...).
        table: (L,) the levels.
    """

    states: tuple[FloatArray, ...]
    quantized: tuple[FloatArray, ...]
    fired: NDArray[np.bool_]
    table: FloatArray

    @property
    def carried(self) -> FloatArray:
        """Carried states (..., D), without negative zeros."""
        return np.stack(self.states, axis=-1) + np.float32(0)

    @property
    def levels(self) -> IntArray:
        """Level of each state (..., D)."""
        places = [np.searchsorted(self.table, values) for values in self.quantized]
        return np.stack(places, axis=-1).astype(np.int64)


class NeuronProbe:
    """A copy of one trained neuron, with one or more sets of scalar parameters: one set for every kind of neuron."""

    def __init__(
        self, neuron: nn.Module, index: Mapping[str, int | IntArray], quantizer: StateQuantizer, name: str
    ) -> None:
        """Args: index: which of its values each parameter takes, by name; one, or one a set."""
        self.name, self.kind, self.quantizer = name, kind_of(neuron), quantizer
        module: Any = copy.deepcopy(neuron).cpu().eval()
        module.init_hidden = module.output = False
        self.module = module
        self._given = _Given()
        if self.kind.recurrent:
            module.recurrent = self._given
        self._parameters = {key: _values(module, key, np.asarray(places)) for key, places in index.items()}
        self.sets = max((values.numel() for values in self._parameters.values()), default=1)
        self._choose(np.array(0))
        self._recorder = _Recorder(quantizer)
        del module.state_quant
        module.state_quant = self._recorder
        self.levels: FloatArray = quantizer.levels.numpy()

    @torch.no_grad()
    def step(
        self,
        current: FloatArray,
        states: FloatArray,
        recurrent: FloatArray | None = None,
        *,
        chosen: IntArray | int = 0,
    ) -> Stepped:
        """One time step from `states` (..., D), broadcast with the currents (...).

        Args:
            recurrent: current of the neuron's own recurrent synapses, where it is added apart.
            chosen: which set of parameters, (...).
        """
        if self.sets > 1:
            self._choose(np.asarray(chosen))
        shape = np.broadcast_shapes(current.shape, states.shape[:-1])
        tensors = [_wide(states[..., d], shape) for d in range(states.shape[-1])]
        self._given.current = 0.0 if recurrent is None else _wide(recurrent, shape)
        spikes = [torch.zeros(shape)] if self.kind.recurrent else []
        fired, *carried = self.module(_wide(current, shape), *spikes, *tensors)
        after = tuple(state.numpy() for state in carried)
        return Stepped(after, (*after[:-1], self._recorder.last.numpy()), fired.numpy() > 0, self.levels)

    @torch.no_grad()
    def fire_levels(self) -> IntArray:
        """First level that spikes, (sets,); the number of levels where none does."""
        if self.sets > 1:
            self._choose(np.arange(self.sets)[:, None])
        levels = torch.from_numpy(np.tile(self.levels, (self.sets, 1)))
        spikes = self.module.fire(levels).numpy()
        first = np.where(spikes.any(axis=1), (spikes > 0).argmax(axis=1), self.levels.size)
        step = (np.arange(self.levels.size) >= first[:, None]) * np.float32(spike_value(self.module))
        if wrong := np.flatnonzero((spikes != step).any(axis=1)).tolist():
            got = f"{spikes[wrong[0]].tolist()} for the levels"
            hint = "use a surrogate of snntorch.surrogate whose forward is (x > 0)"
            raise LoweringError((Fault(self.name, "spikes are a step at the threshold", got, hint),))
        return first.astype(np.int64)

    def _choose(self, sets: IntArray) -> None:
        """Lets every parameter be that of these sets; one that is the same in all of them stays a scalar."""
        for name, values in self._parameters.items():
            value = values[torch.from_numpy(sets)] if values.ndim else values
            if name in self.module._parameters:
                self.module._parameters[name] = nn.Parameter(value, requires_grad=False)
            else:
                self.module._buffers[name] = value


def _wide(values: FloatArray, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(np.array(np.broadcast_to(values, shape), dtype=np.float32))


def _values(module: nn.Module, name: str, places: IntArray) -> Tensor:
    """A parameter's value in every set, or the one that it has in all of them."""
    value: Tensor = getattr(module, name).detach().reshape(-1)
    found = (value.float() if value.is_floating_point() else value)[torch.from_numpy(places)].clone()
    return found.reshape(-1)[0].clone() if bool((found == found.reshape(-1)[0]).all()) else found
