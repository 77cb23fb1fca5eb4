"""Two-state neurons by offsets: equal to the trained neuron wherever it is looked at, or refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from brevitas.nn import QuantLinear
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from brevitas.quant.scaled_int import Int8WeightPerTensorFloat
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import FileFormatError, InternalError, LoweringError, NotProvenError
from squat_deploy.hardware.budget import OFFERS
from squat_deploy.hardware.design import design_of
from squat_deploy.lowering import offsets, two_state
from squat_deploy.network import Neuron, TwoStateNeuron
from squat_deploy.network.activity import activity
from squat_deploy.network.rules import broken_rule
from squat_deploy.network.two_state_reach import reachable_parts
from squat_deploy.snn.levels import Kind
from squat_deploy.snn.quantizers import StateQuantizer
from tests.cycles import cycles_compared
from tests.graphs import check_every_form
from tests.law import assert_agrees
from tests.test_storage import altered

SPEC = sd.InputSpec((6,), -3, 3, 0.5)


def neuron(bits: int, kind: Kind = "threshold-centred", recurrent: bool = False, **options: Any) -> nn.Module:
    options = {"alpha": 0.9, "beta": 0.8, "init_hidden": True, **options}
    own: dict[str, Any] = {"all_to_all": False, "V": 0.5} if recurrent else {}
    made = snn.RSynaptic if recurrent else snn.Synaptic
    return made(state_quant=StateQuantizer.of(bits, kind), **own, **options)


def linear(outputs: int = 4, quantizer: Any = Int8WeightPerTensorFixedPoint) -> QuantLinear:
    torch.manual_seed(0)
    layer = QuantLinear(6, outputs, bias=False, weight_quant=quantizer, weight_bit_width=5)
    layer.weight.data.normal_(0, 0.6)
    return layer


def model(*options: Any, outputs: int = 4, quantizer: Any = Int8WeightPerTensorFixedPoint, **more: Any) -> nn.Module:
    return nn.Sequential(linear(outputs, quantizer), neuron(*options, **more)).eval()


def inputs(samples: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(-3, 4, (samples, 6))


RESETS = [("subtract", True), ("zero", True), ("none", True), ("subtract", False), ("zero", False)]


def step_from(layer: TwoStateNeuron, current: int, membrane: int, sums: np.ndarray) -> tuple[np.ndarray, ...]:
    """(next currents, next membranes, spikes) of the first neuron for each sum, by the simulator."""
    step = layer.stage().start(sums.size)
    step.current, step.membrane = step.current * 0 + current, step.membrane * 0 + membrane
    fired = step(np.repeat(sums[:, None], layer.neurons, axis=1))
    return step.current[:, 0], step.membrane[:, 0], fired[:, 0]


def currents_in_reach(layer: TwoStateNeuron, sums: np.ndarray) -> list[int]:
    """From rest, with any of the sums."""
    found, new = set[int](), {int(layer.parts(np.array(layer.initial_state))[0])}
    while new:
        found |= new
        new = {int(a) for place in new for a in step_from(layer, place, 0, sums)[0]} - found
    return sorted(found)


@pytest.mark.parametrize(("reset", "delay"), RESETS)
def test_offsets_are_the_trained_neuron_on_every_pair_and_sum(reset: str, delay: bool) -> None:
    """Run here without the product: every pair of states, every sum, both states and the spike."""
    made = model(5, reset_mechanism=reset, reset_delay=delay, outputs=1)
    network = sd.lower(made, SPEC, 4)
    layer, row = network.neurons[0], network.certificate.layers[0]
    assert isinstance(layer, TwoStateNeuron) and row.exhaustive and row.note.startswith("two offsets, ")
    lows, highs = network.range_at(0)
    sums = np.arange(lows[0], highs[0] + 1)
    unit = made[0].quant_weight().scale.item() * 0.5
    lif, seen = made[1], 0
    lif.init_hidden = False
    for a in currents_in_reach(layer, sums):
        syn = layer.currents[0, a]
        for b, mem in enumerate(layer.membranes[0]):
            if (syn == 0) != (mem == 0):  # a rest that is no level comes with the other
                continue
            given = torch.from_numpy((sums * unit).astype(np.float32))
            with torch.no_grad():
                spikes, *states = lif(given, torch.full_like(given, float(syn)), torch.full_like(given, float(mem)))
            after, left, fired = step_from(layer, a, b, sums)
            assert np.array_equal(layer.currents[0][after], states[0].numpy())
            assert np.array_equal(layer.membranes[0][left], states[1].numpy() + 0.0)
            assert np.array_equal(fired, spikes.numpy() > 0)
            seen += sums.size
    assert seen > 100_000 and (seen == row.enumerated or not delay)


@pytest.mark.parametrize(("reset", "delay"), RESETS)
@pytest.mark.parametrize("readout", ["count", "highest-membrane"])
def test_every_engine_agrees(reset: str, delay: bool, readout: Any, tmp_path: Path) -> None:
    made = nn.Sequential(*model(6, reset_mechanism=reset, reset_delay=delay, outputs=6), linear(3), neuron(5)).eval()
    network = sd.lower(made, SPEC, 5, readout=readout)
    assert all(isinstance(layer, TwoStateNeuron) for layer in network.neurons)
    assert_agrees(sd.verify(network, made, inputs(), executors=["torch", "numpy", "onnxruntime"]))
    if reset == "zero":
        check_every_form(network, inputs(), tmp_path)


def test_recurrent_neurons_whose_order_of_addition_does_not_matter() -> None:
    made = model(6, recurrent=True)
    network = sd.lower(made, SPEC, 6)
    assert isinstance(network.neurons[0], TwoStateNeuron) and network.certificate.proven
    assert_agrees(sd.verify(network, made, inputs(), executors=["torch", "numpy", "onnxruntime"]))
    with pytest.raises(NotProvenError, match="adds its input and recurrent currents one after the other"):
        sd.lower(model(6, "uniform", recurrent=True, reset_mechanism="none"), SPEC, 6)


def test_eight_bits_have_some_hundred_integers_and_are_proven_at_every_threshold() -> None:
    made = model(8, outputs=3)
    network = sd.lower(made, SPEC, 6)
    layer, row = network.neurons[0], network.certificate.layers[0]
    assert isinstance(layer, TwoStateNeuron) and layer.states == 257 * 257
    assert sum(array.size for array in layer.arrays().values()) < 2500
    assert row.proven and row.margin is None and row.exhaustive and row.enumerated > 5_000_000
    result = sd.simulate(network, inputs(), trace=True)
    assert result.trace is not None and result.trace[0].states.dtype == np.uint32
    assert_agrees(sd.verify(network, made, inputs(), executors=["torch", "numpy", "onnxruntime"]))


TIES = {"alpha": 0.5, "beta": 0.75}


def test_where_there_are_no_offsets_the_hint_helps() -> None:
    """Levels with equal gaps are met exactly, and float32 rounds that either way."""
    with pytest.raises(LoweringError) as caught:
        sd.lower(model(6, "rest", **TIES), SPEC, 3)
    assert str(caught.value.faults[0]) == (
        "1: an offset for each state that decides as the trained neuron, or at most 1024 joint states; got no such "
        "offsets, and more states, of syn and mem; use levels without equal gaps, state_quant(bits, uniform=False), or "
        "another alpha or beta: float32 rounds sums that meet a decision exactly either way; or up to 4 state bits"
    )
    assert sd.lower(model(6, "threshold-centred", **TIES), SPEC, 3).certificate.proven
    assert isinstance(sd.lower(model(4, "rest", **TIES), SPEC, 3).neurons[0], Neuron)


def test_tables_of_too_many_boundaries_name_their_layer() -> None:
    """The membrane keeps nothing, so that joint states are few; their boundaries are not."""
    kept = {"alpha": 0.5, "beta": 0.0, "reset_delay": False}
    with pytest.raises(LoweringError) as caught:
        sd.lower(model(8, "uniform", **kept), SPEC, 3)
    message = str(caught.value.faults[0])
    assert message.startswith(
        "1: an offset for each state that decides as the trained neuron, or at most 255 boundaries of "
    )
    assert "joint states; got no such offsets, and 765 boundaries, of syn and mem; use levels without equal" in message
    assert sd.lower(model(8, "threshold-centred", **kept), SPEC, 3).certificate.proven
    assert sd.lower(model(4, "uniform", **kept), SPEC, 3).certificate.proven


def test_float_scales_are_proven_or_counted() -> None:
    """The error bound is held against every decision of either state."""
    made = model(5, quantizer=Int8WeightPerTensorFloat)
    with pytest.raises(NotProvenError, match="combinations within it of a decision"):
        sd.lower(model(5, "uniform", quantizer=Int8WeightPerTensorFloat, alpha=0.5, beta=0.5), SPEC, 3)
    many = sd.InputSpec((6,), -3, 3, 0.5, "sequence")
    doubtful = model(5, "uniform", quantizer=Int8WeightPerTensorFloat, alpha=0.5, beta=torch.tensor([0.5, 0.5, 1, 0.9]))
    network = sd.lower(doubtful, many, 3, allow_unproven=True)
    assert isinstance(network.neurons[0], TwoStateNeuron) and not network.certificate.proven
    reached = [witness for witness in network.certificate.witnesses if witness.inputs]
    assert reached and all(witness.state < network.neurons[0].states for witness in reached)
    network = sd.lower(made, SPEC, 3)
    assert network.certificate.proven and network.certificate.layers[0].error_bound > 0
    assert_agrees(sd.verify(network, made, inputs(), executors=["torch", "numpy"]))


def lowered(**options: Any) -> sd.Network:
    return sd.lower(model(5, reset_mechanism="zero", **options), SPEC, 5)


def test_files_keep_them(tmp_path: Path) -> None:
    network = lowered(beta=torch.tensor([0.8, 0.9, 0.8, 0.7]))
    path = tmp_path / "n.safetensors"
    sd.save(network, path)
    loaded = sd.load(path)
    before, after = network.neurons[0], loaded.neurons[0]
    assert isinstance(before, TwoStateNeuron) and isinstance(after, TwoStateNeuron) and before.tables == 3
    assert loaded.digest == network.digest and after.arrays().keys() == before.arrays().keys()
    assert all(np.array_equal(value, after.saved()[key]) for key, value in before.saved().items())
    assert after.about() == ("4 neurons", "33 x 33 states, 32 levels, 3 tables")

    def worse(_: Any, arrays: Any) -> None:
        arrays["1.current_offset"] = arrays["1.current_offset"] + 1

    altered(path, worse)
    with pytest.raises(FileFormatError, match="its digest is not that of its content"):
        sd.load(path)


BROKEN: dict[str, tuple[str, Any]] = {
    "boundaries must ascend": ("boundaries", lambda array: array[:, ::-1]),
    "what follows the sum must be 0 or 1": ("follows", lambda array: array * 2),
    "successors must be states": ("successor", lambda array: array + 2),
    "fire levels must be levels": ("fire_level", lambda array: array + 40),
    "every neuron must have a table": ("table", lambda array: array + 1),
    "the initial state must be a state": ("initial_state", lambda _: -1),
    "keys exceed 44 bits": ("membrane_offset", lambda array: array + 2**45),
    "follows of another shape than the other arrays": ("follows", lambda array: array[:, 1:]),
    "(29, 7) bits after the point; at most 28": ("fraction_bits", lambda _: 29),
    "membranes and currents must be finite": ("currents", lambda array: array + np.float32(np.inf)),
    "1 tables of 33 and 1 states; at most 1024 each": ("", None),
    "1 and 32 levels": ("boundaries", lambda array: array[:, :0]),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_rules_are_those_that_executors_rely_on(rule: str) -> None:
    network = lowered()
    layer = network.neurons[0]
    key, change = BROKEN[rule]
    if key:
        changes = {key: change(getattr(layer, key))}
        if key == "boundaries" and "levels" in rule:
            changes["successor"] = layer.successor[:, :, :1]
    else:
        cut = {name: getattr(layer, name)[:, :1] for name in ("follows", "membrane_offset", "membranes", "successor")}
        changes = cut
    broken = dataclasses.replace(network, layers=(network.layers[0], dataclasses.replace(layer, **changes)))
    found = broken_rule(broken)
    assert found is not None and rule.split("(29")[0] in found


def test_tables_of_their_own_are_searched_as_if_they_were_alone() -> None:
    own = torch.tensor([0.8, 0.9, 0.8, 0.7])
    together = sd.simulate(lowered(beta=own), inputs(), trace=True).trace
    for place, beta in enumerate(own):
        alone = sd.simulate(lowered(beta=beta), inputs(), trace=True).trace
        assert together is not None and alone is not None
        assert np.array_equal(together[0].spikes[..., place], alone[0].spikes[..., place])
        assert np.array_equal(together[0].states[..., place], alone[0].states[..., place])


def test_what_is_said_to_be_out_of_reach_is_never_reached() -> None:
    network = lowered()
    layer = network.neurons[0]
    lows, highs = network.range_at(0)
    currents, membranes = reachable_parts(layer, 0, int(lows.min()), int(highs.max()))
    trace = sd.simulate(network, inputs(500), trace=True).trace
    assert trace is not None
    current, membrane = layer.parts(trace[0].states)
    assert currents[current].all() and membranes[membrane].all()
    quiet, _ = reachable_parts(layer, 0, -1, 1)
    assert 1 < quiet.sum() < len(quiet)
    (row,) = activity(network)
    assert not row.never[trace[0].spikes.any(axis=(0, 1))].any() and not row.always.any()
    silent = dataclasses.replace(layer, fire_level=layer.fire_level * 0 + layer.level_count)
    (row,) = activity(dataclasses.replace(network, layers=(network.layers[0], silent)))
    assert row.never.all()


def test_a_membrane_that_its_level_does_not_decide_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = two_state.pairs_of

    def dishonest(*args: Any) -> Any:
        pairs = honest(*args)
        return dataclasses.replace(pairs, successor=pairs.successor[:, ::-1])

    monkeypatch.setattr(two_state, "pairs_of", dishonest)
    with pytest.raises(InternalError, match="equal levels lead to other states from current"):
        lowered()


def test_both_sides_of_every_threshold_are_run_where_sums_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sd.lower(model(5, "uniform"), SPEC, 5)
    monkeypatch.setattr(two_state, "_EVERY_SUM", 0)
    edges = sd.lower(model(5, "uniform"), SPEC, 5)
    rows = [network.certificate.layers[0] for network in (whole, edges)]
    assert whole.digest == edges.digest and [row.exhaustive for row in rows] == [True, False]
    assert rows[1].enumerated < rows[0].enumerated and rows[1].proven


@pytest.mark.parametrize(("bits", "reset", "pe"), [(2, "zero", 1), (4, "subtract", 3), (8, "none", 4)])
def test_hls_does_the_same_in_as_many_cycles_as_are_said(bits: int, reset: str, pe: int, compiler: None) -> None:
    """Traces of more than 65,536 states have four bytes each."""
    own = torch.tensor([0.8, 0.9, 0.8, 0.7]) if bits == 4 else 0.8
    made = model(bits, reset_mechanism=reset, beta=own)
    network = sd.lower(made, SPEC, 4, readout="count" if bits == 4 else "highest-membrane")
    assert isinstance(network.neurons[0], TwoStateNeuron) and network.state_bytes == (4 if bits == 8 else 2)
    config = sd.HlsConfig(pe=pe)
    with cycles_compared(network, inputs(), config):
        assert_agrees(sd.verify(network, made, inputs(), executors=["numpy", "c++"], config=config))


def test_offsets_take_less_than_a_table_of_pairs() -> None:
    """Of an FPGA, as of a file."""
    config, used = sd.HlsConfig(pe=4), []
    made = model(4, "uniform")
    by_offsets = sd.lower(made, SPEC, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("squat_deploy.lowering.extract.two_state_layer", lambda *_: None)
        by_tables = sd.lower(made, SPEC, 4)
    for network, kind in ((by_tables, Neuron), (by_offsets, TwoStateNeuron)):
        assert isinstance(network.neurons[0], kind)
        used.append(design_of(network, config).neurons[0].usage)
    there = OFFERS["xc7z020"].amounts
    share_of_tables, share_of_offsets = (sum(np.divide(dataclasses.astuple(usage), there)) for usage in used)
    assert share_of_offsets < share_of_tables and used[1].bram18 <= used[0].bram18


def test_what_the_start_has_wrong_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    """With none of its rows at first, what the neuron says of the start joins the program."""
    asked: list[bool] = []
    honest, near = two_state.check_candidate, offsets._near

    def counted(*args: Any, **options: Any) -> Any:
        rows, count = honest(*args, **options)
        asked.append(rows is None)
        return rows, count

    def fewer(*args: Any) -> Any:
        rows, distance = near(*args)
        return offsets.Rows(*(array[:1] for array in vars(rows).values())), distance

    monkeypatch.setattr(two_state, "check_candidate", counted)
    monkeypatch.setattr(offsets, "_near", fewer)
    layer = sd.lower(model(5, "uniform", alpha=0.9, beta=0.7), SPEC, 5).neurons[0]
    assert isinstance(layer, TwoStateNeuron) and asked[0] is False and asked[-1] is True
