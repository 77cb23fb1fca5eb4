"""HLS projects: what they contain, that they compile cleanly in every mode, and that their testbench can fail."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import snntorch as snn
import torch
from brevitas.nn import QuantLinear
from brevitas.quant.binary import SignedBinaryWeightPerTensorConst
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint

import squat_deploy as sd
from squat_deploy import toolchain
from squat_deploy.backends import hls
from squat_deploy.backends.cpp import plain
from squat_deploy.errors import ConfigError, ExportError
from squat_deploy.hardware.design import design_of
from squat_deploy.hardware.schedule import estimate, event_counts, stage_costs
from squat_deploy.hardware.units.base import LOOP_OVERHEAD_CYCLES
from squat_deploy.hardware.words import Fields, signed
from squat_deploy.lab.models import dense_lif_net
from squat_deploy.network.encoders import EventEncoder
from squat_deploy.network.readout import READOUTS
from squat_deploy.snn.quantizers import StateQuantizer, state_quant
from tests.conftest import ROOT
from tests.cycles import cycles_compared
from tests.drawing import draw
from tests.graph_drawing import draw_graph
from tests.precompiled import quickly

GOLDEN = ROOT / "hls_out" / "golden_16_8_4"
GOLDEN_CONFIG = sd.HlsConfig(pe=4, vectors=12)
SHIMS = ROOT / "tests" / "shims"


@pytest.fixture
def project(small: sd.Network, tmp_path: Path) -> Path:
    return sd.emit_hls(small, tmp_path / "project", GOLDEN_CONFIG)


def make(project: Path, target: str, *variables: str, may_fail: bool = False) -> str:
    given = [f"PYTHON={sys.executable}", *quickly(target), *variables]
    return toolchain.run(["make", "-s", target, *given], project, may_fail=may_fail)


def golden_network() -> sd.Network:
    """Like the bundled model in small, from numbers that do not depend on the machine's random generator."""
    model = dense_lif_net((16, 8, 4), beta=0.9)
    for index, fan_in, fan_out in ((1, 16, 8), (2, 8, 4)):
        pattern = (np.arange(fan_in * fan_out) * 37 % 29 - 13).reshape(fan_out, fan_in) / 32
        model.get_submodule(f"fc{index}").weight.data = torch.from_numpy(pattern.astype(np.float32)) * index
    return sd.lower(model.eval(), sd.InputSpec((16,), 0, 15, 2.0**-4), 6, name="golden")


def golden_stimulus() -> np.ndarray:
    return (np.arange(12 * 16) * 53 % 31 % 16).reshape(12, 16)


def test_golden_project(update_golden: bool) -> None:
    """The committed project, byte for byte."""
    files = hls.render(golden_network(), GOLDEN_CONFIG, golden_stimulus())
    if update_golden:
        sd.emit_hls(golden_network(), GOLDEN, GOLDEN_CONFIG, stimulus=golden_stimulus())
    present = {p.relative_to(GOLDEN).as_posix() for p in GOLDEN.rglob("*") if p.is_file()}
    assert present == set(files)
    for name, text in files.items():
        assert (GOLDEN / name).read_text() == text, f"{name} differs; --update-golden writes it anew"


def test_emitting_twice_gives_equal_bytes(small: sd.Network, tmp_path: Path) -> None:
    first, second = (sd.emit_hls(small, tmp_path / name) for name in ("a", "b"))
    for path in first.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (second / path.relative_to(first)).read_bytes()


def test_manifest_has_the_hash_of_every_file(project: Path) -> None:
    manifest = json.loads((project / "manifest.json").read_text())
    files = {p.relative_to(project).as_posix() for p in project.rglob("*") if p.is_file()} - {"manifest.json"}
    assert set(manifest["sha256"]) == files
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((project / name).read_bytes()).hexdigest() == digest


