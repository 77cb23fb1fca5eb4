"""Drawn models against a plain loop of stock snnTorch and Brevitas: proven means equal, all else is refused.

`python -m tests.oracle.fuzz` runs thousands; `--seed N --count 1 -v` describes one.
"""

from __future__ import annotations

import copy
import dataclasses
import random

import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch.functional.quant import state_quant

import squat_deploy as sd
from tests.oracle import aimed, judge, loop, models, parts, tricks
from tests.oracle.fuzz import histogram
from tests.oracle.judge import Verdict

CHUNKS, SIZE = 12, 20
_SEEN: dict[int, list[Verdict]] = {}


def chunk(number: int) -> list[Verdict]:
    """Verdicts on the seeds of one chunk; workers of a parallel run share none."""
    if number not in _SEEN:
        _SEEN[number] = [judge.judge(seed) for seed in range(number * SIZE, (number + 1) * SIZE)]
    return _SEEN[number]


@pytest.mark.parametrize("number", range(CHUNKS))
def test_what_is_proven_is_equal_and_what_is_plain_is_proven(number):
    verdicts = chunk(number)
    wrong = [f"{verdict.kind}: {verdict.rule}\n{verdict.text}" for verdict in verdicts if verdict.wrong]
    assert not wrong, "\n".join(wrong)
    proven = sum(verdict.kind == "equal" for verdict in verdicts)
    assert proven >= 0.35 * len(verdicts), f"too many are refused:\n{histogram(verdicts)}"


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


@pytest.mark.parametrize("since", [0, 9])
@pytest.mark.parametrize("group", range(6))
def test_whatever_a_forward_does_is_equal_or_refused(group, since):
    names = sorted([*tricks.VALUES, *tricks.NEURONS, *tricks.SYNAPSES])[group::6]
    wrong, refused = [], 0
    for name in names:
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


def test_aimed_inputs_find_thresholds_that_are_one_off():
    """The comparison can fail: a threshold that the model can reach, moved by one, shows in most networks."""
    found = tried = 0
    for seed in range(0, 96, 4):
        case = models.draw(seed)
        if "shape" not in case.notes and len(case.shape) > 1:
            continue
        network = _lowered(case)
        moved = _moved(network, random.Random(seed))
        inputs = aimed.inputs_for(case, moved, random.Random(seed), 60)
        tried += 1
        found += bool(judge.compare(moved, loop.play(case, inputs), inputs)[0])
    assert tried >= 4
    assert found >= 0.7 * tried, f"{found} of {tried}"


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
