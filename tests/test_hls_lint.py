"""Rules of Vitis HLS that no compiler here checks, held on the emitted text; each of them can be broken."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

import squat_deploy as sd
from squat_deploy.network.encoders import AnyEncoder, EventEncoder, LatencyEncoder, RateEncoder
from squat_deploy.network.readout import READOUTS
from tests.graph_drawing import draw_graph
from tests.hls_lint.rules import faults
from tests.test_hardware import sequence_network

PENDING = ("divides by",)


def left(project: Path) -> list[str]:
    return [fault for fault in faults(project) if not any(text in fault for text in PENDING)]


@pytest.mark.parametrize("seed", range(16))
def test_drawn_networks_break_no_rule(seed: int, tmp_path: Path, compiler: None) -> None:
    network = dataclasses.replace(draw_graph(seed), readout=READOUTS[seed % len(READOUTS)])
    project = sd.emit_hls(network, tmp_path / "p", sd.HlsConfig(pe=(1, 2, 16, 64)[seed % 4], vectors=1))
    assert left(project) == []


@pytest.mark.parametrize("encoder", [None, RateEncoder(bits=4), LatencyEncoder(bits=3), EventEncoder(window=9)])
def test_encoders_break_no_rule(encoder: AnyEncoder | None, tmp_path: Path, compiler: None) -> None:
    config = sd.HlsConfig(encoder=encoder, vectors=1)
    assert left(sd.emit_hls(sequence_network((0, 1)), tmp_path / "p", config)) == []


@pytest.mark.parametrize("pe", [1, 8, 16, 32, 64, 128])
def test_the_bundled_network_breaks_no_rule(pe: int, fashion: sd.Network, tmp_path: Path, compiler: None) -> None:
    assert left(sd.emit_hls(fashion, tmp_path / "p", sd.HlsConfig(pe=pe, vectors=1))) == []


BROKEN = [
    (r"const unsigned OUTPUTS = \d+;", "const unsigned OUTPUTS = 1;", "a pipelined loop of 1 iterations"),
    (r" *SQUAT_HLS\(loop_tripcount [^\n]*\n", "", "no trip count"),
    (r" *SQUAT_HLS\(array_(?:partition|reshape) variable=WEIGHTS [^\n]*\n", "", "8 accesses of WEIGHTS in 1 cycles"),
    (r" *SQUAT_HLS\(aggregate variable=row_of_sums\)\n", "", "64 accesses of row_of_sums in 1 cycles"),
    (r"layer2::list\(.*;", "", "channel pairs2: written by [], read by ['scatter"),
    (r"pipeline II=3 ", "pipeline II=1 ", "2 times write of to in 1 cycles"),
    (r" *SQUAT_HLS\(array_(?:partition|reshape) variable=states [^\n]*\n", "", "accesses of states in 3 cycles"),
    (
        r"(layer2::list\(.*;)",
        r"\1 \1",
        "channel pairs2: written by ['list', 'list'], read by ['scatter']",
    ),
    (r"const unsigned row = ", "const unsigned row = 7 % OUTPUTS * POSITIONS / group + ", "divides by a variable"),
]


@pytest.mark.parametrize(("pattern", "change", "fault"), BROKEN)
def test_what_breaks_a_rule_is_found(
    pattern: str, change: str, fault: str, fashion: sd.Network, tmp_path: Path, compiler: None
) -> None:
    project = sd.emit_hls(fashion, tmp_path / "p", sd.HlsConfig(pe=64, vectors=1))
    changed = 0
    for path in sorted((project / "src").iterdir()):
        text, count = re.subn(pattern, change, path.read_text())
        path.write_text(text)
        changed += count
    assert changed and any(fault in found for found in faults(project)), faults(project)
