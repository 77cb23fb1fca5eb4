"""The driver of a board against the simulator, bit for bit, with the project's C++ in place of the core."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from typer.testing import CliRunner

import squat_deploy as sd
from squat_deploy.backends import hls
from squat_deploy.cli.app import app
from squat_deploy.errors import ConfigError
from squat_deploy.hardware.design import design_of
from squat_deploy.network.encoders import frames_of, takes_intensities
from squat_deploy.network.storage import save
from tests.board import drawn, driver, emitted, given, nets, scores_after, simulated, with_readout
from tests.conftest import ROOT
from tests.test_hardware import sequence_network

NETS = nets()


@pytest.fixture(scope="module", params=NETS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, compiler: None) -> Any:
    """A network, its encoder, and the driver of its project."""
    network, encoder = NETS[request.param]
    return network, encoder, driver(emitted(network, encoder, tmp_path_factory.mktemp("board")))


@pytest.fixture(scope="module")
def spikes(tmp_path_factory: pytest.TempPathFactory, compiler: None) -> Any:
    """The driver of a network that takes a frame a step."""
    return driver(emitted(sequence_network((0, 1)), None, tmp_path_factory.mktemp("spikes")))


def test_words_are_those_of_the_plan(made: Any) -> None:
    """One law of packing: the driver's source is the plan's own, and so are its words."""
    network, encoder, module = made
    inputs = drawn(network, encoder, 4)
    packets = module._words_of(given(module, inputs), network.steps)
    entry = design_of(network, sd.HlsConfig(encoder=encoder)).entry
    for sample, packet in enumerate(packets):
        words = packet.packed()
        assert words.dtype == np.uint32 and len(words) == packet.count
        if module.FEED == "events":
            times, addresses = words[:-1] >> 16, words[:-1] & 0xFFFF
            frames = encoder(times, addresses, network.input, network.steps)
            assert words[-1] == 0xFFFFFFFF and np.array_equal(frames[:, 0], inputs[:, sample])
            continue
        frames = inputs[sample][None] if entry.once else inputs[:, sample]
        assert np.array_equal(words, np.concatenate(entry.stream(frames.reshape(len(frames), -1))))


def test_scores_are_those_of_the_simulator(made: Any) -> None:
    """Whole sequences, several under way, on one device again and again, and shorter ones between."""
    network, encoder, module = made
    with simulated(module) as device:
        for samples, steps in ((70, network.steps), (1, network.steps), (4, 1), (3, network.steps)):
            inputs = drawn(network, encoder, samples, seed=samples)
            wanted = scores_after(network, encoder, inputs, steps)
            taken = inputs[:steps] if module.FEED == "sequence" else given(module, inputs)
            result = device.run(taken, steps=steps)
            assert np.array_equal(result.scores, wanted) and result.steps == steps
            assert np.array_equal(result.classes, wanted.argmax(axis=1))
            assert result.seconds.shape == (samples,) and (result.seconds > 0).all()
            assert result.total >= result.seconds.sum() and result.throughput == samples / result.total
    assert np.array_equal(sd.simulate(network, frames_of(encoder, inputs, network.steps)).scores, result.scores)


def test_a_sequence_goes_on(made: Any) -> None:
    """Cut at every step, begun anew in the middle, and gone on with after `run`."""
    network, encoder, module = made
    inputs = drawn(network, encoder, 2, seed=5)
    taken = given(module, inputs)
    each = module.FEED == "sequence"
    one = inputs[:, 1] if each else taken[1]
    with simulated(module) as device:
        device.call(inputs[:1, 0] if each else taken[0], steps=1, restart=True)
        for first in range(network.steps):
            more = one[first : first + 1] if each else one if first == 0 else None
            result = device.call(more, steps=1, restart=first == 0)
            assert np.array_equal(result.scores, scores_after(network, encoder, inputs, first + 1)[1:])
            assert result.steps == first + 1 and result.seconds.shape == (1,)
        device.run(inputs[:1] if each else taken, steps=1)
        rest = network.steps - 1
        result = device.call(one[1:] if each else None, steps=rest, restart=False)
        assert np.array_equal(result.scores, scores_after(network, encoder, inputs, network.steps)[1:])


def test_memory_is_left_alone_until_it_was_read(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A DMA that reads a word only when the core asks for it, also those that are left of a shorter sequence."""
    network, encoder, module = made
    monkeypatch.setattr(module.SimulatedHardware, "PIECE", 1)
    inputs = drawn(network, encoder, 5, seed=9)
    taken = given(module, inputs)
    with simulated(module) as device:
        for steps in (1, network.steps, 1, network.steps - 1):
            some = inputs[:steps] if module.FEED == "sequence" else taken
            assert np.array_equal(device.run(some, steps=steps).scores, scores_after(network, encoder, inputs, steps))
        one = inputs[:1, 2] if module.FEED == "sequence" else taken[2]
        for _ in range(3):
            result = device.call(one, steps=1, restart=True)
            assert np.array_equal(result.scores, scores_after(network, encoder, inputs, 1)[2:3])


