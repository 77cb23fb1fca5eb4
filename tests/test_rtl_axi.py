"""The core beside a processor: registers on AXI4-Lite and both streams, with random delays in every channel."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import squat_deploy as sd
from squat_deploy import toolchain
from squat_deploy.backends.rtl import RtlConfig
from squat_deploy.backends.rtl.project import render
from squat_deploy.lab.models import dense_lif_net
from tests.rtl import PYTHON


@pytest.fixture(scope="module")
def network() -> sd.Network:
    torch.manual_seed(1)
    spec = sd.InputSpec((37,), 0, 3, 1.0, encoding="sequence")
    return sd.lower(dense_lif_net((37, 5, 3), input_bits=None), spec, 6)


@pytest.fixture(scope="module")
def built(network: sd.Network, tmp_path_factory: pytest.TempPathFactory, verilator: None) -> Path:
    frames = np.random.default_rng(1).integers(0, 4, (6, 6, 37))
    project = sd.emit_rtl(network, tmp_path_factory.mktemp("axi") / "p", RtlConfig(pe=2), stimulus=frames)
    toolchain.run(["make", "-s", "build/axi_tb", PYTHON, "OPT=-O0"], project)
    return project


@pytest.mark.parametrize("seed", [0, 3, 11])
def test_calls_by_registers(seed: int, built: Path) -> None:
    """Whole sequences, and with a seed in parts, cut off, and with delays; after a reset in the midst of a call."""
    log = toolchain.run(["./build/axi_tb", "--seed", str(seed)], built, may_fail=True)
    told = re.search(r"^PASS: 0 faults, 18 words of scores compared, (\d+) calls$", log, re.MULTILINE)
    assert told and (int(told[1]) > 6) == bool(seed)


def test_what_differs_is_told(built: Path) -> None:
    path = built / "tb/golden.bin"
    kept = path.read_bytes()
    path.write_bytes(kept[:-4] + bytes([kept[-4] ^ 1]) + kept[-3:])
    log = toolchain.run(["./build/axi_tb"], built, may_fail=True)
    path.write_bytes(kept)
    assert "FIRST DIFFERENCE: score of a sequence, address 05: got " in log and "\nFAIL: 1 faults, " in log
    assert "ERROR: axi_tb [--seed SEED]" in toolchain.run(["./build/axi_tb", "--what"], built, may_fail=True)


def test_registers_are_told_where_they_are(network: sd.Network) -> None:
    """In the README as in the module."""
    files = render(network, RtlConfig(vectors=1))
    module = str(files["rtl/lib/squat_registers.sv"])
    places = dict(re.findall(r"(CONTROL|STATUS|LENGTH|CALLS|LOW|HIGH|KIND) = 6'h(\w+)", module))
    told = re.findall(r"^\| (0x\w\w)(?:, (0x\w\w))? \|", str(files["README.md"]), re.MULTILINE)
    assert sorted(4 * int(place, 16) for place in places.values()) == sorted(
        int(one, 16) for row in told for one in row if one
    )
    wrapper = str(files["rtl/squat_axi.v"])
    assert f".DIGEST(256'h{network.digest})" in wrapper and f".STEPS({network.steps})" in wrapper
