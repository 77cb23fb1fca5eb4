"""Levels fitted to membranes, learned levels, levels with a rest state, and the compiled loop over time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, product

import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch.surrogate import atan

from squat_deploy.errors import ConfigError
from squat_deploy.lab.loop import train_step
from squat_deploy.lab.models import Recipe, conv_lif_net, dense_lif_net
from squat_deploy.lab.scaling import match_currents
from squat_deploy.snn.copying import warm_up
from squat_deploy.snn.fitting import MembraneHistogram, best_levels, bin_widths, expected_flips, membrane_histogram
from squat_deploy.snn.levels import level_table
from squat_deploy.snn.neurons import reset_neurons
from squat_deploy.snn.quantizers import MembraneSurrogate, StateQuantizer
from squat_deploy.snn.running import _COMPILED_LOOPS, _compiled, over_time, run_sequence


def test_rest_levels_hold_zero_and_the_threshold_midway() -> None:
    for bits in range(1, 9):
        for above in (1, 2, None) if bits > 1 else (1, None):
            table = level_table(bits, "rest", 1.5, above=above)
            wanted = max(1, 2**bits // 4) if above is None else above
            assert 0 in table and (table > 1.5).sum() == wanted and len(table) == 2**bits
            first = int((table <= 1.5).sum())
            assert (table[first] + table[first - 1]) / 2 == pytest.approx(1.5, rel=1e-6)
    with pytest.raises(ConfigError, match="2 bits leave 1 to 3 levels above the threshold; got above=4"):
        level_table(2, "rest", above=4)
    with pytest.raises(ConfigError, match="above is of rest levels; got kind uniform"):
        level_table(2, "uniform", above=2)


def test_best_levels_are_the_best_of_all_tables() -> None:
    rng = np.random.default_rng(1)
    centres = np.linspace(-1, 1.5, 20)
    density = rng.random(20)
    histogram = MembraneHistogram(centres, density / density.sum(), rng.random(20), 1.0)
    tables = [np.array(chosen) for chosen in combinations(centres, 4) if chosen[-1] > 1.0]
    best = min(expected_flips(histogram, table) for table in tables)
    assert expected_flips(histogram, best_levels(histogram, 2)) == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize(
    "groups", [((5, 1.0),), ((4, 2.0), (6, 0.1)), ((3, 2.0), (9, 0.1), (40, 2.2)), ((1, 3.0), (4, 1.0))]
)
def test_widths_of_bins_follow_from_their_centres(groups: tuple[tuple[int, float], ...]) -> None:
    widths = np.concatenate([np.full(count, width) for count, width in groups])
    edges = np.concatenate([[-7.0], -7.0 + np.cumsum(widths)])
    assert bin_widths((edges[1:] + edges[:-1]) / 2) == pytest.approx(widths)


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


def test_bins_are_narrow_near_the_threshold_however_far_membranes_spread() -> None:
    membranes = np.random.default_rng(0).normal(0, 40, (10, 2000)).astype(np.float32)
    for threshold in (1.0, 0.25):
        histogram = membrane_histogram(membranes, 0.9, threshold)
        centres = histogram.centres
        near = (centres > -1.5 * threshold) & (centres < 3.5 * threshold)
        assert len(centres) == 512 and np.diff(centres[near]).max() < threshold / 32 and (np.diff(centres) > 0).all()
        assert centres[0] < -100 and centres[-1] > 100 and histogram.density.sum() == pytest.approx(1)


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


@pytest.mark.parametrize("threshold", [0.9997014, 1.0, 0.3])
def test_as_many_levels_stay_above_the_threshold(threshold: float) -> None:
    torch.manual_seed(0)
    for _ in range(50):
        quantizer = StateQuantizer.of(3, "rest", threshold, learned=True)
        with torch.no_grad():
            quantizer.levels.copy_(torch.randn(8) * 0.7 + threshold)
        quantizer.arrange()
        table = quantizer.levels.detach()
        assert int((table > threshold).sum()) == quantizer.above and bool((table.diff() > 0).all())


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


def test_settings_of_the_compiler_hold_in_every_thread() -> None:
    """PyTorch's are those of one thread; a worker of a study changes its own."""

    def limit() -> int:
        _compiled(over_time)
        return int(torch._dynamo.config.recompile_limit)

    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        assert first.submit(limit).result() == second.submit(limit).result() == _COMPILED_LOOPS


@pytest.mark.parametrize(("bits", "scale"), [(1, "learned"), (2, "learned"), (2, "shared"), (32, "learned")])
def test_currents_are_matched_to_the_threshold(bits: int, scale: str) -> None:
    """With a shared scale, all weights round to zero as they are drawn."""
    torch.manual_seed(0)
    model = dense_lif_net((64, 32, 10), weight_bits=bits, weight_scale=scale, kind="rest")
    inputs = torch.rand(50, 64)
    match_currents(model, inputs, 4, 1.5 if scale == "shared" else 0.7)
    assert bits == 1 or model.fc1(model[1](inputs)).any()
    if bits == 32:
        assert float(model.fc1(model[1](inputs)).detach().std()) == (pytest.approx(0.7, rel=1e-3))
    assert bool(torch.isfinite(run_sequence(model, inputs, 4)).all())
    with pytest.raises(ConfigError, match=r"lif1: no current reaches it with current_std=0\.7; raise it"):
        match_currents(model, torch.zeros_like(inputs), 4, 0.7)


