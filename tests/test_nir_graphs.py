"""NIR graphs drawn at random run as Euler's rule says, spike by spike; what is refused works once it is mended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest
import torch

import squat_deploy as sd
from squat_deploy.errors import LoweringError
from squat_deploy.readers.nir.model import NirModel, NirOptions
from tests.law import assert_agrees
from tests.oracle.judge import spikes_of
from tests.oracle.nir_graphs import DT, NAMES, Euler, draw_frames, draw_nir

STEPS = 40


def assert_same(read: NirModel, graph: nir.NIRGraph, options: NirOptions, frames: np.ndarray) -> int:
    """Every neuron layer, every spike; gives their number."""
    want, got = Euler(graph, options).run(frames), spikes_of(read, frames)
    for (name, theirs), ours in zip(want.items(), got, strict=True):
        assert not (theirs != ours).any(), f"{name}: {int((theirs != ours).sum())} of {theirs.size} spikes differ"
    return int(sum(spikes.sum() for spikes in got))


def read_back(path: Path, graph: nir.NIRGraph, options: NirOptions) -> NirModel:
    nir.write(path / "net.nir", graph)
    return sd.read_nir(path / "net.nir", options)


@pytest.mark.parametrize("part", range(6))
def test_graphs_run_as_the_file_says(part: int, tmp_path: Path) -> None:
    """All that are drawn can be read, but for resets that snnTorch has otherwise: those are refused by name."""
    compared = spikes = 0
    for seed in range(part * 20, part * 20 + 20):
        graph, stated = draw_nir(seed)
        options = NirOptions(**vars(stated))
        try:
            read = read_back(tmp_path, graph, options)
        except LoweringError as error:
            assert all("resets as stated" in fault.rule for fault in error.faults) and options.reset == "zero", error
            read = read_back(tmp_path, graph, options := replace(options, reset="subtract", reset_delay=True))
        else:
            compared += 1
        spikes += assert_same(read, graph, options, draw_frames(read.shape, STEPS, seed))
    assert compared >= 14 and spikes > 2000


def chain(*nodes: nir.NIRNode, names: list[str] | None = None, shape: tuple[int, ...] = (4,)) -> nir.NIRGraph:
    ends = nir.Input(np.array(shape)), nir.Output(np.array(nodes[-1].output_type["output"]))
    named = dict(zip(names or [f"n{i}" for i in range(len(nodes))], nodes, strict=True))
    every = {"input": ends[0], **named, "output": ends[1]}
    keys = list(every)
    return nir.NIRGraph(every, list(pairwise(keys)), type_check=False)


def lif(size: int = 6, **changes: float) -> nir.LIF:
    """As exporters write it: r = 1 and a tau of ten steps."""
    values = {"tau": 0.01, "r": 1.0, "v_leak": 0.0, "v_threshold": 0.1, "v_reset": 0.0, **changes}
    return nir.LIF(**{key: np.full(size, value, np.float32) for key, value in values.items()})


def scalar() -> nir.LIF:
    return nir.LIF(*(np.float32(value) for value in (0.01, 1.0, 0.0, 0.1, 0.0)))


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) * 0.8).astype(np.float32)


def recurrent() -> nir.NIRGraph:
    graph = chain(nir.Affine(normal(6, 4), normal(6)), lif(), nir.Linear(normal(3, 6)), lif(3))
    return nir.NIRGraph(
        {**graph.nodes, "back": nir.Linear(normal(6, 6) * 3)}, [*graph.edges, ("n1", "back"), ("back", "n1")]
    )


def recurrent_inside() -> nir.NIRGraph:
    inner = chain(lif(), shape=(6,))
    edges = [*inner.edges, ("n0", "w"), ("w", "n0")]
    inner = nir.NIRGraph({**inner.nodes, "w": nir.Linear(normal(6, 6) * 3)}, edges, type_check=False)
    return chain(nir.Linear(normal(6, 4)), inner)


def nested() -> nir.NIRGraph:
    deep = chain(nir.Linear(normal(6, 6)), lif(), shape=(6,))
    return chain(nir.Linear(normal(6, 4)), lif(), chain(deep, nir.Linear(normal(5, 6)), lif(5), shape=(6,)))


def synapses_inside() -> nir.NIRGraph:
    """The way back through a subgraph of its own."""
    graph = chain(nir.Linear(normal(6, 4)), lif())
    back = chain(nir.Linear(normal(6, 6)), shape=(6,))
    return nir.NIRGraph({**graph.nodes, "b": back}, [*graph.edges, ("n1", "b"), ("b", "n1")], type_check=False)


def pictures() -> nir.NIRGraph:
    """Factors of neurons behind a sum of spikes, and one for each channel."""
    full = lambda shape, value: np.full(shape, value, np.float32)  # noqa: E731
    factors = np.broadcast_to(np.array([1.0, 2.0, 4.0])[:, None, None], (3, 8, 8)).copy()
    rest = {"v_leak": full((3, 8, 8), 0), "v_threshold": full((3, 8, 8), 1), "v_reset": full((3, 8, 8), 0)}
    small = {"v_leak": full((3, 4, 4), 0), "v_threshold": full((3, 4, 4), 1), "v_reset": full((3, 4, 4), 0)}
    two = np.array([2, 2])
    return chain(
        nir.Conv2d((8, 8), normal(3, 1, 3, 3) + 0.5, 1, 1, 1, 1, full(3, 0)),
        nir.LIF(tau=full((3, 8, 8), 0.01), r=factors, **rest),
        nir.SumPool2d(two, two, two * 0),
        nir.LIF(tau=full((3, 4, 4), 0.01), r=full((3, 4, 4), 2.5), **small),
        shape=(1, 8, 8),
    )


FORMS: dict[str, Callable[[], nir.NIRGraph]] = {
    "recurrent, r of 1": recurrent,
    "recurrent in a subgraph": recurrent_inside,
    "chains in each other": nested,
    "recurrent through a subgraph": synapses_inside,
    "neurons behind neurons": lambda: chain(nir.Linear(normal(6, 4)), lif(r=10.0), lif(r=4.0, v_threshold=0.3)),
    "pooled spikes": pictures,
    "one value for all": lambda: chain(nir.Linear(normal(6, 4)), lif(1), nir.Linear(normal(3, 6)), lif(3)),
    "numbers": lambda: chain(nir.Linear(normal(6, 4)), scalar(), nir.Linear(normal(3, 6)), lif(3)),
    "neurons at the input": lambda: chain(lif(4, r=3.0)),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_that_exporters_write(form: str, tmp_path: Path) -> None:
    graph, options = FORMS[form](), NirOptions(dt=1e-3)
    read = read_back(tmp_path, graph, options)
    frames = np.random.default_rng(1).uniform(0, 3, (STEPS, *read.shape)).astype(np.float32).astype(np.float64)
    assert assert_same(read, graph, options, frames) > 20


@pytest.mark.parametrize("first", range(0, len(NAMES), 4))
def test_all_names_work(first: int, tmp_path: Path) -> None:
    """Nothing is merged, and the old name is said where it had to be changed."""
    names = [NAMES[(first + i) % len(NAMES)] for i in range(4)]
    graph = chain(nir.Linear(normal(6, 4)), lif(), nir.Linear(normal(3, 6)), lif(3), names=names)
    read = read_back(tmp_path, graph, NirOptions(dt=1e-3))
    called = [name for name, _ in read.model.named_children()]
    assert len(called) == 4
    for old, new in zip(names, called, strict=True):
        said = [gap for gap in read.gaps if gap.endswith(f": is called {new} here")]
        assert old == new or said == [f"{old if old.isprintable() else ascii(old)}: is called {new} here"]
    assert_same(read, graph, NirOptions(dt=1e-3), draw_frames((4,), STEPS, 0))


def test_a_plain_name_stays(tmp_path: Path) -> None:
    graph = chain(nir.Linear(normal(6, 4)), lif(), names=["fc.1", "fc_1"])
    assert list(read_back(tmp_path, graph, NirOptions(dt=1e-3)).model._modules) == ["fc_1_2", "fc_1"]


def refused(path: Path, graph: nir.NIRGraph, hint: str) -> None:
    with pytest.raises(LoweringError, match=hint):
        read_back(path, graph, NirOptions(dt=DT))


def cell(**changes: object) -> nir.LIF:
    values = {"tau": 2 * DT, "r": 2.0, "v_leak": 0.0, "v_threshold": 1.000161803, "v_reset": 0.0, **changes}
    return nir.LIF(**{key: np.broadcast_to(np.float32(value), 3).astype(float) for key, value in values.items()})


def test_what_the_hints_say_works(tmp_path: Path) -> None:
    """The file as refused, and as mended, are one network."""
    weight, bias = np.outer([0.5, -0.25, 0.75], [1.0, 0.5, 1.0, 2.0]), np.array([0.25, 0.5, -0.125])
    frames, options = draw_frames((4,), STEPS, 3), NirOptions(dt=DT)

    sign = np.array([1.0, -1.0, 0.0])
    turned = chain(nir.Affine(weight, bias), cell(r=2 * sign))
    refused(tmp_path, turned, "negate r and the weights before")
    changed = chain(nir.Affine(weight * sign[:, None], bias * sign), cell(r=np.array([2.0, 2.0, 1.0])))
    assert assert_same(read_back(tmp_path, changed, options), turned, options, frames) > 10

    low = chain(nir.Affine(weight, bias), cell(v_threshold=-0.3))
    refused(tmp_path, low, "neurons that reset are at rest below their threshold")
    kept = NirOptions(dt=DT, reset="none")
    assert assert_same(read_back(tmp_path, low, kept), low, kept, frames) > 10

    own = chain(nir.Affine(weight, bias), cell())
    looped = nir.NIRGraph(own.nodes, [*own.edges, ("n1", "n1")], type_check=False)
    refused(tmp_path, looped, "put a Linear with the identity between")
    between = nir.NIRGraph({**own.nodes, "one": nir.Linear(np.eye(3))}, [*own.edges, ("n1", "one"), ("one", "n1")])
    assert assert_same(read_back(tmp_path, between, options), looped, options, frames) > 10


@pytest.mark.parametrize("seed", range(6))
def test_drawn_graphs_are_quantized_and_lowered(seed: int, tmp_path: Path) -> None:
    """Odd names and factors of all kinds, up to integers that equal the quantized model."""
    graph, stated = draw_nir(seed, bare=False)
    read = read_back(tmp_path, graph, NirOptions(stated.dt, "subtract", True))
    data = torch.from_numpy(np.random.default_rng(seed).integers(0, 4, (6, 9, *read.shape))).float()
    made = sd.quantize(read.model, data, steps=6, encoding="sequence", state_bits=2)
    spec = sd.InputSpec(read.shape, 0, 3, encoding="sequence")
    network = sd.lower(made, spec, 6, allow_unproven=True)
    assert_agrees(sd.verify(network, made, data.numpy().astype(int), executors=("torch", "numpy")))
