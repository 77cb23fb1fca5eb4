"""What decides the nodes of each layer: its sizes, ranges and operators, and its arrays there and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, assert_never

import numpy as np
from pydantic import FailFast

from squat_deploy.errors import ConfigError
from squat_deploy.network import MAX_NEURONS, IntArray
from squat_deploy.network.layers import Add, Concat, Conv2d, Delay, Dense, Join, Neuron, Pool2d
from squat_deploy.network.limits import MAX_DELAY, MAX_PATCH_VALUES

Bounds = tuple[int, int]
Arrays = dict[str, IntArray]
Operator = Literal["MatMulInteger", "ConvInteger", "MatMul"]
Operation = Literal["pool", "add", "concat"]
INT16_MAX = 2**15 - 1
INT32_MAX = 2**31 - 1


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
class BasePlan:
    """What every plan has, besides `outputs` and `input_sizes` (as its layer), `given` (range of what it gives) and
    `made_of` (the layer of its tensors).

    Attributes:
        layer: its name in the Network.
        name: prefix of its tensors, unique in the graph.
        takes: as in `Network.wires`.
        remembers, late: as of its layer.
    """

    layer: str
    name: str
    takes: tuple[int, ...]
    remembers: ClassVar[bool] = False
    late: ClassVar[bool] = False

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

    def tensors(self, saved: Arrays) -> Arrays:
        """Its tensors by name, as the integer forms hold them, of the arrays that its layer saves."""
        return {}


@dataclass(frozen=True)
class SynapsePlan(BasePlan):
    """One synapse layer.

    Attributes:
        input_low, input_high, weight_low, weight_high, sum_low, sum_high: ranges, inclusive.
        partial_low, partial_high: range of every partial sum in any order, the bias included.
        bias: range of the bias, or None without one.
        conv: the sizes of a convolution, or None for fully connected synapses.
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
    conv: ConvPlan | None
    kind: Literal["synapses"] = "synapses"

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

    def tensors(self, saved: Arrays) -> Arrays:
        found = {f"{self.name}.weight": saved["weight"].T if self.conv is None else saved["weight"]}
        return found if self.bias is None else found | {f"{self.name}.bias": saved["bias"]}

    def made_of(self, tensors: Arrays) -> Dense | Conv2d:
        """The layer of its tensors."""
        weight, conv = tensors[f"{self.name}.weight"], self.conv
        channels = self.outputs if conv is None else conv.weight_shape[0]
        bias = tensors.get(f"{self.name}.bias", np.zeros(channels, dtype=np.int64)).reshape(-1)
        if conv is None:
            return Dense(self.layer, np.ascontiguousarray(weight.T), bias)
        return replace(conv.empty(), name=self.layer, weight=weight.reshape(conv.weight_shape), bias=bias)

    @property
    def operator(self) -> Operator:
        """MatMulInteger or ConvInteger where every CPU computes it exactly, else MatMul on int32 or int64.

        x86 CPUs without VNNI add two 8-bit products in a saturating 16-bit register, after moving signed inputs by
        128; so both have to fit together.
        """
        weight = max(-self.weight_low, self.weight_high)
        narrow = self.weight_low >= -128 and self.weight_high <= 127
        signed = self.input_low < 0
        fits = (self.input_low >= -128 and self.input_high <= 127) if signed else self.input_high <= 255
        largest = 255 if signed else self.input_high
        exact = narrow and fits and 2 * largest * weight <= INT16_MAX and self._in_int32
        if not exact:
            return "MatMul"
        return "MatMulInteger" if self.conv is None else "ConvInteger"

    @property
    def sum_bits(self) -> int:
        """Container of the synaptic sum: 32 or 64."""
        return 32 if self._in_int32 else 64

    @property
    def _in_int32(self) -> bool:
        return max(-self.partial_low, self.partial_high) < INT32_MAX  # a threshold may be one above the sums


