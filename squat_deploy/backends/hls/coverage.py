"""What the golden sequences of a project reach, as text and for its manifest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from squat_deploy.backends import cpp
from squat_deploy.hardware.coverage.goals import Goals, Key
from squat_deploy.hardware.coverage.margins import Mask
from squat_deploy.hardware.coverage.reached import Reached
from squat_deploy.hardware.coverage.restarts import restarts
from squat_deploy.hardware.design import Design
from squat_deploy.hardware.units.firing import Firing
from squat_deploy.network import IntArray
from squat_deploy.network.simulator import Result

_LEVELS = ("above", "below")
_MANY = 10  # sequences, from which on all edges are among those that are chosen
_EDGES = (
    "Behind the first two come the edges: all inputs high in every step; right behind it, where what that leaves would "
    "show, all low; and, where frames differ, something in the first, in the last, in all but the middle step alone."
)
_SHOWN = 12  # of a list of numbers
_WHAT = {
    "weights": "words of weights read",
    "bits": "bits of weights that show",
    "starts": "starts of sums that show, more or less by one",
    "fired": "neurons that fired",
    "found": "{} found, of every state",
    "above": "thresholds of {}: sum equal",
    "below": "thresholds of {}: sum one less",
}


@dataclass(frozen=True)
class Row:
    """One line of the table: of `all` things of a layer, `possible` can be reached and `reached` are."""

    layer: str
    what: str
    reached: int
    possible: int
    all: int


@dataclass(frozen=True)
class Coverage:
    """The report.

    Attributes:
        source: where the sequences come from.
        notes: what is not reached, by name, and why.
        table: the rows as text.
    """

    sequences: int
    source: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    table: str

    @property
    def document(self) -> dict[str, Any]:
        """For a manifest."""
        return {
            "sequences": self.sequences,
            "source": self.source,
            "rows": [asdict(row) for row in self.rows],
            "notes": list(self.notes),
        }


def coverage_of(design: Design, reached: Reached, result: Result, *, given: bool) -> Coverage:
    """Of the golden sequences of a design, of which `result` has the whole traces."""
    goals, keys, sequences = reached.goals, sorted(reached.have), len(result.scores)
    rows = tuple(row for key in keys for row in _rows(design, reached, key))
    rows += tuple(row for unit, fired in _fired(design, result) for row in _lane_rows(unit, fired))
    rows += tuple(
        _row(_name(goals, index), "neurons whose missing restart shows", shows, np.ones_like(shows), shows.size)
        for index, shows in restarts(design.network, result).items()
    )
    notes = tuple(note for key in keys for note in _notes(reached, key, "looked at" if given else "tried"))
    notes += tuple(
        f"{_name(goals, index)}: its levels are not counted: there are too many"
        for index, found in goals.searches.items()
        if not found
    )
    uncounted = [index for index, counted in goals.counted.items() if not counted]
    notes += tuple(
        f"{_name(goals, index)}: which bits of its weights show is not counted: there are too many, or what a "
        "weight changes reaches neurons through other synapses, or through pooled sums that it moves both ways"
        for index in uncounted
    )
    looked = f"They were given; {reached.tries} of them were looked at."
    chosen = f"They were chosen out of {reached.tries} that were run." + (f" {_EDGES}" if sequences >= _MANY else "")
    return Coverage(sequences, looked if given else chosen, rows, notes, _table(rows))


def _table(rows: tuple[Row, ...]) -> str:
    lines = [f"{'layer':<20}{'what':<52}{'reached':>12}{'reachable':>12}{'there are':>12}"]
    lines += [f"{r.layer:<20}{r.what:<52}{r.reached:>12}{r.possible:>12}{r.all:>12}" for r in rows]
    return "\n".join(lines)


def _name(goals: Goals, index: int) -> str:
    return cpp.plain(goals.network.layers[index].name)


def _rows(design: Design, reached: Reached, key: Key) -> Iterator[Row]:
    goals, (index, kind, number) = reached.goals, key
    possible, have, name = goals.all[key].possible, reached.have[key], _name(goals, index)
    if kind == "weights":
        words = _words(design, index) // possible.size
        yield _row(name, _WHAT[kind], have, possible, possible.size, words)
    elif kind in ("bits", "starts", "fired"):
        yield _row(name, _WHAT[kind], have, possible, possible.size)
    else:
        search = goals.searches[index][number]
        every, what = search.edges.all_of(kind), _WHAT[kind].format(search.what)
        distances = 1 if kind == "found" else search.edges.distances.size
        yield _row(name, what, have[::distances], possible[::distances], every)
        if distances > 1:
            yield _row(name, f"{what}, or nearer than 2**k", have, possible, every * distances)


def _fired(design: Design, result: Result) -> Iterator[tuple[Firing, Mask]]:
    """Units of neurons, and which of them fired."""
    for unit, trace in zip(design.neurons, result.trace or (), strict=True):
        yield unit, np.any(trace.spikes, axis=(0, 1), keepdims=True)[0, 0]


def _lane_rows(unit: Firing, fired: Mask) -> Iterator[Row]:
    """Lanes, and groups of lanes, any neuron of which fired."""
    lanes = unit.lanes
    row, lane = (np.broadcast_to(place, lanes.size) for place in lanes.at(np.arange(lanes.size)))
    for what, place, every in (("lanes", lane, lanes.pe), ("groups of lanes", row % lanes.groups, lanes.groups)):
        yield Row(
            cpp.plain(unit.name),
            f"{what} with neurons that fired",
            np.unique(place[fired]).size,
            np.unique(place).size,
            every,
        )


def _row(name: str, what: str, have: Mask, possible: Mask, every: int, words: int = 1) -> Row:
    reached, reachable = np.count_nonzero(have & possible), np.count_nonzero(possible)
    return Row(name, what, int(reached) * words, int(reachable) * words, every * words)


def _words(design: Design, index: int) -> int:
    """Words of the ROM of a layer."""
    unit = next(design.parts[node.number - 1] for node in design.graph.nodes if node.position == index)
    return unit.constants["WEIGHTS"].size


def _notes(reached: Reached, key: Key, tried: str) -> Iterator[str]:
    """What is missing of one goal."""
    goals, (index, kind, number) = reached.goals, key
    possible, have, name = goals.all[key].possible, reached.have[key], _name(reached.goals, index)
    missing, never = np.flatnonzero(possible & ~have), np.flatnonzero(~possible)
    if kind == "weights":
        yield from _told(f"{name}: no input meets the weights of", _inputs(goals, index, never), "proven by activity")
        if missing.size:
            yield from _told(
                f"{name}: weights of", _inputs(goals, index, missing), f"not met in {reached.tries} {tried}"
            )
    elif kind == "fired":
        yield from _told(f"{name}: can never fire: neurons", never, "proven by activity")
        yield from _told(f"{name}: neurons", missing, f"did not fire in {reached.tries} {tried}")
    elif kind == "found":
        search = goals.searches[index][number]
        why = "by the ranges of its sums, or as every sum was run through a sequence"
        yield from _told(f"{name}: {search.what} that no input leads to", search.edges.named(never), why)
        yield from _told(f"{name}: {search.what}", search.edges.named(missing), f"not found in {reached.tries} {tried}")
    elif missing.size:
        what = _WHAT[kind].format(goals.searches[index][number].what if kind in _LEVELS else "")
        yield f"{name}: {what}: {missing.size} others not reached in {reached.tries} {tried}"


def _inputs(goals: Goals, index: int, numbers: IntArray) -> IntArray:
    """Inputs, or input channels, of weights by their numbers."""
    weights = goals.synapses[index]
    taps = int(np.prod(weights.layer.weight.shape[2:]))
    return np.unique(numbers // taps)


def _told(text: str, what: IntArray | list[str], why: str) -> Iterator[str]:
    if len(what):
        shown = ", ".join(map(str, what[:_SHOWN]))
        more = f" and {len(what) - _SHOWN} more" if len(what) > _SHOWN else ""
        yield f"{text} {shown}{more}: {why}"
