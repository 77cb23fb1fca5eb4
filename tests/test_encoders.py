"""Encoders: the same bits in torch, NumPy and C++; sensors' events streamed to the core."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import ConfigError
from squat_deploy.lab.encoding import SpikeEncoder
from squat_deploy.lab.models import recurrent_lif_net
from squat_deploy.network.encoders import LFSR_TAPS, EventEncoder, LatencyEncoder, RateEncoder, check_encoder
from tests.law import assert_agrees
from tests.test_hls import make

STEPS = 6


@pytest.fixture(scope="module")
def model() -> nn.Sequential:
    torch.manual_seed(1)
    return recurrent_lif_net((12, 8, 4), beta=0.9, state_bits=3).eval()


def network(model: nn.Sequential, high: int = 1) -> sd.Network:
    return sd.lower(model, sd.InputSpec((3, 2, 2), 0, high, 1.0, "sequence"), STEPS)


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_random_numbers_are_those_of_the_register(bits: int) -> None:
    """Shift by shift, as the generated C++ does it."""
    state, wanted = 77, []
    for _ in range(500):
        for _ in range(bits):
            state = (state >> 1) ^ (LFSR_TAPS if state & 1 else 0)
        wanted.append(state >> (32 - bits))
    assert RateEncoder(bits=bits, seed=77).thresholds(5, 100).reshape(-1).tolist() == wanted


def test_rates_are_the_intensities() -> None:
    values = np.arange(256)[None]
    spikes = RateEncoder()(values, 4000)
    assert spikes.shape == (4000, 1, 256)
    assert np.abs(spikes.mean(axis=0) - values / 256).max() < 0.03  # 4 deviations of 4000 draws
    assert not spikes[:, 0, 0].any()


@given(bits=st.integers(1, 8), steps=st.integers(1, 40))
@settings(deadline=None)
def test_latency_is_one_spike_the_brighter_the_earlier(bits: int, steps: int) -> None:
    spikes = LatencyEncoder(bits=bits)(np.arange(2**bits)[None], steps)[:, 0]
    assert spikes.sum(axis=0).tolist() == [0] + [1] * (2**bits - 1)
    first = spikes[:, 1:].argmax(axis=0)
    assert (np.diff(first) <= 0).all() and first[-1] == 0
    assert bits == 1 or first[0] == steps - 1


@pytest.mark.parametrize("encoder", [RateEncoder(bits=4, seed=9), RateEncoder(), LatencyEncoder(bits=5)])
def test_intensities_agree_everywhere(
    encoder: RateEncoder | LatencyEncoder,
    model: nn.Sequential,
    rng: np.random.Generator,
    ap_headers: None,
    tmp_path: Path,
) -> None:
    """The core makes its own spikes of one frame a sequence; the trained model takes NumPy's."""
    net = network(model)
    values = rng.integers(0, 2**encoder.bits, (20, 3, 2, 2))
    config = sd.HlsConfig(encoder=encoder)
    agreement = sd.verify(net, model, values, config=config, folder=tmp_path / "hls")
    assert_agrees(agreement)
    assert {"torch", "c++"} <= {row.executor for row in agreement.rows}
    spikes = sd.simulate(net, encoder(values, STEPS), trace=True).trace
    assert spikes is not None and spikes[0].spikes.any()
    watched = isinstance(encoder, LatencyEncoder) or encoder.seed == 9  # one of each kind
    assert make(tmp_path / "hls", "sanitize" if watched else "csim-ap").startswith("PASS: 0 mismatches")


@pytest.mark.parametrize("encoder", [RateEncoder(bits=4, seed=9), RateEncoder(), LatencyEncoder(bits=5)])
def test_torch_gives_the_same_bits(encoder: RateEncoder | LatencyEncoder, rng: np.random.Generator) -> None:
    module = SpikeEncoder(encoder, 9)
    values = torch.from_numpy(rng.random((7, 3, 4), dtype=np.float32) * 1.2 - 0.1)
    spikes = module(values)
    assert spikes.dtype == torch.float32 and spikes.shape == (9, 7, 3, 4)
    assert np.array_equal(spikes.numpy(), encoder(module.intensities(values).numpy(), 9))