def test_currents_behind_a_batch_norm_are_matched_by_it() -> None:
    torch.manual_seed(0)
    model, inputs = conv_lif_net((1, 3, 2), 12, kernel=3, input_bits=4), torch.rand(20, 1, 6, 6)
    match_currents(model, inputs, 4, 2.0)
    with torch.no_grad():
        assert float(model.norm1(model.conv1(model.pixels(inputs))).std()) == pytest.approx(2.0, rel=0.05)


def test_recipes_name_what_cannot_be_exact() -> None:
    needs = "needs 2 to 8 weight bits and weight_scale power-of-two; got"
    with pytest.raises(ConfigError, match=f"conv: {needs} 1 bits"):
        Recipe(weight_bits=1).conv(1, 2, 3)
    with pytest.raises(ConfigError, match=f"recurrent: {needs} 4 bits, learned"):
        Recipe(weight_scale="learned").recurrent_lif(3)
    assert isinstance(Recipe(weight_bits=32, weight_scale="learned").recurrent_lif(3).recurrent, torch.nn.Linear)


@pytest.mark.parametrize("scale", ["power-of-two", "learned"])
def test_compiled_training_is_the_same_training(scale: str) -> None:
    """Weights quantized in compiled C++ too: the same losses after updates, and gradients to rounding."""
    found = []
    for compiled in (False, True):
        torch.manual_seed(0)
        recipe = {"weight_scale": scale, "kind": "rest", "learned": True, "surrogate_at": "membrane", "clipped": True}
        model = dense_lif_net((16, 8, 4), **recipe)
        model.fc1.weight.data *= 4
        model.fc2.weight.data *= 4
        warm_up(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        inputs, classes = 4 * torch.rand(20, 16), torch.arange(20) % 4
        losses = [float(train_step(model, optimizer, inputs, classes, 3, compiled=compiled)) for _ in range(3)]
        found.append((losses, [parameter.detach() for parameter in model.parameters()]))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-5) and len(set(found[0][0])) == 3
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found[0][1], found[1][1], strict=True))


def test_the_surrogate_at_the_membrane_changes_gradients_only() -> None:
    """Spikes are those of snnTorch's own surrogate, to the bit; the gradient is that of where the membrane was."""
    torch.manual_seed(0)
    current = (3 * torch.rand(6, 500) - 1).requires_grad_()
    for kind, learned in product(("uniform", "threshold-centred", "rest"), (False, True)):
        own, plain = (
            Recipe(kind=kind, learned=learned, clipped=True, surrogate_at=at).lif() for at in ("membrane", "levels")
        )
        spikes, expected = (over_time(neuron, list(current)) for neuron in (own, plain))
        assert torch.equal(spikes, expected) and spikes.any()
        assert not torch.equal(*(torch.autograd.grad(each.sum(), current)[0] for each in (spikes, expected)))
    quantizer = StateQuantizer.of(2, "rest", learned=True, clipped=True)
    neuron = snn.Leaky(
        beta=0.5, spike_grad=MembraneSurrogate(atan(), quantizer), state_quant=quantizer, init_hidden=True
    )
    first = torch.linspace(-4, 4, 101, requires_grad=True)
    neuron(first).sum().backward()
    boundary = ((quantizer.levels[2] + quantizer.levels[3]) / 2).detach()
    slope = 1 / (1 + (torch.pi * (first.detach() - boundary)) ** 2)  # of atan(alpha=2), everywhere, clipped or not
    assert torch.allclose(first.grad, slope, atol=1e-6)
    assert torch.allclose(quantizer.levels.grad, torch.tensor([0, 0, -0.5, -0.5]) * slope.sum(), rtol=1e-4)
    reset_neurons(neuron)
    assert neuron(torch.zeros(7)).shape == (7,)  # a smaller batch, nothing forgotten in between
    neuron.eval()
    assert quantizer.source is None


def test_learning_keeps_as_many_levels_above_the_threshold() -> None:
    quantizer = StateQuantizer.of(2, "rest", learned=True, above=2)
    with torch.no_grad():
        quantizer.levels.copy_(torch.tensor([0.3, 1.4, 0.2, 0.1]))
    quantizer.arrange()
    table = quantizer.levels.detach()
    assert (table > 1).tolist() == [False, False, True, True] and bool((table.diff() > 0).all())
    with torch.no_grad():
        quantizer.levels.copy_(torch.tensor([1.1, 1.2, 1.3, 1.4]))
    quantizer.arrange()
    assert (quantizer.levels > 1).tolist() == [False, False, True, True]
