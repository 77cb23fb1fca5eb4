"""Scales, leaks, readouts and delays of NIR files run as the file says; older files too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
import snntorch as snn
import torch

import squat_deploy as sd
from squat_deploy.errors import LoweringError
from squat_deploy.readers.nir.model import NirOptions
from squat_deploy.snn.running import run_model
from tests.law import assert_agrees
from tests.oracle.nir_graphs import DT, Euler, draw_frames
from tests.test_nir_graphs import assert_same, cell, chain, read_back

STEPS = 40
OPTIONS = NirOptions(dt=DT)
WEIGHT = np.outer([0.5, -0.25, 0.75], [1.0, 0.5, 1.0, 2.0])
BIAS = np.array([0.25, 0.5, -0.125])


def fc() -> nir.Affine:
    return nir.Affine(WEIGHT, BIAS)


def square(seed: int = 1) -> nir.Linear:
    return nir.Linear(np.random.default_rng(seed).integers(-2, 4, (3, 3)) * 0.5)


def planes(shape: tuple[int, ...], **changes: float) -> nir.LIF:
    values = {"tau": 2 * DT, "r": 2.0, "v_leak": 0.0, "v_threshold": 1.000161803, "v_reset": 0.0, **changes}
    return nir.LIF(**{key: np.full(shape, value) for key, value in values.items()})


def conv(seed: int, groups: int = 1, channels: int = 2, plane: tuple[int, int] = (5, 5)) -> nir.Conv2d:
    weight = np.random.default_rng(seed).integers(-2, 5, (4, channels // groups, 3, 3)) * 0.25
    return nir.Conv2d(plane, weight, 1, 1, 1, groups, np.arange(4) * 0.25)


EACH = nir.Scale(np.array([2.0, 0.5, 4.0]))
SIGNED = nir.Scale(np.array([2.0, -0.5, 0.0]))
CHANNELS = nir.Scale(np.broadcast_to(np.array([2.0, 0.5, -1.0, 4.0])[:, None, None], (4, 5, 5)))
FORMS: dict[str, Callable[[], nir.NIRGraph]] = {
    "scale behind weights": lambda: chain(fc(), SIGNED, cell()),
    "two scales behind weights": lambda: chain(fc(), SIGNED, nir.Scale(np.full(3, 2.0)), cell()),
    "scale before weights": lambda: chain(fc(), cell(), SIGNED, square(), cell()),
    "scale on both sides": lambda: chain(fc(), EACH, cell(), SIGNED, square(), EACH, cell()),
    "scale of the input": lambda: chain(nir.Scale(np.array([1.0, 2.0, -1.0, 0.5])), fc(), cell()),
    "scale between neurons": lambda: chain(fc(), cell(), EACH, cell()),
    "scale, delay, weights": lambda: chain(fc(), cell(), EACH, nir.Delay(np.array([0, 1, 3]) * DT), square(), cell()),
    "scale behind a convolution": lambda: chain(conv(0), CHANNELS, planes((4, 5, 5)), shape=(2, 5, 5)),
    "scale before a convolution": lambda: chain(
        conv(0), planes((4, 5, 5)), CHANNELS, conv(1, 2, 4), planes((4, 5, 5)), shape=(2, 5, 5)
    ),
    "scale before a flatten": lambda: chain(
        conv(0), planes((4, 5, 5)), CHANNELS,
        nir.Flatten({"input": np.array([4, 5, 5])}, 0, -1), nir.Linear(np.tile(WEIGHT, 25) * 0.125), cell(),
        shape=(2, 5, 5),
    ),
    "scale before a sum of windows": lambda: chain(
        conv(0), planes((4, 5, 5)), CHANNELS, nir.SumPool2d(*(np.array([2, 2]),) * 2, np.array([1, 1])),
        conv(1, 2, 4, (3, 3)), planes((4, 3, 3)), shape=(2, 5, 5),
    ),
    "scale before an average": lambda: chain(
        conv(0), planes((4, 5, 5)), CHANNELS, nir.AvgPool2d(*(np.array([2, 2]),) * 2, np.array([0, 0])),
        nir.Flatten({"input": np.array([4, 2, 2])}, 0, -1), nir.Linear(np.tile(WEIGHT, 4) * 0.5), cell(),
        shape=(2, 5, 5),
    ),
    "leak to a potential": lambda: chain(fc(), cell(v_leak=np.array([0.5, -0.25, 0.0]))),
    "leak behind a scale": lambda: chain(nir.Linear(WEIGHT), EACH, cell(v_leak=0.5)),
    "leak behind a convolution": lambda: chain(conv(0), planes((4, 5, 5), v_leak=-0.5), shape=(2, 5, 5)),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_scales_and_leaks_run_as_the_file_says(form: str, tmp_path: Path) -> None:
    """On grids of powers of two, so that float32 and float64 give the same spikes: not one differs."""
    graph = FORMS[form]()
    read = read_back(tmp_path, graph, OPTIONS)
    said = [
        gap for gap in read.gaps if "is multiplied into the weights" in gap or "is part of the bias before it" in gap
    ]
    scales = [node for node in graph.nodes.values() if isinstance(node, nir.Scale)]
    assert len(said) == len(scales) + ("leak" in form) and len(read.model) == len(graph.nodes) - 2 - len(scales)
    assert assert_same(read, graph, OPTIONS, draw_frames(read.shape, STEPS, 3)) > 20


READOUTS: dict[str, nir.NIRNode] = {
    "leaky": nir.LI(tau=np.full(3, 4 * DT), r=np.full(3, 2.0), v_leak=np.zeros(3)),
    "one factor each": nir.LI(tau=np.full(3, 2 * DT), r=np.array([2.0, -1.0, 4.0]), v_leak=np.array([0.0, 0.5, -1.0])),
    "integrating": nir.I(np.array([1.0, 2.0, -1.0]) / DT),
}


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("kind", READOUTS)
def test_readouts_have_the_membranes_of_the_file(kind: str, scaled: bool, tmp_path: Path) -> None:
    """In the file's own unit; quantized and lowered with a readout of membranes, equal to the quantized model."""
    graph = chain(fc(), cell(), square(), *([EACH] if scaled else []), READOUTS[kind])
    read, frames = read_back(tmp_path, graph, OPTIONS), draw_frames((4,), STEPS, 3)
    euler = Euler(graph, OPTIONS)
    euler.run(frames)
    (want,) = euler.read.values()
    (trace,) = list(run_model(read.model, torch.from_numpy(frames).float()[:, None], STEPS, direct=False).values())[-1:]
    got = torch.stack(trace.membranes)[:, 0].numpy()
    assert np.abs(want).max() > 1 and np.allclose(got, want, rtol=1e-5, atol=1e-5 * np.abs(want).max())

    data = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (8, 30, 4))).float()
    made = sd.quantize(read.model, data, steps=8, encoding="sequence", state_bits=5)
    spec = sd.InputSpec((4,), 0, 3, encoding="sequence")
    network = sd.lower(made, spec, 8, readout="highest-membrane", allow_unproven=True)
    assert_agrees(sd.verify(network, made, data.numpy().astype(int), executors=("torch", "numpy")))
    assert network.values is not None and network.values.step == float(
        np.diff(made[-1].state_quant.levels.numpy()).min()
    )
    found = sd.simulate(network, data.numpy().astype(int), trace=True).trace
    assert found is not None and len(np.unique(found[-1].states)) > 5 and not found[-1].spikes.any()