@pytest.mark.parametrize("high", [1, 3])
def test_events_streamed_to_the_core(
    high: int, model: nn.Sequential, rng: np.random.Generator, ap_headers: None, tmp_path: Path
) -> None:
    """Also a sequence cut off before its end, and one in two calls: both are runs of the testbench."""
    frames = np.minimum(rng.poisson(0.6, (STEPS, 20, 3, 2, 2)), high)
    config = sd.HlsConfig(encoder=EventEncoder(window=100))
    agreement = sd.verify(network(model, high), model, frames, config=config, folder=tmp_path / "hls")
    assert_agrees(agreement)
    assert make(tmp_path / "hls", "sanitize" if high == 1 else "csim-ap").startswith("PASS: 0 mismatches")
    top = (tmp_path / "hls/src/squat_top.h").read_text()
    assert "ticks since the start of the sequence in the upper half, address in the lower" in top


def test_frames_of_events() -> None:
    spec = sd.InputSpec((3,), 0, 2, 1.0, "sequence")
    times, addresses = np.array([0, 5, 9, 10, 11, 12, 99]), np.array([1, 1, 1, 0, 2, 2, 0])
    frames = EventEncoder(window=10)(times, addresses, spec, 2)
    assert frames.tolist() == [[[0, 2, 0]], [[1, 0, 2]]]  # three events cut to 2; the last is too late
    with pytest.raises(ConfigError, match=r"addresses 0\.\.2"):
        EventEncoder(window=10)(times, addresses + 1, spec, 2)


@pytest.mark.parametrize(
    ("encoder", "spec", "message"),
    [
        (RateEncoder(), sd.InputSpec((12,), 0, 1), "encoder rate: the network must take a sequence of frames"),
        (LatencyEncoder(), sd.InputSpec((12,), 0, 3, 1.0, "sequence"), "encoder latency: gives spikes; the network"),
        (EventEncoder(window=9), sd.InputSpec((12,), -1, 1, 1.0, "sequence"), "encoder events: counts start at 0"),
        (EventEncoder(window=20_000), sd.InputSpec((12,), 0, 1, 1.0, "sequence"),
         r"encoder events: times have 16 bits, ticks 0 to 65535; .*use a window of at most 10922 t"),
    ],
)  # fmt: skip
def test_encoders_that_do_not_fit_are_refused(
    encoder: object, spec: sd.InputSpec, message: str, model: nn.Sequential, tmp_path: Path
) -> None:
    net = sd.lower(model, spec, STEPS)
    with pytest.raises(ConfigError, match=message):
        sd.emit_hls(net, tmp_path / "p", sd.HlsConfig(encoder=encoder))
    assert not (tmp_path / "p").exists()


def test_steps_that_no_tick_can_count_are_refused() -> None:
    spec = sd.InputSpec((12,), 0, 1, 1.0, "sequence")
    with pytest.raises(
        ConfigError, match="times and addresses have 16 bits; got 65537 steps and 12 addresses; use fewer"
    ):
        check_encoder(EventEncoder(window=1), spec, 2**16 + 1)
    text = "encoder events: times have 16 bits, ticks 0 to 65535; got 6 windows of 10923 ticks; use a window of"
    with pytest.raises(ConfigError, match=text):
        check_encoder(EventEncoder(window=10923), spec, STEPS)
    check_encoder(EventEncoder(window=1), spec, 2**16)
    check_encoder(EventEncoder(window=EventEncoder(window=1).most_ticks(STEPS)), spec, STEPS)


@pytest.mark.parametrize("values", [np.array([[256]]), np.array([[-1]]), np.array([[0.5]]), np.array([3])])
def test_wrong_intensities_are_refused(values: np.ndarray) -> None:
    for encoder in (RateEncoder(), LatencyEncoder()):
        with pytest.raises(ConfigError, match="intensities: "):
            encoder(values, 3)


def test_events_long_after_the_sequence_are_dropped() -> None:
    """Their times times the size of a frame would not fit 64 bits."""
    spec = sd.InputSpec((300,), 0, 3, encoding="sequence")
    times = np.array([0, 15, 2**63 - 1, 2**62], dtype=np.int64)
    for kind in (np.int64, np.uint64):
        frames = EventEncoder(window=10)(times.astype(kind), np.array([1, 2, 3, 4], dtype=kind), spec, 2)
        assert np.argwhere(frames).tolist() == [[0, 0, 1], [1, 0, 2]]


def test_events_and_intensities_are_numbers() -> None:
    spec = sd.InputSpec((3,), 0, 3, encoding="sequence")
    with pytest.raises(ConfigError, match="times and addresses are integers; got float64"):
        EventEncoder(window=10)(np.array([np.nan]), np.array([1]), spec, 2)
    with pytest.raises(ConfigError, match="every value must be a number; got NaN"):
        SpikeEncoder(RateEncoder(bits=4, seed=1), 2)(torch.full((1, 3), torch.nan))
