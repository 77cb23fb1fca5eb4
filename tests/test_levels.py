"""Level tables and the StateQuantizer against snnTorch's own, bit for bit."""

from __future__ import annotations

import copy
import io
import itertools
import math

import numpy as np
import pytest
import snntorch as snn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from snntorch.functional.quant import state_quant as reference

from squat_deploy.errors import ConfigError
from squat_deploy.snn import levels, quantizers
from squat_deploy.snn.quantizers import InputQuantizer, StateQuantizer, closure_levels, state_quant

KINDS = [(True, True), (False, True), (False, False)]
LIMITS = [(0, 0.2), (0, 1), (0.25, 0.125), (0.1, 0.3)]


def probes(table: torch.Tensor, boundaries: torch.Tensor) -> torch.Tensor:
    """Every level, every boundary and its neighbours, random and odd values."""
    above = torch.nextafter(boundaries, torch.tensor(torch.inf))
    odd = torch.tensor([0.0, -0.0, 1e-40, 5.0, -5.0, 1e3, -1e3, torch.nan])
    middles = (table[1:] + table[:-1]) / 2
    return torch.cat([table, boundaries, above, middles, odd, torch.randn(2000) * 2])


@pytest.mark.parametrize(("bits", "kind", "limits"), list(itertools.product(range(1, 9), KINDS, LIMITS)))
@pytest.mark.parametrize("threshold", [1.0, 0.5, 2.3])
def test_equals_snntorch(bits: int, kind: tuple[bool, bool], limits: tuple[float, float], threshold: float) -> None:
    torch.manual_seed(bits)
    theirs = reference(bits, *kind, threshold, *limits)
    ours = state_quant(bits, *kind, threshold, *limits)
    assert torch.equal(ours.levels, closure_levels(theirs))
    values = probes(ours.levels, ours.boundaries)
    assert torch.equal(ours(values), theirs(values))
    assert torch.equal(StateQuantizer.from_snntorch(theirs, threshold)(values), theirs(values))


