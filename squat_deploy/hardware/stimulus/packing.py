"""Frames for a first layer that is fully connected and sees one frame through a whole sequence.

Bits of a weight show where its input is on while its sum lies at a threshold. So frames are built for the neuron of
which most is left: all of its inputs whose weights are left are on, and others make up what its sum lacks to where one
more, or one less, has another outcome. What a frame shows of all the other neurons comes along.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.coverage.bits import WeightBits
from squat_deploy.hardware.coverage.goals import Goals, Hits, Key
from squat_deploy.hardware.coverage.margins import Mask
from squat_deploy.hardware.coverage.runs import met_of_all
from squat_deploy.hardware.coverage.searches import LevelSearch
from squat_deploy.hardware.stimulus.feeding import Feeding
from squat_deploy.network import INPUT, IntArray
from squat_deploy.network.encoders import takes_intensities
from squat_deploy.network.layers import Dense

_MOST_SUMS = 2**22
_MOST_WEIGHTS = 2**20
_STRIKES = 12  # frames in a row that failed, after which a neuron is left
_SIDES = 2  # a sum that must rise, and one that must fall, for another outcome


@dataclass(frozen=True, eq=False)
class Held:
    """What the neurons of a layer make of sums that stay.

    Attributes:
        table: (outputs,) tables of the neurons.
        low: the lowest sum.
        margins: (sides, tables, sums) how far one is from another outcome, in any step.
        edges: by [side][table], the sums that are as near as can be.
        firing: by table, the sums that make a neuron fire in any step.
        meeting: by the key of its goal, (P, 3) numbers of things that sums next to a threshold reach, tables, and sums.
    """

    table: IntArray
    low: int
    margins: IntArray
    edges: tuple[tuple[IntArray, ...], ...]
    firing: tuple[IntArray, ...]
    meeting: dict[Key, IntArray]

    @classmethod
    def of(cls, goals: Goals, index: int, search: LevelSearch) -> Held | None:
        """By running every sum through a whole sequence; None where they are too many."""
        ranges, neuron = goals.ranges[index], search.neuron
        span = np.arange(int(ranges[0].min()), int(ranges[1].max()) + 1)
        if span.size * neuron.tables > _MOST_SUMS:
            return None
        place, distances = goals.network.wires.index((index,)), search.edges.distances.size
        meeting: dict[Key, list[IntArray]] = {(place, "below", 0): [], (place, "above", 0): []}
        margins, firing = np.zeros((_SIDES, neuron.tables, span.size), dtype=np.int64), list[IntArray]()
        for table in range(neuron.tables):
            met = met_of_all(search, table, span, goals.network.steps)
            firing.append(span[(met.code % neuron.level_count >= neuron.fire_level[table]).any(axis=(0, 1))])
            for side, (key, margin) in enumerate(zip(meeting, (met.up, met.down), strict=True)):
                step, _, sums = np.nonzero(margin == 1)
                found = np.stack([met.code[step, 0, sums] * distances, np.full(sums.size, table), span[sums]], axis=1)
                meeting[key].append(np.unique(found, axis=0))
                margins[side, table] = margin.min(axis=(0, 1))
        edges = tuple(tuple(span[row == 1] for row in rows) for rows in margins)
        pairs = {key: np.concatenate(found) for key, found in meeting.items()}
        return cls(neuron.table, int(span[0]), margins, edges, tuple(firing), pairs)

    def near(self, sums: IntArray) -> tuple[IntArray, IntArray]:
        """Margins (outputs,) of sums, up and down."""
        up, down = self.margins[:, self.table, sums - self.low]
        return up, down


@dataclass(eq=False)
class Packing:
    """Frames are built as long as they show bits of the weights that none before them did.

    Attributes:
        layer, index: of the synapses, and of the neurons.
        high: greatest input.
        left: (outputs, inputs) which bits of the weights did not show.
        alone: (sides, outputs) sums that were not yet so near that their start shows, where they have one.
    """

    layer: int
    index: int
    weights: WeightBits
    held: Held
    high: int
    rng: np.random.Generator
    left: NDArray[np.unsignedinteger] = field(init=False)

    def __post_init__(self) -> None:
        layer = self.weights.layer
        self.matrix = np.ascontiguousarray(layer.weight.T).astype(np.float64)
        self.left = np.full(layer.weight.shape, 2**self.weights.bits - 1, dtype=self.weights.code)
        self.alone = np.full((_SIDES, layer.outputs), bool(layer.bias.any()))
        self.counts = np.stack([self._count(side, np.arange(layer.outputs)) for side in range(_SIDES)])
        self.total = int(self.counts.sum())

    def frames(self, most: int) -> Iterator[IntArray]:
        """Frames (inputs,), `most` at most, those first of which most is left."""
        strikes = np.zeros(self.counts.shape, dtype=np.int64)
        while most and (worth := np.where(strikes < _STRIKES, self.counts, 0)).any():
            side, output = divmod(int(worth.argmax()), worth.shape[1])
            frame = self._aimed(side, output)
            if frame is None or not self._taken(frame):
                strikes[side, output] += 1
                continue
            most, strikes[side, output] = most - 1, 0
            yield frame

    @property
    def hits(self) -> Hits:
        """What all frames show of the weights."""
        bits = np.arange(self.weights.bits).reshape(-1, 1, 1)
        return {(self.layer, "bits", 0): np.flatnonzero(self.left >> bits.astype(self.left.dtype) & 1 == 0)}

    def meet(self, have: dict[Key, Mask], count: int) -> list[IntArray]:
        """Frames (inputs,), up to `count`, with a sum at a threshold, or one less, that no frame had yet."""
        pairs = np.concatenate([pairs[~have[key][pairs[:, 0]]] for key, pairs in self.held.meeting.items()])
        frames = list[IntArray]()
        for _, table, goal in pairs[self.rng.integers(0, len(pairs), count if len(pairs) else 0)].tolist():
            outputs = np.flatnonzero(self.held.table == table)
            if outputs.size:  # else no neuron has this table
                output = int(outputs[self.rng.integers(outputs.size)])
                frame = self._summing(output, self._any(int(self.rng.integers(8))), goal)
                frames += [] if frame is None else [frame]
        return frames

    def fired(self, output: int, worth: NDArray[np.float64], count: int) -> IntArray:
        """Frames (up to count, inputs) in which a neuron fires: its inputs, and others as long as it does.

        Args: worth: (inputs,) in -1..1, more of which, or less of which, is drawn.
        """
        rng, weights = self.rng, self.weights.layer.weight[output]
        firing = self.held.firing[self.held.table[output]]
        if not firing.size:
            return np.zeros((0, weights.size), dtype=np.int64)
        shape = count, weights.size
        values = rng.integers(1, np.where(rng.integers(0, 2, (count, 1)), self.high, 1) + 1, shape)
        drawn = rng.random(shape) - rng.uniform(-1, 1, (count, 1)) * worth
        raised = (weights > 0) & (drawn < rng.random((count, 1)) ** 0.25)
        frames = np.where(raised, self.high, values * ((weights <= 0) & (drawn < rng.random((count, 1)) ** 2)))
        left = raised @ np.maximum(weights, 0) * self.high + int(self.weights.layer.bias[output]) - int(firing.min())
        order = np.argsort(drawn, axis=1)
        spent = np.cumsum(np.take_along_axis(-frames * np.minimum(weights, 0), order, axis=1), axis=1)
        kept = np.zeros(shape, dtype=bool)
        np.put_along_axis(kept, order, spent <= (left * rng.random(count))[:, None], axis=1)
        return np.where(kept | (weights > 0), frames, 0)[left >= 0]

    def _any(self, count: int) -> IntArray:
        """(inputs,) of which about so many are on."""
        inputs, high = self.matrix.shape[0], self.high if self.rng.integers(2) else 1
        on = self.rng.integers(0, inputs, inputs) < count
        return np.asarray(self.rng.integers(1, high + 1, inputs) * on)

    def _count(self, side: int, outputs: IntArray) -> IntArray:
        """(outputs,) weights with bits left that show if the sum rises, or falls."""
        rising = self.weights.rising[0][outputs]
        weights = np.count_nonzero(self.left[outputs] & (~rising if side else rising), axis=1)
        return np.asarray(weights + self.alone[side, outputs])

    def _taken(self, frame: IntArray) -> bool:
        """Whether a frame shows anything that was left."""
        sums = (frame @ self.matrix).astype(np.int64) + self.weights.layer.bias
        up, down = self.held.near(sums)
        columns = np.flatnonzero(frame)
        near = np.minimum(up, down) <= int(frame.max()) * self.weights.changes[-1]
        channels = np.flatnonzero(near & self.counts.any(axis=0))
        masks = self.weights.masks(0, channels, columns, frame[columns], (up[channels], down[channels]))
        places = np.ix_(channels, columns)
        starts = self.alone[:, channels] & (np.stack([up, down])[:, channels] == 1)
        shown = bool((self.left[places] & masks).any() or starts.any())
        self.left[places] &= ~masks
        self.alone[:, channels] &= ~starts
        for side in range(_SIDES if shown else 0):
            self.counts[side, channels] = self._count(side, channels)
        return shown

    def _aimed(self, side: int, output: int) -> IntArray | None:
        """A frame in which the sum of an output lies as near as can be, with all on that is left, and some more."""
        rng, edges = self.rng, self.held.edges[side][self.held.table[output]]
        if not edges.size:
            return None
        rising = self.weights.rising[0, output]
        wanted = (self.left[output] & (~rising if side else rising)) != 0
        others = np.flatnonzero(~wanted)
        frame = wanted.astype(np.int64)
        frame[rng.permutation(others)[: int(others.size * rng.random() ** 2)]] = 1
        now = frame @ self.weights.layer.weight[output] + self.weights.layer.bias[output]
        return self._summing(output, frame, int(edges[np.abs(edges - now).argmin()]), wanted)

    def _summing(self, output: int, frame: IntArray, goal: int, wanted: Mask | None = None) -> IntArray | None:
        """A frame changed so that the sum of an output is this: others before those that are wanted."""
        weights, bias = self.weights.layer.weight[output], int(self.weights.layer.bias[output])
        missing = goal - int(frame @ weights) - bias
        room = (self.high - frame) * weights * (1 if missing > 0 else -1)
        if (short := abs(missing) - int(room[room > 0].sum())) > 0:
            against = self.rng.permutation(np.flatnonzero((frame > 0) & (weights * missing < 0)))
            if wanted is not None:
                against = against[np.argsort(wanted[against], kind="stable")]
            worth = np.cumsum(np.abs(weights * frame)[against])
            frame[against[: int(np.searchsorted(worth, short)) + 1]] = 0
            missing = goal - int(frame @ weights) - bias
        return self._made_up(frame, weights, missing)

    def _made_up(self, frame: IntArray, weights: IntArray, missing: int) -> IntArray | None:
        """What is missing, by inputs that are raised, in any order but those of the smallest weights last."""
        helping = np.flatnonzero(weights * (1 if missing > 0 else -1) > 0)
        sizes, missing = np.abs(weights[helping]), abs(missing)
        least = int(sizes.min(initial=0))
        order = np.argsort(self.rng.permutation(helping.size) + (sizes == least) * helping.size)
        helping, sizes = helping[order], sizes[order]
        room = np.cumsum((self.high - frame[helping]) * sizes)
        whole = int(np.searchsorted(room, missing, side="right"))
        frame[helping[:whole]] = self.high
        missing -= int(room[whole - 1]) if whole else 0
        rest = np.argsort(-sizes[whole:], kind="stable") + whole
        for place, size in zip(helping[rest].tolist() if missing else (), sizes[rest].tolist(), strict=False):
            more = min(self.high - int(frame[place]), missing // size)
            frame[place] += more
            missing -= more * size
            if not missing:
                break
        return None if missing else frame


def packing_of(feeding: Feeding, goals: Goals, rng: np.random.Generator) -> Packing | None:
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
    held = Held.of(goals, index, searches[0]) if layer.weight.size <= _MOST_WEIGHTS else None
    return Packing(index, takers[0], goals.synapses[index], held, spec.high, rng) if held else None
