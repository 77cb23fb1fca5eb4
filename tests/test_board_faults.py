"""What a driver says when the core, the DMA or the overlay does not do what it should."""

from __future__ import annotations

import ast
import os
import re
import struct
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import squat_deploy as sd
from tests.board import drawn, driver, emitted, nets, simulated
from tests.test_error_texts import literals, parts, raised
from tests.test_hardware import sequence_network
from tests.test_hls import flip

NETWORK = sequence_network((0, 1))
INPUTS = drawn(NETWORK, None, 3)


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory, compiler: None) -> Any:
    return driver(emitted(NETWORK, None, tmp_path_factory.mktemp("board")))


def fault(module: Any, hardware: Any, timeout: float = 0.3) -> str:
    """What `run` says; the device is of no use afterwards."""
    with simulated(module, hardware=hardware, timeout=timeout) as device:
        with pytest.raises(module.DeviceError) as error:
            device.run(INPUTS)
        with pytest.raises(module.DeviceError, match=r"this device stopped \(.*\); make a new SquatDevice"):
            device.run(INPUTS)
    return str(error.value)


def test_every_text_of_an_error_stands_in_a_test(module: Any, tmp_path: Path) -> None:
    """Of those between the numbers that are filled in, one of 12 letters at least."""
    tests = [ast.parse(path.read_text()) for path in Path(__file__).parent.glob("test_board*.py")]
    said = parts(tuple(text for tree in tests for text in literals(tree)))
    for _, texts in raised(ast.parse(Path(module.__file__).read_text())):
        pieces = tuple(piece for text in texts for piece in re.split("%[a-z]", text))
        assert parts(pieces) & said or not parts(pieces), texts


def test_too_few_words(module: Any) -> None:
    """The core waits for more: the DMA that receives never ends."""

    class Losing(module.SimulatedHardware):  # type: ignore[misc]
        def put(self, words: np.ndarray) -> None:
            super().put(words[:-1])

    said = fault(module, Losing())
    assert said.startswith("no scores came within 0.3 s; CTRL 0x01, sending idle, receiving busy. Look at:\n")
    assert "sending idle, receiving busy: the core wants more words than were sent" in said
    assert f"of one `make bitstream` (network {NETWORK.digest[:16]})" in said


def test_a_core_that_does_not_run(module: Any) -> None:
    class Still(module.SimulatedHardware):  # type: ignore[misc]
        def write(self, offset: int, value: int) -> None:
            if offset:
                super().write(offset, value)

    said = fault(module, Still())
    assert said.startswith("no scores came within 0.3 s; CTRL 0x04, sending busy, receiving busy. Look at:\n")
    assert "sending busy: the core waits for nothing, so it does not run (clock, reset" in said


def test_scores_without_an_end(tmp_path: Path, compiler: None) -> None:
    """No TLAST on the last word."""
    project = emitted(NETWORK, None, tmp_path)
    flip(project / "src" / "squat_top.cpp", r"neuron \+ 1 == OUTPUTS", "false")
    changed = driver(project)
    said = fault(changed, changed.SimulatedHardware())
    assert said.startswith("no scores came within 0.3 s; CTRL 0x04, sending idle, receiving busy")


def test_scores_of_another_network(module: Any, tmp_path: Path) -> None:
    network, encoder = nets()["mean"]
    other = emitted(network, encoder, tmp_path)
    said = fault(module, module.SimulatedHardware(other))
    assert said.startswith("24 bytes of scores came, and this project sends 12; CTRL 0x04, sending idle, ")


def test_a_core_that_does_not_end(module: Any) -> None:
    class Busy(module.SimulatedHardware):  # type: ignore[misc]
        def read(self, offset: int) -> int:
            return super().read(offset) & 1 | 1

    assert fault(module, Busy()).startswith("the core sent its scores and did not end within 0.3 s; CTRL 0x01, ")


def test_an_error_of_the_dma_is_named(module: Any) -> None:
    hardware = module.SimulatedHardware()
    hardware.receive.error = True
    hardware.put = lambda words: None
    said = fault(module, hardware, timeout=1000)
    assert (
        said.startswith("the DMA stopped with an error; CTRL")
        and "sending idle, receiving error" in said
        and "error: the DMA reaches no such memory; allocate buffers" in said
    )


def test_words_that_stay(tmp_path: Path, compiler: None) -> None:
    """Events of steps that did not run are read at the next restart; a core that leaves them there is noticed."""
    network, encoder = nets()["events"]
    events = driver(emitted(network, encoder, tmp_path))

    class Leaving(events.SimulatedHardware):  # type: ignore[misc,name-defined]
        all_taken = False

    times, addresses = np.arange(20) % 54, np.arange(20) % 12
    with simulated(events, hardware=Leaving(), timeout=0.2) as device:
        device.call((times, addresses), steps=1, restart=True)
        with pytest.raises(events.DeviceError, match="the words sent before were not taken within"):
            device.call((times, addresses), steps=1, restart=True)


def test_a_child_that_ends(module: Any) -> None:
    hardware = module.SimulatedHardware()
    hardware._child.kill()
    hardware._child.wait()
    with simulated(module, hardware=hardware) as device, pytest.raises(module.DeviceError) as error:
        device.run(INPUTS)
    assert "the simulated core ended, exit code -9" in str(error.value)


def test_a_child_that_is_told_nonsense(module: Any) -> None:
    """A second call while the first waits for words."""
    hardware = module.SimulatedHardware()
    hardware._tell(struct.pack("<cII", b"S", 6, 1) * 2)
    with pytest.raises(module.DeviceError, match="the simulated core ended, exit code 3"):
        for _ in range(2000):
            hardware.look()
    hardware.close()


