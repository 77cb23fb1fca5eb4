"""The Vivado scripts of a board's project, under tclsh with commands that check their words; and its make targets."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import squat_deploy as sd
from squat_deploy.backends import hls
from squat_deploy.hardware.boards import BOARDS, BoardName
from tests.conftest import need
from tests.test_hls import SHIMS

PLACES = ("build/hls/impl/ip", "build/solution1/impl/ip")


@pytest.fixture(scope="session")
def tclsh() -> str:
    found = shutil.which("tclsh")
    need(found, "tclsh (package tcl)")
    return str(found)


def made(small: sd.Network, folder: Path, board: BoardName, place: str = PLACES[0], clock_ns: float = 5.0) -> Path:
    """A project with its core packaged."""
    project = sd.emit_hls(small, folder / "project", sd.HlsConfig(board=board, vectors=2, clock_ns=clock_ns))
    (project / place).mkdir(parents=True)
    (project / place / "component.xml").touch()
    return project


def settings(board: BoardName, **changes: str) -> dict[str, str]:
    """What the stand-in is to know."""
    files = f"{BOARDS[board].files}:1.0 {BOARDS[board].files}:1.1 another.com:board:part0:2.0"
    known = {
        "PART": BOARDS[board].part,
        "BOARD_FILES": files,
        "CORE_NAME": "squat:hls:squat_top:1.0",
        "SLACK": "0.25",
        "HOLD": "0.03",
    }
    return {**os.environ, **known, **changes}


def driver_of(project: Path) -> str:
    return (project / "board" / "pynq" / "squat_device.py").read_text()


def vivado(tclsh: str, project: Path, script: str, environment: dict[str, str]) -> tuple[int, str]:
    command = [tclsh, str(SHIMS / "vivado.tcl"), f"board/{script}.tcl"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("place", PLACES)
def test_a_bitstream_is_made(board: BoardName, place: str, tclsh: str, small: sd.Network, tmp_path: Path) -> None:
    project = made(small, tmp_path, board, place)
    code, said = vivado(tclsh, project, "design", settings(board))
    assert code == 0, said
    overlay = project / "board" / "pynq"
    assert (overlay / "squat.bit").is_file() and (overlay / "squat.hwh").is_file()
    assert f"DID set_property board_part {BOARDS[board].files}:1.1 project" in said
    control, dma = BOARDS[board].control, BOARDS[board].dma
    assert f"assign processor_0/Data squat_top_0/s_axi_control/Reg 0x{control:08x} 0x00010000" in said
    assert f"assign processor_0/Data axi_dma_0/S_AXI_LITE/Reg 0x{dma:08x} 0x00010000" in said
    assert said.count(f"0x00000000 0x{BOARDS[board].memory:08x}") == 2
    assert "option axi_dma_0,c_include_sg 0" in said and "TIMING: slack 0.25 ns (setup) and 0.03 ns (hold)" in said
    assert (overlay / "squat.id").read_text().strip() == re.search('IDENTITY = "(.*)"', driver_of(project))[1]
    assert "FREQMHZ 200.000000\n" in said and "the processor makes 199998001 Hz" in said


@pytest.mark.parametrize("place", PLACES)
def test_the_core_is_where_the_design_looks(place: str, tclsh: str, small: sd.Network, tmp_path: Path) -> None:
    """Packaged by the project's own run_hls.tcl, under newer and older tools."""
    project = made(small, tmp_path, "zcu104")
    shutil.rmtree(project / "build")
    environment = settings("zcu104", SQUAT_STEPS="csynth export") | ({"UNIFIED": "1"} if "hls" in place else {})
    command = [tclsh, str(SHIMS / "vitis.tcl"), "scripts/run_hls.tcl"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == "DID csynth\nDID export\n", done.stdout + done.stderr
    assert (project / place / "component.xml").is_file()
    code, said = vivado(tclsh, project, "design", settings("zcu104"))
    assert code == 0, said


def test_clock_and_environment(tclsh: str, small: sd.Network, tmp_path: Path) -> None:
    project = made(small, tmp_path, "pynq-z2", clock_ns=8.0)
    code, said = vivado(tclsh, project, "design", settings("pynq-z2", SQUAT_BOARD_FILES="/somewhere/boards"))
    assert code == 0 and "FREQMHZ 125.000000\n" in said and "DID set_param board.repoPaths /somewhere/boards" in said
    assert "DID clock 8.0\n" in vivado(tclsh, project, "impl", settings("pynq-z2"))[1]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"BOARD_FILES": ""}, "Vivado has no board files tul.com.tw:pynq-z2:part0: install those of the PYNQ-Z2, or"),
        ({"CORE_NAME": ""}, "the catalogue has 0 cores squat_top, one was expected"),
        ({"SLACK": "-0.31"}, "timing is not met: slack -0.31 ns; export with a longer clock_ns"),
        ({"HOLD": "-0.02"}, "timing is not met: slack -0.02 ns (hold); see "),
        ({"FAILS": "1"}, "the implementation ended with route_design ERROR; see "),
    ],
)
def test_a_bitstream_that_cannot_be_made_is_none(
    changes: dict[str, str], told: str, tclsh: str, small: sd.Network, tmp_path: Path
) -> None:
    project = made(small, tmp_path, "pynq-z2")
    code, said = vivado(tclsh, project, "design", settings("pynq-z2", **changes))
    assert code != 0 and told in said
    assert not (project / "board" / "pynq" / "squat.bit").exists()


