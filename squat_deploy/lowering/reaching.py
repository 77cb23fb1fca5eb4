"""Sequences of inputs in which a neuron, in one state, meets one synaptic sum.

A first layer is solved: the shortest way of its states from rest, and inputs that make the sums on it. Elsewhere random
inputs are changed as long as that brings a neuron nearer to its state and sum (hill climbing).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from squat_deploy.lowering.ways import Ways
from squat_deploy.network import IntArray, Network
from squat_deploy.network.certificate import AtRisk, LayerProof, Witness
from squat_deploy.network.layers.base import Stage
from squat_deploy.network.limits import MAX_STATES
from squat_deploy.network.simulator import LayerTrace, run
from squat_deploy.snn.model_traces import bytes_a_sample

Found = tuple[Witness, Sequence[IntArray]]  # and sequences that reach it, each (1, *shape) or (T, 1, *shape)
LOOKED_FOR = 8  # combinations a layer
TRIES = 1024  # random sequences a layer, and as many for each combination that is climbed to
VARIANTS = 8  # sequences that reach one combination
_PARALLEL = 64  # climbers
_BYTES = 2**26  # of their traces
_MAX_PROBED = 4096  # inputs whose weights are read off one by one
_MAX_CHANGES = 512  # of inputs, until they make a sum


class Search:
    """Looks for sequences in which neurons of one layer, in one state, meet one synaptic sum."""

    def __init__(self, network: Network, place: int, stages: Sequence[Stage]) -> None:
        """Args: place: of the layer among the network's neurons; stages: of `stages_of`."""
        self.network, self.place, self.ways, self.stages = network, place, Ways(network, place), stages
        self.neuron, self.direct, self.steps = self.ways.neuron, self.ways.direct, network.steps
        self.rng = np.random.default_rng(0)

    def found(self, row: LayerProof) -> Iterator[Found]:
        """What came of the first combinations that can be reached."""
        examples = map(self.ways.in_reach, row.examples)
        if not self.ways.is_first() or self.neuron.states > MAX_STATES:  # too many ways to follow
            yield from self._met(list(examples), LOOKED_FOR)
            return
        possible = list(islice((one for one in examples if self.ways.way_to(one) is not None), LOOKED_FOR))
        for example in possible:
            made = self._solved(example)
            yield (self._told(example, len(made)), made) if made else self._climbed(example, 0)
        for example in row.examples[:LOOKED_FOR] if not possible else ():
            near = self.ways.in_reach(example)
            yield replace(self._told(near, 0), note=self.ways.why_not(near)), ()

    def _told(self, example: AtRisk, tries: int) -> Witness:
        name = self.network.certificate.layers[self.place].layer
        return Witness(name, example.neuron, example.state, example.synaptic_sum, tries)

    def step_of(self, combination: AtRisk | Witness, inputs: IntArray) -> int:
        """When one sequence reaches it."""
        return int(np.flatnonzero(self._distance(combination, self._trace(inputs))[:, 0] == 0)[0])

    def _met(self, examples: Sequence[AtRisk], most: int) -> Iterator[Found]:
        """Those of many combinations that random sequences meet, and then the first of the others, climbed to."""
        left, tries, size = list(examples), 0, self._parallel()
        while tries < TRIES and left and most:
            batch = self._drawn(size)
            trace = self._trace(self._given(batch))
            tries += size
            for example in [*left]:
                hits = np.flatnonzero((self._distance(example, trace) == 0).any(axis=0))
                if hits.size and most:
                    most -= 1
                    left.remove(example)
                    yield self._told(example, tries), self._apart(batch[hits[:VARIANTS]])
        for example in left[:most]:
            yield self._climbed(example, tries)

    def _trace(self, inputs: IntArray) -> LayerTrace:
        trace = run(self.network, self.stages, inputs, trace=True).trace
        assert trace is not None
        return trace[self.place]

    def _distance(self, example: AtRisk | Witness, trace: LayerTrace) -> NDArray[np.float64]:
        """(T, B): 0 where the neuron reaches it, else how far it is away, in shares of its sums and states."""
        sums, after = (values[:, :, example.neuron].astype(np.int64) for values in (trace.sums, trace.states))
        before = np.concatenate([np.full((1, sums.shape[1]), self.neuron.initial_state), after[:-1]])
        low, high = self.ways.ends(example.neuron)
        membranes = self.neuron.membranes[self.neuron.table[example.neuron]].astype(np.float64)
        states = self.neuron.membrane_states
        apart = np.abs(membranes[states(before)] - membranes[states(np.array(example.state))]) / max(
            np.ptp(membranes), 1e-9
        )
        others = (sums != example.synaptic_sum) / 64 + (before != example.state) / 64
        return np.abs(sums - example.synaptic_sum) / max(1, high - low) + apart + others

    def _row(self, neuron: int) -> tuple[IntArray, int] | None:
        """Weight of every input in a neuron's sum, and what the sum is where all are 0; None where it is no sum."""
        spec = self.network.input
        if spec.size > _MAX_PROBED:
            return None
        zero = min(max(0, spec.low), spec.high)
        by = 1 if zero < spec.high else -1
        probes = np.full((spec.size + 1, spec.size), zero, dtype=np.int64)
        probes[np.arange(spec.size), np.arange(spec.size)] += by
        sums = self._first_sums(neuron, probes)
        row = (sums[:-1] - sums[-1]) * by
        rest = int(sums[-1] - (row * zero).sum())
        drawn = self.rng.integers(spec.low, spec.high + 1, (16, spec.size))
        return (row, rest) if np.array_equal(drawn @ row + rest, self._first_sums(neuron, drawn)) else None

    def _first_sums(self, neuron: int, frames: IntArray) -> IntArray:
        """A neuron's sum in a first step, for frames (B, size)."""
        short = replace(self.network, steps=1)
        values = frames.reshape(-1, *self.network.input.shape)
        trace = run(short, self.stages, values if self.direct else values[None], trace=True).trace
        assert trace is not None
        return trace[self.place].sums[0, :, neuron].astype(np.int64)

    def _solved(self, example: AtRisk) -> Sequence[IntArray]:
        """Sequences whose sums lie in the ranges of the way, one after the other."""
        way, read = self.ways.way_to(example), self._row(example.neuron)
        if way is None or read is None:
            return ()
        row, rest = read
        found = []
        for _ in range(VARIANTS):
            frames = [self._frame(row, low - rest, high - rest) for low, high in (way[:1] if self.direct else way)]
            made = [frame for frame in frames if frame is not None]
            if len(made) == len(frames):
                made += [made[-1]] * (0 if self.direct else self.steps - len(made))
                found.append(np.stack(made).reshape(*([] if self.direct else [self.steps]), *self.network.input.shape))
        return self._apart(np.stack(found)) if found else ()

    def _frame(self, row: IntArray, low: int, high: int) -> IntArray | None:
        """Integers (size,) on the grid whose weighted sum lies in low..high, by the nearest single change each time."""
        spec = self.network.input
        frame = self.rng.integers(spec.low, spec.high + 1, row.size)
        live = np.flatnonzero(row)
        for turn in range(_MAX_CHANGES):
            total = int(row @ frame)
            off = low - total if total < low else min(0, high - total)
            if off == 0:
                return frame
            if not live.size:
                return None
            wanted = np.rint(off / row[live]).astype(np.int64)
            change = wanted.clip(spec.low - frame[live], spec.high - frame[live])
            left = np.abs(off - row[live] * change)
            best = int(left.argmin())
            if left[best] < abs(off):
                frame[live[best]] += change[best]
            else:
                moved = self.rng.choice(live, min(live.size, 1 + turn % 3), replace=False)
                frame[moved] = self.rng.integers(spec.low, spec.high + 1, moved.size)
        return None

    def _parallel(self) -> int:
        return max(4, min(_PARALLEL, _BYTES // bytes_a_sample(self.network)))

    def _drawn(self, size: int) -> IntArray:
        """Random sequences, samples first; every other one of few inputs."""
        spec = self.network.input
        lead = (size,) if self.direct else (size, self.steps)
        values = self.rng.integers(spec.low, spec.high + 1, (*lead, *spec.shape))
        values[::2][self.rng.random(values[::2].shape) > 0.15] = min(max(spec.low, 0), spec.high)
        return values

    def _given(self, values: IntArray) -> IntArray:
        """As `simulate` takes them."""
        return values if self.direct else values.swapaxes(0, 1)

    def _apart(self, values: IntArray) -> Sequence[IntArray]:
        """One by one, as `simulate` takes them."""
        return [self._given(values[place : place + 1]) for place in range(len(values))]

    def _climbed(self, example: AtRisk, tries: int) -> Found:
        """Random sequences, changed at random as long as that brings them no further away."""
        spec, size, most = self.network.input, self._parallel(), tries + TRIES
        best = tried = self._drawn(size)
        score = np.full(size, np.inf)
        while tries < most:
            distance = self._distance(example, self._trace(self._given(tried))).min(axis=0)
            tries += size
            if distance.min() == 0:
                return self._told(example, tries), self._apart(tried[distance == 0][:VARIANTS])
            apart = (-1, *[1] * (best.ndim - 1))
            best = np.where((distance <= score).reshape(apart), tried, best)
            score = np.minimum(distance, score)
            worst, top = np.argsort(score)[-(size // 4) :], int(score.argmin())
            best[worst], score[worst] = best[top], score[top]
            rate = self.rng.choice([0.3, 0.1, 0.03, 0.01], size).reshape(apart)
            fresh = self.rng.integers(spec.low, spec.high + 1, best.shape)
            tried = np.where(self.rng.random(best.shape) < rate, fresh, best)
        return self._told(example, tries), ()
