"""The Network: a trained spiking net as integers only, frozen, and everything later is derived from it.

Loading and running one needs NumPy, never torch.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from squat_deploy.certificate import Certificate
from squat_deploy.errors import ConfigError
from squat_deploy.joins import Join, Range
from squat_deploy.origin import Origin
from squat_deploy.readout import Readout
from squat_deploy.synapses import Conv2d, Dense, Synapses, freeze
from squat_deploy.synapses import IntArray as IntArray  # re-exported: the word of every other module

Encoding = Literal["direct", "sequence"]
SCHEMA_VERSION = 2
INPUT = -1  # in `Network.wires`: what enters
MAX_RANK = 8  # sizes of one sample
MAX_NEURONS = 65_535  # an event carries a 16-bit index


@dataclass(frozen=True)
class InputSpec:
    """What enters the network: integers `low..high`, worth `step` each.

    Attributes:
        shape: shape of one sample (one time step of it), without batch and time.
        low, high: range of the integers, inclusive; (0, 1) for spikes.
        step: value of one integer in the units of the trained model.
        encoding: "direct" shows one sample (B, *shape) at every step; "sequence" takes (T, B, *shape).
    """

    shape: tuple[int, ...]
    low: int = 0
    high: int = 1
    step: float = 1.0
    encoding: Encoding = "direct"

    def __post_init__(self) -> None:
        shape = tuple(self.shape)
        if not 1 <= len(shape) <= MAX_RANK or any(not _is_integer(n) or not 1 <= n < 2**31 for n in shape):
            raise ConfigError(f"InputSpec: shape must be 1 to {MAX_RANK} positive sizes; got {shape[:9]!r}")
        object.__setattr__(self, "shape", tuple(map(int, shape)))
        if not (_is_integer(self.low) and _is_integer(self.high)) or isinstance(self.step, bool | str):
            got = f"{self.low!r}, {self.high!r} and {self.step!r}"
            raise ConfigError(f"InputSpec: low and high must be integers, and step a number; got {got}")
        if not self.low < self.high or self.low < -(2**15) or self.high >= 2**16:
            raise ConfigError(f"InputSpec: needs low < high within 16 bits; got {self.low} and {self.high}")
        if not (math.isfinite(self.step) and self.step > 0):
            raise ConfigError(f"InputSpec: step must be positive; got {self.step}")
        if not 2.0**-126 <= self.step <= 2.0**100:
            raise ConfigError(f"InputSpec: step must be an ordinary float32, 2**-126 to 2**100; got {self.step}")
        if self.encoding not in ("direct", "sequence"):
            raise ConfigError(f"InputSpec: encoding must be 'direct' or 'sequence'; got {self.encoding!r}")

    @property
    def size(self) -> int:
        """Number of integers a sample and step."""
        return math.prod(self.shape)

    @property
    def bits(self) -> int:
        """Width of one integer, two's complement if `low` is negative."""
        return int_bits(self.low, self.high)

    @property
    def described(self) -> str:
        """The grid in words."""
        shape = "x".join(map(str, self.shape))
        shown = "the same at every step" if self.encoding == "direct" else "new ones at every step"
        return f"{shape} integers {self.low}..{self.high}, each worth {self.step:.9g}, {shown}"

    def quantize(self, values: NDArray[Any]) -> IntArray:
        """Real inputs (float32, model units) to integers, ties to even: the same bits as `InputQuantizer`.

        Raises: ConfigError on NaN or infinity.
        """
        real = np.asarray(values, dtype=np.float32)
        if not np.isfinite(real).all():
            raise ConfigError("inputs: every value must be finite; got NaN or infinity")
        return np.clip(np.rint(real / np.float32(self.step)), self.low, self.high).astype(np.int64)

    def check(self, values: NDArray[Any], steps: int) -> IntArray:
        """Integers (B, *shape) or (T, B, *shape) as int64, or a ConfigError naming what is wrong."""
        array = np.asarray(values)
        if array.dtype.kind not in "iub":
            way = "InputSpec.quantize (--real on the command line) makes them of real values"
            raise ConfigError(f"inputs: expected integers; got {array.dtype}; the grid is {self.described}; {way}")
        lead = 1 if self.encoding == "direct" else 2
        if array.ndim != lead + len(self.shape) or array.shape[lead:] != self.shape:
            axes = "(batch, " if lead == 1 else "(steps, batch, "
            raise ConfigError(f"inputs: expected shape {axes}{', '.join(map(str, self.shape))}); got {array.shape}")
        if 0 in array.shape:
            raise ConfigError(f"inputs: at least one sample; got shape {array.shape}")
        if lead == 2 and array.shape[0] != steps:
            raise ConfigError(f"inputs: expected {steps} time steps; got {array.shape[0]}")
        if array.size and (array.min() < self.low or array.max() > self.high):
            got = f"{array.min()}..{array.max()}"
            if self.high < 255 and array.min() >= 0 and 128 <= array.max() <= 255:
                got += ", which look like 8-bit pixels"
            way = "give real inputs, in the model's units, to InputSpec.quantize (--real on the command line)"
            raise ConfigError(
                f"inputs: must lie in {self.low}..{self.high}; got {got}; the grid is {self.described}; {way}"
            )
        return array.astype(np.int64)


