"""Testbenches alone: a core by hand passes, wrong ones fail at the right place, in both flavours and languages."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

import squat_deploy as sd
from squat_deploy.network.layers import Delay
from tests.bench import CORE, MODES, bench, by_hand, core, make, network, passed
from tests.test_hls import golden_stimulus

__all__ = ["bench", "network"]  # fixtures


@pytest.mark.parametrize("std", ["c99", "c++14"])
@pytest.mark.parametrize("mode", MODES)
def test_a_core_by_hand_passes(mode: str, std: str, network: sd.Network, bench: Path, compiler: None) -> None:
    """Without a warning, states and all; sanitizers too."""
    dut = core(bench, by_hand(mode))
    steps, runs = 12 * 6 + 3 + 6 + 6 * (mode == "stream"), 12 + 2 + 2 * (mode == "stream")
    scores = (steps if mode == "function" else runs) * 4
    more = 0 if mode == "function" else runs * (4 + 3) + (1 + 1 + 3)  # last, and three counts a call; one refused
    for target in ("check", "sanitize"):
        said = make(bench, target, dut, f"MODE={mode}", f"STD={std}", "COMPARE=states")
        assert passed(said) == steps * (8 + 4) * 2 + scores + more and said[1].startswith("PASS")
    said = make(bench, "check", dut, f"MODE={mode}", f"STD={std}", "COMPARE=scores")
    assert said[1].startswith("compared: scores only\n") and passed(said)
    spikes = make(bench, "check", dut, f"MODE={mode}", f"STD={std}", "COMPARE=spikes")
    assert spikes[1].startswith("compared: scores and spikes, no states\n")
    assert passed(spikes) - passed(said) == steps * (8 + 4) + (0 if mode == "function" else runs + 1)


@pytest.mark.parametrize("mode", MODES)
def test_clang_agrees(mode: str, network: sd.Network, bench: Path, clang: str) -> None:
    tools = (f"CC={clang.replace('clang++', 'clang')}", f"CXX={clang}")
    for std in ("c99", "c++14"):
        assert passed(make(bench, "check", core(bench, by_hand(mode)), f"MODE={mode}", f"STD={std}", *tools))


def first_of(want: sd.Network, got: sd.Network) -> str:
    """Where a core that computes `got` differs first from the golden data of `want`, as the testbench puts it."""
    inputs = golden_stimulus()
    one, other = (sd.simulate(net, inputs, trace=True).trace for net in (want, got))
    places = [place for place, layer in enumerate(want.layers, 1) if layer in want.neurons]
    for sequence, step in np.ndindex(12, want.steps):
        for place, right, wrong in zip(places, one, other, strict=True):
            for neuron in range(right.states.shape[2]):
                for what in ("state", "spike"):
                    pair = [int(getattr(trace, f"{what}s")[step, sequence, neuron]) for trace in (right, wrong)]
                    if pair[0] != pair[1]:
                        where = f"sequence {sequence} step {step} layer {place} ({right.name}) neuron {neuron} {what}"
                        return f"FIRST DIFFERENCE: {where}: want {pair[0]}, got {pair[1]}"
    raise AssertionError("no difference")


def changed(network: sd.Network, at: int, **arrays: object) -> sd.Network:
    layers = list(network.layers)
    layers[at] = dataclasses.replace(layers[at], **arrays)
    return dataclasses.replace(network, layers=tuple(layers))


def with_(array: np.ndarray, *at: int | slice, plus: int) -> np.ndarray:
    new = array.copy()
    new[at] += plus
    return new


def late(network: sd.Network) -> sd.Network:
    """The second layer sees the spikes of the step before."""
    delay = Delay("delay", np.ones(8, dtype=np.int64))
    layers = (*network.layers[:2], delay, *network.layers[2:])
    return dataclasses.replace(network, layers=layers, wires=())


def without_reset(network: sd.Network) -> sd.Network:
    """A neuron that has fired goes on as if it had the level below."""
    thresholds = network.layers[1].thresholds.copy()
    thresholds[0, 3] = thresholds[0, 2]
    return changed(network, 1, thresholds=thresholds)


MUTATIONS = {
    "a weight": (
        "sum += LAYER1_WEIGHT[o][i] * x[i]",
        "sum += (LAYER1_WEIGHT[o][i] + (o == 5 && i == 11)) * x[i]",
        lambda net: changed(net, 0, weight=with_(net.layers[0].weight, 5, 11, plus=1)),
    ),
    "a weight of the last layer": (
        "sum += LAYER3_WEIGHT[o][i] * spike1[i]",
        "sum += (LAYER3_WEIGHT[o][i] - 3 * (o == 2 && i == 1)) * spike1[i]",
        lambda net: changed(net, 2, weight=with_(net.layers[2].weight, 2, 1, plus=-3)),
    ),
    "a threshold": (
        "LAYER2_THRESHOLDS[0][state1[o]][level] <= sum",
        "LAYER2_THRESHOLDS[0][state1[o]][level] - 150 * (level == 1) <= sum",
        lambda net: changed(net, 1, thresholds=with_(net.layers[1].thresholds, 0, slice(None), 1, plus=-150)),
    ),
    "when it fires": (
        "level >= LAYER4_FIRE_LEVEL[0]",
        "level >= LAYER4_FIRE_LEVEL[0] - 1",
        lambda net: changed(net, 3, fire_level=net.layers[3].fire_level - 1),
    ),
    "the reset": (
        "LAYER2_THRESHOLDS[0][state1[o]][level] <= sum",
        "LAYER2_THRESHOLDS[0][state1[o] == 3 ? 2 : state1[o]][level] <= sum",
        without_reset,
    ),
    "where it starts": ("state1[n] = 4", "state1[n] = 2", lambda net: changed(net, 1, initial_state=2)),
    "one step late": (
        "static void step(const int32_t* x) {",
        "static void step(const int32_t* x) {\nint before[8];\nfor (int n = 0; n < 8; ++n) before[n] = started ? "
        "spike1[n] : 0;\nstarted = 1;",
        late,
    ),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("what", MUTATIONS)
def test_a_wrong_core_is_located(what: str, mode: str, network: sd.Network, bench: Path, compiler: None) -> None:
    old, new, mutate = MUTATIONS[what]
    assert CORE.count(old) == 1
    text = CORE.replace(old, new)
    if what == "one step late":
        text = text.replace("spike1[i];", "before[i];").replace("rest(void) {", "rest(void) {\nstarted = 0;")
        text = text.replace("static int state1", "static int started, state1")
    code, said = make(bench, "check", core(bench, by_hand(mode, text)), f"MODE={mode}", "COMPARE=states")
    assert code == 1 and re.search(r"^FAIL: \d+ mismatches in \d+ values, \d+ sequences$", said, re.MULTILINE), said
    assert said.splitlines()[0] == first_of(network, mutate(network))


def test_a_sequence_must_start_at_rest(network: sd.Network, bench: Path, compiler: None) -> None:
    """Also where the one before was cut off: a core that resets at the end of a sequence alone is found."""
    never = CORE.replace("rest(void) {", "rest(void) {\nif (started) return;\nstarted = 1;")
    never = never.replace("static int state1", "static int started, state1")
    ended = CORE.replace("rest(void) {", "rest(void) {\nif (steps % 6 != 0) return;")
    ended = ended.replace("static int state1", "static int steps, state1").replace("* x) {", "* x) {\n++steps;")
    for text, place in ((never, "sequence 1 step 0 layer 2 (lif1)"), (ended, "sequence 11 step 0 layer 2 (lif1)")):
        code, said = make(bench, "check", core(bench, by_hand("function", text)))
        assert code == 1 and said.startswith(f"FIRST DIFFERENCE: {place} neuron "), said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("tb_give(0xffffffffu, 1)", "tb_give(7, 1)", r"sequence 0 step 3 .* refusal: want 4294967295, got 7"),
        ("tb_give(0xffffffffu, 1)", "tb_give(7, 0)", r"sequence 0 step 3 .* last: want 1, got 0"),
        ("tb_give(0xffffffffu, 1);", "", r"sequence 0 step 3 .* words given: want 1, got 0"),
        ("n + 1 == DUT_OUTPUTS)", "n == 0)", r"sequence 0 step 5 layer 4 \(lif2\) neuron 0 last: want 0, got 1"),
        (
            "n < DUT_OUTPUTS; ++n) tb",
            "n < DUT_OUTPUTS - 1; ++n) tb",
            r".* step 5 .* words given: want 4, got 3",
        ),
        (
            "if (restart) rest();",
            "tb_give(0, 0);\n    if (restart) rest();",
            r".* step 5 .* words given: want 4, got 5",
        ),
        ("tb_trace(&trace);", "", r"sequence 0 step 5 .* steps traced: want 6, got 0"),
        (
            "tb_trace(&trace);",
            "tb_trace(&trace); tb_trace(&trace);",
            r"sequence 0 step 1 layer 2 \(lif1\) neuron \d+ s",
        ),
        ("if (i % 8 == 0) tb_take(&word, 0);", "if (i == 0) tb_take(&word, 0);", r"sequence 0 .* layer 2 \(lif1\)"),
    ],
)
def test_a_stream_that_breaks_the_rules(
    old: str, new: str, said: str, network: sd.Network, bench: Path, compiler: None
) -> None:
    text = by_hand("stream")
    assert text.count(old) == 1
    code, told = make(bench, "check", core(bench, text.replace(old, new)), "MODE=stream", "COMPARE=states")
    assert code == 1 and re.match(f"FIRST DIFFERENCE: {said}", told), told


def test_words_that_a_core_leaves_behind(network: sd.Network, bench: Path, compiler: None) -> None:
    text = by_hand("stream").replace("if (i % 8 == 0) tb_take(&word, 0);", "if (i == 0) tb_take(&word, 0);")
    said = make(bench, "check", core(bench, text), "MODE=stream")[1]
    assert "layer 4 (lif2) neuron 0 words left behind: want 0, got 1\n" in said


def test_what_a_core_does_not_write(network: sd.Network, bench: Path, compiler: None) -> None:
    shown = "for (int n = 0; n < 4; ++n) trace->layer4_state[n] = state2[n];"
    text = by_hand("function").replace(shown, shown.replace("n < 4", "n < 3"))
    code, said = make(bench, "check", core(bench, text))
    assert code == 1 and re.search(r"step 0 layer 4 \(lif2\) neuron 3 state: want \d, got nothing\n", said), said
    assert passed(make(bench, "check", "DUT=my_core.c", "COMPARE=spikes"))
    silent = by_hand("function").replace("scores[n] = score[n];", "(void)scores;")
    code, said = make(bench, "check", core(bench, silent))
    assert code == 1 and "step 0 layer 4 (lif2) neuron 0 score: want 0, got nothing\n" in said