@dataclass(frozen=True)
class NeuronPlan(BasePlan):
    """One neuron layer.

    Attributes:
        sum_low, sum_high: range of the synaptic sums that it takes.
        tables, states, levels: sizes K, S, L of its finite-state machines.
        carries_level: whether the next state is the level itself.
        threshold_low, threshold_high: range of the thresholds.
        fire_level: (K,).
        membranes: (K, S) membrane of each state in model units, float32 values; the level table comes first.
    """

    neurons: int
    sum_low: int
    sum_high: int
    tables: int
    states: int
    levels: int
    carries_level: bool
    threshold_low: int
    threshold_high: int
    initial_state: int
    fire_level: Annotated[tuple[int, ...], FailFast()]
    membranes: Annotated[tuple[Annotated[tuple[float, ...], FailFast()], ...], FailFast()]
    kind: Literal["neurons"] = "neurons"
    remembers: ClassVar[bool] = True
    late: ClassVar[bool] = True

    @property
    def outputs(self) -> int:
        return self.neurons

    @property
    def given(self) -> Bounds:
        return 0, 1

    @property
    def state_range(self) -> Bounds:
        return 0, self.states - 1

    @property
    def fire_range(self) -> Bounds:
        return min(self.fire_level), max(self.fire_level)

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return (self.neurons,)

    @property
    def fire_levels(self) -> int:
        """How many fire levels the graph holds: one, or one a neuron."""
        return 1 if len(set(self.fire_level)) == 1 else self.neurons

    def rules(self) -> dict[str, bool]:
        return {
            "2 to 1024 states": 2 <= self.states <= 1024,
            "2 to 256 levels": 2 <= self.levels <= 256,
            f"1 to {MAX_NEURONS} tables": 1 <= self.tables <= MAX_NEURONS,
            "one fire level a table": len(self.fire_level) == self.tables,
            "one membrane a state": len(self.membranes) == self.tables
            and {len(row) for row in self.membranes} == {self.states},
            "finite membranes": all(math.isfinite(value) for row in self.membranes for value in row),
            "an initial state that is one": 0 <= self.initial_state < self.states,
        }

    def tensors(self, saved: Arrays) -> Arrays:
        found = {
            "thresholds": saved["thresholds"].reshape(-1, self.levels - 1),
            "fire_level": saved["fire_level"][saved["table"][: self.fire_levels]],
        }
        if self.tables > 1:
            found["first_row"] = saved["table"] * self.states
        if not self.carries_level:
            found["successor"] = saved["successor"].reshape(-1)
        return {f"{self.name}.{key}": array for key, array in found.items()}

    def made_of(self, tensors: Arrays) -> Neuron:
        """The layer of its tensors; what they cannot know (fire levels of unused tables) comes from the plan."""
        shape = (self.tables, self.states, self.levels)
        carried = np.broadcast_to(np.arange(self.levels), shape)
        return Neuron(
            name=self.layer,
            thresholds=tensors[f"{self.name}.thresholds"].reshape(self.tables, self.states, self.levels - 1),
            successor=carried if self.carries_level else tensors[f"{self.name}.successor"].reshape(shape),
            fire_level=np.array(self.fire_level, dtype=np.int64),
            table=tensors.get(f"{self.name}.first_row", np.zeros(self.neurons, dtype=np.int64)) // self.states,
            initial_state=self.initial_state,
            membranes=np.array(self.membranes, dtype=np.float32),
        )


@dataclass(frozen=True)
class JoinPlan(BasePlan):
    """One layer without weights.

    Attributes:
        sizes: the integers that decide what it gives, one after another.
        low, high: range of the results.
        largest: largest magnitude of all that it takes, gives or makes on its way.
    """

    operation: Operation
    sizes: Annotated[tuple[int, ...], FailFast()]
    low: int
    high: int
    largest: int
    kind: Literal["join"] = "join"

    def join(self) -> Join:
        """The layer itself. Raises: ValueError, LookupError, ConfigError for sizes that do not fit."""
        match self.operation:
            case "pool":
                return Pool2d.of(self.layer, {"geometry": np.array(self.sizes, dtype=np.int64)})
            case "add":
                return Add(self.layer, self.sizes[0], self.sizes[1:])
            case "concat":
                return Concat(self.layer, self.sizes)
            case _:
                assert_never(self.operation)

    @property
    def outputs(self) -> int:
        return self.join().outputs

    @property
    def given(self) -> Bounds:
        return self.low, self.high

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return self.join().input_sizes

    @property
    def largest_sum(self) -> int:
        return self.largest

    @property
    def window_values(self) -> int:
        return self.join().width if self.operation == "pool" else 0

    def made_of(self, tensors: Arrays) -> Join:
        """The layer; it has no tensors."""
        return self.join()


@dataclass(frozen=True)
class DelayPlan(BasePlan):
    """One delay.

    Attributes:
        steps: of every element, or one for all.
        low, high: range of what it takes and gives, 0 included.
    """

    size: int
    steps: Annotated[tuple[int, ...], FailFast()]
    low: int
    high: int
    kind: Literal["delay"] = "delay"
    remembers: ClassVar[bool] = True

    @property
    def outputs(self) -> int:
        return self.size

    @property
    def given(self) -> Bounds:
        return self.low, self.high

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return (self.size,)

    @property
    def past(self) -> int:
        """Values that it keeps of the steps before, the newest first."""
        return max(self.steps, default=0) * self.size

    @property
    def largest_sum(self) -> int:
        return max(-self.low, self.high)

    @property
    def window_values(self) -> int:
        return self.past + self.size

    def rules(self) -> dict[str, bool]:
        return {
            "one delay, or one an element": len(self.steps) in (1, self.size),
            f"delays of 0 to {MAX_DELAY} steps": all(0 <= steps <= MAX_DELAY for steps in self.steps),
        }

    def every_step(self) -> IntArray:
        """(size,) steps of each element."""
        return np.broadcast_to(np.array(self.steps, dtype=np.int64), self.size).copy()

    def made_of(self, tensors: Arrays) -> Delay:
        """The layer; it has no tensors."""
        return Delay(self.layer, self.every_step())