def test_golden_data_of_the_project(made: Any) -> None:
    module = made[2]
    golden = module.golden()
    with simulated(module) as device:
        assert np.array_equal(device.run(golden.inputs).scores, golden.scores) and len(golden.scores) == 5


@pytest.mark.parametrize("readout", ["highest-membrane", "last-membrane", "mean-membrane"])
def test_values_are_the_membranes(readout: Any, tmp_path: Path, compiler: None) -> None:
    """At every step: of a mean, that of the steps so far."""
    network = with_readout(sequence_network((0, 1)), readout)
    module, inputs = driver(emitted(network, None, tmp_path)), drawn(network, None, 3)
    trace = sd.simulate(network, inputs, trace=True).trace
    assert trace is not None and network.values is not None
    membranes = network.output.membranes[0][trace[-1].states].astype(np.float64)
    with simulated(module) as device:
        for steps in range(1, network.steps + 1):
            seen = membranes[:steps]
            wanted = {"highest": seen.max(0), "last": seen[-1], "mean": seen.sum(0) / steps}[readout.split("-")[0]]
            result = device.run(inputs[:steps], steps=steps)
            assert np.array_equal(result.values, wanted)
        assert np.array_equal(result.values, network.values.real(result.scores))


def test_scores_of_spikes_are_no_membranes(spikes: Any) -> None:
    assert spikes.Result(np.zeros((1, 3), dtype=np.int64), 1, np.ones(1), 1.0).values is None


def test_events_in_any_order(tmp_path: Path, compiler: None) -> None:
    """Sorted, those after the last step left out, counts cut at the highest: as the encoder does in NumPy."""
    network, encoder = NETS["events"]
    module, rng = driver(emitted(network, encoder, tmp_path)), np.random.default_rng(3)
    size = network.input.size
    batch = [(rng.integers(0, 80, many), rng.integers(0, size, many)) for many in (40, 0, 300, 1)]
    frames = np.concatenate([encoder(*one, network.input, network.steps) for one in batch], axis=1)
    with simulated(module) as device:
        assert np.array_equal(device.run(batch).scores, sd.simulate(network, frames).scores)
        assert np.array_equal(device.run([([], []), *batch]).scores[1:], sd.simulate(network, frames).scores)


def test_real_inputs_are_rounded_as_the_network_does(small: sd.Network, tmp_path: Path) -> None:
    module = driver(emitted(small, None, tmp_path))
    real = np.random.default_rng(0).normal(0.4, 0.5, (500, 16)).astype(np.float32)
    real[0] = np.arange(16) / 32  # ties
    beyond = int((np.rint(real * 16) != np.rint(real * 16).clip(0, 15)).sum())
    with pytest.warns(
        UserWarning, match=rf"quantize: {beyond} of 8000 inputs lie beyond 0\.\.0\.9375 and were clipped"
    ):
        assert np.array_equal(module.quantize(real), small.input.quantize(real))
    assert np.array_equal(module.quantize(real[0]), small.input.quantize(real[0]))
    with pytest.raises(module.InputError, match="every value must be finite; got NaN or infinity"):
        module.quantize([np.nan])