def test_every_build_passes(project: Path, ap_headers: None) -> None:
    """Standard integers, ap_int, and both sanitizers; no warning under -Wall -Wextra -Wconversion."""
    readme = (project / "README.md").read_text()
    expected = re.search(r"PASS: 0 mismatches in ([\d,]+) values, (\d+) sequences", readme)
    assert expected is not None
    line = f"PASS: 0 mismatches in {expected[1].replace(',', '')} values, {expected[2]} sequences\n"
    for target in ("csim", "csim-ap", "sanitize"):
        assert make(project, target) == line
    assert make(project, "csim-counts").endswith("sequences\n")


@pytest.mark.parametrize("seed", [3, 11, 17, 23])
def test_random_projects_are_clean(seed: int, tmp_path: Path, ap_headers: None) -> None:
    drawn = draw(seed)
    network = sd.lower(drawn.model, drawn.spec, drawn.steps, allow_unproven=True)
    project = sd.emit_hls(network, tmp_path / "p", drawn.config, stimulus=drawn.inputs)
    for target in ("csim-ap", "sanitize"):  # which is csim, watched
        assert make(project, target).startswith("PASS: 0 mismatches")


def flip(path: Path, pattern: str, change: str) -> None:
    text = path.read_text()
    changed = re.sub(pattern, change, text, count=1)
    assert changed != text
    path.write_text(changed)


