"""Drawn models against a plain loop of stock snnTorch and Brevitas: proven means equal, all else is refused.

`python -m tests.oracle.fuzz` runs thousands; `--seed N --count 1 -v` describes one.
"""

from __future__ import annotations

import copy
import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch.functional.quant import state_quant
from torch import nn

import squat_deploy as sd
from tests.oracle import aimed, judge, loop, models, parts, spellings, tricks
from tests.oracle.fuzz import histogram

CHUNKS, SIZE = 5, 16
FLOOR = 0.3  # of each chunk must be proven; of 200 models 108 are; `make fuzz` draws any number


@pytest.mark.parametrize("number", range(CHUNKS))
def test_what_is_proven_is_equal_and_what_is_plain_is_proven(number):
    verdicts = [judge.judge(seed) for seed in range(number * SIZE, (number + 1) * SIZE)]
    wrong = [f"{verdict.kind}: {verdict.rule}\n{verdict.text}" for verdict in verdicts if verdict.wrong]
    assert not wrong, "\n".join(wrong)
    proven = sum(verdict.kind == "equal" for verdict in verdicts)
    assert proven >= FLOOR * len(verdicts), f"too many are refused:\n{histogram(verdicts)}"


@pytest.mark.parametrize("number", range(2))
def test_spelled_forwards_are_equal_or_refused_and_proven_where_nothing_is_odd(number):
    verdicts = [judge.judge_spelling(seed) for seed in range(number * 10, (number + 1) * 10)]
    wrong = [f"{verdict.kind}: {verdict.rule}\n{verdict.text}" for verdict in verdicts if verdict.wrong]
    assert not wrong, "\n".join(wrong)
    assert sum(verdict.kind == "equal" for verdict in verdicts) >= 6


def test_a_seed_spells_the_same_forward_again():
    first, second = (spellings.draw_spelling(7) for _ in range(2))
    assert first.notes == second.notes and "def forward" in first.notes[-1]


def _tricked(name: str, since: int, hidden: bool) -> models.Case:
    """A loop over eleven steps of a small net in which something happens from some step on."""
    torch.manual_seed(1)
    dice = parts.Draw(random.Random(1), plain=True)
    stages = []
    for fan_in, fan_out in ((6, 5), (5, 3)):
        synapses = parts.dense(dice, fan_in, fan_out, exact=True)
        quantizer, told = state_quant(3, threshold=0.5), {"num_bits": 3}
        neuron = snn.Leaky(beta=0.75, threshold=0.5, init_hidden=hidden, state_quant=quantizer)
        neuron.drawn_table = told
        stages.append(models.Stage([synapses], neuron))
    first = stages[0]
    act = (tricks.VALUES | tricks.NEURONS | tricks.SYNAPSES)[name]
    target = first.neuron if name in tricks.NEURONS else first.current[0] if name in tricks.SYNAPSES else None
    trick = tricks.Trick(name, act, None, since, False, target)
    first.current.insert(0 if target is first.current[0] else 1, trick)
    options = {"direct": False, "steps": 11, "take": "size", "init": "reset", "returns": "spikes"}
    options |= {"hidden": hidden, "shapes": [(5,), (3,)], "feedback": None}
    model = models.Loop(stages, options).eval()
    return models.Case(0, model, (6,), 0, 3, 0.5, "sequence", 11, True, "spikes", False, (name,), ())


@pytest.mark.parametrize("group", range(6))
def test_whatever_a_forward_does_is_equal_or_refused(group):
    """From the first step on, or from one on that short tests do not reach."""
    names = sorted([*tricks.VALUES, *tricks.NEURONS, *tricks.SYNAPSES])[group::6]
    wrong, refused = [], 0
    for place, name in enumerate(names):
        since = 0 if (place + group) % 3 == 0 else 9
        case = _tricked(name, since, hidden=name in tricks.NEURONS or group % 2 == 1)
        kind, rule, _ = judge.outcome(case, None, random.Random(0))
        refused += kind == "refused"
        wrong += [f"{name}: {kind}: {rule}"] if kind not in ("equal", "refused") else []
    assert not wrong, "\n".join(wrong)
    assert refused, "none of these was even seen"