def test_the_next_is_under_way_while_the_last_is_unpacked(spikes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    start = spikes.Registers.start
    monkeypatch.setattr(spikes.Registers, "start", lambda self: (done.append("start"), start(self))[1])
    with simulated(spikes) as device:
        fill, answer = device._fill, device._answer
        device._answer = lambda slot: (done.append("unpack"), answer(slot))[1]
        device._fill = lambda *words: (done.append("pack"), fill(*words))[1]
        device.run(drawn(sequence_network((0, 1)), None, 3))
    assert done == ["pack", "start", "pack", "start", "unpack", "pack", "start", "unpack", "unpack"]


WRONG = [
    (lambda good: {"inputs": good.astype(float)}, "expected integers 0..1; got float64; quantize(inputs) makes int"),
    (lambda good: {"inputs": good[1:]}, "expected shape (6, batch, 12); got (5, 3, 12)"),
    (lambda good: {"inputs": good[:, :0]}, "expected shape (6, batch, 12); got (6, 0, 12)"),
    (lambda good: {"inputs": good[..., :4]}, "expected shape (6, batch, 12); got (6, 3, 4)"),
    (lambda good: {"inputs": 2 * good + 3}, "inputs: must lie in 0..1; got 3..5"),
    (lambda good: {"inputs": [[1, 2], [3]]}, "expected one array of integers; got rows of different lengths"),
    (lambda good: {"inputs": "spikes"}, "expected integers 0..1; got <U6; quantize(inputs)"),
    (lambda good: {"inputs": None}, "expected integers 0..1; got object; quantize(inputs)"),
    (lambda good: {"inputs": good, "steps": 0}, "a call runs at least 1 time step; got 0"),
    (lambda good: {"inputs": good, "steps": True}, "a call runs at least 1 time step; got True"),
    (lambda good: {"inputs": good, "steps": 2.0}, "a call runs at least 1 time step; got 2.0"),
    (lambda good: {"inputs": np.concatenate([good] * 2), "steps": 12}, "a call sends up to 6 words; got 12; use Squat"),
]


@pytest.mark.parametrize(("wrong", "told"), WRONG)
def test_what_cannot_be_done_is_refused_before_anything_is_sent(wrong: Any, told: str, spikes: Any) -> None:
    good = drawn(sequence_network((0, 1)), None, 3)
    good[0, 0, :2] = 0, 1
    with simulated(spikes) as device:
        with pytest.raises(spikes.InputError) as error:
            device.run(**wrong(good))
        assert told in str(error.value)
        assert device.hardware._sent == 0 and not device.hardware._runs
        assert len(device.run(good).scores) == 3


def test_calls_that_cannot_be(spikes: Any, tmp_path: Path) -> None:
    frames = drawn(sequence_network((0, 1)), None, 1)[:, 0]
    with simulated(spikes, most_words=12) as device:
        with pytest.raises(spikes.InputError, match="the first call starts a sequence; give restart=True"):
            device.call(frames, steps=6, restart=False)
        with pytest.raises(spikes.InputError, match="this call needs some; got None"):
            device.call(None, steps=6, restart=True)
        with pytest.raises(spikes.InputError, match=r"expected shape \(5, 12\); got \(6, 12\)"):
            device.call(frames, steps=5, restart=True)
        with pytest.raises(spikes.InputError, match=r"expected shape \(6, 12\); got \(\)"):
            device.call(0, steps=6, restart=True)
        assert device.run(np.concatenate([frames, frames])[:, None], steps=12).steps == 12
    network, encoder = NETS["rate"]
    module = driver(emitted(network, encoder, tmp_path))
    frame = drawn(network, encoder, 1)[0]
    with simulated(module) as device:
        device.call(frame, steps=1, restart=True)
        with pytest.raises(module.InputError, match="a sequence has its inputs with its restart; give none where"):
            device.call(frame, steps=1, restart=False)
        with pytest.raises(module.InputError, match=r"must lie in 0\.\.31; got"):
            device.call(frame + 32, steps=1, restart=True)
        with pytest.raises(module.InputError, match=r"expected integers 0\.\.31; got float64; round them"):
            device.call(frame / 2, steps=1, restart=True)
    with pytest.raises(
        module.InputError, match="the core takes intensities, for which no unit is stated; scale and round"
    ) as error:
        module.quantize(frame / 31)
    assert "(values * 31).round().astype(int)" in str(error.value)
    with simulated(module) as device:
        assert len(device.run((frame[None] / 31 * 31).round().astype(int)).scores) == 1


def test_events_that_cannot_be(tmp_path: Path, compiler: None) -> None:
    network, encoder = NETS["events"]
    module = driver(emitted(network, encoder, tmp_path))
    refused = {
        "expected a list of (times, addresses), one a sequence; got ndarray of shape (6, 2)": np.zeros((6, 2)),
        "expected a list of (times, addresses), one a sequence; got []": [],
        "a sequence of events is (times, addresses); got [1, 2, 3]": [[1, 2, 3]],
        "one time an address; got shapes (2,) and (1,)": [([1, 2], [1])],
        "expected one array of integers; got rows of different lengths": [([[1], [2, 3]], [1])],
        "times and addresses are integers; got float64 and int64": [([0.5], [1])],
        "times start at 0, and addresses are 0..11": [([1], [12])],
    }
    with pytest.raises(module.InputError, match="the core takes events, for which no unit is stated; events_of"):
        module.quantize([0.5])
    with simulated(module) as device:
        for told, inputs in refused.items():
            with pytest.raises(module.InputError) as error:
                device.run(inputs)
            assert told in str(error.value)
        with pytest.raises(module.InputError, match="events have times for 6 steps; got 7"):
            device.run([([1], [1])], steps=7)
        device.call(([1], [1]), steps=6, restart=True)
        with pytest.raises(module.InputError, match="events have times for 6 steps; got 7 since the restart"):
            device.call(steps=1, restart=False)
        with pytest.raises(module.InputError, match="a call sends up to 65536 words; got 65538"):
            device.run([(np.zeros(65537, dtype=int), np.zeros(65537, dtype=int))])


def test_the_project_says_that_no_board_has_seen_it(spikes: Any) -> None:
    readme = (spikes.PROJECT / "README.md").read_text()
    assert "**Neither Vivado nor a board has seen this project**" in readme and "## On the PYNQ-Z2" in readme
    assert "xsquat_top_hw.h" in readme and "Registers are found by their names in `squat.hwh`" in readme


def test_the_driver_is_clean(made: Any) -> None:
    """Types, names and lengths of lines, for the Python of older boards; nothing but numpy and pynq is imported."""
    path = Path(made[2].__file__)
    ruff = [sys.executable, "-m", "ruff"]
    settings = ["--no-cache", "--config", str(ROOT / "pyproject.toml")]
    subprocess.run([*ruff, "check", *settings, "--target-version", "py38", "--ignore", "UP", path], check=True)
    subprocess.run([*ruff, "format", *settings, "--check", path], check=True)
    lines = [line for line in path.read_text().splitlines() if line.startswith(("import", "from"))]
    names = {line.split()[1].split(".")[0] for line in lines}
    assert names - sys.stdlib_module_names == {"numpy"}


def test_types_of_the_driver(spikes: Any) -> None:
    options = ["--strict", "--no-warn-return-any", "--ignore-missing-imports", "--follow-imports", "silent"]
    subprocess.run([sys.executable, "-m", "mypy", *options, "--cache-dir", "/dev/null", spikes.__file__], check=True)


@pytest.mark.parametrize("name", ["rate", "convolution, events"])
def test_the_notebook_runs(name: str, tmp_path: Path, compiler: None) -> None:
    """Without data of the user's and with them; what it says is right."""
    network, encoder = NETS[name]
    folder = emitted(network, encoder, tmp_path) / "board" / "pynq"
    inputs = drawn(network, encoder, 6)
    labels = sd.simulate(network, frames_of(encoder, inputs, network.steps)).classes
    labels[0] += 1
    data = inputs if takes_intensities(encoder) else inputs.swapaxes(0, 1)
    said = [run(folder / "squat.ipynb")]
    np.savez(folder / "data.npz", inputs=data, labels=labels)
    said.append(run(folder / "squat.ipynb"))
    for text in said:
        assert "the C++ of the project\n0 of 5 sequences differ from the simulator\n5 sequences, " in text
    assert "no data.npz here" in said[0] and "accuracy 83.33% of 6\n6 sequences, " in said[1]


def run(path: Path) -> str:
    """What a notebook prints."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    return "".join(output.text for cell in notebook.cells for output in cell.get("outputs", []))


def test_equal_bytes_and_no_name_of_the_model() -> None:
    name = 'x"]; exec rm -rf / ; # \n'
    network = sequence_network((0, 1))
    layers = tuple(dataclasses.replace(layer, name=f"{layer.name}{name}") for layer in network.layers)
    rows = tuple(dataclasses.replace(row, layer=f"{row.layer}{name}") for row in network.certificate.layers)
    certificate = dataclasses.replace(network.certificate, layers=rows)
    named = dataclasses.replace(network, layers=layers, name=name, certificate=certificate)
    config = sd.HlsConfig(board="zcu104", vectors=2)
    first, second = hls.render(named, config), hls.render(named, config)
    assert first == second
    board = {path: text for path, text in first.items() if path.startswith("board/")}
    assert len(board) == 8 and not [path for path, text in board.items() if "rm -rf /" in path + text]
    assert json.loads(first["manifest.json"])["config"]["board"] == "zcu104"


def test_a_board_has_a_part(small: sd.Network, tmp_path: Path) -> None:
    assert sd.HlsConfig(board="zcu104").part == "xczu7ev-ffvc1156-2-e"
    assert sd.HlsConfig(board="pynq-z2", part="xc7z020clg400-1").part == sd.HlsConfig().part
    told = "board zcu104 has the part xczu7ev-ffvc1156-2-e; got part xc7z010: leave the part away"
    with pytest.raises(ConfigError, match=told):
        sd.HlsConfig(board="zcu104", part="xc7z010")
    with pytest.raises(ConfigError, match="'pynq-z2' or 'zcu104'"):
        sd.HlsConfig(board=["zcu104"])  # type: ignore[arg-type]
    save(small, tmp_path / "net.safetensors")
    command = ["hls", str(tmp_path / "net.safetensors"), "--board", "zcu104", "--out", str(tmp_path / "out")]
    refused = CliRunner().invoke(app, [*command, "--part", "xc7z010"])
    assert refused.exit_code != 0
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    config = json.loads((tmp_path / "out" / "manifest.json").read_text())["config"]
    assert config["part"] == "xczu7ev-ffvc1156-2-e" and "part=xczu7ev" in (tmp_path / "out/hls_config.cfg").read_text()