def first_difference(project: Path) -> str:
    """The testbench's report; it must have failed."""
    toolchain.run(["make", "-s", "build-host/csim"], project)
    done = subprocess.run(["./build-host/csim"], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    assert "\nFAIL: " in done.stdout
    report = re.match(r"FIRST DIFFERENCE: (.*)\n", done.stdout)
    assert report is not None
    return report[1]


@pytest.mark.parametrize(("row", "bit"), [(0, 7), (5, 14), (21, 0)])
def test_one_wrong_weight_bit_is_found(row: int, bit: int, project: Path, compiler: None) -> None:
    rom = project / "src" / "rom1.h"
    words = re.findall(r"0x[0-9a-f]{4}u", rom.read_text())
    wrong = f"0x{int(words[row][:-1], 16) ^ (1 << bit):04x}u"
    rom.write_text(rom.read_text().replace(words[row], wrong, 1))
    at = words.index(words[row])
    assert first_difference(project) == f"layer 1 (fc1) WEIGHTS entry {at} is not the generated one"


def without_rom_check(project: Path) -> None:
    flip(project / "tb" / "squat_tb.cpp", r"\n    check_roms\(\);", "")


def test_a_wrong_weight_shows_in_the_traces_too(project: Path, compiler: None) -> None:
    without_rom_check(project)
    flip(project / "src" / "rom1.h", r"0x[0-9a-f]{4}u", "0x7777u")
    place = r"sequence \d+ step \d+ layer 2 \(lif1\) neuron \d+ (state|spike): want \d+, got \d+"
    assert re.fullmatch(place, first_difference(project))


def test_one_wrong_table_entry_is_found(project: Path, compiler: None) -> None:
    """In the row of the rest state, where every neuron starts."""
    rom = project / "src" / "rom2.h"
    rows = re.findall(r"\n +\{(-?\d+), (-?\d+), (-?\d+)\}", rom.read_text())
    first, middle, last = rows[4]
    wrong = rom.read_text().replace(f"{first}, {middle}, {last}}}", f"{first}, {int(middle) ^ 128}, {last}}}")
    rom.write_text(wrong)
    assert first_difference(project) == "layer 2 (lif1) THRESHOLDS entry 13 is not the generated one"
    without_rom_check(project)
    assert "layer 2 (lif1) neuron" in first_difference(project)


@pytest.mark.parametrize(
    ("name", "what"),
    [("layer2_state", "layer 2 (lif1) neuron 0 state"), ("layer4_spike", "layer 4 (lif2) neuron 0 spike")],
)
def test_one_wrong_golden_value_is_found(name: str, what: str, project: Path, compiler: None) -> None:
    path = project / "tb" / "data" / f"{name}.dat"
    lines = path.read_text().splitlines()
    first = lines[4].split(",")
    want = int(first[0])
    lines[4] = ",".join([str(want ^ 1), *first[1:]])
    path.write_text("\n".join(lines) + "\n")
    assert first_difference(project) == f"sequence 0 step 4 {what}: want {want ^ 1}, got {want}"


def test_missing_and_broken_golden_data(project: Path, compiler: None) -> None:
    toolchain.run(["make", "-s", "build-host/csim"], project)
    data = project / "tb" / "data" / "stimulus.dat"
    original = data.read_text()
    for content, message in (
        (original[: original[:-1].rindex("\n") + 1], "disagree on the number of sequences"),
        ("x", "no complete golden data in:"),
    ):
        data.write_text(content)
        done = subprocess.run(["./build-host/csim"], cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 2 and message in done.stdout
    done = subprocess.run(["./build-host/csim", "/nowhere"], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "'/nowhere/'" in done.stdout


def test_the_testbench_says_what_it_cannot_do(project: Path, compiler: None) -> None:
    for build, arguments, message in (
        ("csim", ("--trace", "/nowhere/x"), "ERROR: the trace cannot be written"),
        ("csim", ("--trace",), "ERROR: '--trace'; usage: csim [FOLDER] [--time] [--trace FILE]"),
        ("csim", ("tb/data", "x"), "ERROR: 'x'; usage: csim [FOLDER] [--time] [--trace FILE]"),
        ("csim-counts", ("--trace", "x"), "ERROR: --trace needs a build with SQUAT_TRACE"),
    ):
        toolchain.run(["make", "-s", f"build-host/{build}"], project)
        command = [f"./build-host/{build}", *arguments]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 2 and done.stdout == f"{message}\n"


NAMES = ("../../x", "int main", 'a"); system("x', "*/ #error", "é\n#include <x>")


def test_names_become_neither_paths_nor_code(small: sd.Network, tmp_path: Path, compiler: None) -> None:
    layers = tuple(dataclasses.replace(layer, name=name) for layer, name in zip(small.layers, NAMES, strict=False))
    own = '../../own */ #error\n#include <own>\n"; system("own'
    network = dataclasses.replace(small, layers=layers, name=own)
    project = sd.emit_hls(network, tmp_path / "deep" / "project", GOLDEN_CONFIG)
    plain_project = sd.emit_hls(small, tmp_path / "deep" / "plain", GOLDEN_CONFIG)
    assert {p.name for p in project.rglob("*")} == {p.name for p in plain_project.rglob("*")}
    assert {p.name for p in tmp_path.iterdir()} == {"deep"}
    text = "".join(path.read_text() for path in (project / "src").iterdir())
    assert all(plain(name) in text and name not in text for name in NAMES[: len(layers)])
    written = [path.read_text() for path in project.rglob("*") if path.suffix in (".cpp", ".hpp", ".h", ".c", ".tcl")]
    assert written and not any(part in one for part in ("*/ #error", "#include <own>", '"; system(') for one in written)
    assert make(project, "csim").startswith("PASS")


def test_layers_may_have_no_names(small: sd.Network, tmp_path: Path) -> None:
    layers = tuple(dataclasses.replace(layer, name="") for layer in small.layers)
    assert sd.emit_hls(dataclasses.replace(small, layers=layers, name=""), tmp_path / "p", GOLDEN_CONFIG)


def test_a_folder_that_is_not_ours_is_kept(small: sd.Network, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    with pytest.raises(ExportError, match="was not made by squat_deploy; choose another folder or remove it"):
        sd.emit_hls(small, mine)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"] and (mine / "thesis.tex").read_text() == "years of work"


def test_a_project_of_another_kind_is_kept(small: sd.Network, tmp_path: Path) -> None:
    project = sd.emit_hls(small, tmp_path / "project", GOLDEN_CONFIG)
    for emit in (sd.emit_rtl, sd.emit_testbench):
        with pytest.raises(ExportError, match=r"holds another kind of project; choose another folder or remove it"):
            emit(small, project)
    bench = sd.emit_testbench(small, tmp_path / "bench")
    with pytest.raises(ExportError, match="holds another kind of project"):
        sd.emit_hls(small, bench, GOLDEN_CONFIG)
    assert sd.emit_hls(small, project, GOLDEN_CONFIG) == project and sd.emit_testbench(small, bench) == bench


def test_an_interrupted_export_leaves_nothing(
    small: sd.Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = sd.emit_hls(small, tmp_path / "project", GOLDEN_CONFIG)
    before = {p: p.read_bytes() for p in target.rglob("*") if p.is_file()}
    for place, name in ((Path, "write_bytes"), (os, "fsync"), (os, "replace")):
        original = getattr(place, name)
        for failure, caught in ((KeyboardInterrupt(), KeyboardInterrupt), (OSError(28, "No space left"), ExportError)):
            fails_at = iter([None, None, None, None, failure])

            def failing(
                *arguments: object,
                fails_at: Iterator[BaseException | None] = fails_at,
                original: Callable[..., object] = original,
            ) -> object:
                if error := next(fails_at, None):
                    raise error
                return original(*arguments)

            monkeypatch.setattr(place, name, failing)
            with pytest.raises(caught):
                sd.emit_hls(small, target, sd.HlsConfig(pe=2))
            monkeypatch.undo()
            assert [p.name for p in tmp_path.iterdir()] == ["project"]
            assert {p: p.read_bytes() for p in target.rglob("*") if p.is_file()} == before


def test_what_the_user_keeps_in_a_project_stays(small: sd.Network, tmp_path: Path) -> None:
    target = sd.emit_hls(small, tmp_path / "project", GOLDEN_CONFIG)
    (target / "notes.txt").write_text("mine")
    (target / "build").mkdir()
    (target / "build" / "top.bit").write_text("bits")
    sd.emit_hls(small, target, sd.HlsConfig(pe=2, vectors=2))
    assert (target / "notes.txt").read_text() == "mine" and (target / "build" / "top.bit").read_text() == "bits"
    assert json.loads((target / "manifest.json").read_text())["config"]["pe"] == 2
    (target / "src" / "squat_top.cpp").write_text("// tuned by hand")
    with pytest.raises(ExportError, match=r"would be lost: src/squat_top.cpp \(changed since it was written\); move"):
        sd.emit_hls(small, target, GOLDEN_CONFIG)
    assert (target / "src" / "squat_top.cpp").read_text() == "// tuned by hand"
    (target / "src" / "squat_top.cpp").rename(target / "tuned.cpp")  # as the message says
    sd.emit_hls(small, target, GOLDEN_CONFIG)
    fresh = sd.emit_hls(small, tmp_path / "fresh", GOLDEN_CONFIG)
    names = {p.relative_to(fresh) for p in fresh.rglob("*") if p.is_file()}
    assert {p.relative_to(target) for p in target.rglob("*") if p.is_file()} - names == {
        Path("notes.txt"), Path("build/top.bit"), Path("tuned.cpp"),
    }  # fmt: skip
    assert all((fresh / name).read_bytes() == (target / name).read_bytes() for name in names)


def test_a_folder_that_cannot_be_written(small: sd.Network, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for target in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(ExportError, match=r"cannot write beside .*: Not a directory: .*/file is a file"):
            sd.emit_hls(small, target)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"pe": 0}, "lif1: PE must be 1 to 8; got 0"),
        ({"pe": {"lif2": 5}}, "lif2: PE must be 1 to 4; got 5"),
        ({"pe": {"fc2": 5}}, "fc2: PE must be 1 to 4; got 5"),
        ({"pe": {"fc1": 2, "lif1": 4}}, "pe: fc1 and lif1 run in one process and share their lanes; give them one PE"),
        ({"pe": {"lif9": 2}}, "pe: no layer is called lif9; the layers are fc1, fc2, lif1, lif2"),
        ({"events": {"lif3": 2}}, "events: no layer is called lif3; the layers are lif1, lif2"),
    ],
)
def test_bad_folding(config: dict[str, object], message: str, small: sd.Network, tmp_path: Path) -> None:
    with pytest.raises((ExportError, ConfigError)) as caught:
        sd.emit_hls(small, tmp_path / "x", sd.HlsConfig(**config))
    assert str(caught.value) == message and not (tmp_path / "x").exists()


@pytest.mark.parametrize("option", [{"clock": 5}, {"part": "x; rm -rf"}, {"form": "magic"}, {"clock_ns": -1}])
def test_bad_options(option: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        sd.HlsConfig(**option)


def test_offset_form_refused_where_there_is_none(small: sd.Network, tmp_path: Path) -> None:
    neuron = small.neurons[0]
    wrong = neuron.thresholds.copy()
    wrong[0, :3] = [[0, 5, 20], [0, 9, 20], [2, 3, 20]]
    layers = (small.layers[0], dataclasses.replace(neuron, thresholds=wrong, initial_state=0), *small.layers[2:])
    with pytest.raises(ExportError, match="lif1: no offset/boundary form exists"):
        sd.emit_hls(dataclasses.replace(small, layers=layers), tmp_path / "x", sd.HlsConfig(form="offset"))


def test_packing() -> None:
    fields = Fields(3, 4, 8)
    assert fields.pack(np.arange(1, 7).reshape(2, 3)).tolist() == [[0x21, 0x3], [0x54, 0x6]]
    numbers = np.arange(-8, 7).reshape(5, 3)
    assert np.array_equal(signed(fields.unpack(fields.pack(numbers)), 4), numbers)


@pytest.mark.parametrize("bits", [1, 8])
def test_wide_folding_reads_several_roms(bits: int, tmp_path: Path, compiler: None) -> None:
    torch.manual_seed(bits)
    model = dense_lif_net((20, 48, 3), state_bits=bits, weight_bits=7, kind="uniform")
    network = sd.lower(model, sd.InputSpec((20,), 0, 15, 2.0**-4), 4)
    project = sd.emit_hls(network, tmp_path / "p", sd.HlsConfig(pe={"lif1": 40, "lif2": 3}, vectors=20))
    assert "WEIGHTS[5]" in (project / "src" / "rom1.h").read_text()
    assert make(project, "csim").startswith("PASS")


@pytest.mark.parametrize(("form", "bipolar"), [("offset", False), ("threshold", True)])
def test_level_counts_that_are_no_power_of_two(form: str, bipolar: bool, tmp_path: Path, compiler: None) -> None:
    """Padded searches and idle lanes stay within their tables: both sanitizers watch."""
    torch.manual_seed(4)
    quantizer = SignedBinaryWeightPerTensorConst if bipolar else Int8WeightPerTensorFixedPoint
    options = {"weight_scaling_const": 0.125} if bipolar else {"weight_bit_width": 4}
    layer = QuantLinear(9, 3, bias=False, weight_quant=quantizer, **options)
    layer.weight.data = -layer.weight.data.abs()
    levels = StateQuantizer(np.array([-1, -0.5, 0, 0.5, 1.5], dtype=np.float32))
    model = torch.nn.Sequential(layer, snn.Leaky(beta=0.9, state_quant=levels, reset_delay=False))
    network = sd.lower(model, sd.InputSpec((9,), -8, 7, 0.25), 6)
    project = sd.emit_hls(network, tmp_path / "p", sd.HlsConfig(pe=2, form=form, vectors=30))
    assert make(project, "sanitize").startswith("PASS")


def test_a_wrong_cycle_estimate_shows(
    small: sd.Network, rng: np.random.Generator, tmp_path: Path, compiler: None
) -> None:
    """The comparison that every random network goes through: with other inputs than those of the project it fails."""
    inputs, config = rng.integers(1, 16, (4, 16)), sd.HlsConfig(pe=4)
    project = sd.emit_hls(small, tmp_path / "p", config, stimulus=inputs)
    with cycles_compared(small, inputs, config):
        make(project, "csim")
    wrong = r"input, sequence \d, step 0: \d+ cycles counted, \d+ estimated"
    with pytest.raises(AssertionError, match=wrong), cycles_compared(small, np.zeros_like(inputs), config):
        make(project, "csim")


def test_processes_overlap() -> None:
    """The second layer's synapses are the slowest but in the first step: they work all the time, others once."""
    design = design_of(golden_network(), sd.HlsConfig(pe={"lif1": 8, "lif2": 1}))
    inputs = np.full((1, 16), 15)
    events = event_counts(design, inputs, sd.simulate(design.network, inputs, trace=True))
    events[2] = np.full_like(events[2], 16.0)
    stages = [cost[0] for stage in stage_costs(design, events) for cost in stage]
    second, before, behind = stages[4], stages[:4], stages[5:]
    assert max(cost[1:].max() for cost in (*before, *behind)) < second.min()
    once = sum(cost[0] for cost in before) + sum(cost[-1] for cost in behind)
    assert estimate(design, events).mean_cycles == once + second.sum() + len(stages) * LOOP_OVERHEAD_CYCLES


def test_every_loop_says_what_tools_shall_make_of_it() -> None:
    """So that a count by pragmas misses none: a loop begins with a pragma, or with the next loop of its nest."""
    for seed in range(12):
        network = dataclasses.replace(draw_graph(seed), readout=READOUTS[seed % len(READOUTS)])
        spec = network.input
        events = EventEncoder(window=9) if spec.encoding == "sequence" and spec.low == 0 else None
        for name, text in hls.render(network, sd.HlsConfig(vectors=2, encoder=events)).items():
            lines = [line.strip() for line in text.splitlines()] if name.startswith("src/") else []
            for line, after in pairwise(lines):
                if line.startswith(("for (", "while (")):
                    assert after.startswith(("SQUAT_HLS(", "for (")), f"{name}: {line}"


def test_vitis_files_say_what_matters(project: Path) -> None:
    config = (project / "hls_config.cfg").read_text()
    assert "\nsyn.rtl.reset=control\n" in config and "\nsyn.top=squat_top\n" in config
    assert not re.search(r"=.*#", config), "comments only on lines of their own"
    for line in re.findall(r"^(?:syn|tb)\.file=(.*)$", config, re.MULTILINE):
        assert (project / line).is_file()
    script = (project / "scripts" / "run_hls.tcl").read_text()
    assert "config_rtl -reset control" in script


def test_steps_of_tools_that_are_missing_say_so(project: Path) -> None:
    assert "v++ -c --mode hls --config hls_config.cfg" in make(project, "csynth", "VITIS=", "VITIS_HLS=", may_fail=True)
    assert "PandA-Bambu is not on the PATH" in make(project, "bambu", "BAMBU=no-bambu", may_fail=True)


def test_closure_and_module_give_the_same_project(tmp_path: Path) -> None:
    from snntorch.functional.quant import state_quant as reference

    projects = []
    for make_quantizer in (state_quant, reference):
        torch.manual_seed(5)
        model = dense_lif_net((6, 4))
        model.lif1.state_quant = None
        del model.lif1.state_quant
        model.lif1.state_quant = make_quantizer(3, uniform=False)
        projects.append(hls.render(sd.lower(model, sd.InputSpec((6,), 0, 15, 2.0**-4), 4), sd.HlsConfig()))
    assert projects[0] == projects[1]
