"""Golden sequences: what is said to show does when it is changed, what is said to be out of reach is never met."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest

import squat_deploy as sd
from squat_deploy.backends import hls
from squat_deploy.hardware.coverage import goals
from squat_deploy.hardware.coverage.reached import reached_by
from squat_deploy.hardware.coverage.restarts import restarts
from squat_deploy.hardware.vectors import default_stimulus, golden_inputs
from squat_deploy.network.encoders import (
    AnyEncoder,
    EventEncoder,
    LatencyEncoder,
    RateEncoder,
    takes_intensities,
)
from squat_deploy.network.simulator import Result
from tests.graph_drawing import draw_graph, draw_inputs
from tests.test_hardware import sequence_network


def same(one: Result, other: Result) -> bool:
    """Every state and spike of every step."""
    return all(
        np.array_equal(a.states, b.states) and np.array_equal(a.spikes, b.spikes)
        for a, b in zip(one.trace, other.trace, strict=True)
    )


def changed(network: sd.Network, index: int, weight: int, bit: int, bits: int, *, bipolar: bool) -> sd.Network:
    """With one bit of one weight as it is stored changed; ranges stay those of the network, as in hardware."""
    layer = network.layers[index]
    values = layer.weight.reshape(-1).copy()
    values[weight] = (
        -values[weight] if bipolar else (((values[weight] ^ 1 << bit) + 2 ** (bits - 1)) % 2**bits) - 2 ** (bits - 1)
    )
    other = dataclasses.replace(layer, weight=values.reshape(layer.weight.shape))
    layers = tuple(other if place == index else one for place, one in enumerate(network.layers))
    return dataclasses.replace(network, layers=layers)


@pytest.mark.parametrize("seed", range(24))
def test_what_is_said_to_show_does_and_nothing_else(seed: int) -> None:
    """Every kind of graph: bits of weights, one at a time, and the levels that the network's ranges allow."""
    network, rng = draw_graph(seed), np.random.default_rng(seed)
    inputs = draw_inputs(network, 6, seed)
    result = sd.simulate(network, inputs, trace=True)
    reached = reached_by(network, inputs)
    for key, goal in reached.goals.all.items():
        assert not (reached.have[key] & ~goal.possible).any(), key
    for index, weights in reached.goals.synapses.items():
        if not reached.goals.counted[index]:
            continue
        shows = reached.have[index, "bits", 0].reshape(weights.bits, -1)
        for _ in range(12):
            bit, weight = int(rng.integers(weights.bits)), int(rng.integers(shows.shape[1]))
            other = changed(network, index, weight, bit, weights.bits, bipolar=weights.bipolar)
            found = sd.simulate(other, inputs, trace=True)
            assert same(result, found) != shows[bit, weight], (network.layers[index].name, weight, bit)


@pytest.mark.parametrize("encoder", [None, RateEncoder(bits=4), LatencyEncoder(bits=3), EventEncoder(window=7)])
@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_chosen_sequences_are_the_same_twice_and_fit(count: int, encoder: AnyEncoder | None) -> None:
    """Inside the range of what the core takes, as many as are asked for at most, the edges among them."""
    network = sequence_network((0, 3) if isinstance(encoder, EventEncoder) else (0, 1))
    first, again = (default_stimulus(network, count, encoder) for _ in range(2))
    assert first.tobytes() == again.tobytes()
    once = takes_intensities(encoder)
    assert first.shape[0 if once else 1] <= count
    high = 2**encoder.bits - 1 if once else network.input.high
    assert first.min() >= 0 and first.max() <= high
    if count == 40:
        frames = first.reshape(1, -1, 12) if once else first
        assert (frames == 0).all(axis=(0, 2)).any() and (frames == high).all(axis=(0, 2)).any()
        if not once:
            on = (frames != 0).any(axis=2)
            for step in (0, -1):
                assert ((on.sum(axis=0) == 1) & on[step]).any()


