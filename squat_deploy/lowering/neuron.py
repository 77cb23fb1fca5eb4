"""Extracting a neuron's finite-state machine by running the trained snnTorch module, never by re-deriving it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import Fault, LoweringError
from squat_deploy.lowering.bisecting import boundaries_of
from squat_deploy.lowering.probe import BATCH, NeuronProbe
from squat_deploy.network import IntArray
from squat_deploy.network.limits import MAX_BOUNDARIES, MAX_STATES
from squat_deploy.progress import report
from squat_deploy.snn.levels import FloatArray

_TOGETHER = 2**19  # boundaries that are looked for at once


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


@dataclass
class _Closure:
    """The machine of one parameter set under construction: its states, of which the first `done` have been left."""

    chosen: int
    fire: int
    states: dict[tuple[float, ...], int]
    initial: int
    done: int = 0
    boundaries: list[FloatArray] = field(default_factory=list)
    reached: list[tuple[IntArray, IntArray]] = field(default_factory=list)

    @classmethod
    def at_rest(cls, probe: NeuronProbe, chosen: int, fire: int) -> _Closure:
        rest = (0.0,) * len(probe.kind.states)
        known = probe.levels.tolist() if len(rest) == 1 else []
        states: dict[tuple[float, ...], int] = {(value,): index for index, value in enumerate(known)}
        initial = states.setdefault(rest, len(states))
        return cls(chosen, fire, states, initial)

    def open(self) -> FloatArray:
        """States (M, D) that have not been left yet."""
        return np.array([*self.states][self.done :], dtype=np.float32).reshape(-1, len(next(iter(self.states))))

    def take(self, boundaries: FloatArray, levels: IntArray, carried: FloatArray) -> None:
        """How the open states are left: boundaries (M, L-1), and a level and what is carried on either side of each."""
        self.done += len(boundaries)
        self.boundaries.append(boundaries)
        self.reached.append((levels, _numbered(carried, self.states)))

    @property
    def width(self) -> int:
        """Boundaries of each state."""
        return self.boundaries[0].shape[1]

    def machine(self, probe: NeuronProbe) -> NeuronMachine:
        boundaries = np.concatenate(self.boundaries)
        alone, count = len(probe.kind.states) == 1, boundaries.shape[1] + 1
        successor = np.tile(np.arange(count) % len(self.states), (len(self.states), 1))
        levels, after = (np.concatenate(parts) for parts in zip(*self.reached, strict=True))
        np.put_along_axis(successor, levels, after, axis=1)
        fire = self.fire
        if fire == probe.levels.size:
            fire = count  # never
        elif fire and not alone:
            fire += (probe.levels.size - 1) * (len(probe.kind.states) - 1)
        return NeuronMachine(np.array([*self.states], dtype=np.float32), boundaries, successor, fire, self.initial)


def extract_machines(probe: NeuronProbe, limit: float) -> Iterator[NeuronMachine]:
    """The machine of every parameter set of a probe, in their order.

    Each closes the set of states from rest (0.0) under all currents in -limit..limit. All sets take a round together:
    the states that the last one reached are left in batches of a bounded size.

    Raises: LoweringError for more than `MAX_STATES` states, or more boundaries than a table has.
    """
    closures = [_Closure.at_rest(probe, chosen, fire) for chosen, fire in enumerate(probe.fire_levels().tolist())]
    while growing := [closure for closure in closures if closure.done < len(closure.states)]:
        for together in _batches(growing, probe.levels.size):
            report(f"{probe.name}: states", sum(closure.done for closure in closures), _known(closures))
            _leave(probe, together, np.float32(limit))
        if max(len(closure.states) for closure in growing) > MAX_STATES:
            raise _beyond(probe, f"{MAX_STATES} joint states", "more states")
    if (most := max(closure.width for closure in closures)) > MAX_BOUNDARIES and len(probe.kind.states) > 1:
        raise _beyond(probe, f"{MAX_BOUNDARIES} boundaries of joint states", f"{most} boundaries")
    return (closure.machine(probe) for closure in closures)


def _beyond(probe: NeuronProbe, most: str, got: str) -> LoweringError:
    rule = f"an offset for each state that decides as the trained neuron, or at most {most}"
    hint = (
        "use levels without equal gaps, state_quant(bits, uniform=False), or another alpha or beta: float32 "
        "rounds sums that meet a decision exactly either way; or up to 4 state bits"
    )
    return LoweringError(
        (Fault(probe.name, rule, f"no such offsets, and {got}, of {' and '.join(probe.kind.states)}", hint),)
    )


def _known(closures: list[_Closure]) -> int:
    """States that have been reached."""
    return sum(len(closure.states) for closure in closures)


def _batches(closures: list[_Closure], levels: int) -> Iterator[list[_Closure]]:
    """Runs of closures whose open states make about `_TOGETHER` boundaries, or one that makes more."""
    run: list[_Closure] = []
    size = 0
    for closure in closures:
        run.append(closure)
        size += (len(closure.states) - closure.done) * levels
        if size >= _TOGETHER:
            yield run
            run, size = [], 0
    if run:
        yield run


def _leave(probe: NeuronProbe, closures: list[_Closure], limit: np.float32) -> None:
    """Leaves the open states of some closures by every way there is."""
    parts = [closure.open() for closure in closures]
    states, ends = np.concatenate(parts), np.cumsum([len(part) for part in parts])
    chosen = np.repeat([closure.chosen for closure in closures], [len(part) for part in parts])
    found = [boundaries_of(probe, states, chosen, limit, place) for place in range(len(probe.kind.states))]
    for closure, rows in zip(closures, np.split(np.arange(len(states)), ends[:-1]), strict=True):
        boundaries = _joint_boundaries([values[rows] for values in found], closure.fire)
        for part in np.array_split(np.arange(len(rows)), -(-boundaries.size // BATCH)):
            _take_edges(probe, closure, states[rows[part]], boundaries[part], limit)


def _take_edges(
    probe: NeuronProbe, closure: _Closure, states: FloatArray, boundaries: FloatArray, limit: np.float32
) -> None:
    """Runs some open states at the first current of each level."""
    edges = np.concatenate([np.full((len(states), 1), -limit, dtype=np.float32), boundaries], axis=1)
    edges = edges.clip(-limit, limit)
    stepped = probe.step(edges, states[:, None], chosen=closure.chosen)
    levels = np.broadcast_to(np.arange(edges.shape[1]), edges.shape)
    closure.take(boundaries, stepped.levels[..., 0] if states.shape[1] == 1 else levels, stepped.carried)


def _numbered(carried: FloatArray, states: dict[tuple[float, ...], int]) -> IntArray:
    """Number of every joint state (..., D); new ones are added in the order in which they come."""
    flat = np.ascontiguousarray(carried.reshape(-1, carried.shape[-1]))
    bits = flat.view(f"i{flat.itemsize * flat.shape[1]}")[:, 0]
    _, first, place = np.unique(bits, return_index=True, return_inverse=True)
    numbers = np.zeros(first.size, dtype=np.int64)
    for index in np.argsort(first):
        numbers[index] = states.setdefault(tuple(flat[first[index]].tolist()), len(states))
    return numbers[place].reshape(carried.shape[:-1])


def _joint_boundaries(found: list[FloatArray], fire: int) -> FloatArray:
    """Currents at which any state changes its level, ascending, (states, changes), from those of each, membrane last.

    With two states, the change that fires comes at a fixed place: those before it are padded in front, those behind it
    at the end, so that one fire level serves all states.
    """
    *rest, membrane = found
    if not rest:
        return membrane
    others = np.concatenate(rest, axis=1)
    if not 0 < fire <= membrane.shape[1]:  # always or never: padded at the end, to the same width
        padding = np.full(others.shape, np.inf, dtype=np.float32)
        return np.concatenate([np.sort(np.concatenate([others, membrane], axis=1), axis=1), padding], axis=1)
    first = membrane[:, fire - 1 : fire]
    below, above = membrane[:, : fire - 1], membrane[:, fire:]
    early, late = np.where(others < first, others, -np.inf), np.where(others < first, np.inf, others)
    front = np.sort(np.concatenate([early, below], axis=1), axis=1)
    back = np.sort(np.concatenate([late, above], axis=1), axis=1)
    return np.concatenate([front, first, back], axis=1).astype(np.float32)


def first_sums(currents: NDArray[np.float32], boundaries: FloatArray) -> IntArray:
    """Index of the first (ascending) current that reaches each boundary; `currents.size` where none does."""
    return np.searchsorted(currents, boundaries, side="left").astype(np.int64)
