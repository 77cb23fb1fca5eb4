"""Inputs that reach combinations at risk: what is not proven is looked for, and both sides are run on what is found.

A first layer is solved: the shortest way of its states from rest, and inputs that make the sums on it. Elsewhere random
inputs are changed as long as that brings a neuron nearer to its state and sum (hill climbing).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from squat_deploy.network import INPUT, AnyNeuron, IntArray, Network
from squat_deploy.network.certificate import MAX_WITNESS_VALUES, AtRisk, LayerProof, Witness
from squat_deploy.network.layers import Conv2d, NeuronLayer
from squat_deploy.network.limits import MAX_STATES
from squat_deploy.network.observed import compare
from squat_deploy.network.simulator import LayerTrace, simulate
from squat_deploy.network.tally import Tally
from squat_deploy.snn.calling import Calling
from squat_deploy.snn.copying import deep_copy
from squat_deploy.snn.model_traces import bytes_a_sample, observed_of
from squat_deploy.snn.running import own_run

Way = list[tuple[int, int]]  # the lowest and the highest sum of every step
Found = tuple[Witness, Sequence[IntArray]]  # and sequences that reach it, each (1, *shape) or (T, 1, *shape)
LOOKED_FOR = 3  # combinations a layer
TRIES = 1024  # random sequences a layer, and as many for each combination that is climbed to
VARIANTS = 8  # sequences that reach one combination
BATCHES = (1, 64)  # in which the trained model is run on what was found: it may round otherwise in each
_PARALLEL = 64  # climbers
_BYTES = 2**26  # of their traces
_MAX_PROBED = 4096  # inputs whose weights are read off one by one
_MAX_CHANGES = 512  # of inputs, until they make a sum
_UNREACHABLE = "it cannot be reached: this layer sees the same sum at every step"


def with_witnesses(network: Network, model: nn.Module, calling: Calling) -> Network:
    """The same network, its certificate with what was found of combinations at risk of every layer.

    Args: model: as it was before it was recorded; copies of it are run. calling: how.
    """
    steps = network.steps if network.input.encoding == "sequence" else 1
    if steps * network.input.size > MAX_WITNESS_VALUES:
        return network
    found: list[Witness] = []
    for place, row in enumerate(network.certificate.layers):
        search = _Search(network, place)
        for witness, candidates in search.found(row) if not row.proven else ():
            found.append(_judged(witness, search, candidates, model, calling))
    return replace(network, certificate=replace(network.certificate, witnesses=tuple(found)))


def _judged(
    witness: Witness, search: _Search, candidates: Sequence[IntArray], model: nn.Module, calling: Calling
) -> Witness:
    """With the first sequence on which the model differs, or the first of all."""
    if not candidates:
        return witness
    differs = (one for one in candidates if differing(search.network, model, one, calling))
    chosen = next(differs, None)
    inputs = candidates[0] if chosen is None else chosen
    values, step = tuple(inputs.reshape(-1).tolist()), search.step_of(witness, inputs)
    return replace(witness, inputs=values, step=step, differs=chosen is not None)


@torch.no_grad()
def differing(network: Network, model: nn.Module, inputs: IntArray, calling: Calling) -> bool:
    """Whether a model differs from the network anywhere on one sequence, alone or in a batch of copies of it."""
    direct = network.input.encoding == "direct"
    for samples in BATCHES:
        values = np.repeat(inputs, samples, axis=0 if direct else 1)
        real = torch.from_numpy((values * network.input.step).astype(np.float32))
        options: dict[str, Any] = {"looped": calling.looped, "start": calling.start, "direct": direct}
        run, tally = own_run(deep_copy(model), real, network.steps, **options), Tally()
        observed = observed_of(network, run, (), samples)
        compare(tally, network, simulate(network, values, trace=True), observed)
        if tally.mismatches:
            return True
    return False


class _Search:
    """Looks for sequences in which neurons of one layer, in one state, meet one synaptic sum."""

    def __init__(self, network: Network, place: int) -> None:
        """Args: place: of the layer among the network's neurons."""
        self.network, self.place = network, place
        self.index = [i for i, layer in enumerate(network.layers) if isinstance(layer, NeuronLayer)][place]
        self.neuron: AnyNeuron = network.neurons[place]
        self.direct, self.steps = network.input.encoding == "direct", network.steps
        self.rng = np.random.default_rng(0)
        self.ways: dict[int, dict[int, Way]] = {}  # of neurons

    def found(self, row: LayerProof) -> Iterator[Found]:
        """What came of the first combinations that can be reached."""
        examples = [self._in_reach(example) for example in row.examples]
        if not self._is_first() or self.neuron.states > MAX_STATES:  # too many ways to follow
            yield from self._met(examples, LOOKED_FOR)
            return
        possible = [one for one in examples if self._way_to(one) is not None]
        for example in possible[:LOOKED_FOR]:
            made = self._solved(example)
            yield (self._told(example, len(made)), made) if made else self._climbed(example, 0)
        for example in examples[:LOOKED_FOR] if not possible else ():
            yield replace(self._told(example, 0), note=self._why_not(example)), ()

    def _in_reach(self, example: AtRisk) -> AtRisk:
        """The same for the first neuron of its channel that meets such sums: those at an edge see fewer inputs."""
        layer = self.network.layers[max(self.network.wires[self.index])]
        size = layer.outputs // len(layer.bias) if isinstance(layer, Conv2d) else 1
        first = example.neuron // size * size
        ends = ((place, self._ends(place)) for place in (example.neuron, *range(first, first + size)))
        found = (place for place, (low, high) in ends if low <= example.synaptic_sum <= high)
        return replace(example, neuron=next(found, example.neuron))

    def _why_not(self, example: AtRisk) -> str:
        low, high = self._ends(example.neuron)
        if not low <= example.synaptic_sum <= high:  # it shares its table with neurons of other weights
            return f"it cannot be reached: the sums of this neuron are {low}..{high}"
        return _UNREACHABLE if self.direct else f"it cannot be reached within {self.steps} steps"

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
        trace = simulate(self.network, inputs, trace=True).trace
        assert trace is not None
        return trace[self.place]

    def _distance(self, example: AtRisk | Witness, trace: LayerTrace) -> NDArray[np.float64]:
        """(T, B): 0 where the neuron reaches it, else how far it is away, in shares of its sums and states."""
        sums, after = (values[:, :, example.neuron].astype(np.int64) for values in (trace.sums, trace.states))
        before = np.concatenate([np.full((1, sums.shape[1]), self.neuron.initial_state), after[:-1]])
        low, high = self._ends(example.neuron)
        membranes = self.neuron.membranes[self.neuron.table[example.neuron]].astype(np.float64)
        states = self.neuron.membrane_states
        apart = np.abs(membranes[states(before)] - membranes[states(np.array(example.state))]) / max(
            np.ptp(membranes), 1e-9
        )
        others = (sums != example.synaptic_sum) / 64 + (before != example.state) / 64
        return np.abs(sums - example.synaptic_sum) / max(1, high - low) + apart + others

    def _ends(self, neuron: int) -> tuple[int, int]:
        ((lows, highs),) = self.network.taken(self.index)
        return int(lows[neuron]), int(highs[neuron])

    def _is_first(self) -> bool:
        """Whether no neuron's spikes reach it, and nothing remembers on the way."""
        seen, open_ends = set[int](), [*self.network.wires[self.index]]
        while open_ends:
            source = open_ends.pop()
            if source != INPUT and source not in seen:
                if self.network.layers[source].remembers:
                    return False
                seen.add(source)
                open_ends += self.network.wires[source]
        return True

    def _way_to(self, example: AtRisk) -> Way | None:
        """Ranges of the sums that lead from rest to the state, the sum itself at the end; None where none do."""
        total, (low, high) = example.synaptic_sum, self._ends(example.neuron)
        if not low <= total <= high:
            return None
        if not self.direct:
            way = self._ways_of(example.neuron).get(example.state)
            return None if way is None else [*way, (total, total)]
        state = self.neuron.initial_state
        for step in range(self.steps):
            if state == example.state:
                return [(total, total)] * (step + 1)
            state = next(after for after, (low, high) in self._next(example.neuron, state) if low <= total <= high)
        return None

    def _ways_of(self, neuron: int) -> dict[int, Way]:
        """The shortest way to every state that a neuron can be in before its last step."""
        if neuron not in self.ways:
            ways = self.ways[neuron] = {self.neuron.initial_state: []}
            frontier = [self.neuron.initial_state]
            for _ in range(self.steps - 1):
                reached = [(state, *step) for state in frontier for step in self._next(neuron, state)]
                frontier = []
                for state, after, ends in reached:
                    if after not in ways:
                        ways[after] = [*ways[state], ends]
                        frontier.append(after)
        return self.ways[neuron]

    def _next(self, neuron: int, state: int) -> Iterator[tuple[int, tuple[int, int]]]:
        """Every state one step later, and the lowest and the highest sum that leads there."""
        return self.neuron.following(int(self.neuron.table[neuron]), state, *self._ends(neuron))

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
        trace = simulate(short, values if self.direct else values[None], trace=True).trace
        assert trace is not None
        return trace[self.place].sums[0, :, neuron].astype(np.int64)

    def _solved(self, example: AtRisk) -> Sequence[IntArray]:
        """Sequences whose sums lie in the ranges of the way, one after the other."""
        way, read = self._way_to(example), self._row(example.neuron)
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
