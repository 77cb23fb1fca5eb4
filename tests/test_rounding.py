"""Every rounding between integers and current: torch at its worst stays within the bound, and comes near it."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from brevitas.nn import QuantConv2d, QuantLinear
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from snntorch.functional.quant import state_quant
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import NotProvenError
from squat_deploy.lowering.current import Current
from squat_deploy.lowering.rounding import (
    EXACT_LIMIT,
    SMALLEST,
    addition_error,
    average_error,
    entry_error,
    lowest_bit,
    norm_error,
    order_error,
    roundings,
    scaled_error,
    sums_exactly,
    synaptic_error,
)
from squat_deploy.snn.neurons import spike_value

STEPS = [0.1, 1 / 255, 0.3, 1 / 3, 0.7]


def exact_sum(values: np.ndarray) -> Fraction:
    return sum((Fraction(float(value)) for value in values.reshape(-1)), Fraction(0))


def share(result: float, exact: Fraction, bound: float) -> float:
    """How much of its bound an error takes."""
    return float(abs(Fraction(float(result)) - exact) / Fraction(bound))


def test_what_is_exact_has_no_error_and_is():
    assert entry_error(255, 0.25) == entry_error(65535, 2.0**-100) == entry_error(2**20, 0.75) == 0
    assert average_error(4, 4, 255, 0.5, 0.0) == average_error(256, 1, 65535, 1.0, 0.0) == 0
    assert average_error(289, 1, 65535, 1.0, 0.0) > 0  # 289 * 65535 is above 2**24
    assert average_error(9, 9, 1, 1.0, 0.0) > 0  # ninths are no floats
    assert average_error(4, 4, 1, SMALLEST, 0.0) > 0  # a quarter of it may be flushed
    assert sums_exactly(EXACT_LIMIT - 1, 1.0) and not sums_exactly(EXACT_LIMIT, 1.0)
    assert not sums_exactly(2.0**-130, 2.0**-130)
    assert lowest_bit(np.array([0.75, 6.0, 0.0])).tolist() == [0.25, 2.0, np.inf]


@pytest.mark.parametrize("step", STEPS)
def test_entering(step: float):
    integers = np.arange(1, 4096)
    real = (integers * step).astype(np.float32)
    worst = max(
        share(value, Fraction(step) * int(k), entry_error(int(k), step))
        for value, k in zip(real, integers, strict=True)
    )
    assert 0.6 < worst <= 1


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kernel", [2, 3, 5, 16])
@pytest.mark.parametrize("step", STEPS)
def test_averages(step: float, kernel: int, layout: torch.memory_format):
    """All elements equal gives the largest sums, and rounds the same way many times."""
    count, worst = kernel * kernel, 0.0
    for integer in (1, 3, 7, 11, 13, 200):
        value = np.float32(integer * step)
        planes = torch.full((1, 8, kernel, kernel), float(value)).to(memory_format=layout)
        result = F.avg_pool2d(planes, kernel)[0, 0].item()
        bound = average_error(count, count, integer, step, entry_error(integer, step))
        worst = max(worst, share(result, Fraction(step) * integer, bound))
    assert worst <= 1
    assert worst > 0.05


def test_average_of_counts_beyond_two_to_the_24():
    planes = torch.full((1, 1, 17, 17), 65535.0)
    result = F.avg_pool2d(planes, 17, divisor_override=1).item()
    exact = Fraction(289 * 65535)
    assert result != exact
    assert share(result, exact, average_error(289, 1, 65535, 1.0, 0.0)) <= 1


Run = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int], float]


def _linear(weights: torch.Tensor, values: torch.Tensor, bias: torch.Tensor, batch: int) -> float:
    return float(F.linear(values.expand(batch, -1), weights[None], bias)[0, 0])


def _conv(weights: torch.Tensor, values: torch.Tensor, bias: torch.Tensor, batch: int) -> float:
    planes = values.reshape(1, 1, 1, -1).expand(batch, -1, -1, -1)
    return float(F.conv2d(planes, weights.reshape(1, 1, 1, -1), bias)[0, 0, 0, 0])


def _one_by_one(weights: torch.Tensor, values: torch.Tensor, bias: torch.Tensor, batch: int) -> float:
    return float(np.cumsum(np.r_[bias.numpy(), (weights * values).numpy()], dtype=np.float32)[-1])


@pytest.mark.parametrize("run", [_linear, _conv, _one_by_one])
@pytest.mark.parametrize(("terms", "floor"), [(2, 0.2), (8, 0.1), (100, 0.01)])
def test_synaptic_sums(run: Run, terms: int, floor: float):
    """Weights and inputs off every grid, with a bias and without, in small batches and large ones."""
    rng, worst = np.random.default_rng(terms), 0.0
    for trial in range(60):
        scale, step = np.float32(rng.uniform(0.01, 1)), float(rng.choice(STEPS))
        bias = np.array([rng.uniform(0, 2) * (trial % 2)], dtype=np.float32)
        weights = rng.integers(1, 8, terms) if trial % 2 else np.full(terms, rng.integers(1, 8))
        integers = rng.integers(1, 16, terms) if trial % 3 else np.full(terms, 7)
        real = (weights.astype(np.float32) * scale, (integers * step).astype(np.float32), bias)
        result = run(*map(torch.from_numpy, real), (1, 300)[trial % 2])
        exact = Fraction(float(scale)) * Fraction(step) * int(weights @ integers) + Fraction(float(bias[0]))
        entered = np.array([weights.sum() * float(scale) * entry_error(int(integers.max()), step)])
        magnitude = np.array([float(exact)])
        worst = max(worst, share(result, exact, float(synaptic_error(terms, magnitude, entered)[0])))
    assert floor < worst <= 1


def test_one_scale_after_the_sum():
    """The sum of integers is off; the model and `Current.values` both multiply once and add once."""
    rng, worst = np.random.default_rng(0), 0.0
    for _ in range(2000):
        total, scale, bias = rng.uniform(1, 4), np.float32(rng.uniform(0.1, 1)), np.float32(rng.uniform(-1, 1))
        error = float(rng.choice([0.0, 1.0])) * 2.0**-22
        given, ours = np.float32(total + error), np.float32(total)
        model, values = given * scale + bias, ours * scale + bias
        off = abs(float(given) - float(ours)) + 2.0**-24 * total
        bound = scaled_error(np.array([off]), np.array([total]), float(scale), float(bias))
        worst = max(worst, abs(float(model) - float(values)) / float(bound[0]))
    assert 0.2 < worst <= 1


@pytest.mark.parametrize("affine", [False, True])
def test_batch_norms(affine: bool):
    """In every layout torch takes; the smallest variances and means that cancel are the worst."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8, affine=affine).eval().requires_grad_(False)
    worst = 0.0
    for trial in range(60):
        norm.running_mean.normal_(0, 3)
        norm.running_var.uniform_(1e-3, 2)
        if affine:
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
        values = norm.running_mean.reshape(8, 1, 1) + 0.01 * torch.randn(4, 8, 5, 3)
        forms = [
            values,
            values.to(memory_format=torch.channels_last),
            values.transpose(2, 3).contiguous().transpose(2, 3),
        ]
        with torch.no_grad():
            results = torch.stack([norm(form) for form in forms])
        channel = trial % 8
        current = Current("", *(np.ones(1), np.zeros(1), np.zeros(1)), norm=norm, channel=np.array([channel]))
        ours = torch.from_numpy(_through(current, values[:, channel].reshape(-1).numpy()))
        slope = float(
            (1 if norm.weight is None else norm.weight[channel]) / (norm.running_var[channel] + norm.eps).sqrt()
        )
        shift = 0.0 if norm.bias is None else float(norm.bias[channel])
        size = values[:, channel].reshape(-1).double().abs().numpy()
        bound = norm_error(np.zeros_like(size), size, slope, float(norm.running_mean[channel]), shift)
        off = (results[:, :, channel].reshape(3, -1).double() - ours.double()).abs().numpy()
        worst = max(worst, float((off / bound).max()))
    assert 0.04 < worst <= 1


