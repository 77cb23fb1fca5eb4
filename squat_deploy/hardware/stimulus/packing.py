"""Frames aimed at the weights of a first layer that is fully connected and sees one frame through a whole sequence.

A weight's bits show where its input is on and its sum lies near a threshold. All inputs that are on in a frame have one
value; which they are is climbed to, so that many of them meet many sums that lie so.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.coverage.bits import WeightBits
from squat_deploy.hardware.coverage.goals import Goals, Key
from squat_deploy.hardware.coverage.margins import Mask
from squat_deploy.hardware.coverage.runs import met_of_all
from squat_deploy.hardware.coverage.searches import LevelSearch
from squat_deploy.hardware.stimulus.feeding import Feeding
from squat_deploy.network import INPUT, IntArray
from squat_deploy.network.encoders import takes_intensities
from squat_deploy.network.layers import Dense

_MOST_SUMS = 2**21
_MOST_WEIGHTS = 2**20
_MOVES = 60
_ENOUGH = 0.1  # of what the best frame shows, that another must show besides
_VALUES = (1, 2, 3, 5, 8, 15, 31, 63, 127, 255)


@dataclass(frozen=True, eq=False)
class Packing:
    """A first layer, and what its neurons make of sums that stay.

    Attributes:
        values: that inputs may have.
        low: the lowest sum.
        needed: (2, values, tables, sums) from which bit on one shows, if the sum rises, and if it falls.
        meeting: by the key of its goal, (P, 3) numbers of things that sums next to a threshold reach, tables, and sums.
    """

    key: Key
    weights: WeightBits
    table: IntArray
    values: IntArray
    low: int
    needed: IntArray
    meeting: dict[Key, IntArray]

    @cached_property
    def columns(self) -> IntArray:
        """(inputs, outputs) weights."""
        return np.ascontiguousarray(self.weights.layer.weight.T)

    @cached_property
    def rises(self) -> Mask:
        """(inputs, bits, outputs) whether a weight is more with a bit changed."""
        return np.ascontiguousarray(self.weights.rises[:, 0].transpose(2, 0, 1))

    def aimed(self, rng: np.random.Generator, have: dict[Key, Mask], count: int) -> IntArray:
        """Frames (1, count, inputs) that show many bits of weights that did not show yet."""
        shape = self.weights.bits, *self.weights.layer.weight.shape
        left = np.ascontiguousarray((~have[self.key]).reshape(shape).transpose(2, 0, 1))
        climb = Climb(self, left, rng, count)
        for start in range(0, count, 2):
            climb.focus(start)
        for _ in range(_MOVES):
            climb.move()
        best = climb.best()
        return (climb.on[best] * self.values[climb.value[best]][:, None])[None].astype(np.int64)

    def meet(self, rng: np.random.Generator, have: dict[Key, Mask], count: int) -> IntArray:
        """Frames (1, up to count, inputs) with a sum at a threshold, or one less, that no frame had yet."""
        waiting = [pairs[~have[key][pairs[:, 0]]] for key, pairs in self.meeting.items()]
        pairs = np.concatenate(waiting)
        frames = [np.zeros((0, len(self.columns)), dtype=np.int64)]
        for _, table, goal in pairs[rng.permutation(len(pairs))[:count]].tolist():
            outputs = np.flatnonzero(self.table == table)
            if outputs.size:  # else no neuron has this table
                frames += self._with_sum(rng, int(outputs[rng.integers(outputs.size)]), goal)
        return np.concatenate(frames)[None]

    def _with_sum(self, rng: np.random.Generator, output: int, goal: int) -> list[IntArray]:
        """A frame (1, inputs) in which an output has this sum: some inputs, and what is missing, coarse to fine."""
        weights, high = self.columns[:, output], int(self.values[-1])
        frame = rng.integers(0, high + 1, weights.size) * (
            rng.integers(0, weights.size, weights.size) < rng.integers(8)
        )
        missing = goal - int(self.weights.layer.bias[output] + frame @ weights)
        for place in np.lexsort((rng.integers(0, 2**20, weights.size), -np.abs(weights))).tolist():
            weight = int(weights[place])
            if missing * weight > 0:
                more = min(high - int(frame[place]), abs(missing) // abs(weight))
                frame[place] += more
                missing -= more * weight
        return [frame[None]] if missing == 0 else []


class Climb:
    """Frames that are changed as long as they show more.

    Attributes:
        on: (M, inputs); sums: (M, outputs).
        gains: (M, 2, bits + 1, outputs) new bits of all inputs that are on, by side and by the lowest bit that shows.
        now: (M,) bits that each frame shows.
    """

    def __init__(self, packing: Packing, left: Mask, rng: np.random.Generator, count: int) -> None:
        self.packing, self.rng, layer = packing, rng, packing.weights.layer
        self.bits, self.left = left, left.sum(axis=1, dtype=np.int16).T  # (outputs, inputs)
        self.shares = tuple(np.cumsum(self.left.sum(axis=axis, dtype=np.int64)) for axis in (0, 1))
        inputs, bits, outputs = left.shape
        self.worth = np.zeros((inputs, 2, bits + 1, outputs), dtype=np.int16)
        for side, mask in enumerate((packing.rises, ~packing.rises)):
            for bit in reversed(range(bits)):
                self.worth[:, side, bit] = self.worth[:, side, bit + 1] + (left & mask)[:, bit]
        self.value = rng.integers(0, len(packing.values), count)
        self.on = np.zeros((count, inputs), dtype=bool)
        self.sums = np.zeros((count, outputs), dtype=np.int64) + layer.bias
        self.gains = np.zeros((count, *self.worth.shape[1:]), dtype=np.int16)
        self.now = np.zeros(count, dtype=np.int64)

    def focus(self, frame: int) -> None:
        """Starts a frame with all that is left of one output, balanced so that its sum lies well."""
        packing, rng = self.packing, self.rng
        if not self.shares[1][-1]:
            return
        output = int(np.searchsorted(self.shares[1], rng.integers(0, self.shares[1][-1]), side="right"))
        value = int(packing.values[self.value[frame]])
        needed = packing.needed[:, self.value[frame], packing.table[output]].sum(axis=0)
        good = np.flatnonzero(needed == needed.min()) + packing.low
        goal = int(good[rng.integers(good.size)])
        weights = packing.columns[:, output] * value
        on = self.left[output] > 0
        order = rng.integers(0, 2**20, on.size) + 2**20 * (on != (rng.integers(0, 2, on.size) == 1))
        for wanted in (1, -1):  # what draws the sum further away goes, in this order, while it is too far
            excess = (self.packing.weights.layer.bias[output] + weights[on].sum() - goal) * wanted
            if excess > 0:
                places = np.flatnonzero(on & (weights * wanted > 0))
                places = places[np.argsort(order[places], kind="stable")]
                on[places[np.cumsum(weights[places] * wanted) <= excess]] = False
        self.on[frame] = on
        self.sums[frame] += value * packing.columns[on].sum(axis=0)
        self.gains[frame] += self.worth[on].sum(axis=0, dtype=np.int16)
        self.now[frame] = self._shown(self.sums[frame : frame + 1], self.gains[frame : frame + 1], frame)[0]

    def move(self) -> None:
        """Changes one input of every frame, or two, where that shows as much."""
        rng, packing, count = self.rng, self.packing, len(self.on)
        if not self.shares[0][-1]:
            return
        frames = np.arange(count)
        first = np.searchsorted(self.shares[0], rng.integers(0, self.shares[0][-1], count), side="right")
        second = (self.on * rng.integers(1, 2**16, self.on.shape)).argmax(axis=1)
        both = (rng.integers(0, 2, count) == 1) & self.on[frames, second] & (second != first)
        sign = np.where(self.on[frames, first], -1, 1)
        value = packing.values[self.value]
        sums = self.sums + (sign * value)[:, None] * packing.columns[first]
        sums -= (both * value)[:, None] * packing.columns[second]
        gains = self.gains + sign.astype(np.int16)[:, None, None, None] * self.worth[first]
        gains -= both.astype(np.int16)[:, None, None, None] * self.worth[second]
        shown = self._shown(sums, gains)
        better = shown >= self.now
        self.sums[better], self.gains[better], self.now[better] = sums[better], gains[better], shown[better]
        self.on[frames[better], first[better]] ^= True
        self.on[frames[better & both], second[better & both]] = False

    def best(self) -> IntArray:
        """Frames by what each shows that those before it do not, as long as that is much."""
        left, chosen = self.bits.copy(), list[int]()
        enough = int(self.now.max() * _ENOUGH)
        for frame in np.argsort(-self.now, kind="stable").tolist():
            places = np.flatnonzero(self.on[frame])
            shown = left[places] & self._marks(frame, places)
            if chosen and np.count_nonzero(shown) < enough:
                continue
            left[places] &= ~shown
            chosen.append(frame)
        return np.array(chosen)

    def _marks(self, frame: int, places: IntArray) -> Mask:
        """(places, bits, outputs) that show in a frame."""
        packing = self.packing
        needed = packing.needed[:, self.value[frame], packing.table, self.sums[frame] - packing.low]
        bits = np.arange(packing.weights.bits)[:, None]
        rise, fall = (bits >= side for side in needed)
        return (packing.rises[places] & rise) | (~packing.rises[places] & fall)

    def _shown(self, sums: IntArray, gains: NDArray[np.int16], frame: int | None = None) -> IntArray:
        packing = self.packing
        value = self.value if frame is None else self.value[frame : frame + 1]
        needed = packing.needed[:, value[:, None], packing.table, sums - packing.low]  # (2, M, outputs)
        found = np.take_along_axis(gains, needed.transpose(1, 0, 2)[:, :, None], axis=2)
        return found.sum(axis=(1, 2, 3), dtype=np.int64)


def packing_of(feeding: Feeding, goals: Goals) -> Packing | None:
    """That of a network, None where its first layer is another, or too large."""
    network, spec = feeding.network, feeding.network.input
    layers = [index for index, wire in enumerate(network.wires) if wire == (INPUT,)]
    if spec.encoding != "direct" or takes_intensities(feeding.encoder) or not spec.low <= 0 < spec.high or not layers:
        return None
    index = layers[0]
    layer, takers = network.layers[index], [place for place, wire in enumerate(network.wires) if index in wire]
    searches = goals.searches.get(takers[0], ()) if len(takers) == 1 else ()
    if not isinstance(layer, Dense) or not searches or not isinstance(searches[0], LevelSearch):
        return None
    return _packing(goals, index, layer, searches[0]) if layer.weight.size <= _MOST_WEIGHTS else None


def _packing(goals: Goals, index: int, layer: Dense, search: LevelSearch) -> Packing | None:
    spec, weights = goals.network.input, goals.synapses[index]
    low, high = (int(end) for end in (goals.ranges[index][0].min(), goals.ranges[index][1].max()))
    values = np.array(sorted({min(value, spec.high) for value in _VALUES}))
    tables = search.neuron.tables
    if (high - low + 1) * tables * values.size > _MOST_SUMS:
        return None
    span, needed = np.arange(low, high + 1), np.zeros((2, values.size, tables, high - low + 1), dtype=np.int64)
    place, distances = goals.network.wires.index((index,)), search.edges.distances.size
    meeting: dict[Key, list[IntArray]] = {(place, "below", 0): [], (place, "above", 0): []}
    for table in range(tables):
        met = met_of_all(search, table, span, goals.network.steps)
        for side, (key, margin) in enumerate(zip(meeting, (met.up, met.down), strict=True)):
            step, _, sums = np.nonzero(margin == 1)
            found = np.stack([met.code[step, 0, sums] * distances, np.full(sums.size, table), span[sums]], axis=1)
            meeting[key].append(np.unique(found, axis=0))
            nearest = margin.min(axis=(0, 1))
            for number, value in enumerate(values):
                changes = value * np.array(weights.changes)
                needed[side, number, table] = (nearest[:, None] > changes).sum(axis=1)
    pairs = {key: np.concatenate(found) for key, found in meeting.items()}
    return Packing((index, "bits", 0), weights, search.neuron.table, values, low, needed, pairs)