@settings(max_examples=60, deadline=None)
@given(
    bits=st.integers(1, 8),
    kind=st.sampled_from(KINDS),
    threshold=st.floats(0.05, 50),
    lower=st.floats(0, 2),
    upper=st.floats(0.01, 2),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_snntorch_anywhere(
    bits: int, kind: tuple[bool, bool], threshold: float, lower: float, upper: float, seed: int
) -> None:
    theirs = reference(bits, *kind, threshold, lower, upper)
    table = closure_levels(theirs)
    if not (table.diff() > 0).all() or table[-1] <= np.float32(threshold):
        with pytest.raises(ConfigError, match=r"repeats|never fire"):
            state_quant(bits, *kind, threshold, lower, upper)
        return
    torch.manual_seed(seed)
    ours = state_quant(bits, *kind, threshold, lower, upper)
    values = probes(ours.levels, ours.boundaries) * threshold
    assert torch.equal(ours(values), theirs(values))


def test_gradient_is_straight_through() -> None:
    for quantizer in (state_quant(4), reference(4)):
        values = torch.randn(50, requires_grad=True)
        weights = torch.randn(50)
        (quantizer(values) * weights).sum().backward()
        assert torch.equal(values.grad, weights)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_types_as_snntorch(dtype: torch.dtype) -> None:
    values = torch.randn(500).to(dtype)
    ours, theirs = state_quant(3)(values), reference(3)(values)
    assert ours.dtype == theirs.dtype == torch.float32
    assert torch.equal(ours, theirs)
    with pytest.raises(ConfigError, match="float64"):
        state_quant(3)(torch.zeros(1, dtype=torch.float64))


@pytest.mark.parametrize("bits", [2, 8])
def test_drop_in_for_leaky(bits: int) -> None:
    inputs = torch.randn(30, 7, 11)
    traces = []
    for make in (state_quant, reference):
        neuron = snn.Leaky(beta=0.9, state_quant=make(bits, uniform=False), init_hidden=True, output=True)
        traces.append([torch.stack(neuron(x)) for x in inputs])
    assert torch.equal(torch.stack(traces[0]), torch.stack(traces[1]))


def test_levels_travel_in_the_state_dict() -> None:
    source = snn.Leaky(beta=0.9, state_quant=state_quant(4, uniform=False))
    target = snn.Leaky(beta=0.9, state_quant=state_quant(4))
    buffer = io.BytesIO()
    torch.save(source.state_dict(), buffer)
    buffer.seek(0)
    target.load_state_dict(torch.load(buffer, weights_only=True))
    assert "state_quant.levels" in source.state_dict()
    values = torch.randn(1000)
    assert torch.equal(target.state_quant(values), source.state_quant(values))
    assert torch.equal(copy.deepcopy(source).state_quant(values), source.state_quant(values))


@pytest.mark.parametrize("bits", [2, 8])
def test_compiles_in_one_graph(bits: int) -> None:
    quantizer = state_quant(bits)
    compiled = torch.compile(quantizer, fullgraph=True, backend="aot_eager")
    values = torch.randn(64, requires_grad=True)
    result = compiled(values)
    result.sum().backward()
    assert torch.equal(result, quantizer(values))
    assert torch.equal(values.grad, torch.ones(64))


def test_half_precision_moves_levels_and_boundaries_together() -> None:
    quantizer = state_quant(6, lower_limit=0.1, upper_limit=0.37)
    before = quantizer.boundaries.clone()
    quantizer.half().float()
    assert quantizer.is_consistent() and not torch.equal(before, quantizer.boundaries)
    quantizer.levels.mul_(1.5)
    assert not quantizer.is_consistent()


def test_boundaries_are_not_the_midpoints() -> None:
    table = levels.level_table(4)
    middles = ((table[1:] + table[:-1]) / np.float32(2)).astype(np.float32)
    assert (middles != levels.decision_boundaries(table)).any()


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_float_order_round_trip(value: float) -> None:
    array = np.array([value], dtype=np.float32)
    order = levels.to_ordered(array)
    assert levels.from_ordered(order)[0] == array[0]
    assert levels.from_ordered(order + 1)[0] == np.nextafter(array[0], np.float32(np.inf))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: levels.level_table(9), "levels: bits must be 1 to 8 (wider exponential tables repeat levels); got 9"),
        (
            lambda: levels.level_table(2, "cubic"),
            f"levels: kind must be one of {', '.join(levels.KINDS)}; got 'cubic'",
        ),
        (
            lambda: levels.level_table(2, threshold=torch.tensor(1.0)),
            "levels: threshold must be a positive float; got tensor(1.)",
        ),
        (lambda: levels.level_table(2, threshold=float("nan")), "levels: threshold must be a positive float; got nan"),
        (
            lambda: levels.level_table(3, upper_limit=0.0),
            "levels: a neuron fires only above its threshold 1.0, but the highest level is 1.0: it could never fire; "
            "raise upper_limit above 0",
        ),
        (
            lambda: StateQuantizer(np.array([0.0, 2.0, 2.0])),
            "levels: must ascend without repeats; got np.float32(2.0) then np.float32(2.0) at 1",
        ),
        (lambda: StateQuantizer(np.array([0.0, np.nan])), "levels: every level must be finite; got NaN or infinity"),
        (
            lambda: InputQuantizer(0.3, 0, 15),
            "InputQuantizer: step must be a power of two; got 0.3; the nearest is 0.25",
        ),
    ],
)
def test_refusals(make: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()  # type: ignore[operator]
    assert str(caught.value) == message


def test_only_snntorch_closures_are_accepted() -> None:
    with pytest.raises(ConfigError, match="expected a StateQuantizer or a closure"):
        StateQuantizer.from_snntorch(torch.sigmoid)

    def other_rule(levels: torch.Tensor) -> object:
        return lambda x: levels[(levels < x[..., None]).sum(-1).clamp(max=len(levels) - 1)]

    with pytest.raises(ConfigError, match="expected a StateQuantizer or a closure"):
        StateQuantizer.from_snntorch(other_rule(torch.tensor([0.0, 2.0])))


def _around(table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ascending membranes: runs of neighbouring floats at levels, midpoints and powers of two, and random ones."""
    limit = np.float32(min(levels.safe_magnitude(table), 1e30))
    places = np.concatenate([table, (table[1:] + table[:-1]) / 2, table[1:] * 0.999 + table[:-1] * 0.001])
    places = np.concatenate([places, np.float32(2.0) ** np.arange(-40, 40)]).astype(np.float32)
    orders = levels.to_ordered(places)[:, None] + np.arange(-40, 41)
    values = np.concatenate([levels.from_ordered(orders.reshape(-1)), rng.uniform(-3, 3, 2000).astype(np.float32)])
    return np.unique(values[np.abs(values) <= limit])


def test_a_table_that_is_accepted_ascends() -> None:
    """snnTorch's own rule on every kind of gap; nothing that falls is taken, and little that does not is refused."""
    refused = fallen = 0
    for seed in range(90):
        rng = np.random.default_rng(seed)
        gaps = 2.0 ** rng.uniform(-26, (-12, 0, -22)[seed % 3], rng.integers(1, 7))
        table = np.unique((np.cumsum(np.r_[-rng.uniform(0, 1), gaps]) + 1).astype(np.float32))
        table = np.r_[table, np.float32(table[-1] + rng.uniform(0.5, 2))].astype(np.float32)
        falls = bool((np.diff(levels.nearest(table, _around(table, rng))) < 0).any())
        fallen += falls
        try:
            levels.check_levels(table, 0.0)
        except ConfigError as error:
            assert "a rising membrane would fall to a lower level" in str(error)
            refused += 1
        else:
            assert not falls
    assert fallen >= 3 and refused <= 20


def test_tables_that_fall_are_drawn_and_refused() -> None:
    """That the test above can fail: snnTorch makes such tables, and its rule falls on them."""
    theirs = closure_levels(reference(2, False, False, multiplier=2e-8)).numpy()
    values = np.array([2.4e-8, 0.547], dtype=np.float32)
    assert (np.diff(levels.nearest(theirs, values)) < 0).any()
    for multiplier in (2e-8, 1e-8, 3e-8):
        with pytest.raises(ConfigError, match="use a base"):
            StateQuantizer.from_snntorch(reference(2, False, False, multiplier=multiplier))
    StateQuantizer.from_snntorch(reference(2, False, False, multiplier=1e-3))


def test_closures_of_double_levels_are_refused() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        theirs = reference(3, True)
    finally:
        torch.set_default_dtype(torch.float32)
    with pytest.raises(ConfigError, match=r"levels are float32; got torch\.float64"):
        StateQuantizer.from_snntorch(theirs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_counting_and_searching_are_one(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few values are searched, many are counted; with gradients or without."""
    quantizer = StateQuantizer.of(4).to(dtype)
    ends = torch.tensor([math.nan, math.inf, -math.inf, 0.0, -0.0])
    values = torch.cat([torch.randn(300), quantizer.boundaries.float(), quantizer.levels.float(), ends]).to(dtype)
    searched = quantizer(values)
    with torch.no_grad():
        assert torch.equal(quantizer(values.clone()), searched)
    monkeypatch.setattr(quantizers, "_COUNTED_VALUES", 0)
    assert torch.equal(quantizer(values.clone()), searched)
