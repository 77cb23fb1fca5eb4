"""Testbenches for every kind of network: cores written from the laws of `constants.h`, and those of HLS projects."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

import squat_deploy as sd
from squat_deploy.backends.testbench.views import numbers_of
from squat_deploy.hardware.design import design_of
from squat_deploy.network.encoders import AnyEncoder, EventEncoder, LatencyEncoder, RateEncoder
from squat_deploy.network.layers import KINDS
from squat_deploy.network.readout import READOUTS
from tests.bench import AS_FUNCTION, core, make, passed
from tests.bench_cores import as_stream, core_of
from tests.graph_drawing import draw_graph
from tests.test_hardware import sequence_network

SEEDS = (0, 1, 5, 6, 8, 12, 15, 17)


@pytest.mark.parametrize("seed", range(8))
def test_every_kind_of_layer_by_its_law(seed: int, tmp_path: Path, compiler: None) -> None:
    """Plain loops over the arrays of `constants.h`; all layers, readouts, ranges and encodings occur."""
    network = dataclasses.replace(draw_graph(SEEDS[seed]), readout=READOUTS[seed % len(READOUTS)])
    bench = sd.emit_testbench(network, tmp_path / "b", vectors=3, constants=True)
    for mode, glue in (("function", AS_FUNCTION), ("stream", as_stream(network))):
        dut = core(bench, core_of(network) + glue)
        assert passed(make(bench, "check", dut, f"MODE={mode}", "COMPARE=states", f"STD={('c99', 'c++14')[seed % 2]}"))


def test_the_drawn_networks_hold_everything() -> None:
    drawn = [draw_graph(seed) for seed in SEEDS]
    kinds = {type(layer).__name__ for network in drawn for layer in network.layers}
    assert kinds == set(KINDS)
    assert {network.input.encoding for network in drawn} == {"direct", "sequence"}
    assert {network.input.low < 0 for network in drawn} == {True, False}
    assert any(source >= at for net in drawn for at, wire in enumerate(net.wires) for source in wire), "recurrence"


WRAPPER = """#include "dut.h"
#include "squat_top.h"

extern "C" void dut_run(uint32_t steps, int restart) {{
    static hls::stream<axis_t> in, out;
    static hls::stream<word_t> {traces};
    uint32_t word = 0;
    int last = 0;
    while (tb_take(&word, &last)) put(in, word, last != 0);
    squat_top(in, out, {traces}, steps, restart != 0);
    for (unsigned step = 0; step < steps; ++step) {{
        static dut_trace trace;
{reads}
        tb_trace(&trace);
    }}
    while (!out.empty()) {{
        const axis_t item = out.read();
        tb_give(bits_of(item.data), item.last);
    }}
}}
"""
READ = """        for (unsigned n = 0; n < {size}; ++n) {{
            if (n % {fields} == 0) word = bits_of(trace{number}.read());
            const unsigned code = word >> (n % {fields} * {bits}) & {mask}u;
            trace.layer{place}_state[n] = static_cast<int32_t>(code >> 1);
            trace.layer{place}_spike[n] = static_cast<int32_t>(code & 1u);
        }}"""


def emitted_core(network: sd.Network, encoder: AnyEncoder | None, folder: Path) -> list[str]:
    """The HLS core of a network as a stream DUT: what `make` is told."""
    config = sd.HlsConfig(vectors=1, encoder=encoder)
    project, parts = sd.emit_hls(network, folder / "hls", config), design_of(network, config).neurons
    reads = [
        READ.format(size=part.size, number=part.number, place=place, bits=part.trace_bits, fields=32 // part.trace_bits,
                    mask=2**part.trace_bits - 1)
        for place, part in zip(numbers_of(network), parts, strict=True)
    ]  # fmt: skip
    traces = ", ".join(f"trace{part.number}" for part in parts)
    (folder / "wrapper.cpp").write_text(WRAPPER.format(traces=traces, reads="\n".join(reads)))
    flags = f"CXXFLAGS=-O1 -Werror -I{project}/src -DSQUAT_NATIVE -DSQUAT_TRACE"
    return [f"DUT={folder}/wrapper.cpp {project}/src/squat_top.cpp", "MODE=stream", flags]


def check_emitted(network: sd.Network, encoder: AnyEncoder | None, folder: Path) -> None:
    bench = sd.emit_testbench(network, folder / "bench", vectors=3, encoder=encoder)
    *given, flags = emitted_core(network, encoder, folder)
    command = ["make", "-s", "check", *given, flags, "COMPARE=states"]
    done = subprocess.run(command, cwd=bench, capture_output=True, text=True, check=False)
    assert passed((done.returncode, done.stdout + done.stderr))


@pytest.mark.parametrize(("seed", "readout"), zip((0, 8, 12, 15, 0), READOUTS, strict=True))
def test_emitted_cores_are_streams(seed: int, readout: str, tmp_path: Path, compiler: None) -> None:
    check_emitted(dataclasses.replace(draw_graph(seed), readout=readout), None, tmp_path)


@pytest.mark.parametrize("encoder", [RateEncoder(bits=4), LatencyEncoder(bits=3), EventEncoder(window=9)])
def test_emitted_cores_with_encoders(encoder: AnyEncoder, tmp_path: Path, compiler: None) -> None:
    check_emitted(sequence_network((0, 1)), encoder, tmp_path)
