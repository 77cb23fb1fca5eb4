"""A silent network is not a success: layers that never fire, or always, are told of, over all inputs and on data."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import LoweringError, SquatWarning
from squat_deploy.network import Neuron
from squat_deploy.network.activity import activity, counted, fired, warnings_of, warnings_on
from squat_deploy.network.layers import Dense
from squat_deploy.network.simulator import simulate
from squat_deploy.network.transition import reachable_states
from tests.model_drawing import draw_model
from tests.test_lowering import leaky, linear

SPEC = sd.InputSpec((6,))


def counter(name: str, neurons: int, *, fires_at: int = 3, levels: int = 4) -> Neuron:
    """Neurons that count their sums: state and sum make the level, and `fires_at` of them a spike."""
    thresholds = np.arange(1, levels)[None, None] - np.arange(levels)[None, :, None]
    successor = np.tile(np.arange(levels), (1, levels, 1))
    zeros = np.zeros(neurons, dtype=np.int64)
    membranes = np.arange(levels, dtype=np.float32)[None]
    return Neuron(name, thresholds, successor, np.array([fires_at]), zeros, 0, membranes)


def dense(name: str, weight: list[list[int]], bias: list[int] | None = None) -> Dense:
    return Dense(name, np.array(weight), np.array(bias or [0] * len(weight)))


def network(*layers: object, steps: int = 4, **options: object) -> sd.Network:
    return sd.Network(sd.InputSpec((2,)), layers, steps, **options)  # type: ignore[arg-type]


def verdicts(made: sd.Network) -> list[tuple[list[int], list[int]]]:
    rows = activity(made)
    return [(np.flatnonzero(row.never).tolist(), np.flatnonzero(row.always).tolist()) for row in rows]


def test_neurons_that_never_fire_and_those_that_always_do() -> None:
    made = network(dense("fc", [[1, 0], [-1, -1], [0, 0], [0, 0]], [0, 0, 3, 0]), counter("lif", 4))
    assert verdicts(made) == [([1, 3], [2])]


def test_states_are_those_of_the_steps_that_there_are() -> None:
    """It counts to three: in two steps of at most one it cannot, in three it can."""
    layers = (dense("fc", [[1, 0]]), counter("lif", 1))
    assert verdicts(network(*layers, steps=2)) == [([0], [])]
    assert verdicts(network(*layers, steps=3)) == [([], [])]
    assert reachable_states(layers[1], 0, 0, 1, steps=2).tolist() == [0, 1]
    assert reachable_states(layers[1], 0, 0, 1).tolist() == [0, 1, 2, 3]


def test_silence_goes_downstream() -> None:
    """The second layer could fire on the spikes of the first, which never come."""
    silent, second = dense("fc1", [[-1, -1]]), dense("fc2", [[3]])
    made = network(silent, counter("lif1", 1), second, counter("lif2", 1))
    assert verdicts(made) == [([0], []), ([0], [])]
    texts = warnings_of(made)
    assert texts[0].startswith("lif1: none of its 1 neurons can ever fire (sums -2..0, 4 steps); compare weights")
    assert texts[1].startswith("lif2: none of its 1 neurons can ever fire (sums 0..0, 4 steps); ")
    driven = network(dense("fc1", [[0, 0]], [3]), counter("lif1", 1), second, counter("lif2", 1))
    assert verdicts(driven) == [([], [0]), ([], [0])]
    assert (
        "lif2: all of its 1 neurons fire at every step, whatever comes in (sums 3..3, 4 steps)"
        in warnings_of(driven)[1]
    )


def test_silence_goes_back_in_time() -> None:
    """The first layer takes the spikes of the last one a step later, of which there are none."""
    for weight, want in ((-1, [0]), (2, [])):
        layers = (dense("rec", [[3]]), counter("lif1", 1), dense("fc", [[weight, weight]]), counter("lif2", 1))
        assert verdicts(network(*layers, wires=((3,), (0,), (-1,), (2,)))) == [(want, []), (want, [])]


def test_spikes_of_the_step_before_are_not_always_there() -> None:
    """The last layer always fires, but there is no step before the first."""
    layers = (dense("rec", [[3]]), counter("lif1", 1), dense("fc", [[0, 0]], [3]), counter("lif2", 1))
    made = network(*layers, wires=((3,), (0,), (-1,), (2,)))
    assert verdicts(made) == [([], []), ([], [0])]
    trace = simulate(made, np.ones((1, 2), dtype=int), trace=True).trace or ()
    assert trace[0].spikes[:, 0, 0].tolist() == [False, True, True, True]


def test_readouts_of_membranes_need_no_spikes() -> None:
    layers = (dense("fc", [[1, 1]]), counter("lif", 1, fires_at=4))
    assert warnings_of(network(*layers, readout="last-membrane")) == ()
    assert len(warnings_of(network(*layers))) == len(warnings_of(network(*layers, readout="first"))) == 1
    inputs = np.ones((3, 2), dtype=int)
    for readout, count in (("last-membrane", 0), ("count", 1)):
        made = network(dense("fc", [[1, 1]]), counter("lif", 1, fires_at=3), readout=readout)
        assert len(warnings_on(made, [np.zeros(1, dtype=int)], 3, "the 3 given sequences")) == count, inputs


def test_many_silent_neurons_are_counted_and_few_are_not() -> None:
    for silent, said in ((3, True), (2, False)):
        made = network(dense("fc", [[1, 1]] * (4 - silent) + [[-1, -1]] * silent), counter("lif", 4))
        assert any("lif: 3 of 4 neurons can never fire" in text for text in warnings_of(made)) is said


def test_it_says_nothing_wrong_of_any_drawn_network(rng: np.random.Generator) -> None:
    """Who can never fire never fires, who always fires always does, on random inputs of random networks."""
    told = compared = 0
    for seed in range(12):
        drawn = draw_model(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SquatWarning)
            try:
                made = sd.lower(drawn.model, drawn.spec, drawn.steps, allow_unproven=True)
            except LoweringError:
                continue
        lead = (40,) if made.input.encoding == "direct" else (made.steps, 40)
        inputs = rng.integers(made.input.low, made.input.high + 1, (*lead, *made.input.shape))
        counts = fired(simulate(made, inputs, trace=True).trace or ())
        for row, count in zip(activity(made), counts, strict=True):
            assert not count[row.never].any() and (count[row.always] == 40 * made.steps).all()
            told += int(row.never.sum())
        compared += 1
    assert told > 10 and compared >= 9


def test_on_data() -> None:
    """A layer that could fire and did not, on these sequences."""
    made = network(dense("fc", [[1, 0], [0, 1]]), counter("lif", 2))
    quiet, counts = counted(made, np.zeros((300, 2), dtype=int))
    assert len(quiet.scores) == 300 and [part.tolist() for part in counts] == [[0, 0]]
    assert warnings_on(made, counts, 300, "the 300 given sequences") == (
        "lif: none of its 2 neurons fired on the 300 given sequences",
    )
    some, counts = counted(made, np.tile([[1, 0]], (300, 1)), trace=True)
    assert some.trace is not None and counts[0].tolist() == [600, 0] and not warnings_on(made, counts, 300, "")
    sequence = sd.Network(sd.InputSpec((2,), encoding="sequence"), made.layers, 4)
    _, counts = counted(sequence, np.ones((4, 300, 2), dtype=int))
    assert [part.tolist() for part in counts] == [[600, 600]]


def test_lower_warns_and_check_and_verify_tell() -> None:
    model = nn.Sequential(linear(), leaky(), linear(4, 3), leaky())
    model[0].weight.data = -model[0].weight.data.abs()
    with pytest.warns(SquatWarning, match=r"^1: none of its 4 neurons can ever fire"):
        made = sd.lower(model, SPEC, 5)
    with pytest.warns(SquatWarning, match=r"^3: none of its 3 neurons can ever fire"):
        sd.check(model, SPEC, 5)
    found = sd.verify(made, model, np.ones((4, 6), dtype=int), executors=("torch", "numpy"))
    assert found.agrees and found.inputs == "4 given sequences" and len(found.warnings) == 2
    assert found.to_dict()["warnings"][0].startswith("1: none of its 4 neurons can ever fire")
    assert torch.equal(model[0].weight.data, -model[0].weight.data.abs())


def test_a_network_that_lives_has_no_warning(small: sd.Network, fashion: sd.Network) -> None:
    assert warnings_of(small) == warnings_of(fashion) == ()
