"""What is left to be reached behind the first layers, and sequences that drive it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squat_deploy.hardware.coverage.margins import Mask
from squat_deploy.hardware.coverage.reached import Reached
from squat_deploy.hardware.coverage.routes import followers
from squat_deploy.hardware.stimulus.driving import Worth, worth_of_inputs
from squat_deploy.hardware.stimulus.feeding import Feeding
from squat_deploy.hardware.stimulus.packing import Packing
from squat_deploy.network import INPUT, IntArray
from squat_deploy.network.layers import Dense, NeuronLayer

_ALIKE = 8  # sequences that drive the same


@dataclass(frozen=True, eq=False)
class Need:
    """What some layer should give.

    Attributes:
        index: of the layer, or the input.
        needed: (neurons behind, elements) how much is left.
        behind: layer of those neurons; None where they are none in particular.
    """

    index: int
    needed: IntArray
    behind: int | None = None


@dataclass(frozen=True, eq=False)
class Drives:
    """Sequences drawn for what is left."""

    feeding: Feeding
    reached: Reached
    rng: np.random.Generator
    packing: Packing | None

    @property
    def left(self) -> dict[int, Mask]:
        """(inputs, outputs, bits) of weights that did not show, by fully connected layers that are not packed."""
        network, found = self.feeding.network, dict[int, Mask]()
        for (index, kind, _), have in self.reached.have.items():
            packed = self.packing is not None and self.packing.layer == index
            if kind == "bits" and isinstance(layer := network.layers[index], Dense) and not packed:
                left = self.reached.goals.all[index, "bits", 0].possible & ~have
                found |= {index: left.reshape(-1, *layer.weight.shape).transpose(2, 1, 0)} if left.any() else {}
        return found

    def of_weights(self, index: int, left: Mask) -> Need:
        """What shows the weights of a layer, of which (inputs, outputs, bits) are left."""
        network = self.feeding.network
        neurons = next(place for place in followers(network, index) if isinstance(network.layers[place], NeuronLayer))
        same = network.layers[index].outputs == network.layers[neurons].outputs
        return Need(network.wires[index][0], left.sum(axis=2).T, neurons if same else None)

    def drawn(self, count: int) -> list[IntArray]:
        """Blocks (frames, B, size), up to `count` in all, for whatever is left, layers taken in turn."""
        goals, blocks = self.reached.goals.all, list[IntArray]()
        needs = [self.of_weights(index, left) for index, left in self.left.items()]
        for (index, kind, _), have in self.reached.have.items():
            if kind == "fired" and (silent := goals[index, kind, 0].possible & ~have).any():
                needs.append(Need(index, silent.astype(np.int64)[None]))
        while needs and count > 0:
            blocks.append(self.one(needs[int(self.rng.integers(len(needs)))], min(count, _ALIKE)))
            count -= _ALIKE
        return blocks

    def one(self, need: Need, count: int = _ALIKE) -> IntArray:
        """A block (frames, count, size) that drives an element that is needed, and a neuron behind it up or down."""
        shares = np.cumsum(need.needed)
        place = int(np.searchsorted(shares, self.rng.integers(shares[-1]), side="right"))
        neuron, element = divmod(place, need.needed.shape[1])
        worth = np.zeros(self.feeding.size) if need.behind is None else self._worth(need.behind, neuron)
        if self.packing is not None and self.packing.index == need.index:
            frames = self.packing.fired(element, worth, count)
            if len(frames):
                return frames[None]
        own = np.zeros(self.feeding.size)
        if need.index == INPUT:
            own[element] = 1
        else:
            own = self._worth(need.index, element)
        return self.feeding.driven(self.rng, own + self.rng.uniform(-1, 1) * worth, count)

    def _worth(self, index: int, element: int) -> Worth:
        """-1..1"""
        worth = worth_of_inputs(self.feeding.network, index, element)
        return worth / max(1e-9, float(np.abs(worth).max()))
