"""What HLS compilers make of a project, as far as that can be tested without them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import squat_deploy as sd
from tests.test_hls import GOLDEN_CONFIG, SHIMS, flip

BAMBU = """#!/bin/sh
# Stands in for PandA-Bambu: compiles design and testbench and keeps the testbench's log where it does.
for word; do case $word in -DSQUAT_*) defines="$defines $word";; esac; done
options="-std=c++17 -w -O1 -D__BAMBU__ -isystem {shims}"
g++ $options $defines -I../src -I../tb -o simulated ../src/squat_top.cpp ../tb/squat_tb.cpp
mkdir -p HLS_output/simulation
./simulated > HLS_output/simulation/testbench.log || {differs}
{afterwards}
"""


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
