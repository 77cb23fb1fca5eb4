"""The plan of neurons: finite-state machines whose thresholds are gathered by state, reached ones counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import FailFast

from squat_deploy.backends.qonnx.builder import (
    BOOL,
    FLOAT,
    INT32,
    INT64,
    UINT8,
    Bounds,
    GraphBuilder,
    Tensor,
    datatype,
)
from squat_deploy.backends.qonnx.layers.base import (
    SPIKES,
    Arrays,
    BasePlan,
    Carry,
    Containers,
    Head,
    Made,
    Role,
    ends,
    flat,
)
from squat_deploy.network import MAX_NEURONS
from squat_deploy.network.layers import Neuron, Range


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
    traced: ClassVar[tuple[Role, ...]] = ("sum", "state", "spikes")

    @staticmethod
    def of(head: Head, layer: Neuron, taken: Sequence[Range]) -> NeuronPlan:
        """By the range of the sums that it takes."""
        return NeuronPlan(
            **vars(head),
            neurons=layer.neurons,
            **ends(taken[0], "sum_"),
            tables=len(layer.thresholds),
            states=layer.states,
            levels=layer.level_count,
            carries_level=layer.carries_level,
            **ends((layer.thresholds, layer.thresholds), "threshold_"),
            initial_state=int(layer.initial_state),
            fire_level=tuple(layer.fire_level.tolist()),
            membranes=tuple(tuple(float(str(value)) for value in row) for row in layer.membranes),
        )

    @property
    def outputs(self) -> int:
        return self.neurons

    @property
    def given(self) -> Bounds:
        return SPIKES

    @property
    def state_range(self) -> Bounds:
        return 0, self.states - 1

    @property
    def membrane_range(self) -> Bounds:
        """Of the states that readouts look at."""
        return self.state_range

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

    def carries(self, types: Containers, *, late: bool) -> list[Carry]:
        state = Carry(self.name, "state", self.neurons, self.initial_state, types.state, self.state_range)
        return [state, Carry(self.name, "spikes", self.neurons, 0, types.spike, SPIKES)][: 1 + late]

    def nodes(self, b: GraphBuilder, taken: Sequence[Tensor], before: Made, types: Containers) -> Made:
        total, state = flat(b, taken[0]), before["state"]
        total, following, spikes = (self._in_floats if types.floats else self._in_integers)(b, total, state)
        return {"value": spikes, "sum": total, "state": following, "spikes": spikes, "membrane": following}

    def _in_integers(self, b: GraphBuilder, total: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(sums as they are compared, next states, spikes), (N, neurons) each."""
        total = b.cast(total, f"{self.name}.sums", INT64 if total.element == INT64 else INT32)
        name, shape, last = self.name, state.shape, self.levels - 1
        row = self._table_row(b, state)
        chosen = self._thresholds(b, row, total.element)
        axis = b.constant(f"{name}.level_axis", np.array([-1], dtype=np.int64))
        column = b.node("Unsqueeze", [total, axis], f"{name}.synaptic_sum_column", shape=(*shape, 1))
        wide = (*shape, last)
        reached = b.node("GreaterOrEqual", [column, chosen], f"{name}.reached", element=BOOL, shape=wide, bounds=SPIKES)
        ones = b.cast(reached, f"{name}.reached_int", INT32)
        level = b.node("ReduceSum", [ones, axis], self._level, shape=shape, bounds=(0, last), keepdims=0)
        fire = b.parameter(f"{name}.fire_level", INT32, (self.fire_levels,), self._fire_range)
        fires = b.node("GreaterOrEqual", [level, fire], f"{name}.fires", element=BOOL, bounds=SPIKES)
        spikes = b.cast(fires, f"{name}.spikes", UINT8)
        if self.carries_level:
            return total, level, spikes
        return total, self._successor(b, [self._successor_row(b, row), level], INT32), spikes

    def _in_floats(self, b: GraphBuilder, total: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same by two MultiThresholds, which have one row of thresholds a channel: the batch is 1."""
        axis = b.constant(f"{self.name}.batch_axis", np.array([0], dtype=np.int64))
        alone = b.node("Squeeze", [state, axis], f"{self.name}.state_flat", shape=(self.neurons,))
        row = self._table_row(b, b.cast(alone, f"{self.name}.state_index", INT64))
        chosen = self._thresholds(b, row, FLOAT)
        level = multi_threshold(b, total, chosen, self._level, (0, self.levels - 1))
        fire = b.parameter(f"{self.name}.fire_level", FLOAT, (self.fire_levels, 1), self._fire_range)
        spikes = multi_threshold(b, level, fire, f"{self.name}.spikes", SPIKES)
        if self.carries_level:
            return total, level, spikes
        places = [self._successor_row(b, row), b.cast(level, f"{self.name}.level_index", INT64)]
        return total, self._successor(b, places[::-1], FLOAT), spikes

    @property
    def _level(self) -> str:
        """The tensor of the levels, which may be the next states."""
        return f"{self.name}.state_next" if self.carries_level else f"{self.name}.level"

    @property
    def _fire_range(self) -> Bounds:
        return min(self.fire_level), max(self.fire_level)

    def _table_row(self, b: GraphBuilder, state: Tensor) -> Tensor:
        """Row of the threshold table: the state, after the rows of the machines before this neuron's own."""
        if self.tables == 1:
            return state
        bounds = (0, (self.tables - 1) * self.states)
        first = b.parameter(f"{self.name}.first_row", state.element, (self.neurons,), bounds)
        return b.node("Add", [state, first], f"{self.name}.row", bounds=(0, self.tables * self.states - 1))

    def _thresholds(self, b: GraphBuilder, row: Tensor, element: int) -> Tensor:
        """The thresholds of each neuron in its state, (..., neurons, levels - 1)."""
        shape, bounds = (self.tables * self.states, self.levels - 1), (self.threshold_low, self.threshold_high)
        table = b.parameter(f"{self.name}.thresholds", element, shape, bounds)
        return b.node("Gather", [table, row], f"{self.name}.thresholds_of_state", shape=(*row.shape, shape[1]), axis=0)

    def _successor_row(self, b: GraphBuilder, row: Tensor) -> Tensor:
        """Where the successors of each neuron in its state start."""
        width = b.constant(f"{self.name}.levels", np.array(self.levels, dtype=row.dtype))
        bounds = (0, (self.tables * self.states - 1) * self.levels)
        return b.node("Mul", [row, width], f"{self.name}.successor_row", bounds=bounds)

    def _successor(self, b: GraphBuilder, places: Sequence[Tensor], element: int) -> Tensor:
        """Next states by the sum of two places, the first of the shape of both."""
        entries = self.tables * self.states * self.levels
        index = b.node("Add", places, f"{self.name}.successor_index", bounds=(0, entries - 1))
        table = b.parameter(f"{self.name}.successor", element, (entries,), self.state_range)
        return b.node("Gather", [table, index], f"{self.name}.state_next", shape=index.shape, axis=0)

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
        """What the tensors cannot know (fire levels of unused tables) comes from the plan."""
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


def multi_threshold(b: GraphBuilder, x: Tensor, thresholds: Tensor, name: str, bounds: Bounds) -> Tensor:
    """How many thresholds of its row each value reaches."""
    return b.node("MultiThreshold", [x, thresholds], name, bounds=bounds, out_dtype=datatype(bounds))