def test_a_leaky_node_before_neurons_is_their_synaptic_current(tmp_path: Path) -> None:
    """Spike by spike, with one value for all of it too; what is no such current is refused, and the hint is right."""
    tau, r, frames = np.full(3, 2 * DT), np.array([2.0, 4.0, 1.0]), draw_frames((4,), STEPS, 3)
    for filters in (nir.LI(tau, r, np.zeros(3)), nir.LI(*(np.full(1, x) for x in (2 * DT, 2.0, 0.0)))):
        graph = chain(fc(), filters, cell(), square(), cell())
        read = read_back(tmp_path, graph, OPTIONS)
        assert "n1, n2: are read as one CubaLIF" in read.gaps and isinstance(read.model[1], snn.Synaptic)  # type: ignore[index]
        assert assert_same(read, graph, OPTIONS, frames) > 20

    def looped(v_leak: float, *edges: tuple[str, str]) -> nir.NIRGraph:
        made = chain(fc(), nir.LI(tau, r, np.full(3, v_leak)), cell())
        return nir.NIRGraph(
            {**made.nodes, "w": square()} if edges else made.nodes, [*made.edges, *edges], type_check=False
        )

    for bad in (looped(0.5), looped(0.0, ("n2", "w"), ("w", "n2"))):
        with pytest.raises(LoweringError, match="leave v_leak and the recurrence out, and a LIF may follow"):
            read_back(tmp_path, bad, OPTIONS)
    mended = looped(0.0)
    assert assert_same(read_back(tmp_path, mended, OPTIONS), mended, OPTIONS, frames) > 10
    odd = chain(fc(), nir.LI(*(np.ones(2) for _ in range(3))), cell())
    with pytest.raises(LoweringError, match="parameters are one for all neurons, or one for each"):
        read_back(tmp_path, odd, OPTIONS)


