"""The SystemVerilog core: linted, simulated bit for bit with and without gaps, and refused where it cannot be."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import squat_deploy as sd
from squat_deploy import toolchain
from squat_deploy.backends.rtl import RtlConfig
from squat_deploy.backends.rtl.builders import BUILDERS
from squat_deploy.backends.rtl.memories import in_banks
from squat_deploy.backends.rtl.project import plan_for, render, trace_bytes
from squat_deploy.backends.rtl.streams import NOTHING, in_words
from squat_deploy.backends.rtl.timing import ends_of
from squat_deploy.errors import ConfigError, ExportError
from squat_deploy.hardware.units import ReadInput, ReadOut, Unit
from squat_deploy.hardware.vectors import default_stimulus, random_stimulus
from squat_deploy.lab.models import dense_lif_net
from squat_deploy.network.encoders import END_OF_EVENTS, EventEncoder, LatencyEncoder, RateEncoder
from squat_deploy.network.readout import READOUTS, Readout
from squat_deploy.network.simulator import simulate
from tests.drawing import draw
from tests.graph_drawing import draw_graph, draw_inputs
from tests.rtl import PYTHON, assert_agrees, assert_same_sums, simulated

DENSE = (1, 2, 3, 13)  # of `draw`: fully connected, every option of neurons, weights and inputs


def drawn(seed: int) -> tuple[sd.Network, object]:
    made = draw(seed)
    return sd.lower(made.model, made.spec, made.steps, allow_unproven=True), made.inputs


@pytest.mark.parametrize("seed", DENSE)
def test_sources_are_clean(seed: int, tmp_path: Path, verilator: None) -> None:
    """No warning of Verilator at any folding."""
    network, inputs = drawn(seed)
    for pe, simd in ((1, 1), (3, 1), (4, 2)):
        try:
            project = sd.emit_rtl(network, tmp_path / f"{pe}-{simd}", RtlConfig(pe=pe, simd=simd), stimulus=inputs)
        except ExportError as error:
            assert "cannot be dealt over" in str(error)
            continue
        toolchain.run(["make", "-s", "lint", PYTHON], project)


@pytest.mark.parametrize(("seed", "pe", "simd", "share"), [(3, 4, 1, 2), (7, 14, 1, 7), (13, 3, 2, 1)])
def test_rtl_agrees_with_the_simulator(
    seed: int, pe: int, simd: int, share: int, tmp_path: Path, verilator: None
) -> None:
    """Whole traces: sequences back to back, with gaps in both streams, and one after another."""
    network, inputs = drawn(seed)
    project = sd.emit_rtl(network, tmp_path / "p", RtlConfig(pe=pe, simd=simd, share=share), stimulus=inputs)
    for arguments in ((), ("--stall", "7"), ("--stall", "8", "--alone")):
        assert "\nPASS: 0 mismatches in " in simulated(project, *arguments), arguments


@pytest.mark.parametrize("readout", READOUTS)
def test_every_readout(readout: Readout, tmp_path: Path, verilator: None) -> None:
    """And both encoders of intensities."""
    torch.manual_seed(1)
    spec = sd.InputSpec((70,), 0, 1, 1.0, encoding="sequence")
    network = sd.lower(dense_lif_net((70, 5, 3), input_bits=None), spec, 6, readout=readout)
    encoder = {"first": RateEncoder(bits=7, seed=12345), "mean-membrane": LatencyEncoder(bits=4)}.get(readout)
    config = RtlConfig(pe=2, simd=4, encoder=encoder)
    project = sd.emit_rtl(network, tmp_path / "p", config)
    toolchain.run(["make", "-s", "lint", PYTHON], project)
    if encoder is not None:  # the others have less of it
        assert_agrees(network, random_stimulus(network, 5, encoder), config, project)


def test_it_is_an_executor(small: sd.Network, small_model: torch.nn.Module, verilator: None) -> None:
    inputs = network_inputs(small)
    agreement = sd.verify(small, small_model, inputs, executors=["torch", "numpy", "rtlsim"])
    row = next(row for row in agreement.rows if row.label == "rtlsim")
    assert agreement.agrees and row.samples == len(inputs) and row.values > 0


def test_address_events(tmp_path: Path, verilator: None) -> None:
    """Events are counted in windows; also those that come late, too often, after the sequence, or from nowhere."""
    torch.manual_seed(1)
    spec = sd.InputSpec((37,), 0, 3, 1.0, encoding="sequence")
    network, encoder = sd.lower(dense_lif_net((37, 5, 3), input_bits=None), spec, 6), EventEncoder(window=9)
    rng, steps, size = np.random.default_rng(1), network.steps, network.input.size
    frames = np.minimum(rng.poisson(0.7, (steps, 6, *network.input.shape)), 3)
    frames[:, 2], frames[-2:, 3] = 0, 0
    project = tmp_path / "p"
    assert_agrees(network, frames, RtlConfig(pe=2, encoder=encoder), project)
    toolchain.run(["make", "-s", "lint", PYTHON], project)
    words, counts = list[np.ndarray](), list[np.ndarray]()
    for _ in range(6):
        times = np.sort(rng.integers(0, steps * 9 + 30, 150))
        addresses = rng.integers(0, size, 150)
        counts.append(encoder(times, addresses, network.input, steps)[:, 0])
        stray = np.concatenate([times << 16 | addresses, times[::5] << 16 | size + 1])
        words.append(np.append(np.sort(stray), END_OF_EVENTS))
    frames = np.stack(counts, axis=1)
    assert (frames == 3).any()
    (project / "tb/stimulus.bin").write_bytes(np.concatenate(words).astype("<u4").tobytes())
    result = sd.simulate(network, frames, trace=True)
    (project / "tb/golden.bin").write_bytes(trace_bytes(network, result))
    for arguments in ((), ("--stall", "7"), ("--calls", "3"), ("--reset", "70")):
        assert "\nPASS: 0 mismatches in " in simulated(project, *arguments), arguments
    with pytest.raises(ExportError, match="board ulx3s: a serial line carries no address events; leave the board out"):
        render(network, RtlConfig(encoder=encoder, board="ulx3s"))


def network_inputs(network: sd.Network) -> object:
    return default_stimulus(network, 4)


@pytest.fixture(scope="module")
def built(small: sd.Network, tmp_path_factory: pytest.TempPathFactory, verilator: None) -> Path:
    """A project whose simulation is built: memories and golden data are read when it runs."""
    project = sd.emit_rtl(small, tmp_path_factory.mktemp("rtl") / "p", RtlConfig(pe=4))
    assert "\nPASS: 0 mismatches in " in simulated(project)
    return project


@pytest.mark.parametrize("name", ["layer1_weights_00_000_000.hex", "layer2_table_000.hex"])
def test_wrong_memory_words_are_found(name: str, built: Path) -> None:
    path = built / "memories" / name
    kept, words = path.read_text(), path.read_text().split()
    path.write_text("\n".join(f"{int(word, 16) ^ 4:0{len(word)}x}" for word in words) + "\n")
    log = toolchain.run(["./build/squat_tb"], built, may_fail=True)
    path.write_text(kept)
    differs = re.search(r"^FIRST DIFFERENCE: sequence \d+ step \d+ layer 2 \(lif1\) neuron", log, re.MULTILINE)
    assert (differs and "\nFAIL: " in log) or "neurons 2: sum " in log  # beyond what the plan promises


def test_a_sum_outside_its_range_is_found(built: Path) -> None:
    """The bounds of the plan are checked while the core is simulated."""
    path = built / "memories" / "layer1_start.hex"
    kept = path.read_text()
    path.write_text("\n".join(f"{int(word, 16) ^ 0x200:x}" for word in kept.split()) + "\n")
    log = toolchain.run(["./build/squat_tb"], built, may_fail=True)
    path.write_text(kept)
    assert re.search(r"Assertion failed in \S+: neurons 2: sum -?\d+ is not in -645\.\.720", log)


def test_every_sum_is_told(built: Path, small: sd.Network) -> None:
    """Those of the simulator; a start value that is off by one shows in them."""
    result = sd.simulate(small, default_stimulus(small), trace=True)
    assert_same_sums(small, built, result)
    path = built / "memories" / "layer1_start.hex"
    kept = path.read_text()
    path.write_text("\n".join(f"{int(word, 16) ^ 1:x}" for word in kept.split()) + "\n")
    with pytest.raises(AssertionError, match="lif1"):
        assert_same_sums(small, built, result)
    path.write_text(kept)


def test_the_testbench_says_what_it_cannot_do(built: Path) -> None:
    def said(*arguments: str) -> str:
        return toolchain.run(["./build/squat_tb", *arguments], built, may_fail=True)

    assert "ERROR: cannot read none" in said("--golden", "none")
    assert "ERROR: unknown option --what" in said("--what", "1")
    assert "ERROR: unknown option, or one without its value: --trace" in said("--trace")
    (built / "short").write_bytes(b"short")
    assert "ERROR: the golden data are incomplete" in said("--golden", "short")


def test_every_unit_has_a_builder() -> None:
    def kinds(unit: type[Unit]) -> set[type[Unit]]:
        return {unit}.union(*map(kinds, unit.__subclasses__()))

    ends = {ReadInput, ReadOut}
    assert {unit for unit in kinds(Unit) - ends if not inspect.isabstract(unit)} <= BUILDERS.keys()


def test_every_kind_of_join(tmp_path: Path, verilator: None) -> None:
    """All kinds of instances in one network; with gaps, and alone."""
    network = draw_graph(157)
    project = tmp_path / "p"
    assert_agrees(network, draw_inputs(network, 6), RtlConfig(pe=2, simd=2), project)
    modules = {path.stem.removeprefix("squat_") for path in (project / "rtl" / "lib").iterdir()}
    joins = {"add", "delay", "fork", "join", "late", "pair", "place", "repeat", "sorter", "unload"}
    assert joins | {"first", "pool_sums", "recode", "scatter", "scatter_plane", "walk", "windows"} <= modules
    toolchain.run(["make", "-s", "lint", PYTHON], project)


def test_sums_in_block_ram_are_read_in_parts(tmp_path: Path, verilator: None) -> None:
    torch.manual_seed(2)
    model = dense_lif_net((12, 512, 10), state_bits=4, kind="fixed-point", input_bits=None)
    network = sd.lower(model, sd.InputSpec((12,), 0, 1, 1.0, encoding="sequence"), 3)
    inputs = np.random.default_rng(2).integers(0, 2, (3, 3, 12))
    assert_agrees(network, inputs, RtlConfig(pe=8, share=8), tmp_path / "p")
    top = (tmp_path / "p/rtl/squat_core.sv").read_text()
    assert [int(found) for found in re.findall(r"\.READ\((\d)\)", top)] == [3, 3, 2, 2] and ".APART(3)" in top
    assert re.findall(r"\.SHIFT\((-?\d+)\)", top) and ".SHIFT(-1)" not in top


def test_lanes_that_share_a_neuron_unit(small: sd.Network) -> None:
    """As many as keep up with the golden events; a wrong number is refused, and what the refusal says works."""
    with pytest.raises(ExportError, match="lif1: PE 4 cannot be shared by 3 lanes; use share=2"):
        render(small, RtlConfig(pe=4, share=3))
    assert ".VIEW(2)" in str(render(small, RtlConfig(pe=4, share=2))["rtl/squat_core.sv"])
    with pytest.raises(ExportError, match="lif1: PE 6 cannot be shared by 3 lanes; use share=2"):  # in whole rows
        render(small, RtlConfig(pe=6, share=3))


def test_impossible_foldings(small: sd.Network) -> None:
    with pytest.raises(ExportError, match="the input: 8 numbers a word cannot be dealt over 3 banks; use simd=2"):
        render(small, RtlConfig(simd=3))
    assert render(small, RtlConfig(simd=2))
    assert ".SIMD(1)" in str(render(small, RtlConfig(pe=1, simd=2))["rtl/squat_core.sv"])  # of the second layer
    joined = draw_graph(350)  # its last synapses are behind a concatenation
    assert ".SIMD(2)" in str(render(joined, RtlConfig(pe=2, simd=2))["rtl/squat_core.sv"])


def test_the_default_folding_keeps_the_pace(tmp_path: Path) -> None:
    """As fast as 16 lanes everywhere, with fewer where these are not needed; what is given stays, by any layer."""
    torch.manual_seed(1)
    spec = sd.InputSpec((64,), 0, 1, 1.0, encoding="sequence")
    network = sd.lower(dense_lif_net((64, 48, 20, 10), input_bits=None), spec, 8)
    frames = random_stimulus(network, 4)
    result = simulate(network, frames, trace=True)

    def folded(pe: object) -> tuple[dict[str, int], int]:
        plan = plan_for(network, RtlConfig(pe=pe), frames, result)
        return {share.process: share.pe for share in plan.shares}, int(ends_of(plan, frames, result)[-1])

    usual, by_itself = folded(16), folded(None)
    assert usual[0] == {"lif1": 16, "lif2": 16, "lif3": 10} and by_itself[0]["lif1"] == 16
    assert by_itself[0]["lif3"] < 10 and by_itself[1] < 1.02 * usual[1]
    assert folded({"fc1": 48}) == folded({"lif1": 48}) and folded({"lif1": 48})[0]["lif1"] == 48
    project = sd.emit_rtl(network, tmp_path / "p", RtlConfig(pe={"fc2": 4}, vectors=1))
    rows = {row["process"]: row for row in json.loads((project / "manifest.json").read_text())["folding"]}
    assert rows["lif2"]["pe"] == 4 and rows["lif2"]["given"] and not rows["lif1"]["given"]
    with pytest.raises(ConfigError, match="pe: no layer is called fc9; the layers are fc1, fc2, fc3, lif1, lif2, lif3"):
        render(network, RtlConfig(pe={"fc9": 4}))


def test_the_readme_says_every_port_and_file(small: sd.Network) -> None:
    files = render(small, RtlConfig(vectors=1))
    readme, top = str(files["README.md"]), str(files["rtl/squat_core.sv"])
    ports = set(re.findall(r"(?:input|output) .*?(\w+),? *(?://.*)?$", re.sub(r"(?s)`ifdef.*?`endif", "", top), re.M))
    assert {"clk", "start", "s_axis_tdata", "m_axis_tlast"} <= ports
    names = {re.sub(r"(axis)_.*", r"\1_*", port) for port in ports}
    assert all(f"`{name}`" in readme for name in names)
    assert "2 words a sequence, 8 integers of 4 bit a word" in readme and "make prove" in readme


def test_equal_arguments_give_equal_bytes_and_no_name_becomes_code(small: sd.Network, tmp_path: Path) -> None:
    assert render(small, RtlConfig()) == render(small, RtlConfig())
    layers = [dataclasses.replace(layer, name=f'"); $finish; //{layer.name}') for layer in small.layers]
    rows = [dataclasses.replace(row, layer=f'"); $finish; //{row.layer}') for row in small.certificate.layers]
    certificate = dataclasses.replace(small.certificate, layers=tuple(rows))
    named = dataclasses.replace(small, layers=tuple(layers), certificate=certificate)
    for name, text in render(named, RtlConfig()).items():
        assert isinstance(text, bytes) or name == "manifest.json" or "$finish" not in text, name
    assert sd.emit_rtl(named, tmp_path / "p", RtlConfig()).is_dir()


@pytest.mark.parametrize(("size", "fields", "simd"), [(800, 32, 1), (790, 32, 4), (29, 10, 5)])
def test_every_input_has_a_place_in_one_bank(size: int, fields: int, simd: int) -> None:
    banks = in_banks(in_words(size, fields), simd)
    assert sorted(banks[banks != NOTHING].tolist()) == list(range(size)) and len(banks) == simd
    assert banks[1 % simd, 0] == 1 % simd  # neighbours belong to different banks
