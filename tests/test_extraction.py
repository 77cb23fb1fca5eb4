"""Batched extraction against its definition, one element at a time, and the memory that it may take."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import InternalError, LoweringError
from squat_deploy.lowering import enumeration, extract
from squat_deploy.lowering.current import Current, alike
from squat_deploy.lowering.neuron import NeuronMachine, extract_machines
from squat_deploy.lowering.probe import BATCH, NeuronProbe
from squat_deploy.snn.levels import from_ordered, to_ordered
from squat_deploy.snn.neurons import kind_of
from squat_deploy.snn.quantizers import StateQuantizer, state_quant
from tests.drawing import draw

NEURONS = 3
LIMIT = np.float32(2.5)


def drawn_neuron(seed: int) -> nn.Module:
    """Every kind, with parameters of one value or one a neuron."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    kind = rng.choice(["leaky", "leaky", "lapicque", "rleaky", "synaptic"])
    reset = rng.choice(["subtract", "zero", "none"])
    each = {key: 0.5 + 0.5 * torch.rand(NEURONS) for key in ("beta", "threshold", "alpha", "R", "C")}
    chosen = {key: value if rng.random() < 0.5 else value[0].item() for key, value in each.items()}
    bits = 2 if kind == "synaptic" else rng.choice([1, 2, 3])
    quantizer = state_quant(bits, rng.random() < 0.5, threshold=float(torch.as_tensor(chosen["threshold"]).max()))
    shared: dict[str, Any] = {
        "threshold": chosen["threshold"],
        "learn_threshold": rng.random() < 0.5,
        "reset_mechanism": reset,
        "reset_delay": rng.random() < 0.5,
        "state_quant": quantizer,
    }
    if kind == "lapicque":
        del shared["reset_delay"]
        made = snn.Lapicque(R=1.0, C=2.0, **shared)
        made.R.data, made.C.data = (torch.as_tensor(chosen[key]) + place for place, key in enumerate("RC"))
        return made
    if kind == "rleaky":
        return snn.RLeaky(chosen["beta"], all_to_all=False, V=1.0, learn_recurrent=False, **shared)
    if kind == "synaptic":
        return snn.Synaptic(chosen["alpha"], chosen["beta"], learn_beta=rng.random() < 0.5, **shared)
    return snn.Leaky(chosen["beta"], learn_beta=rng.random() < 0.5, **shared)


def probe_of(module: nn.Module, neurons: np.ndarray | int) -> NeuronProbe:
    """With the parameters of these neurons."""
    quantizer = StateQuantizer(module.state_quant.levels.detach(), -np.inf)
    places = {key: np.minimum(neurons, getattr(module, key).numel() - 1) for key in kind_of(module).parameters}
    return NeuronProbe(module, places, quantizer, "neuron")


def boundary_alone(probe: NeuronProbe, state: np.ndarray, level: int) -> float:
    """The smallest current above a level, from one state, one current at a time."""

    def above(order: int) -> bool:
        return int(probe.step(from_ordered(np.array([order])), state[None]).levels[0, -1]) > level

    low, high = to_ordered(np.array([-LIMIT, LIMIT])).tolist()
    if above(low):
        return -np.inf
    if not above(high):
        return np.inf
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if above(middle) else (middle, high)
    return float(from_ordered(np.array([high]))[0])


@pytest.mark.parametrize("seed", range(10))
def test_batches_of_states_levels_and_parameters_are_the_definition(seed: int) -> None:
    """Machines of all neurons together; every boundary of some states is found again by itself."""
    module = drawn_neuron(seed)
    together = list(extract_machines(probe_of(module, np.arange(NEURONS)), float(LIMIT)))
    rng = np.random.default_rng(seed)
    for neuron, machine in enumerate(together):
        alone = probe_of(module, neuron)
        (single,) = extract_machines(alone, float(LIMIT))
        assert all(np.array_equal(value, getattr(single, key)) for key, value in vars(machine).items())
        for row in rng.permutation(len(machine.states))[:2]:
            levels = range(alone.levels.size - 1)
            found = [boundary_alone(alone, machine.states[row], level) for level in levels]
            held = machine.boundaries[row]
            assert set(found) <= set(held.tolist()) if machine.states.shape[1] > 1 else found == held.tolist()
        check_successors(alone, machine, rng)