@dataclass(frozen=True, eq=False)
class Neuron:
    """State-quantized neurons as finite-state machines on the integer synaptic sum S.

    With `k = table[n]`: level = number of `thresholds[k, state]` that are <= S (they ascend);
    spike = level >= `fire_level[k]`; next state = `successor[k, state, level]`.

    Attributes:
        thresholds: (K, states, levels - 1), one past the reachable range where a level is never reached.
        successor: (K, states, levels).
        fire_level: (K,).
        table: (N,), which of the K machines neuron n runs.
        initial_state: state at the start of a sequence (rest).
        membranes: (K, states) float32 membrane of each state, for readers and `verify`; no executor uses it.
    """

    name: str
    thresholds: IntArray
    successor: IntArray
    fire_level: IntArray
    table: IntArray
    initial_state: int
    membranes: NDArray[np.float32]

    def __post_init__(self) -> None:
        freeze(self)

    @property
    def neurons(self) -> int:
        return int(self.table.size)

    @property
    def outputs(self) -> int:
        return self.neurons

    @property
    def states(self) -> int:
        return int(self.thresholds.shape[1])

    @property
    def level_count(self) -> int:
        return int(self.thresholds.shape[2]) + 1

    @property
    def state_bits(self) -> int:
        return max(1, (self.states - 1).bit_length())

    @property
    def carries_level(self) -> bool:
        """Whether the next state is simply the level (reset_delay=True)."""
        return bool((self.successor == np.arange(self.level_count)).all())


Layer = Synapses | Join | Neuron
Wires = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class Network:
    """Layers in the order in which they run, and what each of them takes; every value an integer.

    Attributes:
        steps: time steps of one sequence.
        certificate: what has been proven of each layer against the trained model.
        wires: for every layer the positions of the layers that it takes, -1 for the network's input. A neuron layer
            that comes later, or the layer itself, stands for its spikes of the step before (none in the first).
            By default each layer takes the one before it. The last layer is the output.
        readout: how the output neurons become a class.
        origin: where it comes from, as it says itself; no part of the digest.
    """

    input: InputSpec
    layers: tuple[Layer, ...]
    steps: int
    certificate: Certificate = field(default_factory=Certificate)
    name: str = "network"
    wires: Wires = ()
    readout: Readout = "count"
    origin: Origin = field(default_factory=Origin)

    def __post_init__(self) -> None:
        if not self.wires:
            object.__setattr__(self, "wires", tuple((index - 1,) for index in range(len(self.layers))))

    @property
    def neurons(self) -> tuple[Neuron, ...]:
        """The neuron layers, first to last."""
        return tuple(layer for layer in self.layers if isinstance(layer, Neuron))

    @property
    def outputs(self) -> int:
        """Number of output neurons (classes)."""
        return self.neurons[-1].neurons

    def taken(self, index: int) -> list[Range]:
        """(lowest, highest) value of every element of each input of a layer."""
        return [self.range_at(source) for source in self.wires[index]]

    def range_at(self, source: int) -> Range:
        """(lowest, highest) value of every element that a layer gives (-1: the input); spikes are 0 or 1."""
        if source not in self._ranges:
            layer = self.layers[source]
            if source == INPUT:
                found = constant_range(self.input.size, self.input.low, self.input.high)
            elif isinstance(layer, Neuron):
                found = constant_range(layer.neurons, 0, 1)
            else:
                found = range_of(layer, self.taken(source))
            self._ranges[source] = found
        return self._ranges[source]

    @cached_property
    def _ranges(self) -> dict[int, Range]:
        return {}

    @property
    def digest(self) -> str:
        """sha256 over everything that decides a spike or the class: input, steps, all integers; names do not count."""
        hasher = hashlib.sha256()
        spec = self.input
        head = [
            1,  # of this hash
            list(spec.shape),
            spec.low,
            spec.high,
            float(spec.step).hex(),
            spec.encoding,
            self.steps,
        ]
        if self.readout != "count":
            head.append(self.readout)
        hasher.update(json.dumps(head).encode())
        for index, (layer, wire) in enumerate(zip(self.layers, self.wires, strict=True)):
            if wire != (index - 1,):
                hasher.update(f"wire{wire}".encode())
            for key, array in arrays_of(layer).items():
                hasher.update(f"{type(layer).__name__}.{key}{array.shape}".encode())
                hasher.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
        return hasher.hexdigest()


def arrays_of(layer: Layer) -> dict[str, IntArray]:
    """The integer arrays of a layer by field name, in the order of the digest."""
    if not isinstance(layer, Neuron):
        return layer.arrays()
    return {
        "thresholds": layer.thresholds,
        "successor": layer.successor,
        "fire_level": layer.fire_level,
        "table": layer.table,
        "initial_state": np.array([layer.initial_state], dtype=np.int64),
    }


def _is_integer(value: object) -> bool:
    """True and 3.0 are equal to integers and are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def constant_range(size: int, low: int, high: int) -> Range:
    """One range for every element, (size,) each."""
    return np.full(size, low, dtype=np.int64), np.full(size, high, dtype=np.int64)


def range_of(layer: Synapses | Join, taken: Sequence[Range]) -> Range:
    """(lowest, highest) of every element that a layer gives, by those of its inputs."""
    ends = [end for pair in taken for end in pair]
    return layer.sum_range(*ends) if isinstance(layer, Dense | Conv2d) else layer.range(*ends)


def int_bits(low: int, high: int) -> int:
    """Least width that holds low..high: unsigned if `low` >= 0, else two's complement."""
    if low >= 0:
        return max(1, high.bit_length())
    return max((-low - 1).bit_length(), max(high, 0).bit_length()) + 1