def test_channels_are_as_strict_as_those_of_pynq(module: Any) -> None:
    hardware = module.SimulatedHardware()
    words = np.zeros(3, dtype=np.uint32)
    assert not hardware.send.idle and not hardware.receive.idle
    for channel in (hardware.send, hardware.receive):
        channel.transfer(words)
        with pytest.raises(RuntimeError, match="DMA channel not idle"):
            channel.transfer(words)
    hardware.close()


def test_an_interrupted_call(module: Any) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with simulated(module) as device:
        start, device.hardware.registers.start = device.hardware.registers.start, interrupt
        with pytest.raises(KeyboardInterrupt):
            device.run(INPUTS)
        device.hardware.registers.start = start
        with pytest.raises(module.DeviceError, match=r"this device stopped \(a call was interrupted\)"):
            device.run(INPUTS)


def test_golden_data_that_are_not_there(tmp_path: Path) -> None:
    lone = driver(emitted(NETWORK, None, tmp_path))
    (lone.HERE / "scores.dat").unlink()
    with pytest.raises(lone.DeviceError, match=r"golden data: no scores\.dat in "):
        lone.golden()


def test_what_the_stand_in_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: None) -> None:
    lone = driver(emitted(NETWORK, None, tmp_path))
    (lone.PROJECT / "src" / "layer1.h").unlink()
    with pytest.raises(lone.DeviceError, match=r"compiles the project in .*, which failed:\n"):
        lone.SquatDevice(simulated=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(lone.DeviceError, match="simulated=True needs make and g\\+\\+, and make is not here"):
        lone.SquatDevice(simulated=True)


@pytest.fixture
def overlay(module: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module `pynq` whose overlay is the stand-in, with registers that lie elsewhere; both files of the overlay."""

    class Elsewhere(module.SimulatedHardware):  # type: ignore[misc]
        OFFSETS = {"CTRL": 0x08, "steps": 0x40, "restart": 0x20}
        BITS = {"AP_START": 3, "AP_DONE": 1, "AP_IDLE": 5, "AP_READY": 2}

    hardware = Elsewhere()
    entry = {"registers": {name: dict(found) for name, found in hardware.registers._described.items()}}
    dma = SimpleNamespace(sendchannel=hardware.send, recvchannel=hardware.receive)
    made = SimpleNamespace(
        squat_top_0=hardware, axi_dma_0=dma, ip_dict={"squat_top_0": entry, "axi_dma_0": {}}, loaded=""
    )
    pynq: Any = ModuleType("pynq")
    monkeypatch.setitem(sys.modules, "pynq.lib", ModuleType("pynq.lib"))
    monkeypatch.setitem(sys.modules, "pynq.lib.dma", ModuleType("pynq.lib.dma"))
    pynq.__path__ = []
    pynq.Overlay = lambda path: (setattr(made, "loaded", path), made)[1]
    pynq.allocate = lambda shape, dtype: np.zeros(shape, dtype=dtype)
    monkeypatch.setitem(sys.modules, "pynq", pynq)
    for suffix in (".bit", ".hwh"):
        (module.HERE / "squat").with_suffix(suffix).touch()
    yield made
    hardware.close()
    for suffix in (".bit", ".hwh", ".id"):
        (module.HERE / "squat").with_suffix(suffix).unlink(missing_ok=True)


def test_under_pynq(module: Any, overlay: Any) -> None:
    """Registers where the overlay says that they are."""
    (module.HERE / "squat.id").write_text(f"{module.IDENTITY}\n")
    device = module.SquatDevice()
    assert overlay.loaded == str(module.HERE / "squat.bit")
    result = device.run(INPUTS)
    assert np.array_equal(result.scores, sd.simulate(NETWORK, INPUTS).scores)
    device.close()
    assert overlay.squat_top_0._child.poll() is None


def test_an_overlay_of_something_else(module: Any, overlay: Any) -> None:
    registers = overlay.ip_dict["squat_top_0"]["registers"]
    (module.HERE / "squat.id").write_text("0123456789abcdef\n")
    with pytest.raises(module.DeviceError, match=r"squat\.bit is of another design than this file: run `make"):
        module.SquatDevice()
    (module.HERE / "squat.id").unlink()
    del registers["CTRL"]["fields"]["AP_IDLE"]
    with pytest.raises(module.DeviceError, match=r"the register CTRL has no bit AP_IDLE: use the \.hwh"):
        module.SquatDevice()
    del registers["steps"]
    with pytest.raises(module.DeviceError, match="the core has no register steps; got CTRL, restart: use the"):
        module.SquatDevice()
    del overlay.ip_dict["squat_top_0"]
    with pytest.raises(module.DeviceError, match="the overlay has no squat_top_0; got axi_dma_0"):
        module.SquatDevice()
    (module.HERE / "squat.hwh").unlink()
    with pytest.raises(module.DeviceError, match=r"no squat\.hwh in .*: `make bitstream` writes both; copy them here"):
        module.SquatDevice()


def test_without_pynq(module: Any, overlay: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynq", None)
    with pytest.raises(module.DeviceError, match="pynq is not installed: run this on the board, or SquatDevice"):
        module.SquatDevice()
    (module.HERE / "squat.bit").unlink()
    with pytest.raises(module.DeviceError, match=r"no squat\.bit in "):
        module.SquatDevice(Path(os.fspath(module.HERE)) / "squat.bit")