def _through(current: Current, values: np.ndarray) -> np.ndarray:
    """The norm of `Current.values` on given float32 currents."""
    with torch.no_grad():
        return current._norm_of(0)(torch.from_numpy(values)[:, None])[:, 0].numpy()


def test_sums_of_two_branches():
    rng, worst = np.random.default_rng(1), 0.0
    first, second = rng.uniform(0.5, 1, (2, 5000))
    rounded = [branch.astype(np.float32) for branch in (first, second)]
    model, values = (rounded[0] + rounded[1]).astype(np.float64), (first + second).astype(np.float32).astype(np.float64)
    off = np.abs(rounded[0] - first) + np.abs(rounded[1] - second)
    worst = float((np.abs(model - values) / addition_error(off, first + second)).max())
    assert 0.2 < worst <= 1


class _Given(nn.Module):
    def __init__(self, current: torch.Tensor) -> None:
        super().__init__()
        self.current = current

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return self.current


@pytest.mark.parametrize("kind", [snn.RLeaky, snn.RSynaptic])
def test_orders_of_the_recurrent_current(kind: type[nn.Module]):
    """Input and recurrent current one after the other, or their sum at once, before the states are rounded."""
    rng = torch.Generator().manual_seed(0)
    two = {"alpha": 0.9} if kind is snn.RSynaptic else {}
    neuron = kind(beta=0.9, all_to_all=False, V=1.0, learn_recurrent=False, **two)
    plain = snn.Synaptic(beta=0.9, **two) if two else snn.Leaky(beta=0.9)
    given, back, *states = (torch.rand(20000, generator=rng) * 2 for _ in range(4 if two else 3))
    with torch.no_grad():
        neuron.recurrent = _Given(back)
        apart = neuron(given, torch.zeros_like(given), *states)[-1].double()
        once = plain(given + back, *states)[-1].double()
    size = (given + back + sum(states)).double() + 1
    worst = float(((apart - once).abs() / torch.tensor([order_error(float(s)) for s in size])).max())
    assert 0.05 < worst <= 1


