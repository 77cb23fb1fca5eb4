"""Testbenches of the small golden network, its core as docs/testbench.md has it, and `make` with its verdict."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import squat_deploy as sd
from tests.conftest import ROOT
from tests.test_hls import golden_network, golden_stimulus

DOCS = (ROOT / "docs" / "testbench.md").read_text()
CORE, AS_FUNCTION, AS_STREAM = re.findall(r"^```c\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
FLAGS = ("CFLAGS=-O1 -Werror", "CXXFLAGS=-O1 -Werror")
MODES = ("function", "stream")


@pytest.fixture(scope="module")
def network() -> sd.Network:
    return golden_network()


@pytest.fixture
def bench(network: sd.Network, tmp_path: Path) -> Path:
    return sd.emit_testbench(network, tmp_path / "bench", stimulus=golden_stimulus(), constants=True)


def make(bench: Path, *given: str) -> tuple[int, str]:
    """Exit code of the testbench itself, and all that was printed."""
    done = subprocess.run(["make", "-s", *given, *FLAGS], cwd=bench, capture_output=True, text=True, check=False)
    found = re.search(r"\[Makefile:\d+: \w+\] Error (\d+)", done.stderr)
    assert (found is None) == (done.returncode == 0), done.stderr
    return 0 if found is None else int(found[1]), done.stdout + done.stderr


def core(bench: Path, text: str, name: str = "my_core.c") -> str:
    (bench / name).write_text(text)
    return f"DUT={name}"


def by_hand(mode: str, text: str = CORE) -> str:
    """The core of the golden network in one of the flavours."""
    return text + (AS_FUNCTION if mode == "function" else AS_STREAM)


def passed(said: tuple[int, str]) -> int:
    """Values that were compared."""
    code, text = said
    found = re.search(r"^PASS: 0 mismatches in (\d+) values, \d+ sequences\n\Z", text, re.MULTILINE)
    assert code == 0 and found, text
    return int(found[1])