def test_the_same_net_without_tricks_is_proven():
    case = _tricked("clone", 0, hidden=True)
    case.model.stages[0].current.pop(1)
    assert judge.outcome(case, None, random.Random(0))[0] == "equal"


def _lowered(case: models.Case) -> sd.Network:
    spec = sd.InputSpec(case.shape, case.low, case.high, case.step, case.encoding)
    return sd.lower(copy.deepcopy(case.model), spec, case.steps)


def _small(seed: int) -> models.Case:
    dice = parts.Draw(random.Random(seed), plain=True)
    torch.manual_seed(seed)
    neuron = snn.Leaky(beta=0.9, threshold=1.0, init_hidden=True, state_quant=state_quant(2))
    model = nn.Sequential(parts.dense(dice, 8, 2, exact=True), neuron).eval()
    encoding = ("direct", "sequence")[seed % 2]
    return models.Case(seed, model, (8,), 0, 15, 0.125, encoding, 5, False, "spikes", True, (), ())


def test_aimed_inputs_find_thresholds_that_are_one_off():
    """The comparison can fail: a threshold that the model reaches, moved by one, shows in most networks."""
    found = 0
    for seed in range(12):
        case = _small(seed)
        network = _lowered(case)
        inputs = aimed.inputs_for(case, network, random.Random(seed), 60)
        record = loop.play(case, inputs)
        assert not judge.compare(network, record, inputs)[0]
        found += bool(judge.compare(_moved(network, random.Random(seed)), record, inputs)[0])
    assert found >= 9, f"{found} of 12"


def test_thresholds_are_aimed_at_currents():
    """What fails while it aims is judged as it was drawn: that must not become the rule."""
    aimed_at = [judge._aimed(models.draw(seed), random.Random(f"judge {seed}")) is not None for seed in range(30)]
    assert sum(aimed_at) >= 6


def _moved(network: sd.Network, rng: random.Random) -> sd.Network:
    """The same with one threshold of the first neurons one higher."""
    index = next(i for i, layer in enumerate(network.layers) if type(layer).__name__ == "Neuron")
    neuron = network.layers[index]
    low, high = (int(end[0]) for end in network.range_at(network.wires[index][0]))
    thresholds = neuron.thresholds.copy()
    machine = int(neuron.table[0])
    places = np.argwhere((thresholds[machine] > low) & (thresholds[machine] < high))
    state, level = rng.choice([p for p in places.tolist() if p[0] == neuron.initial_state] or places.tolist())
    thresholds[machine, state, level] += 1
    thresholds.sort(axis=2)
    layers = list(network.layers)
    layers[index] = dataclasses.replace(neuron, thresholds=thresholds)
    return dataclasses.replace(network, layers=tuple(layers))


@pytest.mark.parametrize("name", ["models", "parts", "tricks", "edges", "loop", "aimed", "nir_graphs", "spellings"])
def test_the_oracle_shares_nothing_with_the_product(name):
    text = (Path(__file__).parent / f"{name}.py").read_text()
    assert "squat_deploy" not in text


def test_a_seed_draws_the_same_model_again():
    for seed in (1, 4, 7, 10):
        first, second = models.draw(seed), models.draw(seed)
        assert str(first) == str(second)
        tensors = zip(first.model.state_dict().values(), second.model.state_dict().values(), strict=True)
        assert all(torch.equal(a, b) for a, b in tensors)


def test_a_wanted_sum_is_hit():
    numbers, hits = random.Random(0), 0
    for _ in range(20):
        row = np.array([numbers.randint(-7, 7) for _ in range(12)])
        target = int(row @ np.array([numbers.randint(0, 3) for _ in range(12)]))
        values = aimed.solved(row, target, 0, 3, numbers)
        hits += values is not None
        assert values is None or (row @ values == target and values.min() >= 0 and values.max() <= 3)
    assert hits >= 18


def test_differences_are_reported_and_fail():
    """What the fuzzer's exit code hangs on."""
    refused = judge.Verdict(1, "refused", "a rule", 0, (), False, "")
    assert not refused.wrong and dataclasses.replace(refused, plain=True).wrong
    assert dataclasses.replace(refused, kind="differs").wrong and dataclasses.replace(refused, kind="broken").wrong
    assert histogram([refused, refused]).split() == ["2", "a", "rule"]