def _weights(layer: nn.Module, value: float) -> nn.Module:
    with torch.no_grad():
        layer.weight.fill_(value)
    return layer


def _one() -> nn.Module:
    return _weights(QuantLinear(1, 1, bias=False, weight_quant=Int8WeightPerTensorFixedPoint, weight_bit_width=2), 1.0)


def _neurons(threshold: float, **options: object) -> nn.Module:
    levels = state_quant(1, threshold=threshold)
    return snn.Leaky(beta=0.0, threshold=threshold, state_quant=levels, init_hidden=True, **options)


def _spikes(factor: float) -> list[nn.Module]:
    """One neuron a pixel, which fires where that is 1; each spike is worth `factor`."""
    conv = QuantConv2d(1, 1, 1, bias=False, weight_quant=Int8WeightPerTensorFixedPoint, weight_bit_width=4)
    return [_weights(conv, 4.0), _neurons(1.0, graded_spikes_factor=factor)]


TENTH = float(np.float32(0.1))
FRONTS = {
    "average of inputs in tenths": (lambda: [nn.AvgPool2d(16)], sd.InputSpec((1, 16, 16), 0, 1, 0.1), 0.1),
    "two averages in a row": (lambda: [nn.AvgPool2d(5), nn.AvgPool2d(3)], sd.InputSpec((1, 15, 15), 0, 1, 0.3), 0.3),
    "average, then maximum": (lambda: [nn.AvgPool2d(8), nn.MaxPool2d(2)], sd.InputSpec((1, 16, 16), 0, 1, 0.1), 0.1),
    "average of graded spikes": (lambda: [*_spikes(0.1), nn.AvgPool2d(16)], sd.InputSpec((1, 16, 16), 0, 1), TENTH),
    "sum of graded spikes": (
        lambda: [*_spikes(0.1), nn.AvgPool2d(12, divisor_override=1)], sd.InputSpec((1, 12, 12), 0, 1), 144 * TENTH
    ),
    "sum of counts above 2**24": (
        lambda: [nn.AvgPool2d(17, divisor_override=2**22)], sd.InputSpec((1, 17, 17), 0, 65533), 289 * 65533 / 2**22
    ),
    "inputs in 255ths": (lambda: [nn.AvgPool2d(3)], sd.InputSpec((1, 3, 3), 0, 253, 1 / 255), 253 / 255),
}  # fmt: skip


