"""Convolutions and pooling in SystemVerilog: every kind of walk and sum in one core, at several foldings, with gaps."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

import squat_deploy as sd
from squat_deploy import toolchain
from squat_deploy.backends.rtl import RtlConfig
from squat_deploy.backends.rtl.project import render
from squat_deploy.errors import ExportError
from squat_deploy.network import INPUT, InputSpec, Network
from squat_deploy.network.certificate import Certificate
from squat_deploy.network.layers import Conv2d, ConvTranspose2d, Dense, Join, Pool2d, Synapses
from tests.graph_drawing import _Drawing, draw_graph, draw_inputs
from tests.rtl import PYTHON, assert_agrees
from tests.test_trained import lowered


class Chain:
    """Layers one after another, each of the shape that the one before gives."""

    def __init__(self, seed: int, shape: tuple[int, ...], high: int, encoding: str) -> None:
        rng = np.random.default_rng(seed)
        self.drawing = _Drawing(rng, InputSpec(shape, 0, high, encoding=encoding), 3, rng)  # type: ignore[arg-type]
        self.last = INPUT

    @property
    def shape(self) -> tuple[int, ...]:
        return self.drawing.shapes[self.last]

    def add(self, layer: Synapses | Join, shape: tuple[int, ...]) -> Chain:
        self.last = self.drawing.add(layer, (self.last,), shape)
        return self

    def weights(self, outputs: int, *sizes: int) -> tuple[np.ndarray, np.ndarray]:
        rng = self.drawing.rng
        return rng.integers(-7, 8, (outputs, *sizes)), rng.integers(-9, 10, outputs)

    def conv(self, outputs: int, kernel: tuple[int, int], *options: object, groups: int = 1) -> Chain:
        weight, bias = self.weights(outputs, self.shape[0] // groups, *kernel)
        layer = Conv2d(self.drawing.name("conv"), weight, bias, self.shape, *options, groups=groups)  # type: ignore[arg-type]
        return self.add(layer, layer.output_shape)

    def transposed(self, outputs: int, kernel: tuple[int, int], *options: object) -> Chain:
        weight, bias = self.weights(outputs, self.shape[0], *kernel)
        name = self.drawing.name("transposed")
        layer = ConvTranspose2d(name, weight, bias, self.shape, *options)  # type: ignore[arg-type]
        return self.add(layer, layer.output_shape)

    def pool(self, kind: str, *options: object) -> Chain:
        layer = Pool2d(self.drawing.name("pool"), kind, self.shape, *options)  # type: ignore[arg-type]
        return self.add(layer, layer.output_shape)

    def dense(self, outputs: int) -> Chain:
        weight, bias = self.weights(outputs, self.drawing.size(self.last))
        return self.add(Dense(self.drawing.name("fc"), weight, bias), (outputs,))

    def seen_as(self, shape: tuple[int, ...]) -> Chain:
        self.drawing.shapes[self.last] = shape
        return self

    def fire(self) -> Chain:
        self.last = self.drawing.neurons(self.last)
        return self

    def network(self, steps: int = 4) -> Network:
        parts = self.drawing
        wires = tuple(parts.wires)
        return Network(parts.spec, tuple(parts.layers), steps, Certificate(tuple(parts.rows)), "chain", wires)


PE = {"lif2": 4, "lif6": 3, "lif9": 2, "lif12": 2, "lif15": 2, "lif17": 3}  # shared units, and lanes without a channel


@cache
def everything() -> Network:
    """Kernels with every option, maxima and sums of events and of sums, sums laid out anew, events that become sums."""
    chain = Chain(5, (2, 6, 5), 3, "direct")
    chain.pool("sum", (2, 2), (1, 1), (1, 0)).conv(4, (3, 2), (2, 1), (1, 1), (1, 2)).fire()
    chain.pool("max", (3, 2), (1, 1), (1, 1)).conv(8, (2, 3), (1, 1), (1, 1), groups=4)
    chain.pool("max", (2, 3), (1, 2), (1, 1)).fire()
    chain.transposed(3, (3, 2), (2, 1), (1, 0), (1, 2), 1, (1, 0)).pool("sum", (2, 1), (2, 1)).fire()
    chain.pool("sum", (2, 2), (1, 1)).pool("max", (1, 2), (1, 1)).fire()
    chain.dense(8).seen_as((2, 2, 2)).pool("max", (2, 2), (1, 1)).fire()
    return chain.dense(3).fire().network()


def test_every_walk_and_every_sum(tmp_path: Path, verilator: None) -> None:
    """Whole traces, and cycles: sequences back to back, with gaps in both streams, and one after another."""
    network, project = everything(), tmp_path / "p"
    assert_agrees(network, draw_inputs(network, 12), RtlConfig(pe=PE), project)
    modules = {"walk", "windows", "first", "recode", "scatter_plane", "pool_sums", "scatter", "place", "unload"}
    assert {f"squat_{name}.sv" for name in modules} <= {path.name for path in (project / "rtl/lib").iterdir()}


def test_a_page_is_read_while_the_other_one_gets_its_start_values(tmp_path: Path, verilator: None) -> None:
    """A step that is shorter than a page, of channels with biases of their own in several groups."""
    network = draw_graph(418)
    assert_agrees(network, draw_inputs(network, 4, 418), RtlConfig(pe=2, share=1), tmp_path / "p")


@pytest.mark.parametrize("pe", [1, 8])
def test_sources_are_clean(pe: int, tmp_path: Path, verilator: None) -> None:
    project = sd.emit_rtl(everything(), tmp_path / "p", RtlConfig(pe=pe))
    toolchain.run(["make", "-s", "lint", PYTHON], project)


def test_a_trained_network(rng: np.random.Generator, verilator: None) -> None:
    """Inputs as dense as real ones."""
    network, _, _ = lowered("nmnist_conv")
    shape = (network.steps, 2, *network.input.shape)
    inputs = (rng.random(shape) < 0.05).astype(np.int64)
    agreement = sd.verify(network, None, inputs, executors=("numpy", "rtlsim"), config=sd.HlsConfig(pe=12))
    assert agreement.agrees and agreement.rows[-1].label == "rtlsim"


def test_planes_take_one_event_a_cycle() -> None:
    """Fully connected layers behind them take several; a network without any is refused, and what that says works."""
    behind = Chain(5, (2, 5, 5), 1, "sequence").conv(3, (3, 3)).fire().pool("max", (2, 2), (1, 1)).dense(4).fire()
    assert "squat_sorter #(" in str(render(behind.network(), RtlConfig(simd=2))["rtl/squat_core.sv"])
    alone = Chain(5, (2, 5, 5), 1, "sequence").conv(3, (3, 3)).fire().network()
    with pytest.raises(ExportError, match=r"simd 2: no layer here takes several events a cycle; use simd=1$"):
        render(alone, RtlConfig(simd=2))
    assert render(alone, RtlConfig(simd=1))
