"""What HLS compilers make of a project, as far as that can be tested without them."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path

import pytest

import squat_deploy as sd
from squat_deploy import toolchain
from squat_deploy.backends import hls
from squat_deploy.network.encoders import AnyEncoder, EventEncoder, LatencyEncoder, RateEncoder
from squat_deploy.network.readout import READOUTS, Readout
from tests.graph_drawing import draw_graph
from tests.test_hardware import dense, network_of, sequence_network
from tests.test_hls import GOLDEN_CONFIG, SHIMS, first_difference, flip, make

BAMBU = """#!/bin/sh
# Stands in for PandA-Bambu: compiles design and testbench and keeps the testbench's log where it does.
for word; do case $word in -DSQUAT_*) defines="$defines $word";; esac; done
options="-std=c++17 -w -O1 -D__BAMBU__ -isystem {shims}"
g++ $options $defines -I../src -I../tb -o simulated ../src/squat_top.cpp ../tb/squat_tb.cpp
mkdir -p HLS_output/simulation
./simulated > HLS_output/simulation/testbench.log || {differs}
{afterwards}
"""


ENCODERS: list[AnyEncoder | None] = [None, RateEncoder(bits=4), LatencyEncoder(bits=3), EventEncoder(window=9), None]
EMBEDDED = ["-D__BAMBU__", "-DSQUAT_TB_EMBED", "-DSQUAT_TB_STEPS_PER_CALL=1"]
DEFINES = {"vitis": [], "synthesis": ["-DSQUAT_EXACT_TABLES"], "bambu": EMBEDDED}
# Constants also tell readers what a layer is; the constructors of ap_int read before they write.
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-const-variable", "-Wno-uninitialized"]


def run_as_a_tool_reads_it(compiler: str, project: Path, mode: str) -> str:
    """Verdict of a build with small stand-ins for the tools' own headers (hls_stream.h, ap_axi_sdata.h)."""
    import da4ml

    headers = Path(da4ml.__file__).parent / "codegen/hls/source/ap_types/include"
    command = [
        compiler,
        "-std=c++14",
        "-O1" if compiler == "g++" else "-O0",  # what g++ warns of depends on it
        *WARNINGS,
        *(["-Wno-maybe-uninitialized"] * (compiler == "g++")),
        "-DSQUAT_TRACE",
        *DEFINES[mode],
        "-isystem",
        str(headers),
    ]
    command += ["-isystem", str(SHIMS), "-o", "tool", "src/squat_top.cpp", "tb/squat_tb.cpp"]
    toolchain.run(command, project)
    return toolchain.run(["./tool"], project)


@pytest.mark.parametrize("mode", DEFINES)
def test_the_paths_of_the_hls_tools_compile(mode: str, project: Path, ap_headers: None) -> None:
    """Types, TLAST, embedded data."""
    assert run_as_a_tool_reads_it("g++", project, mode).startswith("PASS: 0 mismatches")


MODES = [(readout, mode) for at, readout in enumerate(READOUTS) for mode in (("vitis", "synthesis")[at % 2], "bambu")]


@pytest.mark.parametrize(("readout", "mode"), MODES)
def test_clang_takes_every_path(mode: str, readout: Readout, tmp_path: Path, ap_headers: None, clang: str) -> None:
    """HLS compilers are made of clang; every kind of layer, readout and encoder is in one of these."""
    at = READOUTS.index(readout)
    encoder = ENCODERS[at]
    network = draw_graph((8, 12, 15)[at % 3]) if encoder is None else sequence_network((0, 1))
    config = sd.HlsConfig(encoder=encoder, vectors=2)
    project = sd.emit_hls(dataclasses.replace(network, readout=readout), tmp_path / "p", config)
    assert run_as_a_tool_reads_it(clang, project, mode).startswith("PASS: 0 mismatches")


@pytest.fixture
def project(small: sd.Network, tmp_path: Path) -> Path:
    return sd.emit_hls(small, tmp_path / "project", GOLDEN_CONFIG)