def test_sequences_chosen_reach_more_than_random_ones(fashion: sd.Network) -> None:
    """Every word of both ROMs of the bundled network, every neuron, every level, and thresholds from both sides."""
    inputs, reached = golden_inputs(fashion, 150)
    random = np.random.default_rng(0).integers(0, 16, (150, 784))
    others = reached_by(fashion, random)
    for key, goal in reached.goals.all.items():
        found, other = (np.count_nonzero(some.have[key] & goal.possible) for some in (reached, others))
        share = found / np.count_nonzero(goal.possible)
        assert (
            share == 1 or (key[1] in ("above", "below") and share > 0.9) or (key[1] == "bits" and found > 2 * other)
        ), key
    assert len(inputs) <= 150
    again = reached_by(fashion, inputs)
    assert again.tries == len(inputs)
    assert all(np.array_equal(reached.have[key], again.have[key]) for key in reached.have)


def test_restarts_that_show_are_those_that_differ_from_going_on() -> None:
    """Two sequences, and the second as if it were more steps of the first."""
    network = sequence_network((0, 1))
    inputs = golden_inputs(network, 12)[0][:, 4:6]
    found = restarts(network, sd.simulate(network, inputs, trace=True))[1]
    longer = dataclasses.replace(network, steps=2 * network.steps)
    on = sd.simulate(longer, np.concatenate([inputs[:, :1], inputs[:, 1:]]), trace=True).trace[0]
    first = sd.simulate(network, inputs[:, 1:], trace=True).trace[0]
    moved = (on.states[network.steps, 0] != first.states[0, 0]) | (on.spikes[network.steps, 0] != first.spikes[0, 0])
    assert (found == moved).all() and found.any()
    text = hls.render(network, sd.HlsConfig(pe=2, vectors=12))["reports/coverage.txt"]
    assert re.search(r"lif1 +neurons whose missing restart shows +(\d+) +5 +5\n", text)
    assert re.search(r"lif1 +lanes with neurons that fired +2 +2 +2\n", text)
    assert re.search(r"lif1 +groups of lanes with neurons that fired +3 +3 +3\n", text)


def test_what_is_too_large_to_count_is_said(small: sd.Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words and neurons still are; the levels of tables and the bits of weights beyond a limit are named."""
    monkeypatch.setattr(goals, "MOST_CODES", 10)
    monkeypatch.setattr(goals, "MOST_BITS", 10)
    text = hls.render(small, sd.HlsConfig(vectors=3))["reports/coverage.txt"]
    assert "fc1: which bits of its weights show is not counted: there are too many, or what" in text
    assert "lif1: its levels are not counted: there are too many" in text and "bits of weights that" not in text
    assert re.search(r"fc1 +words of weights read +(\d+) +\1 +\1\n", text)


def test_a_given_stimulus_is_reported_too(small: sd.Network) -> None:
    """In the manifest as in the report: an empty frame reads no weight."""
    files = hls.render(small, sd.HlsConfig(pe=4), np.zeros((2, 16), dtype=np.int64))
    stated = json.loads(files["manifest.json"])["coverage"]
    assert stated["source"] == "They were given; 2 of them were looked at." and stated["sequences"] == 2
    words = next(row for row in stated["rows"] if row["what"] == "words of weights read" and row["layer"] == "fc1")
    assert (words["reached"], words["possible"], words["all"]) == (0, 32, 32)
    assert "fc1: weights of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 4 more: not met in 2 looked at" in stated["notes"]


def test_inputs_that_can_do_nothing_are_named(small: sd.Network) -> None:
    """Neurons that never fire, by their ranges, and the weights behind them."""
    silent = dataclasses.replace(small.layers[1], thresholds=np.full_like(small.layers[1].thresholds, 10**6))
    network = dataclasses.replace(small, layers=(small.layers[0], silent, *small.layers[2:]))
    text = hls.render(network, sd.HlsConfig(vectors=3))["reports/coverage.txt"]
    assert "lif1: can never fire: neurons 0, 1, 2, 3, 4, 5, 6, 7: proven by activity" in text
    assert "fc2: no input meets the weights of 0, 1, 2, 3, 4, 5, 6, 7: proven by activity" in text


def test_thresholds_of_a_first_layer_are_met_from_both_sides(small: sd.Network) -> None:
    """All that any sum through a whole sequence leads to, by sums equal to them and by sums one less."""
    reached = golden_inputs(small)[1]
    for kind in ("found", "above", "below"):
        goal = reached.goals.all[1, kind, 0]
        assert goal.possible.any() and (reached.have[1, kind, 0] >= goal.possible).all()
