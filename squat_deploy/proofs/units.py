"""Every neuron unit of a core against the tables of its layer, on all states and all sums."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from squat_deploy.errors import printable
from squat_deploy.network import IntArray, int_bits
from squat_deploy.network.layers import NeuronLayer
from squat_deploy.proofs.core import Found
from squat_deploy.proofs.library import text_of, with_parameters
from squat_deploy.proofs.solving import Claim, Failure
from squat_deploy.proofs.table import Row
from squat_deploy.proofs.waves import signed

_CLAIM = "next state and spike are those of the table"


@dataclass(frozen=True, eq=False)
class Unit(ABC):
    """One distinct unit.

    Attributes:
        lanes: that are it.
        tables: which of the layer's tables each of its owners has.
        low, high: range of the layer's sums.
        memories: text of its memories.
        harness: module of ours that has it inside.
    """

    found: Found
    lanes: tuple[int, ...]
    layer: NeuronLayer
    tables: tuple[int, ...]
    low: int
    high: int
    memories: Mapping[str, str]
    harness: ClassVar[str]

    @property
    def name(self) -> str:
        """Layer and lanes."""
        lanes = f"lanes 0 to {self.lanes[-1]}" if len(self.lanes) > 1 else f"lane {self.lanes[0]}"
        return f"{printable(self.layer.name)}: neuron unit, {lanes}"

    def number(self, name: str) -> int:
        """A parameter."""
        return int(self.found.parameters[name])

    @property
    @abstractmethod
    def latency(self) -> int:
        """Cycles from a state and a sum to what becomes of them."""

    @property
    @abstractmethod
    def wanted(self) -> dict[str, IntArray]:
        """The tables that are told to the solver. Raises: ExportError where the network has none of the unit's form."""

    @property
    @abstractmethod
    def facts(self) -> dict[str, int]:
        """Parameters of the harness besides those of the unit."""

    @property
    @abstractmethod
    def states(self) -> str:
        """For which states it is asked."""

    @property
    def checked(self) -> str:
        """What is known of the tables besides."""
        return ""

    @abstractmethod
    def expected(self, table: int, state: int, total: int) -> tuple[int, int]:
        """The next state, and whether it spikes, by the network."""

    def shown(self, state: int) -> str:
        """A state in words."""
        return f"state {state}"

    def code(self, state: int) -> int:
        """The state of a neuron as the network numbers it, from that of the unit."""
        return state


def claim_of(unit: Unit, project: Path) -> Claim:
    """What the solver is asked about a unit."""
    wanted = unit.wanted
    wide = max(32, *(int_bits(min(int(array.min()), -1), int(array.max())) for array in wanted.values()))
    numbers = {name: value for name, value in unit.found.parameters.items() if isinstance(value, int)}
    values = {**numbers, "LOW": unit.low, "HIGH": unit.high, "WIDE": wide, **unit.facts}
    library = {path.name: path.read_text() for path in sorted((project / "rtl/lib").glob("*.sv"))}
    harness = with_parameters(unit.harness, text_of(f"{unit.harness}.sv"), values)
    files = {f"want_{name}.hex": _hex(array, wide) for name, array in wanted.items()}
    return Claim(
        unit=unit.name,
        text=f"{_CLAIM}, for {unit.states} and all sums from {unit.low} to {unit.high}",
        top=unit.harness,
        sources={**library, f"{unit.harness}.sv": harness},
        files={**unit.memories, **files},
        cycles=unit.latency + 1,
        complete=f"a pipeline: {unit.latency + 1} cycles from anything that its registers may hold are all that it does"
        + unit.checked,
    )


def bracketed(ascending: IntArray, most: int) -> tuple[IntArray, IntArray]:
    """Lowest and highest key of every level, from the keys (..., levels - 1) at which they begin, all below `most`."""
    lead = [(0, 0)] * (ascending.ndim - 1)
    lower = np.pad(ascending, [*lead, (1, 0)], constant_values=-most)
    return lower, np.pad(ascending - 1, [*lead, (0, 1)], constant_values=most)


def _hex(array: IntArray, bits: int) -> str:
    mask, digits = 2**bits - 1, -(-bits // 4)
    return "".join(f"{number & mask:0{digits}x}\n" for number in array.ravel().tolist())


def explained(unit: Unit, failure: Failure) -> Row:
    """A counterexample in the terms of the network."""
    first, last = failure.trace[0], failure.trace[-1]
    state, total = unit.code(first.get("state", 0)), signed(first.get("sum", 0), unit.number("SUM"))
    table = unit.tables[min(first.get("owner", 0), len(unit.tables) - 1)]
    follower, spike = unit.expected(table, state, total)
    got = unit.shown(unit.code(last.get("next_state", 0)))
    how = (
        f"table {table}, {unit.shown(state)}, sum {total}: expected {unit.shown(follower)} and spike {spike}, "
        f"got {got} and spike {last.get('spike', 0)}"
    )
    return Row(unit.name, _CLAIM, "failed", None, how)


def rows_at_once(units: Sequence[Unit]) -> Iterator[Row]:
    """What is seen without a solver: where sequences start, and that nothing in a unit moves while it is held."""
    layers = {unit.found.layer: unit for unit in reversed(units)}
    for unit in reversed(layers.values()):
        rest, want = unit.code(int(unit.found.around["REST"])), unit.layer.initial_state
        how = f"state {want}" if rest == want else f"expected state {want}, got state {rest}"
        yield _row(printable(unit.layer.name), "sequences start in the network's initial state", rest == want, how)
    for unit in units:
        loose = unit.found.restless
        how = f"registers without `move`: {', '.join(loose)}" if loose else "every register has `move` as its enable"
        yield _row(unit.name, "nothing changes while `move` is low", not loose, how)


def _row(unit: str, claim: str, holds: bool, how: str) -> Row:
    return Row(unit, claim, "proven" if holds else "failed", None, how)
