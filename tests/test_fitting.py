"""Levels fitted to membranes, learned levels, levels with a rest state, and the compiled loop over time."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from squat_deploy.errors import ConfigError
from squat_deploy.fitting import MembraneHistogram, best_levels, expected_flips, membrane_histogram
from squat_deploy.levels import level_table
from squat_deploy.quantizers import StateQuantizer
from squat_deploy.training.models import Recipe, dense_lif_net
from squat_deploy.training.scaling import match_currents
from squat_deploy.training.sequence import run_sequence


def test_rest_levels_hold_zero_and_the_threshold_midway() -> None:
    for bits in range(1, 9):
        for above in (1, 2) if bits > 1 else (1,):
            table = level_table(bits, "rest", 1.5, above=above)
            assert 0 in table and (table > 1.5).sum() == above and len(table) == 2**bits
            first = int((table <= 1.5).sum())
            assert (table[first] + table[first - 1]) / 2 == pytest.approx(1.5, rel=1e-6)
    with pytest.raises(ConfigError, match="2 bits leave 1 to 3 levels above the threshold; got above=4"):
        level_table(2, "rest", above=4)


def test_best_levels_are_the_best_of_all_tables() -> None:
    rng = np.random.default_rng(1)
    centres = np.linspace(-1, 1.5, 20)
    density = rng.random(20)
    histogram = MembraneHistogram(centres, density / density.sum(), rng.random(20), 1.0)
    tables = [np.array(chosen) for chosen in combinations(centres, 4) if chosen[-1] > 1.0]
    best = min(expected_flips(histogram, table) for table in tables)
    assert expected_flips(histogram, best_levels(histogram, 2)) == pytest.approx(best, rel=1e-6)


def test_fitted_levels_cost_less_than_any_fixed_table() -> None:
    rng = np.random.default_rng(0)
    membranes = np.zeros((30, 400), dtype=np.float32)
    for step in range(1, 30):
        membranes[step] = 0.9 * membranes[step - 1] + rng.normal(0.05, 0.2, 400) - (membranes[step - 1] > 1)
    histogram = membrane_histogram(membranes, 0.9, 1.0)
    for bits in (2, 3, 4):
        fitted = expected_flips(histogram, best_levels(histogram, bits))
        assert all(fitted < expected_flips(histogram, level_table(bits, k)) for k in ("uniform", "threshold-centred"))
    with pytest.raises(ConfigError, match="membranes must be finite"):
        membrane_histogram(np.full((2, 2), np.nan, dtype=np.float32), 0.9, 1.0)


@pytest.mark.parametrize("bits", [2, 5])
def test_gradient_of_levels_is_that_of_interpolation(bits: int) -> None:
    """Against autograd through the interpolation itself, its rounding passed straight through."""
    torch.manual_seed(0)
    quantizer = StateQuantizer.of(bits, learned=True)
    values, weights = torch.randn(500), torch.randn(500)
    (quantizer(values) * weights).sum().backward()
    levels = quantizer.levels.detach().clone().requires_grad_()
    inside = values.clamp(float(levels.detach()[0]), float(levels.detach()[-1]))
    segment = (torch.bucketize(inside, levels.detach()) - 1).clamp(0, len(levels) - 2)
    low, high = levels[segment], levels[segment + 1]
    share = ((inside - low) / (high - low)).detach()
    between = (1 - share) * low + share * high
    nearest = levels[(levels.detach() - values[:, None]).abs().argmin(dim=1)]
    beyond = (values < levels.detach()[0]) | (values > levels.detach()[-1])
    (torch.where(beyond, nearest, nearest - between) * weights).sum().backward()
    assert torch.allclose(quantizer.levels.grad, levels.grad, atol=1e-4)


def test_learned_levels_stay_a_table_and_survive_a_state_dict() -> None:
    quantizer = StateQuantizer.of(2, "threshold-centred", learned=True)
    with torch.no_grad():
        quantizer.levels.copy_(torch.tensor([0.9, 0.9, -0.5, 0.7]))
    quantizer.eval()
    table = quantizer.levels.detach().numpy()
    assert (np.diff(table) > 0).all() and table[-1] > 1 and quantizer.is_consistent()
    other = StateQuantizer.of(2, learned=True)
    other.load_state_dict(quantizer.state_dict())
    values = torch.linspace(-2, 2, 101)
    assert torch.equal(other.eval()(values), quantizer(values))


@pytest.mark.parametrize("bits", [2, 5])
def test_the_compiled_loop_gives_the_same_bits(bits: int) -> None:
    """Spikes and gradients of the real neuron, run by torch and as compiled C++."""
    found = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = dense_lif_net((16, 8, 4), state_bits=bits, clipped=True)
        model.fc1.weight.data *= 4
        model.fc2.weight.data *= 4
        spikes = run_sequence(model, 16 * torch.rand(5, 16), 3, compiled=compiled)
        (spikes * torch.arange(4.0)).sum().backward()
        found.append((spikes.detach(), model.fc1.weight.grad))
    assert torch.equal(found[0][0], found[1][0]) and found[0][0].any()
    assert torch.allclose(found[0][1], found[1][1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("bits", [1, 2, 32])
def test_currents_are_matched_to_the_threshold(bits: int) -> None:
    torch.manual_seed(0)
    model = dense_lif_net((64, 32, 10), weight_bits=bits, weight_scale="learned")
    inputs = torch.rand(50, 64)
    match_currents(model, inputs, 4, 0.7)
    if bits == 32:
        assert float(model.fc1(model[1](inputs)).detach().std()) == (pytest.approx(0.7, rel=1e-3))
    assert bool(torch.isfinite(run_sequence(model, inputs, 4)).all())


def test_recipes_name_what_a_convolution_cannot_have() -> None:
    with pytest.raises(ConfigError, match="conv: needs 2 to 8 weight bits and weight_scale power-of-two; got 1 bits"):
        Recipe(weight_bits=1).conv(1, 2, 3)
