"""What golden vectors should reach in a network, and what single sequences reach of it."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.coverage.bits import WeightBits
from squat_deploy.hardware.coverage.flows import Flows
from squat_deploy.hardware.coverage.margins import Mask, Met, Reach
from squat_deploy.hardware.coverage.routes import Margins, counted, followers, margins_of
from squat_deploy.hardware.coverage.runs import run_all
from squat_deploy.hardware.coverage.searches import Search, codes_of_levels, searches_of
from squat_deploy.hardware.weights import codes_of
from squat_deploy.network import IntArray, Network
from squat_deploy.network.activity import activity, narrowed
from squat_deploy.network.layers import NeuronLayer, Synapses
from squat_deploy.network.simulator import LayerTrace, Result

Kind = Literal["weights", "bits", "starts", "fired", "found", "above", "below"]
_SIDES: tuple[Kind, ...] = ("found", "above", "below")
Key = tuple[int, Kind, int]  # layer, what, and which of its searches
Hits = dict[Key, IntArray]  # numbers of what a sequence reaches
MOST_CODES = 2**22  # of a layer whose levels are counted
MOST_BITS = 2**26  # of the weights of a layer whose bits are counted


@dataclass(frozen=True, eq=False)
class Goal:
    """One kind of thing in one layer.

    Attributes:
        possible: what an input may reach; what is not there no input can.
    """

    key: Key
    possible: Mask

    @cached_property
    def weight(self) -> float:
        """Of one of them, so that every goal counts the same."""
        return 1 / max(1, int(self.possible.sum()))


class Goals:
    """All goals of a network."""

    def __init__(self, network: Network) -> None:
        self.network, self.ranges = network, narrowed(network)
        self.synapses: dict[int, WeightBits] = {}
        self.searches: dict[int, tuple[Search, ...]] = {}
        for index, layer in enumerate(network.layers):
            if isinstance(layer, Synapses):
                bits, bipolar, _ = codes_of(layer.weight.reshape(-1, 1))
                self.synapses[index] = WeightBits(layer, bits, bipolar)
            elif isinstance(layer, NeuronLayer):
                self.searches[index] = searches_of(layer) if codes_of_levels(layer) <= MOST_CODES else ()

    @cached_property
    def counted(self) -> dict[int, bool]:
        """Layers of synapses, and whether the bits of their weights are counted."""
        searched = {index for index, found in self.searches.items() if found}
        few = {index: w.bits * w.layer.weight.size <= MOST_BITS for index, w in self.synapses.items()}
        return {index: few[index] and counted(self.network, index, searched) for index in self.synapses}

    @cached_property
    def all(self) -> dict[Key, Goal]:
        """By their keys."""
        goals = [*self._of_synapses(), *self._of_neurons()]
        return {goal.key: goal for goal in goals}

    def _of_synapses(self) -> list[Goal]:
        goals = []
        for index, weights in self.synapses.items():
            ends = self.ranges[self.network.wires[index][0]]
            alive = np.asarray((ends[0] != 0) | (ends[1] != 0))
            met = weights.met(alive[None])
            goals.append(Goal((index, "weights", 0), met.reshape(-1)))
            if self.counted[index]:
                wide = np.broadcast_to(met[:, None], (weights.bits, *weights.kernels.shape))
                goals.append(Goal((index, "bits", 0), wide.reshape(-1)))
            if self.counted[index] and weights.layer.bias.any():
                goals.append(Goal((index, "starts", 0), np.ones(2 * len(weights.layer.weight), dtype=bool)))
        return goals

    def _of_neurons(self) -> list[Goal]:
        goals: list[Goal] = []
        for (index, found), row in zip(self.searches.items(), activity(self.network), strict=True):
            goals.append(Goal((index, "fired", 0), ~row.never))
            for number, search in enumerate(found):
                reach = self._reach(index, search)
                goals += [Goal((index, k, number), mask) for k, mask in zip(_SIDES, reach.masks, strict=True)]
        return goals

    def _reach(self, index: int, search: Search) -> Reach:
        """By ranges of sums; where those never change within a sequence, by running every one of them."""
        network, source = self.network, self.network.wires[index][0]
        sums = self.ranges[source]
        found = search.reach(sums, network.steps)
        if network.input.encoding != "direct" or source == -1 or not network.still[source]:
            return found
        exact = run_all(search, sums, network.steps)
        return found if exact is None else Reach(*(a & b for a, b in zip(found.masks, exact.masks, strict=True)))

    def hits(
        self, inputs: IntArray, result: Result, done: Container[Key] = (), *, together: bool = False
    ) -> list[Hits]:
        """What every sequence of a run reaches, or all together.

        Args: inputs: as for `simulate`, with whole traces; done: goals that nobody asks for any more.
        """
        flows, every = Flows(self.network, inputs, result.trace or ()), len(result.scores)
        wanted = {key[0] for key in self.all if key not in done}
        asked = wanted | {place for index in wanted & set(self.synapses) for place in followers(self.network, index)}
        met = {i: [s.met(flows.traces[i]) for s in found] for i, found in self.searches.items() if i in asked}
        samples = [slice(None)] if together else [slice(sample, sample + 1) for sample in range(every)]
        hits: list[Hits] = [{} for _ in samples]
        parts = list(zip(samples, hits, strict=True))
        for index in sorted(wanted & set(met)):
            self._neuron_hits(flows.traces[index], index, met[index], parts)
        near = {i: _nearest(found) for i, found in met.items() if found}
        for index in sorted(wanted & set(self.synapses)):
            self._synapse_hits(flows, index, near, parts)
        return hits

    def news(self, result: Result, have: dict[Key, Mask]) -> NDArray[np.float64]:
        """(B,) about how much of neurons every sequence of a run reaches that nothing did yet: quick, counts twice.

        Args: result: with whole traces; have: by the keys of all goals.
        """
        found, traces = np.zeros(len(result.scores)), dict(zip(self.searches, result.trace or (), strict=True))
        left = {key: goal.possible & ~have[key] for key, goal in self.all.items() if key[0] in traces}
        for index, trace in traces.items():
            silent = left[index, "fired", 0]
            if silent.any():
                found += np.count_nonzero(trace.spikes[:, :, silent].any(axis=0), axis=1) * self._weight(
                    index, "fired", 0
                )
            for number, search in enumerate(self.searches[index]):
                kinds = {kind: mask for kind in _SIDES if (mask := left[index, kind, number]).any()}
                met = search.met(trace) if kinds else None
                for kind, mask in kinds.items():
                    assert met is not None
                    new = mask[met.code] if kind == "found" else search.edges.near(mask, met, kind)
                    found += np.count_nonzero(new, axis=(0, 2)) * self._weight(index, kind, number)
        return found

    def _weight(self, index: int, kind: Kind, number: int) -> float:
        return self.all[index, kind, number].weight

    def margins(self, flows: Flows, index: int) -> Margins:
        """(T, B, outputs) of the sums of a layer of synapses, whose bits are counted."""
        places = [place for place in followers(self.network, index) if self.searches.get(place)]
        near = {p: _nearest([search.met(flows.traces[p]) for search in self.searches[p]]) for p in places}
        return margins_of(flows, index, near)

    def _neuron_hits(self, trace: LayerTrace, index: int, met: list[Met], parts: list[tuple[slice, Hits]]) -> None:
        fired = np.any(trace.spikes, axis=0, keepdims=True)[0]
        for samples, hits in parts:
            hits[index, "fired", 0] = np.flatnonzero(fired[samples].any(axis=0))
            for number, one in enumerate(met):
                of_one = (values[:, samples].reshape(-1) for values in (one.code, one.up, one.down))
                reach = self.searches[index][number].edges.seen(*of_one)
                for kind, mask in zip(_SIDES, reach.masks, strict=True):
                    hits[index, kind, number] = np.flatnonzero(mask)

    def _synapse_hits(
        self, flows: Flows, index: int, near: dict[int, Margins], parts: list[tuple[slice, Hits]]
    ) -> None:
        weights, values = self.synapses[index], flows.taken(index)[0]
        ends = list(margins_of(flows, index, near)) if self.counted[index] else []
        if len(values) == 1:
            ends = [end.min(axis=0, keepdims=True) for end in ends]
        for samples, hits in parts:
            taken, *margins = (
                np.ascontiguousarray(one[:, samples]).reshape(-1, one.shape[2]) for one in (values, *ends)
            )
            if margins:
                hits[index, "weights", 0], hits[index, "bits", 0] = weights.shown(taken, margins[0], margins[1])
            if (index, "starts", 0) in self.all:
                ones = np.stack([(margin == 1).any(axis=0) for margin in margins])  # (2, outputs), channel by channel
                hits[index, "starts", 0] = np.flatnonzero(ones.reshape(2, len(weights.layer.weight), -1).any(axis=2))
            else:
                hits[index, "weights", 0] = np.flatnonzero(weights.met(taken))


def _nearest(found: list[Met]) -> Margins:
    """Of all searches of a layer together."""
    up, down = (np.minimum.reduce([getattr(one, side) for one in found]) for side in ("up", "down"))
    return up, down
