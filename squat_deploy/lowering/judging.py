"""A model's traces compared with the network's while both run, so that neither is ever held whole.

Each layer of the model asks for the network's next step when it has made one. Most models go through all layers in each
step, and then one step of the network is in memory; one that runs a layer over all steps first makes the others wait,
as states and spikes (three bytes each). Only layers that a model returns are kept (`Reference.kept`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from squat_deploy.network import Network
from squat_deploy.network.observed import Pairs, Seen, compare_layer
from squat_deploy.network.simulator import LayerTrace, stepwise
from squat_deploy.network.tally import Tally
from squat_deploy.progress import report
from squat_deploy.snn.model_traces import seen_of
from squat_deploy.snn.running import ModelTrace

_NOTHING = np.zeros((1, 0, 0))


class Reference:
    """The network's trace of one batch, advanced as far as its layers are asked for."""

    def __init__(self, network: Network, inputs: NDArray[Any], kept: Iterable[int]) -> None:
        """Args: inputs: integers that fit; kept: neuron layers of which the whole trace is wanted at the end."""
        self._steps, self._done, self._total = stepwise(network, inputs), 0, network.steps
        self._samples = inputs.shape[0 if network.input.encoding == "direct" else 1]
        self._waiting: list[deque[LayerTrace]] = [deque() for _ in network.neurons]
        self._kept: dict[int, list[LayerTrace]] = {place: [] for place in kept}
        self.names = [neuron.name for neuron in network.neurons]

    def next_of(self, place: int) -> LayerTrace | None:
        """The next step of a neuron layer, (1, B, N); None after the last one."""
        while not self._waiting[place]:
            if not self._advance():
                return None
        return self._waiting[place].popleft()

    def traces(self) -> tuple[LayerTrace, ...]:
        """Of the kept layers, whole, without sums; empty ones of the others."""
        while self._advance():
            pass
        return tuple(_joined(name, self._kept.get(place, [])) for place, name in enumerate(self.names))

    def _advance(self) -> bool:
        report(f"the model itself, in batches of {self._samples}", self._done, self._total)
        step = next(self._steps, None)
        self._done += step is not None
        for place, layer in enumerate(step or ()):
            slim = replace(layer, sums=_NOTHING)
            self._waiting[place].append(slim)
            if place in self._kept:
                self._kept[place].append(slim)
        return step is not None


def _joined(name: str, steps: list[LayerTrace]) -> LayerTrace:
    if not steps:
        return LayerTrace(name, _NOTHING, _NOTHING.astype(np.uint16), _NOTHING.astype(bool))
    states, spikes = (np.concatenate([getattr(step, key) for step in steps]) for key in ("states", "spikes"))
    return LayerTrace(name, _NOTHING, states, spikes)


@dataclass
class Judged(ModelTrace):
    """A layer of a model, of which nothing is kept: each step is compared at once.

    Attributes:
        judge: with what; None where only what happened is told apart from what happens in another run.
        steps: how often the layer ran.
    """

    judge: Judge | None = None
    place: int | None = None
    steps: int = 0
    _digest: Any = field(default_factory=lambda: blake2b(digest_size=16))

    def add(self, module: nn.Module, result: Any) -> None:
        once = ModelTrace(spike=self.spike)
        once.add(module, result)
        seen = seen_of(once)
        for values in seen.values.values():
            self._digest.update(repr(values.shape).encode() + np.ascontiguousarray(values + 0.0).data)
        if self.judge is not None and self.place is not None:
            self.judge.take(self.place, seen, self.steps)
        self.steps += 1

    @property
    def print(self) -> tuple[int, bytes]:
        """Equal for layers that did the same."""
        return self.steps, self._digest.digest()


class Judge:
    """Compares every layer of a model with a network, a step at a time."""

    def __init__(self, network: Network, reference: Reference, names: list[str] | None) -> None:
        """Args: names: the model's of the network's layers; None: in the order in which they first run."""
        self.network, self.reference, self.names = network, reference, names
        self.tally = Tally()
        self._pairs = [Pairs(neuron) for neuron in network.neurons]
        self._traces: dict[int, Judged] = {}

    def traced(self, name: str, spike: float) -> Judged:
        """The trace of a layer that runs for the first time."""
        place: int | None = len(self._traces)
        if self.names is not None:
            place = self.names.index(name) if name in self.names else None
        made = Judged(spike=spike, judge=self, place=place)
        if place is not None and place < len(self.network.neurons):
            self._traces[place] = made
        else:
            made.place = None
        return made

    def take(self, place: int, seen: Seen, step: int) -> None:
        """What a layer did in a step."""
        neuron, layer = self.network.neurons[place], self.reference.next_of(place)
        if layer is not None:
            compare_layer(self.tally, neuron, layer, seen, self._pairs[place], step=step)

    def finish(self, samples: int) -> None:
        """Counts layers that ran another number of times, and states that were not told apart."""
        for place, neuron in enumerate(self.network.neurons):
            ran = self._traces[place].steps if place in self._traces else 0
            if ran != self.network.steps:
                want, got = (
                    np.broadcast_to(0, (steps, samples, neuron.neurons)) for steps in (self.network.steps, ran)
                )
                self.tally.compare("membrane", want, got, neuron.name)
            self._pairs[place].compare(self.tally)
