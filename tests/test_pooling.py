"""Pooling, means over positions and padding in every spelling: exact, or refused with a hint that works."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from brevitas.nn import QuantConv1d
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from torch import Tensor, nn

import squat_deploy as sd
from squat_deploy.errors import LoweringError
from squat_deploy.lowering.pooling import _regular
from tests.law import assert_agrees
from tests.test_effects import assert_exact_or_refused
from tests.test_models import conv, leaky, linear

STEPS = 4
PLANES, LINES = sd.InputSpec((2, 6, 8), 0, 3), sd.InputSpec((2, 12), 0, 3)
Change = Callable[[Tensor], Tensor]


def conv1d(fan_in: int, fan_out: int, kernel: int, **options: Any) -> QuantConv1d:
    fixed = {"bias": False, "weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4}
    return QuantConv1d(fan_in, fan_out, kernel, **{**fixed, **options})


class Pooled(nn.Module):
    """A convolution whose spikes, or currents, are pooled in some way."""

    def __init__(self, spec: sd.InputSpec, change: Change, *, currents: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = conv(2, 3, 3, padding=1) if len(spec.shape) == 3 else conv1d(2, 3, 3, padding=1)
        self.change, self.currents, self.lif1, self.lif2 = change, currents, leaky(), leaky()
        with torch.no_grad():
            size = change(torch.zeros(1, 3, *spec.shape[1:])).numel()
        self.fc = linear(size, 4)
        with torch.no_grad():
            self.conv.weight.mul_(3)
            self.fc.weight.mul_(5)

    def forward(self, x):
        y = self.lif1(self.change(self.conv(x))) if self.currents else self.change(self.lif1(self.conv(x)))
        return self.lif2(self.fc(y.flatten(1)))


def assert_exact(spec: sd.InputSpec, change: Change, *, currents: bool = False, proven: bool = True) -> sd.Network:
    """Averages by numbers that are no powers of two round: those need not be proven, but must agree."""
    model = Pooled(spec, change, currents=currents).eval()
    network = sd.lower(model, spec, STEPS, allow_unproven=not proven)
    inputs = np.random.default_rng(0).integers(spec.low, spec.high + 1, (7, *spec.shape))
    assert sd.verify(network, model, inputs, executors=["torch", "numpy"]).agrees
    assert network.certificate.proven or not proven
    assert sum(int(layer.spikes.sum()) for layer in sd.simulate(network, inputs, trace=True).trace) > 0
    return network


LINE: dict[str, Change] = {
    "max": lambda x: F.max_pool1d(x, 2),
    "max, stride": lambda x: F.max_pool1d(x, 3, stride=2, padding=1),
    "max, torch's": lambda x: torch.max_pool1d(x, (3,), (3,)),
    "max, a module": nn.MaxPool1d(3, 2, 1),
    "average": lambda x: F.avg_pool1d(x, 4),
    "average, padded": lambda x: F.avg_pool1d(x, (2,), stride=1, padding=1),
    "average, a module": nn.AvgPool1d(2),
    "adaptive": lambda x: F.adaptive_avg_pool1d(x, 3),
    "adaptive, a module": nn.AdaptiveAvgPool1d(6),
    "adaptive max": lambda x: F.adaptive_max_pool1d(x, 4),
    "adaptive max, a module": nn.AdaptiveMaxPool1d(1),
    "mean": lambda x: x.view(-1, 3, 3, 4).mean(3),
    "sum": lambda x: x.sum(2),
    "largest": lambda x: x.amax(-1, keepdim=True),
}
PLANE: dict[str, Change] = {
    "mean": lambda x: x.view(-1, 3, 4, 12).mean(2),
    "sum": lambda x: x.sum((2, 3)),
    "sum of one axis": lambda x: torch.sum(x, dim=-1),
    "largest": lambda x: torch.amax(x, (-1, -2)),
    "largest of one axis": lambda x: x.amax(2, keepdim=True),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, (3, 4)),
    "adaptive, one size kept": lambda x: F.adaptive_avg_pool2d(x, (None, 2)),
    "adaptive, a module": nn.AdaptiveAvgPool2d((6, 2)),
    "adaptive max": lambda x: F.adaptive_max_pool2d(x, 2),
    "adaptive max that overlaps": nn.AdaptiveMaxPool2d((5, 7)),
    "ceil where nothing is cut": nn.MaxPool2d(2, ceil_mode=True),
    "some axes joined": nn.Flatten(1, 2),
    "joined by torch": lambda x: torch.flatten(x, 2, -1),
    "taken apart": nn.Unflatten(3, (2, 4)),
    "taken apart by a method": lambda x: x.unflatten(2, (2, -1)),
}
SPELLINGS = [*((LINES, name, LINE[name]) for name in LINE), *((PLANES, name, PLANE[name]) for name in PLANE)]


@pytest.mark.parametrize(("spec", "name", "change"), SPELLINGS)
def test_spikes_are_pooled(spec: sd.InputSpec, name: str, change: Change) -> None:
    assert_exact(spec, change)


def test_averages_that_round_have_a_bound_and_agree() -> None:
    """A division by 12, and one by 6 and then by 8, of spikes."""
    for spec, change in (
        (LINES, lambda x: x.mean(-1)),
        (PLANES, lambda x: x.mean((2, 3))),
        (PLANES, lambda x: torch.mean(x, dim=[2, 3], keepdim=True)),
        (PLANES, nn.AdaptiveAvgPool2d(1)),
        (LINES, nn.AvgPool1d(3)),
    ):
        network = assert_exact(spec, change, proven=False)
        assert network.certificate.layers[1].rule == "error bound"


@pytest.mark.parametrize(
    ("spec", "change"),
    [
        (LINES, nn.MaxPool1d(2)),
        (LINES, nn.AvgPool1d(4)),
        (LINES, lambda x: F.adaptive_max_pool1d(x, 3)),
        (PLANES, nn.AdaptiveAvgPool2d((3, 2))),
        (PLANES, lambda x: x.sum(3)),
        (PLANES, lambda x: x.amax((2, 3))),
    ],
)
def test_currents_are_pooled(spec: sd.InputSpec, change: Change) -> None:
    assert_exact(spec, change, currents=True)


def sequential(spec: sd.InputSpec, *middle: nn.Module, size: int) -> nn.Sequential:
    torch.manual_seed(0)
    first = conv(2, 3, 3, padding=1) if len(spec.shape) == 3 else conv1d(2, 3, 3, padding=1)
    return nn.Sequential(first, leaky(), *middle, nn.Flatten(), linear(size, 4), leaky()).eval()


def test_every_back_end_takes_them(compiler: None) -> None:
    for spec, middle, size in (
        (LINES, nn.AdaptiveMaxPool1d(4), 12),
        (LINES, nn.AvgPool1d(4, 3), 9),
        (PLANES, nn.AdaptiveAvgPool2d((3, 1)), 9),
    ):
        model = sequential(spec, middle, size=size)
        network = sd.lower(model, spec, STEPS)
        inputs = np.random.default_rng(0).integers(0, 4, (5, *spec.shape))
        assert_agrees(sd.verify(network, model, inputs))


def test_adaptive_windows_are_those_of_torch() -> None:
    """For every pair of sizes: regular ones pool as torch does, the others are refused."""
    values = torch.from_numpy(np.random.default_rng(0).permutation(24)).float()
    for size, wanted in itertools.product(range(1, 12), range(1, 14)):
        found = _regular(size, wanted)
        theirs = F.adaptive_max_pool1d(values[None, None, :size], wanted)
        if found is not None:
            assert torch.equal(F.max_pool1d(values[None, None, :size], *found), theirs)
        assert found is not None or size % wanted


REFUSED: dict[str, tuple[Change, str, Change]] = {
    "uneven windows": (
        nn.AdaptiveAvgPool2d(5),
        "adaptive windows have one size and one distance; got (5, 5) windows over (6, 8) positions; "
        "use output sizes that divide those of the input, 1 for instance",
        nn.AdaptiveMaxPool2d(2),
    ),
    "mean over channels": (
        lambda x: x.mean(1),
        "means, sums and maxima are over positions; got dim=1 of (batch, 3, 6, 8); use dim=(2, 3) of planes",
        lambda x: x.sum((2, 3)),
    ),
    "another type": (
        lambda x: x.sum(2, dtype=torch.float64).float(),
        "values stay float32; got dtype=torch.float64; leave dtype= away",
        lambda x: x.sum(2),
    ),
    "windows with gaps": (nn.MaxPool2d(2, dilation=2), "windows have no gaps; got dilation=2; use", nn.MaxPool2d(2)),
    "windows beyond the end": (
        nn.MaxPool2d(4, ceil_mode=True),
        "windows lie inside; got ceil_mode=True and windows that do not fit (6, 8); use ceil_mode=False",
        nn.MaxPool2d(4),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_have_hints_that_work(name: str) -> None:
    change, message, hint = REFUSED[name]
    error = assert_exact_or_refused(lambda: Pooled(PLANES, change), PLANES, STEPS, (3,))
    assert error is not None and message in str(error), error
    assert_exact(PLANES, hint)


def test_axes_of_modules_in_a_row() -> None:
    """Nothing is run there: sizes are followed by the handlers alone."""
    for middle, message in (
        (nn.Flatten(0, 1), r"the batch axis stays; got Flatten\(0, 1\); use nn.Flatten\(\)"),
        (
            nn.Flatten(3, 2),
            r"Flatten joins axes behind the batch; got Flatten\(3, 2\) of \(3, 6, 8\); use nn.Flatten\(\)",
        ),
        (nn.Unflatten(1, (2, 2)), r"an axis behind the batch is taken apart; got Unflatten\(1, \(2, 2\)\) of"),
        (nn.Unflatten(0, (1, 1)), "give the axis by its number, 1 or more, and sizes whose product is that axis"),
        (nn.AdaptiveAvgPool1d(2), r"takes \(channels, length\) values; got \(3, 6, 8\); put no nn.Flatten before it"),
    ):
        with pytest.raises(LoweringError, match=message):
            sd.lower(sequential(PLANES, middle, size=144), PLANES, STEPS)
    for middle in ((nn.Flatten(1, 3),), (nn.Flatten(2, 3), nn.Unflatten(2, (6, -1))), (nn.Flatten(-3, -2),)):
        assert sd.lower(sequential(PLANES, *middle, size=144), PLANES, STEPS).certificate.proven


# Padding

SAME: list[tuple[int, int]] = [(3, 1), (1, 1), (2, 1), (4, 1), (5, 1), (3, 2), (2, 2), (4, 2)]


@pytest.mark.parametrize(("kernel", "dilation"), SAME)
@pytest.mark.parametrize("spec", [PLANES, LINES], ids=["planes", "lines"])
def test_padding_that_keeps_the_size(spec: sd.InputSpec, kernel: int, dilation: int) -> None:
    """torch pads even kernels by one more on the right."""
    torch.manual_seed(0)
    make = conv if len(spec.shape) == 3 else conv1d
    layer = make(2, 3, kernel, padding="same", dilation=dilation)
    with torch.no_grad():
        layer.weight.mul_(3)
    model = nn.Sequential(layer, leaky()).eval()
    network = sd.lower(model, spec, STEPS)
    inputs = np.random.default_rng(0).integers(0, 4, (7, *spec.shape))
    built = ["c++"] if kernel in (2, 3) else []  # hardware sees bounds, which these have all kinds of
    assert sd.verify(network, model, inputs, executors=["torch", "numpy", "onnxruntime", *built]).agrees
    assert network.outputs == 3 * spec.size // 2


def test_uneven_kernels_and_valid() -> None:
    for options in ({"padding": "same", "groups": 2}, {"padding": "valid"}):
        model = nn.Sequential(conv(2, 4, (2, 3), **options), leaky()).eval()  # type: ignore[arg-type]
        network = sd.lower(model, PLANES, STEPS)
        inputs = np.random.default_rng(0).integers(0, 4, (7, *PLANES.shape))
        assert sd.verify(network, model, inputs, executors=["torch", "numpy"]).agrees


@pytest.mark.parametrize(
    ("options", "got"),
    [
        ({"padding": "same", "stride": 2}, r"padding='same' with stride=\(2, 2\)"),
        ({"padding": "same", "kernel_size": 2, "dilation": 3}, r"padding='same' of an even kernel \(2, 2\) with dilat"),
        ({"padding": 1, "padding_mode": "circular"}, r"padding=\(1, 1\), padding_mode='circular'"),
    ],
)
def test_padding_that_is_refused(options: dict[str, Any], got: str) -> None:
    options = {"kernel": 3, **options}
    kernel = options.pop("kernel_size", options.pop("kernel"))
    with pytest.raises(LoweringError, match=rf"pads with zeros, a stated number of them; got {got}.*; use padding="):
        sd.lower(nn.Sequential(conv(2, 3, kernel, **options), leaky()).eval(), PLANES, STEPS)
    mended = nn.Sequential(conv(2, 3, kernel, **{**options, "padding": 1, "padding_mode": "zeros"}), leaky()).eval()
    assert sd.lower(mended, PLANES, STEPS).certificate.proven