def bambu(project: Path, afterwards: str = "", differs: str = "echo Warning: Returned error code!") -> tuple[int, str]:
    """Exit code of `make bambu` with the stand-in, and what it printed."""
    tool = project.parent / "bambu"
    tool.write_text(BAMBU.format(shims=SHIMS, afterwards=afterwards, differs=differs))
    tool.chmod(0o755)
    command = ["make", "-s", "bambu", f"BAMBU={tool}"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_verdict_on_the_rtl_is_shown(project: Path, compiler: None) -> None:
    code, said = bambu(project)
    assert code == 0 and re.search(r"^PASS: 0 mismatches in \d+ values, 4 sequences$", said, re.MULTILINE), said


@pytest.mark.parametrize("tells", [True, False])
def test_a_difference_of_the_rtl_is_named(tells: bool, project: Path, compiler: None) -> None:
    """Whether Bambu says that something is wrong or not."""
    flip(project / "tb" / "data" / "layer2_spike.dat", r"^0", "1")
    code, said = bambu(project) if tells else bambu(project, differs="true")
    assert code != 0 and "FIRST DIFFERENCE: sequence 0 step 0 layer 2 (lif1) neuron 0 spike: want 1, got 0" in said
    assert "\nFAIL: " in said


def test_no_verdict_is_a_failure(project: Path, compiler: None) -> None:
    """Neither where the log is missing, nor where an older one says that all is well."""
    assert bambu(project)[0] == 0
    code, said = bambu(project, "rm HLS_output/simulation/testbench.log")
    assert code != 0 and "bambu: no verdict in build-bambu/HLS_output/simulation/testbench.log" in said
    code, said = bambu(project, "echo 'killed' > HLS_output/simulation/testbench.log")
    assert code != 0 and "bambu: no verdict in" in said
    assert bambu(project, "exit 3")[0] != 0


STATIC = re.compile(r"^ *static (?!const\b|inline\b|void\b)[\w: ]+ (\w+)((?:\[[^]]+\])*)( = [^;]+)?;.*\n", re.MULTILINE)


def dirty(project: Path) -> set[str]:
    """Lets all memories of a project hold ones at first, as after a reset amid a step; returns their names."""
    found = set()
    for path in sorted((project / "src").iterdir()):
        text = path.read_text()
        for kept in reversed(list(STATIC.finditer(text))):
            name, dimensions, initial = kept.groups()
            if dimensions:
                assert initial is None, f"{path.name}: {name}"
                filled = f"static void* const dirty_{name} = __builtin_memset(&{name}, 1, sizeof {name});"
                text = f"{text[: kept.end()]}{filled} (void)dirty_{name};\n{text[kept.end() :]}"
                found.add(name)
        path.write_text(text)
    return found


def test_scalars_that_last_are_reset_and_memories_are_not() -> None:
    """`ap_rst` must not need a memory's contents: those would be a register an address."""
    drawn = [(draw_graph(seed), None) for seed in range(24)]
    drawn += [(sequence_network((0, 1)), encoder) for encoder in ENCODERS]
    scalars = set()
    for network, encoder in drawn:
        for name, text in hls.render(network, sd.HlsConfig(vectors=1, encoder=encoder)).items():
            if name.startswith("src/"):
                kept = {one[1] for one in STATIC.finditer(text) if not one[2]}
                assert kept == set(re.findall(r"SQUAT_HLS\(reset variable=(\w+)\)", text)), name
                scalars |= kept
    assert scalars >= {"next", "ended", "elapsed", "random", "held", "slot", "age"}


@pytest.mark.parametrize(("readout", "encoder"), list(zip(READOUTS, ENCODERS, strict=False)))
def test_a_restart_needs_nothing_of_what_was_before(
    readout: str, encoder: AnyEncoder | None, tmp_path: Path, compiler: None
) -> None:
    """The testbench starts one sequence after another, cuts one off in the middle, and starts the next."""
    network = dataclasses.replace(sequence_network((0, 1)), readout=readout)
    project = sd.emit_hls(network, tmp_path / "p", sd.HlsConfig(encoder=encoder))
    assert dirty(project) >= {"states", "scores"} | ({"count"} if encoder == EventEncoder(window=9) else set())
    assert make(project, "csim", "CXXFLAGS=-O0").startswith("PASS: 0 mismatches")


def test_a_restart_of_graphs_needs_nothing_of_what_was_before(tmp_path: Path, compiler: None) -> None:
    memories = set()
    for seed in (12, 15):
        project = sd.emit_hls(draw_graph(seed), tmp_path / str(seed), sd.HlsConfig(vectors=4))
        memories |= dirty(project)
        assert make(project, "csim", "CXXFLAGS=-O0").startswith("PASS: 0 mismatches"), seed
    assert memories >= {"seen", "past"}


@pytest.mark.parametrize("readout", READOUTS)
def test_a_channel_has_one_writer_and_one_reader(readout: Readout) -> None:
    """As a dataflow region wants it; a list that nobody takes is not made."""
    for seed in (0, 8, 12, 15):
        network = dataclasses.replace(draw_graph(seed), readout=readout)
        top = hls.render(network, sd.HlsConfig(vectors=1))["src/squat_top.cpp"]
        region = top[top.index("SQUAT_HLS(dataflow)") :]
        channels = re.findall(r"^ {8}[\w:]+ (\w+)(?:\[[\w:]+\])*;$", region, re.MULTILINE)
        calls = re.findall(r"^ {8}(\w+\([^;]*\));$", region, re.MULTILINE)
        assert len(calls) >= 3 and len(channels) >= 3
        for channel in channels:
            users = [call.split("(")[0] for call in calls if re.search(rf"\b{channel}\b", call)]
            assert len(users) == 2, (seed, channel, users)


@pytest.mark.parametrize("pe", [3, 70])
def test_membranes_are_read_out_of_layers_whose_spikes_nobody_takes(pe: int, tmp_path: Path, ap_headers: None) -> None:
    """Neither listed nor handed over; builds are free of warnings."""
    network = dataclasses.replace(network_of((1,), dense(*[8] * 70)), readout="last-membrane")
    project = sd.emit_hls(network, tmp_path / "p", sd.HlsConfig(pe=pe, vectors=2))
    assert "listed" not in (project / "src" / f"layer{len(network.layers)}.h").read_text()
    for target in ("csim-counts", "csim-ap") if pe == 3 else ("csim", "sanitize"):
        assert "PASS: 0 mismatches" in make(project, target, "WARNINGS=-Wall -Wextra -Wconversion -Werror")


@pytest.mark.parametrize("encoder", ENCODERS[:4])
def test_tables_of_the_readme_have_their_columns(encoder: AnyEncoder | None) -> None:
    readme = hls.render(sequence_network((0, 1)), sd.HlsConfig(vectors=1, encoder=encoder))["README.md"]
    tables = [block for block in readme.split("\n\n") if block.startswith("|")]
    assert len(tables) == 2
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1, table
    told = "the 6 steps of a sequence take ticks 0 to 53, and a window could\nhave 10922 at most" in readme
    assert told == isinstance(encoder, EventEncoder)


def test_a_call_of_no_steps_must_be_answered(project: Path, compiler: None) -> None:
    """Else a DMA would wait for ever: the testbench reads that answer, and goes on with the sequence."""
    flip(project / "src" / "squat_top.cpp", "0xffffffffu, true", "0xffffffffu, false")
    assert first_difference(project).endswith("neuron 0 last: want 1, got 0")
    flip(project / "src" / "squat_top.cpp", "0xffffffffu, false", "7, true")
    assert first_difference(project).endswith("neuron 0 refusal: want 4294967295, got 7")
