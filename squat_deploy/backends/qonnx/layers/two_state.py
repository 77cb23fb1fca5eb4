"""The plan of two-state neurons: offsets gathered by both states, added to the sum, reached boundaries counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import FailFast

from squat_deploy.backends.qonnx.builder import BOOL, FLOAT, INT32, INT64, UINT8, Bounds, GraphBuilder, Tensor
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
from squat_deploy.backends.qonnx.layers.neuron import multi_threshold
from squat_deploy.network import MAX_NEURONS
from squat_deploy.network.layers import Range, TwoStateNeuron
from squat_deploy.network.limits import MAX_FRACTION_BITS, MAX_KEY, MAX_STATES

_Row = Annotated[tuple[float, ...], FailFast()]
_Rows = Annotated[tuple[_Row, ...], FailFast()]


@dataclass(frozen=True)
class TwoStatePlan(BasePlan):
    """One layer of two-state neurons, as in `TwoStateNeuron`.

    Attributes:
        tables, current_states, membrane_states, levels, current_levels: sizes of its machines.
        carries_level: whether the membrane's next state is the level itself.
        all_follow: whether every membrane state follows the sum.
        key_low, key_high, next_low, next_high: of all keys, offsets and boundaries of either search.
        fire_level: (K,).
        membranes: (K, B); currents: (K, A); float32 values.
    """

    neurons: int
    sum_low: int
    sum_high: int
    tables: int
    current_states: int
    membrane_states: int
    levels: int
    current_levels: int
    carries_level: bool
    all_follow: bool
    fraction_bits: int
    next_fraction_bits: int
    key_low: int
    key_high: int
    next_low: int
    next_high: int
    initial_state: int
    fire_level: Annotated[tuple[int, ...], FailFast()]
    membranes: _Rows
    currents: _Rows
    kind: Literal["two-state neurons"] = "two-state neurons"
    remembers: ClassVar[bool] = True
    late: ClassVar[bool] = True
    traced: ClassVar[tuple[Role, ...]] = ("sum", "state", "spikes")

    @classmethod
    def of(cls, head: Head, layer: TwoStateNeuron, taken: Sequence[Range]) -> Self:
        """By the range of the sums that it takes."""
        sums = ends(taken[0], "sum_")
        low, high = sums["sum_low"], sums["sum_high"]
        (key_low, key_high), (next_low, next_high) = layer.key_ranges(low, high)
        return cls(
            **vars(head),
            neurons=layer.neurons,
            **sums,
            tables=layer.tables,
            current_states=layer.current_states,
            membrane_states=layer.membrane_state_count,
            levels=layer.level_count,
            current_levels=layer.current_level_count,
            carries_level=layer.carries_level,
            all_follow=bool(layer.follows.all()),
            fraction_bits=layer.fraction_bits,
            next_fraction_bits=layer.next_fraction_bits,
            key_low=key_low,
            key_high=key_high,
            next_low=next_low,
            next_high=next_high,
            initial_state=int(layer.initial_state),
            fire_level=tuple(layer.fire_level.tolist()),
            membranes=_exact(layer.membranes),
            currents=_exact(layer.currents),
        )

    @property
    def outputs(self) -> int:
        return self.neurons

    @property
    def given(self) -> Bounds:
        return SPIKES

    @property
    def state_range(self) -> Bounds:
        return 0, self.current_states * self.membrane_states - 1

    @property
    def membrane_range(self) -> Bounds:
        return 0, self.membrane_states - 1

    @property
    def input_sizes(self) -> tuple[int, ...]:
        return (self.neurons,)

    @property
    def largest_sum(self) -> int:
        return max(-self.key_low, self.key_high, -self.next_low, self.next_high)

    @property
    def fire_levels(self) -> int:
        """How many fire levels the graph holds: one, or one a neuron."""
        return 1 if len(set(self.fire_level)) == 1 else self.neurons

    def rules(self) -> dict[str, bool]:
        bits = (self.fraction_bits, self.next_fraction_bits)
        rows = ((self.membranes, self.membrane_states), (self.currents, self.current_states))
        return {
            f"2 to {MAX_STATES} states of each kind": all(2 <= size <= MAX_STATES for _, size in rows),
            "2 to 256 levels": all(2 <= size <= 256 for size in (self.levels, self.current_levels)),
            f"1 to {MAX_NEURONS} tables": 1 <= self.tables <= MAX_NEURONS,
            "one fire level a table": len(self.fire_level) == self.tables,
            f"0 to {MAX_FRACTION_BITS} bits after the point": all(0 <= count <= MAX_FRACTION_BITS for count in bits),
            "keys that no container loses": self.largest_sum <= 4 * MAX_KEY,
            "one value a state": all(
                len(found) == self.tables and {len(row) for row in found} == {size} for found, size in rows
            ),
            "finite values": all(math.isfinite(value) for found, _ in rows for row in found for value in row),
            "an initial state that is one": 0 <= self.initial_state <= self.state_range[1],
        }

    def carries(self, types: Containers, *, late: bool) -> list[Carry]:
        state = Carry(self.name, "state", self.neurons, self.initial_state, types.state, self.state_range)
        return [state, Carry(self.name, "spikes", self.neurons, 0, types.spike, SPIKES)][: 1 + late]

    def nodes(self, b: GraphBuilder, taken: Sequence[Tensor], before: Made, types: Containers) -> Made:
        """Every key is the sum moved to the left, and an offset of each state that it depends on."""
        name, total = self.name, flat(b, taken[0])
        if not types.floats:
            total = b.cast(total, f"{name}.sums", INT64 if total.element == INT64 else INT32)
        wide = b.cast(total, f"{name}.sums_wide", types.whole(self.largest_sum))
        current, membrane = self._parts(b, before["state"], types)
        key = self._key(b, wide, current, membrane)
        which = self._table(b, membrane, types)
        level = self._counted(b, key, "boundaries", which, self._level, self.levels - 1, types)
        after = self._next_current(b, wide, current, which, types)
        spikes = self._spikes(b, level, types)
        following = self._successor(b, membrane, level, types)
        width = b.constant(f"{name}.width", np.array(self.membrane_states, dtype=after.dtype))
        high = (self.current_states - 1) * self.membrane_states
        moved = b.node("Mul", [after, width], f"{name}.current_moved", bounds=(0, high))
        state = b.node("Add", [moved, following], f"{name}.state_next", bounds=self.state_range)
        return {"value": spikes, "sum": total, "state": state, "spikes": spikes, "membrane": following}

    def _parts(self, b: GraphBuilder, state: Tensor, types: Containers) -> tuple[Tensor, Tensor]:
        """Rows of the tables of both states, as Gather wants them, (N, neurons) each."""
        name, index = self.name, state
        if types.floats:
            index = b.cast(state, f"{name}.state_index", INT64)
        width = b.constant(f"{name}.membrane_states", np.array(self.membrane_states, dtype=index.dtype))
        rows = (0, self.current_states - 1)
        current = b.node("Div", [index, width], f"{name}.current", bounds=rows)
        start = b.node("Mul", [current, width], f"{name}.current_start", bounds=self.state_range)
        membrane = b.node("Sub", [index, start], f"{name}.membrane", bounds=self.membrane_range)
        return self._row(b, current, self.current_states), self._row(b, membrane, self.membrane_states)

    def _row(self, b: GraphBuilder, place: Tensor, states: int) -> Tensor:
        """A state, after those of the tables before this neuron's own."""
        if self.tables == 1:
            return place
        table = b.parameter(f"{place.name}_first", place.element, (self.neurons,), (0, (self.tables - 1) * states))
        return b.node("Add", [place, table], f"{place.name}_row", bounds=(0, self.tables * states - 1))

    def _key(self, b: GraphBuilder, total: Tensor, current: Tensor, membrane: Tensor) -> Tensor:
        name, bounds = self.name, (min(self.key_low, 0), max(self.key_high, 0))
        seen = self._moved(b, total, current, "current_offset", self.fraction_bits, bounds)
        if not self.all_follow:
            follows = self._gathered(b, "follows", membrane, total.element, SPIKES)
            seen = b.node("Mul", [seen, follows], f"{name}.followed", bounds=bounds)
        offset = self._gathered(b, "membrane_offset", membrane, total.element, bounds)
        return b.node("Add", [seen, offset], f"{name}.key", bounds=bounds)

    def _next_current(
        self, b: GraphBuilder, total: Tensor, current: Tensor, which: Tensor, types: Containers
    ) -> Tensor:
        bounds = min(self.next_low, 0), max(self.next_high, 0)
        key = self._moved(b, total, current, "next_offset", self.next_fraction_bits, bounds)
        name = f"{self.name}.current_next"
        return self._counted(b, key, "next_boundaries", which, name, self.current_levels - 1, types)

    def _table(self, b: GraphBuilder, membrane: Tensor, types: Containers) -> Tensor:
        """The table of every neuron, from its row: qonnx folds what depends on nothing. One alone is not asked for."""
        if self.tables == 1:
            return membrane
        width = b.constant(f"{self.name}.rows_of_table", np.array(self.membrane_states, dtype=membrane.dtype))
        found = b.node("Div", [membrane, width], f"{self.name}.table", bounds=(0, self.tables - 1))
        if not types.floats:
            return found
        axis = b.constant(f"{self.name}.batch_axis", np.array([0], dtype=np.int64))
        return b.node("Squeeze", [found, axis], f"{self.name}.table_flat", shape=(self.neurons,))

    def _moved(self, b: GraphBuilder, total: Tensor, row: Tensor, offset: str, bits: int, bounds: Bounds) -> Tensor:
        """The sum with so many bits after the point, and an offset."""
        scale = b.constant(f"{self.name}.{offset}_scale", np.array(2**bits, dtype=total.dtype))
        scaled = b.node("Mul", [total, scale], f"{self.name}.{offset}_sums", bounds=bounds)
        chosen = self._gathered(b, offset, row, total.element, bounds)
        return b.node("Add", [scaled, chosen], f"{self.name}.{offset}_key", bounds=bounds)

    def _gathered(self, b: GraphBuilder, table: str, row: Tensor, element: int, bounds: Bounds) -> Tensor:
        states = self.current_states if table in ("current_offset", "next_offset") else self.membrane_states
        values = b.parameter(f"{self.name}.{table}", element, (self.tables * states,), bounds)
        return b.node("Gather", [values, row], f"{self.name}.{table}_of_state", shape=row.shape, axis=0)

    def _counted(
        self, b: GraphBuilder, key: Tensor, table: str, which: Tensor, result: str, most: int, types: Containers
    ) -> Tensor:
        """How many boundaries are reached."""
        boundaries = b.parameter(f"{self.name}.{table}", key.element, (self.tables, most), key.bounds)
        if self.tables > 1:
            own, shape = f"{self.name}.{table}_of_neuron", (*which.shape, most)
            boundaries = b.node("Gather", [boundaries, which], own, shape=shape, axis=0)
        if types.floats:
            return multi_threshold(b, key, boundaries, result, (0, most))
        axis = b.constant(f"{self.name}.{table}_axis", np.array([-1], dtype=np.int64))
        column = b.node("Unsqueeze", [key, axis], f"{key.name}_column", shape=(*key.shape, 1))
        wide = (*key.shape, most)
        where = f"{self.name}.{table}_reached"
        reached = b.node("GreaterOrEqual", [column, boundaries], where, element=BOOL, shape=wide, bounds=SPIKES)
        ones = b.cast(reached, f"{where}_int", INT32)
        return b.node("ReduceSum", [ones, axis], result, shape=key.shape, bounds=(0, most), keepdims=0)

    def _spikes(self, b: GraphBuilder, level: Tensor, types: Containers) -> Tensor:
        bounds, name = (min(self.fire_level), max(self.fire_level)), f"{self.name}.fire_level"
        if types.floats:
            fire = b.parameter(name, FLOAT, (self.fire_levels, 1), bounds)
            return multi_threshold(b, level, fire, f"{self.name}.spikes", SPIKES)
        fire = b.parameter(name, INT32, (self.fire_levels,), bounds)
        fires = b.node("GreaterOrEqual", [level, fire], f"{self.name}.fires", element=BOOL, bounds=SPIKES)
        return b.cast(fires, f"{self.name}.spikes", UINT8)

    @property
    def _level(self) -> str:
        """The tensor of the levels, which may be the next states of the membrane."""
        return f"{self.name}.membrane_next" if self.carries_level else f"{self.name}.level"

    def _successor(self, b: GraphBuilder, membrane: Tensor, level: Tensor, types: Containers) -> Tensor:
        """The membrane's next state."""
        if self.carries_level:
            return level
        name, entries = self.name, self.tables * self.membrane_states * self.levels
        width = b.constant(f"{name}.levels", np.array(self.levels, dtype=membrane.dtype))
        start = b.node("Mul", [membrane, width], f"{name}.successor_row", bounds=(0, entries - self.levels))
        place = b.cast(level, f"{name}.level_index", membrane.element)
        index = b.node("Add", [start, place], f"{name}.successor_index", bounds=(0, entries - 1))
        table = b.parameter(f"{name}.successor", types.state, (entries,), self.membrane_range)
        return b.node("Gather", [table, index], f"{name}.membrane_next", shape=index.shape, axis=0)

    def tensors(self, saved: Arrays) -> Arrays:
        table = saved["table"]
        found = {key: saved[key].reshape(-1) for key in ("membrane_offset", "current_offset", "next_offset")}
        found |= {key: saved[key] for key in ("boundaries", "next_boundaries")}
        found["fire_level"] = saved["fire_level"][table[: self.fire_levels]]
        if self.tables > 1:
            found["current_first"] = table * self.current_states
            found["membrane_first"] = table * self.membrane_states
        if not self.all_follow:
            found["follows"] = saved["follows"].reshape(-1)
        if not self.carries_level:
            shape = self.tables, self.membrane_states, self.levels
            found["successor"] = np.broadcast_to(saved["successor"], shape).reshape(-1)
        return {f"{self.name}.{key}": array for key, array in found.items()}

    def made_of(self, tensors: Arrays) -> TwoStateNeuron:
        """What the tensors cannot know (fire levels of unused tables) comes from the plan."""
        rows, cols = (self.tables, self.membrane_states), (self.tables, self.current_states)
        found = {key.removeprefix(f"{self.name}."): array for key, array in tensors.items()}
        successor = np.arange(self.levels)[None, None]
        if not self.carries_level:
            successor = found["successor"].reshape(*rows, self.levels)
        return TwoStateNeuron(
            name=self.layer,
            follows=np.ones(rows, dtype=np.int64) if self.all_follow else found["follows"].reshape(rows),
            membrane_offset=found["membrane_offset"].reshape(rows),
            current_offset=found["current_offset"].reshape(cols),
            boundaries=found["boundaries"].reshape(self.tables, self.levels - 1),
            fraction_bits=self.fraction_bits,
            next_offset=found["next_offset"].reshape(cols),
            next_boundaries=found["next_boundaries"].reshape(self.tables, self.current_levels - 1),
            next_fraction_bits=self.next_fraction_bits,
            successor=successor,
            fire_level=np.array(self.fire_level, dtype=np.int64),
            table=found.get("current_first", np.zeros(self.neurons, dtype=np.int64)) // self.current_states,
            initial_state=self.initial_state,
            membranes=np.array(self.membranes, dtype=np.float32),
            currents=np.array(self.currents, dtype=np.float32),
        )


def _exact(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> _Rows:
    """Decimal numbers that are read back as the same float32."""
    return tuple(tuple(float(str(value)) for value in row) for row in values)