@pytest.mark.parametrize("front", FRONTS)
def test_a_threshold_between_torch_and_the_integers_is_never_proven(front: str):
    """The threshold lies so that torch's own rounding decides; sums of the integers would decide otherwise."""
    make, spec, exact = FRONTS[front]
    exact *= _one().quant_weight().value.item()
    parts = nn.Sequential(*make(), nn.Flatten(), _one()).eval()
    highest = np.full((1, *spec.shape), spec.high)
    with torch.no_grad():
        torchs = parts(torch.from_numpy((highest * spec.step).astype(np.float32))).item()
    assert torchs != exact
    boundary = (torchs + exact) / 2  # of the two levels, at a tenth of the threshold
    model = nn.Sequential(*make(), nn.Flatten(), _one(), _neurons(boundary / 0.1)).eval()
    with pytest.raises(NotProvenError, match="bounds the float32 rounding"):
        sd.lower(model, spec, 4)


@pytest.mark.parametrize("front", FRONTS)
def test_far_from_every_decision_the_same_is_proven(front: str):
    make, spec, _ = FRONTS[front]
    model = nn.Sequential(*make(), nn.Flatten(), _one(), _neurons(0.537)).eval()
    network = sd.lower(model, sd.InputSpec(spec.shape, spec.low, 1, spec.step), 4)
    inputs = np.random.default_rng(0).integers(0, 2, (20, *spec.shape))
    assert network.certificate.proven
    assert sd.verify(network, model, inputs, executors=["torch", "numpy"]).agrees


def test_a_spike_is_worth_what_float32_holds_of_its_factor():
    neuron = _neurons(1.0, graded_spikes_factor=2**24 + 1)
    front = QuantLinear(1, 1, bias=False, weight_quant=Int8WeightPerTensorFixedPoint, weight_bit_width=4)
    model = nn.Sequential(_weights(front, 4.0), neuron, _weights(_one(), 2.0**-24), _neurons(5.0)).eval()
    network = sd.lower(model, sd.InputSpec((1,)), 4)
    assert sd.verify(network, model, np.array([[0], [1]]), executors=["torch", "numpy"]).agrees
    with torch.no_grad():
        assert neuron(torch.full((1, 1), 3.0)).item() == spike_value(neuron) == 2.0**24


def test_the_largest_error_of_a_window_is_that_of_its_maximum():
    """Neurons at a border have smaller sums, and smaller errors, than those within."""
    from squat_deploy.lowering.draft import Currents, Draft
    from squat_deploy.lowering.pooling import _pooled, _Windows
    from squat_deploy.network.layers import Dense, Pool2d

    draft = Draft(sd.InputSpec((4,)))
    source = draft.add(Dense("fc", np.eye(4, dtype=np.int64), np.zeros(4, dtype=np.int64)), -1)
    errors = np.array([3.0, 1.0, 2.0, 0.5])
    current = Current("error bound", np.ones(4), np.zeros(4), errors)
    layer, value = Pool2d("pool", "max", (1, 2, 2), (2, 2), (2, 2)), Currents(source, (1, 2, 2), current)
    pooled = _pooled(draft, "pool", layer, value, _Windows(layer.kernel, layer.stride))
    assert pooled.current.sum_error.tolist() == [3.0]


def test_roundings_are_counted_as_higham_does():
    assert roundings(1) >= 2.0**-24 / (1 - 2.0**-24)
    assert roundings(1000) < 1001 * 2.0**-24
