"""Folding by balance: goals are met or refused with what works, nothing is wasted, what is given stays."""

from __future__ import annotations

import json
import re
import time
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import torch

import squat_deploy as sd
from squat_deploy.backends import hls
from squat_deploy.errors import ConfigError, ExportError
from squat_deploy.hardware.balancing import ROOM
from squat_deploy.hardware.budget import OFFERS, budget_of
from squat_deploy.hardware.design import design_of
from squat_deploy.hardware.lanes import widths
from squat_deploy.hardware.schedule import estimate, event_counts, stage_costs
from squat_deploy.hardware.vectors import USUAL, random_stimulus
from squat_deploy.lab import bundled
from squat_deploy.lab.models import dense_lif_net
from tests.graph_drawing import draw_graph, draw_inputs
from tests.test_budget import wide
from tests.test_cli import document, invoke
from tests.test_trained import lowered


def cycles_at(network: sd.Network, config: sd.HlsConfig) -> float:
    """Of a mean inference, at a folding that is given."""
    inputs, design = random_stimulus(network, USUAL), design_of(network, config)
    events = event_counts(design, inputs, sd.simulate(network, inputs, trace=True))
    return estimate(design, events).mean_cycles


def test_widths_are_worth_their_lanes() -> None:
    assert widths(1) == (1,) and widths(10) == (1, 2, 4, 5, 10) and widths(64) == (1, 2, 4, 8, 16, 32, 64)
    for channels in range(1, 200):
        found = widths(channels)
        groups = [-(-channels // pe) for pe in found]
        assert found[0] == 1 and found[-1] == channels and sorted(set(groups), reverse=True) == groups
        assert all(-(-channels // (pe - 1)) > count for pe, count in zip(found[1:], groups[1:], strict=True))


@pytest.mark.parametrize("seed", range(12))
def test_targets_are_met_with_as_little_as_it_takes(seed: int) -> None:
    """Between the slowest and the fastest folding; one width less anywhere would be too slow, or no cheaper."""
    network = draw_graph(seed)
    inputs = draw_inputs(network, 3)
    slow = sd.fold(network, sd.HlsConfig(pe={}, target_cycles=10**9), stimulus=inputs)
    assert {share.pe for share in slow.shares} == {1} and slow.bound.name == "target"
    fast = sd.fold(network, sd.HlsConfig(fit="xczu9eg"), stimulus=inputs)
    assert fast.schedule.mean_cycles <= slow.schedule.mean_cycles
    target = int(fast.schedule.mean_cycles * 0.4 + slow.schedule.mean_cycles * 0.6) + 1
    found = sd.fold(network, sd.HlsConfig(target_cycles=target), stimulus=inputs)
    assert found.schedule.mean_cycles <= target
    for name, pe in found.pe.items():
        for less in [width for width in widths(pe) if width < pe][-1:]:
            try:
                other = sd.fold(network, sd.HlsConfig(pe={**found.pe, name: less}), stimulus=inputs)
            except ConfigError as error:
                assert "share their lanes" in str(error)
                continue
            cheaper = sum(astuple(other.budget.total)) < sum(astuple(found.budget.total))
            assert other.schedule.mean_cycles > target or not cheaper or found.budget.total.bram18 < 40


def test_what_is_out_of_reach_is_refused_with_the_nearest(small: sd.Network) -> None:
    """And the nearest is no better than it is said to be: it works, and one less does not."""
    with pytest.raises(
        ExportError, match=r"^target_cycles: 7 cycles are out of reach: \w+ takes longest, \d+ "
    ) as told:
        sd.fold(small, sd.HlsConfig(target_cycles=7))
    nearest = int(str(told.value).rpartition("the nearest is ")[2])
    assert nearest - 1 < sd.fold(small, sd.HlsConfig(target_cycles=nearest)).schedule.mean_cycles <= nearest
    with pytest.raises(ExportError, match=f"the nearest is {nearest}$"):
        sd.fold(small, sd.HlsConfig(target_cycles=nearest - 1))
    with pytest.raises(ExportError, match=r"^target_us: 0.01 us are out of reach: .*; the nearest is [\d.]+$") as told:
        sd.fold(small, sd.HlsConfig(target_us=0.01, clock_ns=4))
    time_us = float(str(told.value).rpartition("the nearest is ")[2])
    assert sd.fold(small, sd.HlsConfig(target_us=time_us, clock_ns=4)).schedule.mean_cycles * 0.004 <= time_us


def test_what_keeps_it_from_being_faster_is_said(small: sd.Network, fashion: sd.Network) -> None:
    fixed = sd.fold(small, sd.HlsConfig(pe={"lif1": 1, "lif2": 1}))
    assert fixed.bound.name == "lif1" and fixed.bound.why.endswith("with PE 1, which is given")
    widest = sd.fold(small, sd.HlsConfig(fit="xczu9eg"))
    assert re.fullmatch(r"takes longest, \d+ cycles a step(, with PE \d+, its widest)?", widest.bound.why)
    squeezed = sd.fold(fashion, sd.HlsConfig(fit="xc7z007s"))
    assert squeezed.bound.why.endswith("; there is no room for more")
    assert "more would gain too little" in sd.fold(small).bound.why


def test_what_fits_no_way_is_refused_with_a_part_that_it_fits() -> None:
    network = wide()
    short = r"\d+ BRAM18, 1.\d times the 100 that there are, most of it in fc; it fits with the part (\w+); "
    for goal in ({"fit": "xc7z007s"}, {"part": "xc7z007s", "target_cycles": 10**8}):
        with pytest.raises(ExportError, match=f"^xc7z007s: with the fewest lanes {short}.*; without a goal ") as told:
            sd.fold(network, sd.HlsConfig(**goal))
    larger = re.search(short, str(told.value))
    assert larger and sd.fold(network, sd.HlsConfig(fit=larger[1])).budget.fits
    assert not sd.fold(network, sd.HlsConfig(part="xc7z007s")).budget.fits


def test_options_that_contradict_each_other_are_refused(small: sd.Network) -> None:
    for options, why in {
        ("target_cycles", "target_us"): "target_us: says the same as target_cycles; leave one of them out",
        ("pe", "fit"): "pe: one number for all layers leaves fit nothing to choose; give it by layer",
        ("part", "fit"): "fit: is the part to fold for, and part says xc7z010; leave part out",
    }.items():
        values = {"pe": 4, "part": "xc7z010", "fit": "xc7z020", "target_cycles": 900, "target_us": 9.0}
        with pytest.raises(ConfigError, match=why):
            sd.HlsConfig(**{name: values[name] for name in options})
    sd.fold(small, sd.HlsConfig(pe={"lif1": 4}, fit="xc7z020"))  # as the hints say
    told = "fit: what xcnone offers is not known here; known are names that begin with xc7z007s, "
    with pytest.raises(ConfigError, match=told) as caught:
        sd.fold(small, sd.HlsConfig(fit="xcnone"))
    assert str(caught.value).endswith("; of another, name it as part, and give a target")
    assert sd.fold(small, sd.HlsConfig(part="xcnone", target_cycles=10**6)).budget.offer is None


def test_what_is_given_stays_and_the_rest_is_balanced(fashion: sd.Network) -> None:
    free = sd.fold(fashion)
    assert free.pe["lif1"] > 8 and all(not share.given for share in free.shares)
    held = sd.fold(fashion, sd.HlsConfig(pe={"lif1": 2}))
    assert held.pe["lif1"] == 2 and [share.given for share in held.shares] == [True, False]
    assert held.pe["lif2"] <= free.pe["lif2"]  # behind a slow layer
    again = sd.fold(fashion, sd.HlsConfig(pe=free.pe))
    assert again.schedule == free.schedule and again.budget.total == free.budget.total


def test_a_part_is_filled_and_not_exceeded(fashion: sd.Network) -> None:
    """A larger part is never slower; each leaves the room that is promised."""
    before = float("inf")
    for part in sorted(OFFERS, key=lambda part: OFFERS[part].lut):
        found = sd.fold(fashion, sd.HlsConfig(fit=part))
        offer = OFFERS[part]
        assert found.budget.fits
        if found.pe["lif1"] > 1:
            rows = zip(astuple(found.budget.total), offer.amounts, ROOM, strict=True)
            assert all(taken <= share * there for taken, there, share in rows)
        before = min(before, found.schedule.mean_cycles * 1.02)
    assert found.schedule.mean_cycles <= before


@pytest.mark.parametrize("name", ["fashion_conv", "nmnist_conv", "fsdd_recurrent"])
def test_balance_of_trained_networks(name: str) -> None:
    """Fast to find, the same twice, within the part, and where it shall be fast no slower than one PE for all."""
    network, _, _ = lowered(name)
    started = time.process_time()
    found = sd.fold(network)
    assert time.process_time() - started < 2
    assert found.shares == sd.fold(network).shares and found.budget.fits
    fast = sd.fold(network, sd.HlsConfig(fit="xc7z020"))
    for pe in (1, 4, 16):
        config = sd.HlsConfig(pe=pe)
        if budget_of(design_of(network, config), config.part).fits:
            assert fast.schedule.mean_cycles <= 1.01 * cycles_at(network, config)


def test_convolutions_are_fast_on_inputs_like_real_ones(rng: np.random.Generator) -> None:
    """On a Zynq-7020, without options: the bundled images, and as many events as recordings have."""
    images, _ = bundled.images()
    fashion, nmnist = lowered("fashion_conv")[0], lowered("nmnist_conv")[0]
    pixels = fashion.input.quantize(images[:32].reshape(-1, *fashion.input.shape))
    events = (rng.random((nmnist.steps, 8, *nmnist.input.shape)) < 0.03).astype(np.int64)
    for network, inputs, most in ((fashion, pixels, 300_000), (nmnist, events, 120_000)):
        found = sd.fold(network, stimulus=inputs)
        assert found.budget.fits and found.schedule.mean_cycles < most


def test_projects_say_what_was_chosen(small: sd.Network, tmp_path: Path) -> None:
    files = hls.render(small, sd.HlsConfig(fit="xc7z010"))
    chosen = sd.fold(small, sd.HlsConfig(fit="xc7z010"))
    said = json.loads(files["manifest.json"])["folding"]
    assert [row["pe"] for row in said["processes"]] == [share.pe for share in chosen.shares]
    for share in chosen.shares:
        line = rf"{share.process} +{share.pe} +{share.widest} +{share.events} +balance\n"
        assert re.search(line, files["reports/estimate.txt"]) and re.search(line, files["README.md"] + "\n")
        layer = next(part for part in chosen.design.parts if part.name == share.process)
        assert f"const unsigned PE = {share.pe};" in files[f"src/rom{layer.number}.h"]
    path = tmp_path / "net.safetensors"
    sd.save(small, path)
    told = document("hls", path, "--out", tmp_path / "p", "--fit", "xc7z010")
    assert told["folding"] == said
    refused = invoke("hls", path, "--out", tmp_path / "p", "--target-us", "0.1", code=1)
    nearest = refused.rpartition("the nearest is ")[2].strip()
    assert "target is met" in invoke("hls", path, "--out", tmp_path / "p", "--target-us", nearest)
    assert "target is met" in invoke("hls", path, "--out", tmp_path / "p", "--target-cycles", 10**6)


def test_the_folding_follows_the_inputs(fashion: sd.Network) -> None:
    """Many events want more lanes than few."""
    config = sd.HlsConfig(target_cycles=9_000)
    few, many = np.zeros((2, 784), dtype=np.int64), np.full((2, 784), 15)
    few[:, ::20] = 1
    assert sd.fold(fashion, config, stimulus=few).pe["lif1"] < sd.fold(fashion, config, stimulus=many).pe["lif1"]


@pytest.mark.parametrize("pe", [16, 32, 64, 128])
def test_dense_layers_are_bound_by_the_ports_of_their_weights(pe: int, rng: np.random.Generator) -> None:
    """784-128-10, 79.5 input spikes a step, two weights a cycle from each ROM: no stage adds more than a tenth."""
    torch.manual_seed(0)
    spec = sd.InputSpec((784,), 0, 1, 1.0, encoding="sequence")
    network = sd.lower(dense_lif_net((784, 128, 10), input_bits=None), spec, 10)
    images = bundled.images()[0][:8]
    spikes = rng.random((10, 8, 784)) < np.minimum(images / images.mean() * 79.5 / 784, 1)
    inputs = spikes.astype(np.int64)
    result, design = sd.simulate(network, inputs, trace=True), design_of(network, sd.HlsConfig(pe=pe))
    costs = stage_costs(design, event_counts(design, inputs, result))
    bound = inputs.sum(axis=2).mean() * (128 // pe) / 2
    slowest = max(float(cost.mean()) for stages in costs for cost in stages)
    assert bound <= slowest <= 1.1 * bound