@pytest.mark.parametrize("script", ["design", "impl"])
def test_without_a_core_it_is_said_how_to_make_one(script: str, tclsh: str, small: sd.Network, tmp_path: Path) -> None:
    project = made(small, tmp_path, "zcu104")
    (project / PLACES[0] / "component.xml").unlink()
    code, said = vivado(tclsh, project, script, settings("zcu104"))
    told = "no packaged core in build/hls/impl/ip or build/solution1/impl/ip: run `make csynth package` first"
    assert code != 0 and told in said


@pytest.mark.parametrize("board", BOARDS)
def test_the_core_alone(board: BoardName, tclsh: str, small: sd.Network, tmp_path: Path) -> None:
    project = made(small, tmp_path, board)
    code, said = vivado(tclsh, project, "impl", settings(board))
    assert code == 0 and "| Slice LUTs | 42 |" in said
    assert "OUT OF CONTEXT: slack 0.25 ns (setup) and 0.03 ns (hold) at a clock of 5.0 ns" in said
    code, said = vivado(tclsh, project, "impl", settings(board, SLACK="-1.5"))
    assert code != 0 and "timing is not met: slack -1.5 ns" in said


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("squat_top_0/ap_clk ", ""), "squat_top_0/ap_clk is not connected"),
        (("join_interfaces axi_dma_0/M_AXIS_MM2S squat_top_0/in_stream\n", ""), "is not connected"),
        (("0x43c00000", "0x40400000"), "overlaps squat_top_0/s_axi_control/Reg"),
        (("c_include_sg", "c_has_sg"), "axi_dma_0 has no option c_has_sg"),
        (("reset_0/ext_reset_in", "reset_0/reset"), "no pin reset_0/reset"),
        (("-to_step write_bitstream", "-to write_bitstream"), "unknown option -to"),
    ],
)
def test_the_stand_in_checks(wrong: tuple[str, str], told: str, tclsh: str, small: sd.Network, tmp_path: Path) -> None:
    """What is wrong in a script is noticed."""
    project = made(small, tmp_path, "pynq-z2")
    script = project / "board" / "design.tcl"
    assert wrong[0] in script.read_text()
    script.write_text(script.read_text().replace(*wrong, 1))
    code, said = vivado(tclsh, project, "design", settings("pynq-z2"))
    assert code != 0 and told in said


def made_by(project: Path, target: str, environment: dict[str, str], *variables: str) -> tuple[int, str]:
    command = ["make", target, *variables]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("target", ["bitstream", "impl"])
def test_make(target: str, tclsh: str, compiler: None, small: sd.Network, tmp_path: Path) -> None:
    project, environment = made(small, tmp_path, "zcu104"), settings("zcu104")
    tool = tmp_path / "vivado"
    tool.write_text(f'#!/bin/sh\nfor last; do :; done\nexec {tclsh} {SHIMS / "vivado.tcl"} "$last"\n')
    tool.chmod(0o755)
    code, said = made_by(project, target, environment, f"VIVADO={tool}", "JOBS=7")
    assert code == 0, said
    assert (project / "board" / "pynq" / "squat.bit").exists() == (target == "bitstream")
    assert (project / "board" / "pynq" / "stimulus.dat").exists() == (target == "bitstream")
    code, said = made_by(project, target, environment, "VIVADO=no-such-tool")
    assert code != 0 and f"{target}: no no-such-tool on the PATH; where it is, run" in said
    os.utime(project / PLACES[0] / "component.xml", (0, 0))  # older than the sources: another network was packaged
    code, said = made_by(project, target, environment, f"VIVADO={tool}")
    assert code != 0 and "csynth: no vitis-run and no vitis_hls on the PATH" in said
    (project / PLACES[0] / "component.xml").unlink()
    code, said = made_by(project, target, environment, f"VIVADO={tool}")
    assert code != 0 and "csynth: no vitis-run and no vitis_hls on the PATH" in said


def test_make_says_what_it_can(compiler: None, small: sd.Network, tmp_path: Path) -> None:
    project = made(small, tmp_path, "zcu104")
    code, said = made_by(project, "help", dict(os.environ))
    assert code == 0 and "bitstream  ZCU104" in said and "sanitize " in said
    (project / "build-vivado").mkdir()
    assert made_by(project, "clean", dict(os.environ))[0] == 0 and not (project / "build-vivado").exists()


def test_a_project_without_a_board_knows_of_none(small: sd.Network) -> None:
    for name, text in hls.render(small, sd.HlsConfig(vectors=2)).items():
        assert "board" not in name and "board" not in text.lower() and "PYNQ" not in text, name