def check_successors(probe: NeuronProbe, machine: NeuronMachine, rng: np.random.Generator) -> None:
    """From drawn states by drawn currents, one at a time, membranes and spikes to the bit."""
    for state, current in zip(rng.integers(0, len(machine.states), 20), rng.uniform(-2.5, 2.5, 20), strict=True):
        given = np.array([current], dtype=np.float32)
        stepped = probe.step(given, machine.states[state][None])
        level = int((machine.boundaries[state] <= given).sum())
        assert np.array_equal(stepped.carried[0], machine.states[machine.successor[state, level]])
        assert stepped.fired[0] == (level >= machine.fire_level)


@pytest.mark.parametrize("seed", range(8))
def test_an_element_of_a_batch_is_what_it_is_alone(seed: int) -> None:
    module, rng = drawn_neuron(seed), np.random.default_rng(seed)
    probe = probe_of(module, np.arange(NEURONS))
    depth = len(kind_of(module).states)
    chosen, states = rng.integers(0, NEURONS, 700), rng.normal(0, 1, (700, depth)).astype(np.float32)
    currents = rng.normal(0, 2, 700).astype(np.float32)
    batch = probe.step(currents, states, chosen=chosen)
    for place in range(0, 700, 7):
        single = probe_of(module, int(chosen[place])).step(currents[place : place + 1], states[place : place + 1])
        assert np.array_equal(single.carried[0], batch.carried[place]) and single.fired[0] == batch.fired[place]


def test_alike_keeps_the_order_and_knows_one_zero() -> None:
    columns = np.array([[1.0, -0.0], [2.0, 1.0], [1.0, 0.0], [0.0, 5.0], [2.0, 1.0]])
    assert [members.tolist() for members in alike(columns)] == [[0, 2], [1, 4], [3]]


