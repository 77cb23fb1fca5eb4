"""Sequences aimed through the layers in front: at the weights of one input of fully connected synapses.

Its bits show where that input is on while a sum lies at a threshold. Sequences that drive it are varied, generation by
generation, those nearest to the thresholds that are left first. What they show of other inputs counts too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.coverage.bits import WeightBits
from squat_deploy.hardware.coverage.flows import Flows
from squat_deploy.hardware.coverage.margins import FAR, Mask
from squat_deploy.hardware.stimulus.drives import Drives
from squat_deploy.network import IntArray
from squat_deploy.progress import report

_ROUNDS = (1, 4, 12)  # generations of all inputs of which anything is left, then of those that still are, ...
_LITTERS = 6  # of the first generation
_PATIENCE = 3  # generations without anything nearer
_PARENTS = 3  # of every threshold
_WORTH = 4  # bits of other inputs that are worth a sequence, and one of the input aimed at
_TRIES = 16  # for each bit that is left, at most
_MOST = 2**22  # bits of all sequences of a generation up to which other inputs are looked at


@dataclass(eq=False)
class Aiming:
    """At the weights of one layer.

    Attributes:
        left: (inputs, outputs, bits) that did not show; taken away where sequences show them.
        tries: sequences that were run.
    """

    drives: Drives
    index: int
    left: Mask
    tries: int = 0

    @cached_property
    def weights(self) -> WeightBits:
        """Of the layer."""
        return self.drives.reached.goals.synapses[self.index]

    @cached_property
    def rises(self) -> Mask:
        """(inputs, outputs, bits) as in the weights."""
        return np.ascontiguousarray(self.weights.rises[:, 0].transpose(2, 1, 0))

    def found(self, most: int) -> Iterator[IntArray]:
        """Blocks (frames, 1, size), until about so many sequences were run."""
        for generations in _ROUNDS:
            tried = np.zeros(len(self.left), dtype=bool)
            while self.tries < most and (counts := np.where(tried, 0, self.left.sum(axis=(1, 2)))).any():
                element = int(counts.argmax())
                tried[element] = True
                yield from self._bred(element, generations)

    def _bred(self, element: int, generations: int) -> Iterator[IntArray]:
        """For one input."""
        drives, idle, best = self.drives, 0, np.full((2, self.left.shape[1]), FAR)
        alone = np.zeros_like(self.left)
        alone[element] = self.left[element]
        need = drives.of_weights(self.index, alone)
        block = np.concatenate([drives.one(need) for _ in range(_LITTERS)], axis=1)
        size, kept, distances = block.shape[1], block[:, :0], np.full((2, 0, self.left.shape[1]), FAR)
        for _ in range(generations):
            taken, up, down = self._run(block)
            near = _nearest(taken[..., element], up, down)
            for sequence in self._best(element, near, self._others(taken, up, down)):
                yield block[:, sequence : sequence + 1]
            wanted = self._wanted(element)
            kept, distances = np.concatenate([kept, block], axis=1), np.concatenate([distances, near], axis=1)
            least = distances.min(axis=1)
            idle, best = 0 if (least < best).any() else idle + 1, least
            if not wanted.any() or idle == _PATIENCE or distances.min() == FAR:
                return
            parents = _parents(distances, wanted)
            kept, distances = kept[:, parents], distances[:, parents]
            block = drives.feeding.mutated(drives.rng, kept, size)

    def _run(self, block: IntArray) -> tuple[NDArray[Any], IntArray, IntArray]:
        """(T, B, inputs) what the layer takes, and (T, B, outputs) margins of its sums."""
        self.tries += block.shape[1]
        feeding = self.drives.feeding
        entering, result = feeding.traced(block)
        flows = Flows(feeding.network, entering, result.trace or ())
        return flows.taken(self.index)[0], *self.drives.reached.goals.margins(flows, self.index)

    def _wanted(self, element: int) -> Mask:
        """(2, outputs) whether a sum must still come nearer to the threshold above it, or below."""
        left, rises = self.left[element], self.rises[element]
        return np.stack([(left & rises).any(axis=1), (left & ~rises).any(axis=1)])

    def _others(self, taken: NDArray[Any], up: IntArray, down: IntArray) -> Mask | None:
        """(B, inputs, outputs, bits) that spikes show, None where there is too much of it, or no spikes enter."""
        samples = up.shape[1]
        if samples * self.left.size > _MOST or taken.dtype != bool:
            return None
        on, sides = taken.transpose(1, 2, 0).astype(np.float32), []
        for margin in (up, down):
            near = (margin[..., None] <= np.array(self.weights.changes)).astype(np.float32).transpose(1, 0, 2, 3)
            sides.append((on @ near.reshape(samples, len(up), -1) > 0).reshape(samples, *self.left.shape))
        return np.where(self.rises, *sides)

    def _best(self, element: int, near: IntArray, shown: Mask | None) -> Iterator[int]:
        """Sequences of a block, as long as any shows more of the element, or much of others."""
        inputs = slice(element, element + 1) if shown is None else slice(None)
        if shown is None:
            up, down = (side[:, :, None] <= np.array(self.weights.changes) for side in near)
            shown = np.where(self.rises[element], up, down)[:, None]
        left = self.left[inputs]
        places = np.nonzero(left)
        shown, own = shown.reshape(len(shown), -1)[:, np.flatnonzero(left)], (places[0] == element) | (len(left) == 1)
        while places[0].size:
            worth = shown.sum(axis=1) + shown[:, own].sum(axis=1) * _WORTH
            sequence = int(worth.argmax())
            if worth[sequence] < _WORTH:
                return
            left[tuple(place[shown[sequence]] for place in places)] = False
            shown = shown & ~shown[sequence]
            yield sequence


def aimed(drives: Drives, room: int, most: int, what: str) -> tuple[list[IntArray], int]:
    """Blocks (frames, 1, size), `room` at most, for all layers whose weights did not show; and how many were run."""
    found, tries = list[IntArray](), 0
    for index, left in sorted(drives.left.items(), key=lambda item: item[1].size):
        aiming = Aiming(drives, index, left.copy())
        name = drives.feeding.network.layers[index].name
        report(f"{what} for {name}", min(tries, most), most)
        for block in aiming.found(min(most - tries, _TRIES * int(left.sum()))):
            report(f"{what} for {name}", min(tries + aiming.tries, most), most)
            if len(found) == room:
                return found, tries + aiming.tries
            found.append(block)
        tries += aiming.tries
    return found, tries


def _nearest(value: NDArray[Any], up: IntArray, down: IntArray) -> IntArray:
    """(2, B, outputs) by how much weights of inputs (T, B) must rise, or fall, for another outcome in any step."""
    value = value.astype(np.int64)[..., None]
    size = np.maximum(np.abs(value), 1)
    sides = (np.where(value > 0, up, down), np.where(value > 0, down, up))
    return np.stack([np.where(value != 0, -(-side // size), FAR).min(axis=0) for side in sides])


def _parents(distances: IntArray, wanted: Mask) -> IntArray:
    """Of every threshold that is wanted, the sequences nearest to it."""
    sides, outputs = np.nonzero(wanted)
    return np.unique(np.argsort(distances[sides, :, outputs], axis=1, kind="stable")[:, :_PARENTS])
