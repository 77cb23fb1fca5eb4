"""Extraction from the real neuron, and the offset/boundary form: the configurations behind the design."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch.functional.quant import state_quant as snntorch_state_quant

import squat_deploy as sd
from squat_deploy.errors import InternalError
from squat_deploy.hardware.graph import graph_of
from squat_deploy.lab.models import WeightScale, dense_lif_net
from squat_deploy.lowering.neuron import extract_machines, first_sums
from squat_deploy.lowering.probe import NeuronProbe
from squat_deploy.network import Neuron
from squat_deploy.network.transition import _difference_bounds as difference_bounds
from squat_deploy.network.transition import _solve as solve
from squat_deploy.network.transition import check_offset_form, key_form, offset_form, reachable_states, regular_form
from squat_deploy.snn.levels import Kind
from squat_deploy.snn.quantizers import StateQuantizer

LOW, HIGH = -5488, 5488
BITS = (2, 3, 4, 6)
GRID = list(
    itertools.product(
        (True, False),
        ((0, 0.2), (0, 1), (0.25, 0.125)),
        (0.5, 0.9, 0.9375, 0.95),
        (2.0**-4, 2.0**-6, 2.0**-8, 0.0137, 0.98 / 22),
    )
)
REGULAR: tuple[tuple[Kind, WeightScale, bool], ...] = (
    ("fixed-point", "power-of-two", True),
    ("uniform", "shared", True),
    ("uniform", "power-of-two", False),
)
NO_OFFSET_FORM = {6: 6}  # of the 480 configurations: rounding broke their rational ties


def machine_of(
    neuron: snn.Leaky, scale: float, low: int = LOW, high: int = HIGH
) -> tuple[Neuron, NeuronProbe, np.ndarray]:
    """The table of one neuron on x = float32(scale * S)."""
    closure = neuron.state_quant
    probe = NeuronProbe(
        neuron, {"beta": 0, "threshold": 0}, StateQuantizer.from_snntorch(closure, float(neuron.threshold)), "lif"
    )
    currents = (np.arange(low, high + 1) * np.float32(scale)).astype(np.float32)
    (machine,) = extract_machines(probe, float(np.abs(currents).max()) * 1.01)
    thresholds = low + first_sums(currents, machine.boundaries)
    layer = Neuron(
        "lif",
        thresholds[None],
        machine.successor[None],
        np.array([machine.fire_level]),
        np.array([0]),
        machine.initial_state,
        machine.membranes[None],
    )
    return layer, probe, currents


def assert_equals_module(layer: Neuron, module: snn.Leaky, currents: np.ndarray, low: int, high: int) -> None:
    """The real snnTorch module, with its own closure, on every reachable (state, sum)."""
    for state in reachable_states(layer, 0, low, high).tolist():
        membrane = torch.full((currents.size,), float(layer.membranes[0, state]))
        spikes, carried = module(torch.from_numpy(currents), membrane)
        level = np.searchsorted(layer.thresholds[0, state], np.arange(low, high + 1), side="right")
        assert np.array_equal(spikes.detach().numpy() > 0, level >= layer.fire_level[0])
        assert np.array_equal(carried.detach().numpy(), layer.membranes[0, layer.successor[0, state, level]])


@pytest.mark.parametrize("bits", BITS)
def test_480_configurations(bits: int) -> None:
    """T equals the module everywhere; the offset form is found and checked, or proven not to exist."""
    assert len(GRID) * len(BITS) == 480
    missing = []
    for uniform, limits, beta, scale in GRID:
        module = snn.Leaky(beta=beta, state_quant=snntorch_state_quant(bits, uniform, True, 1, *limits))
        layer, probe, currents = machine_of(module, scale)
        rows = reachable_states(layer, 0, LOW, HIGH)
        for state in rows.tolist():
            level = probe.step(currents, layer.membranes[0, state, None]).levels[..., 0]
            assert np.array_equal(level, np.searchsorted(layer.thresholds[0, state], np.arange(LOW, HIGH + 1), "right"))
        form = offset_form(layer, LOW, HIGH)
        if form is None:
            missing.append((uniform, limits, beta, scale))
        elif form.fraction_bits:  # none has fewer
            assert solve(*difference_bounds(layer, 0, LOW, HIGH), form.fraction_bits - 1) is None
    assert len(missing) == NO_OFFSET_FORM.get(bits, 0), missing
    for uniform, limits, beta, scale in missing:
        assert uniform and limits == (0, 1) and beta in (0.5, 0.9375) and scale in (2.0**-4, 2.0**-6, 2.0**-8)


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize(("bits", "limits"), [(1, (0, 0.2)), (2, (0, 1.5)), (4, (0, 1.5)), (5, (0.25, 0.125))])
def test_every_reset_against_the_module(reset: str, delay: bool, bits: int, limits: tuple[float, float]) -> None:
    quantizer = snntorch_state_quant(bits, True, True, 1, *limits)
    module = snn.Leaky(beta=0.9, state_quant=quantizer, reset_mechanism=reset, reset_delay=delay)
    layer, _, currents = machine_of(module, 2.0**-5, -300, 300)
    assert_equals_module(layer, module, currents, -300, 300)
    assert layer.carries_level == (delay or reset == "none")


def test_fewest_fraction_bits_and_its_check(rng: np.random.Generator) -> None:
    module = snn.Leaky(beta=0.9, state_quant=snntorch_state_quant(4, False))
    layer, _, _ = machine_of(module, 2.0**-6, -400, 400)
    form = offset_form(layer, -400, 400)
    assert form is not None and 1 <= form.fraction_bits <= 4
    assert check_offset_form(form, layer, -400, 400) == 801 * reachable_states(layer, 0, -400, 400).size
    broken = type(form)(form.offset.copy(), form.boundaries, form.fraction_bits)
    broken.offset[0, 3] += 2**form.fraction_bits
    with pytest.raises(InternalError, match="offset form differs at state 3"):
        check_offset_form(broken, layer, -400, 400)


@pytest.mark.parametrize(("kind", "scale", "regular"), REGULAR)
def test_levels_that_are_a_shift_and_a_clip(kind: Kind, scale: WeightScale, regular: bool) -> None:
    torch.manual_seed(3)
    model = dense_lif_net((30, 4), state_bits=4, kind=kind, weight_scale=scale, input_bits=None)
    network = sd.lower(model, sd.InputSpec((30,), 0, 1, 1.0, encoding="sequence"), 3)
    node = next(node for node in graph_of(network).nodes if isinstance(network.layers[node.position or 0], Neuron))
    neuron = network.layers[node.position or 0]
    assert isinstance(neuron, Neuron)
    form, chosen = regular_form(neuron, *node.reach), key_form(neuron, *node.reach)
    assert chosen is not None and (form is not None) == regular
    if form is None:
        return
    assert np.array_equal(form.boundaries, chosen.boundaries)
    step, (low, high) = int(form.boundaries[0, 0]), node.reach
    for state in reachable_states(neuron, 0, low, high).tolist():
        for total in range(low, high + 1):
            key = int(form.offset[0, state]) + (total << form.fraction_bits)
            assert min(max(key // step, 0), 15) == int((neuron.thresholds[0, state] <= total).sum())


def test_contradicting_thresholds_have_no_offset_form() -> None:
    """Two states whose gaps between two boundaries cannot both be kept by one pair of boundaries."""
    thresholds = np.array([[[0, 5], [0, 9], [2, 3]]])
    successor = np.tile(np.arange(3), (1, 3, 1))
    layer = Neuron("n", thresholds, successor, np.array([2]), np.array([0]), 0, np.zeros((1, 3), np.float32))
    assert offset_form(layer, -10, 10) is None