@pytest.mark.parametrize("kind", ["grid", "scale", "norm", "flipped norm"])
def test_currents_in_parts_are_those_of_the_whole(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts, risks, and the currents beside boundaries, however few are made at once."""
    from squat_deploy.lowering import ladder

    rng, one = np.random.default_rng(len(kind)), np.ones(1)
    current = Current(kind, 0.013 * one, 0.3 * one, (0.0 if kind == "grid" else 0.004) * one)
    if kind == "scale":
        current = replace(current, scale=0.77 * one)
    if "norm" in kind:
        norm = nn.BatchNorm1d(1).eval()
        nn.init.constant_(norm.weight, -1.3 if "flipped" in kind else 1.3)
        norm.running_mean.fill_(0.37)
        norm.running_var.fill_(2.1)
        current = current.with_norm(norm, np.zeros(1, dtype=np.int64))
    boundaries = np.sort(rng.normal(0, 4, (5, 40)).astype(np.float32), axis=1)
    boundaries[0, 0], boundaries[1, -1] = -np.inf, np.inf
    found = []
    for part in (2**18, 1000, 97, 1):
        monkeypatch.setattr(ladder, "PART", part)
        whole = ladder.Ladder(current, 0, -700, 900)
        below = whole.below(boundaries)
        values, error = whole.beside(below)
        distance = np.abs(values.astype(float) - boundaries).min(axis=0)
        found.append([below, values, error, *whole.unsure(boundaries, distance)])
        assert max(len(values) for values, _ in whole.parts()) == min(part, 1601)
    assert all(np.array_equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))
    currents, errors = ladder.Ladder(current, 0, -700, 900).at(np.arange(-700, 901))
    assert np.array_equal(found[0][0], (currents < boundaries[..., None]).sum(axis=2))
    near = (currents - errors < boundaries[..., None]) & (boundaries[..., None] <= currents + errors)
    assert found[0][-1] == near.sum() and (found[0][-1] > 0) == (kind != "grid")


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Elements of every step of a neuron."""
    seen: list[int] = []
    step = NeuronProbe.step

    def counted(self: NeuronProbe, current: Any, states: Any, *rest: Any, **options: Any) -> Any:
        seen.append(int(np.prod(np.broadcast_shapes(current.shape, states.shape[:-1]))))
        return step(self, current, states, *rest, **options)

    monkeypatch.setattr(NeuronProbe, "step", counted)
    return seen


def wide_model() -> nn.Sequential:
    """8-bit states, a beta and a bias a neuron."""
    from brevitas.nn import QuantLinear
    from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint

    torch.manual_seed(0)
    linear = QuantLinear(12, 9, bias=True, weight_quant=Int8WeightPerTensorFixedPoint, weight_bit_width=6)
    return nn.Sequential(linear, snn.Leaky(torch.rand(9), init_hidden=True, state_quant=state_quant(8))).eval()


@pytest.mark.parametrize("limit", [2**25, 2**10])
def test_batches_have_a_budget(limit: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """However large the tables: exhaustively, and where a sample is run."""
    monkeypatch.setattr(enumeration, "ENUMERATION_LIMIT", limit)
    proof = sd.lower(wide_model(), sd.InputSpec((12,), 0, 15, 2.0**-4), 3, allow_unproven=True).certificate.layers[0]
    assert proof.tables == 9 and proof.exhaustive == (limit == 2**25)
    assert max(sizes) <= 1.01 * BATCH and sum(sizes) >= proof.enumerated
    assert len(sizes) < 60 + 2 * sum(sizes) // BATCH  # and they are used


@pytest.mark.parametrize("seed", [3, 11])
@pytest.mark.parametrize("limit", [2**25, 2**10])
def test_the_size_of_a_batch_changes_nothing(seed: int, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from squat_deploy.lowering import bisecting, ladder, neuron

    monkeypatch.setattr(enumeration, "ENUMERATION_LIMIT", limit)
    drawn = draw(seed)
    made = sd.lower(drawn.model, drawn.spec, drawn.steps, allow_unproven=True)
    for module, name, size in (
        (enumeration, "BATCH", 400),
        (bisecting, "BATCH", 70),
        (bisecting, "_SEARCHES", 600),
        (neuron, "BATCH", 300),
        (neuron, "_TOGETHER", 300),
        (ladder, "PART", 37),
    ):
        monkeypatch.setattr(module, name, size)
    again = sd.lower(drawn.model, drawn.spec, drawn.steps, allow_unproven=True)
    assert again.digest == made.digest and again.certificate == made.certificate


@pytest.mark.parametrize("limit", [2**25, 2**10])
@pytest.mark.parametrize("change", [-1, 1])
def test_one_wrong_threshold_is_found(limit: int, change: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a reachable state of the last table."""
    monkeypatch.setattr(enumeration, "ENUMERATION_LIMIT", limit)
    made = extract._neuron

    def broken(layer: Any, groups: Any, tables: Any) -> Any:
        neuron = made(layer, groups, tables)
        thresholds, last = neuron.thresholds.copy(), tables[-1]
        row = last.live[len(last.live) // 2]
        inner = np.flatnonzero(np.diff(thresholds[-1, row]) > 2)
        thresholds[-1, row, inner[len(inner) // 2]] += change
        object.__setattr__(neuron, "thresholds", thresholds)
        return neuron

    monkeypatch.setattr(extract, "_neuron", broken)
    with pytest.raises(InternalError, match="the table differs from the trained neuron 8 at state"):
        sd.lower(wide_model(), sd.InputSpec((12,), 0, 15, 2.0**-4), 3, allow_unproven=True)


@pytest.mark.parametrize("kind", ["mean", "first", "calls"])
def test_spike_functions_that_are_not_elementwise_are_refused(kind: str) -> None:
    calls = [0]

    def odd(shift: torch.Tensor) -> torch.Tensor:
        calls[0] += 1
        spikes = (shift > 0).float()
        if kind == "mean":
            return spikes * (spikes.mean() < 0.9)
        if kind == "first" and spikes.numel() > 100:
            spikes.reshape(-1)[0] = 1 - spikes.reshape(-1)[0]
        if kind == "calls" and calls[0] > 20:
            return 1 - spikes
        return spikes

    model = wide_model()
    model[1].spike_grad = odd
    with pytest.raises(LoweringError, match="spike"):
        sd.lower(model, sd.InputSpec((12,), 0, 15, 2.0**-4), 3, allow_unproven=True)
