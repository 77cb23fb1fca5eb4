"""State-quantized neurons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network.layers.base import Ends, IntArray, Range, freeze, within
from squat_deploy.network.layers.machine import Machine
from squat_deploy.network.layers.neuron_layer import NeuronLayer
from squat_deploy.network.limits import MAX_BOUNDARIES, MAX_NEURONS, MAX_STATES


@dataclass(frozen=True, eq=False)
class Neuron(NeuronLayer):
    """State-quantized neurons as finite-state machines on the integer synaptic sum S, by a table of thresholds.

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

    @classmethod
    def of(cls, name: str, arrays: dict[str, IntArray]) -> Self:
        tables = {key: arrays[key] for key in ("thresholds", "successor", "fire_level", "table")}
        membranes = arrays["membrane_bits"].astype(np.int32).view(np.float32)
        return cls(name, **tables, initial_state=arrays["initial_state"].item(), membranes=membranes)

    @property
    def states(self) -> int:
        return int(self.thresholds.shape[1])

    @property
    def level_count(self) -> int:
        return int(self.thresholds.shape[2]) + 1

    @property
    def carries_level(self) -> bool:
        """Whether the next state is simply the level (reset_delay=True)."""
        return bool((self.successor == np.arange(self.level_count)).all())

    def stage(self, *taken: Range) -> Machine:
        ((lows, highs),) = taken
        return Machine(self, int(lows.min()), int(highs.max()))

    def following(self, table: int, state: int, low: int, high: int) -> Iterator[tuple[int, Ends]]:
        edges = np.concatenate([[low], self.thresholds[table, state].clip(low, high + 1), [high + 1]])
        levels = np.flatnonzero(edges[:-1] < edges[1:])
        ends = zip(edges[levels].tolist(), (edges[levels + 1] - 1).tolist(), strict=True)
        yield from zip(self.successor[table, state, levels].tolist(), ends, strict=True)

    def arrays(self) -> dict[str, IntArray]:
        return {
            "thresholds": self.thresholds,
            "successor": self.successor,
            "fire_level": self.fire_level,
            "table": self.table,
            "initial_state": np.array([self.initial_state], dtype=np.int64),
        }

    def saved(self) -> dict[str, IntArray]:
        bits = np.ascontiguousarray(self.membranes, dtype=np.float32).view(np.int32)
        return {**self.arrays(), "membrane_bits": bits.astype(np.int64)}

    def rules(self, taken: Sequence[Range]) -> list[str]:
        return self._shape_rules() or self._value_rules(*taken[0])

    def _shape_rules(self) -> list[str]:
        thresholds = self.thresholds
        if not 1 <= self.neurons <= MAX_NEURONS:
            return [f"{self.neurons} neurons; at most {MAX_NEURONS}"]
        if thresholds.ndim != 3 or not len(thresholds):
            return [f"threshold tables of shape {thresholds.shape}"]
        if not 1 <= thresholds.shape[2] <= MAX_BOUNDARIES or not 2 <= self.states <= MAX_STATES:
            return [f"threshold tables of shape {thresholds.shape}"]
        tables = len(thresholds)
        if self.membranes.shape != (tables, self.states):
            return [f"membranes of shape {self.membranes.shape}"]
        if self.successor.shape != (tables, self.states, self.level_count) or self.fire_level.shape != (tables,):
            return ["successor or fire level of another shape than the thresholds"]
        return [] if np.isfinite(self.membranes).all() else ["membranes must be finite"]

    def _value_rules(self, lows: IntArray, highs: IntArray) -> list[str]:
        thresholds = self.thresholds
        rules = {
            "thresholds must ascend": (thresholds[..., 1:] >= thresholds[..., :-1]).all(),
            "thresholds must lie in the reachable range of sums": lows.min() <= thresholds.min()
            and thresholds.max() <= highs.max() + 1,
            "successors must be states": within(self.successor, 0, self.states - 1),
            "fire levels must be levels": within(self.fire_level, 0, self.level_count),
            "every neuron must have a table": within(self.table, 0, len(thresholds) - 1),
            "the initial state must be a state": 0 <= self.initial_state < self.states,
        }
        return [rule for rule, holds in rules.items() if not holds]

    def about(self) -> tuple[str, str]:
        tables = "1 table" if len(self.thresholds) == 1 else f"{len(self.thresholds)} tables"
        return f"{self.neurons} neurons", f"{self.states} states, {self.level_count} levels, {tables}"
