"""The search for a folding: what it keeps to, what it says, and what its estimates are worth."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import squat_deploy as sd
from benchmarks.rtl_prices import fitted, slowest
from squat_deploy.cli.app import app
from squat_deploy.errors import ConfigError, ToolError
from squat_deploy.exploration import Exploration, Wanted, explore, search
from squat_deploy.exploration.features import NAMES
from squat_deploy.exploration.picture import drawn
from squat_deploy.exploration.prices import KINDS, prices_of, runs
from squat_deploy.hardware.vectors import random_stimulus
from squat_deploy.lab.models import conv_lif_net


@pytest.fixture(scope="module")
def found(small: sd.Network) -> Exploration:
    return explore(small, random_stimulus(small, 3), Wanted())


@pytest.mark.parametrize("target", ["ecp5", "xc7"])
def test_prices_are_those_of_the_stored_runs(target: str) -> None:
    """Fitted anew they are the same; on a run that they do not know the middle error is what docs say of it."""
    rows = [run for run in runs() if run.target == target]
    assert len(rows) >= 10 and all(len(run.features) == len(NAMES) for run in rows)
    again, stored = fitted(rows), prices_of(target)
    assert stored is not None
    np.testing.assert_allclose(np.array(again["each"]), stored.each, rtol=1e-6, atol=1e-9)
    assert {kind: tuple(pair) for kind, pair in again["error"].items()} == dict(stored.error)
    assert all(stored.error[kind][0] < 0.25 for kind in KINDS) and (stored.each >= 0).all()


@pytest.mark.parametrize("target", ["ecp5", "xc7"])
def test_the_clock_is_that_of_the_slowest_stored_core(target: str) -> None:
    prices = prices_of(target)
    assert prices is not None
    assert prices.mhz == slowest(target)


def test_a_core_with_planes_has_a_clock_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    planes = sd.lower(
        conv_lif_net((1, 2, 3), 8, kernel=3).eval(), sd.InputSpec((1, 6, 6), 0, 1, 1.0, encoding="sequence"), 2
    )
    inputs = random_stimulus(planes, 2)
    prices = prices_of("ecp5")
    assert prices is not None and prices.mhz is not None and prices.mhz["planes"] < prices.mhz["dense"]
    assert explore(planes, inputs, Wanted()).front[0].mhz == prices.mhz["planes"]
    monkeypatch.setattr(search, "prices_of", lambda name: replace(prices, mhz={"dense": 90.0}))
    with pytest.raises(ConfigError, match="no such core was routed, so that there is no clock; give --mhz"):
        explore(planes, inputs, Wanted())
    assert explore(planes, inputs, Wanted(mhz=50.0)).front[0].mhz == 50


def test_the_front_is_what_no_other_beats(found: Exploration) -> None:
    assert len(found.tried) > len(found.front) > 1
    for one in found.front:
        assert not any(other.beats(one) for other in found.tried)
    for one in found.tried:
        assert one in found.front or any(other.beats(one) for other in found.tried)
    latencies = [one.latency for one in found.front]
    assert found.chosen is not None and found.chosen.latency == min(latencies) < max(latencies)


def test_what_is_wanted_is_kept_to(small: sd.Network, found: Exploration) -> None:
    """The smallest that is fast enough; the fastest that is small enough; else what there is."""
    inputs = random_stimulus(small, 3)
    middle = sorted(found.front, key=lambda one: one.us)[len(found.front) // 2]
    timed = explore(small, inputs, Wanted(max_us=middle.us)).chosen
    assert timed is not None and timed.us <= middle.us and timed.lut <= middle.lut
    sized = explore(small, inputs, Wanted(max_lut=int(middle.lut) + 1, mhz=10.0)).chosen
    assert sized is not None and sized.lut <= middle.lut + 1 and sized.us == sized.latency / 10
    most = found.prices.most
    assert most is not None and f"of at most {most[0]:,} LUT and {most[1]:,} BRAM" in found.said[-1]
    assert Wanted(max_bram=9).on(most) == Wanted(max_lut=most[0], max_bram=9)
    assert Wanted(max_bram=999).on(most).max_bram == most[1] and Wanted().on(None) == Wanted()
    none = explore(small, inputs, Wanted(min_fps=1e12))
    assert none.chosen is None and none.nearest.startswith("the smallest takes ")
    with pytest.raises(ConfigError, match="--target gowin: no synthesis runs are stored for it; use ecp5 or xc7"):
        explore(small, inputs, Wanted(target="gowin"))
    with pytest.raises(ConfigError, match="no such core was routed, so that there is no clock; give --mhz"):
        explore(small, inputs, Wanted(target="xc7"))


def test_pictures_need_matplotlib(found: Exploration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ToolError, match=r"pictures need matplotlib: pip install 'squat_deploy\[study\]'"):
        drawn(found)


def test_what_is_chosen_can_be_typed(small: sd.Network, tmp_path: Path) -> None:
    """The options that are printed fold both hardware back ends."""
    path, picture = tmp_path / "net.safetensors", tmp_path / "front.svg"
    sd.save(small, path)
    asked = ["explore", str(path), "--max-lut", "100000", "--picture", str(picture)]
    ended = CliRunner().invoke(app, asked)
    assert ended.exit_code == 0, ended.output
    assert "error on a run left out" in ended.output and picture.read_text().startswith("<?xml")
    folding = ended.output.split(f"next: squat-deploy rtl {path} ")[1].split()
    made = CliRunner().invoke(app, ["rtl", str(path), *folding, "--out", str(tmp_path / "rtl")])
    assert made.exit_code == 0, made.output
    pe = folding[: folding.index("--simd")]
    made = CliRunner().invoke(app, ["hls", str(path), *pe, "--vectors", "1", "--out", str(tmp_path / "hls")])
    assert made.exit_code == 0, made.output
    chosen = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)["chosen"]
    assert chosen["simd"] == int(folding[-1])
    ended = CliRunner().invoke(app, ["explore", str(path), "--max-us", "0.0001"])
    assert ended.exit_code == 1 and "no folding keeps to these limits; the nearest: the smallest takes" in ended.output


def test_how_many_sequences_count_is_said(small: sd.Network, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    sd.save(small, path)
    for count, said in ((8, False), (9, True)):
        np.save(tmp_path / "x.npy", random_stimulus(small, count))
        ended = CliRunner().invoke(app, ["explore", str(path), "--inputs", str(tmp_path / "x.npy")])
        assert ended.exit_code == 0, ended.output
        assert ("cycles: those of the last 8 of 9 sequences" in ended.output) is said