@pytest.mark.parametrize("before", ["neurons", "recurrent", "threshold"])
def test_the_hint_for_a_scale_is_right(before: str, tmp_path: Path) -> None:
    """A Linear with the identity takes it in."""
    target = nir.Threshold(np.full(3, 0.5)) if before == "threshold" else cell()

    def graph(*between: nir.NIRNode) -> nir.NIRGraph:
        made = chain(fc(), cell(), *between, SIGNED, target)
        if before != "recurrent":
            return made
        name = next(key for key, node in made.nodes.items() if node is target)
        return nir.NIRGraph({**made.nodes, "w": square()}, [*made.edges, (name, "w"), ("w", name)], type_check=False)

    with pytest.raises(LoweringError, match="put a Linear with the identity in front of it, which takes it in"):
        read_back(tmp_path, graph(), OPTIONS)
    mended = graph(nir.Linear(np.eye(3)))
    assert assert_same(read_back(tmp_path, mended, OPTIONS), mended, OPTIONS, draw_frames((4,), STEPS, 3)) > 20


def test_a_convolution_takes_in_one_factor_a_channel(tmp_path: Path) -> None:
    uneven = nir.Scale(np.arange(1.0, 101.0).reshape(4, 5, 5))
    with pytest.raises(
        LoweringError,
        match="position of a channel; got factors or leaks of 1 to 100; make it so, or leave it to a Linear",
    ):
        read_back(tmp_path, chain(conv(0), uneven, planes((4, 5, 5)), shape=(2, 5, 5)), OPTIONS)
    parts = conv(0), planes((4, 5, 5)), uneven, nir.AvgPool2d(*(np.array([2, 2]),) * 2, np.array([0, 0]))
    with pytest.raises(LoweringError, match="what a convolution or a pool takes in is the same at every position"):
        read_back(tmp_path, chain(*parts, conv(1, 2, 4, (2, 2)), planes((4, 2, 2)), shape=(2, 5, 5)), OPTIONS)


def edited(path: Path, edit: Callable[[Any], None]) -> Path:
    with h5py.File(path, "a") as file:
        edit(file)
    return path


def test_subgraphs_of_older_files(tmp_path: Path) -> None:
    """Their nodes lie beside the others, by names with dots, and edges name the subgraph."""
    inner = {"lif1.input": nir.Input(np.array([3])), "lif1.lif": cell(), "lif1.w_rec": square(), "lif1.output": None}
    inner["lif1.output"] = nir.Output(np.array([3]))
    ends = {"input": nir.Input(np.array([4])), "output": nir.Output(np.array([3]))}
    nodes = {"fc1": fc(), "fc2": square(2), "lif2": cell()}
    outer = [("input", "fc1"), ("fc1", "lif1"), ("lif1", "fc2"), ("fc2", "lif2"), ("lif2", "output")]
    loop = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
    flat = nir.NIRGraph({**ends, **nodes, "lif1": nir.Linear(np.eye(3))}, outer, type_check=False)
    flat.nodes = {**ends, **nodes, **inner}
    flat.edges = [*outer, *((f"lif1.{a}", f"lif1.{b}") for a, b in loop)]
    named = {key.removeprefix("lif1."): node for key, node in inner.items()}
    whole = nir.NIRGraph(
        {**ends, **nodes, "lif1": nir.NIRGraph(named, loop, type_check=False)}, outer, type_check=False
    )
    read = read_back(tmp_path, flat, OPTIONS)
    assert assert_same(read, whole, OPTIONS, draw_frames((4,), STEPS, 3)) > 20


def test_steps_in_the_shape_of_the_input(tmp_path: Path) -> None:
    """The hint is followed, and the output may say the steps or not."""

    def edit(file: Any) -> None:
        del file["node/nodes/input/shape"]
        file["node/nodes/input/shape"] = [256, 4]

    graph = chain(fc(), cell())
    nir.write(tmp_path / "net.nir", graph)
    path = edited(tmp_path / "net.nir", edit)
    with pytest.raises(LoweringError, match=r"state NirOptions\(shape=\(4,\)\)"):
        sd.read_nir(path, OPTIONS)
    options = NirOptions(dt=DT, shape=(4,))
    assert assert_same(sd.read_nir(path, options), graph, options, draw_frames((4,), STEPS, 3)) > 10


def test_an_edge_to_nowhere_is_said(tmp_path: Path) -> None:
    """As in a file whose exporter renamed a node and not its edges."""
    graph = chain(fc(), cell())
    graph.edges = [(a.replace("n1", "lif"), b.replace("n1", "lif")) for a, b in graph.edges]
    with pytest.raises(LoweringError, match="got the edge from 'n0' to 'lif', and no such node"):
        read_back(tmp_path, graph, OPTIONS)
