"""NIR files become float models; snnTorch's own exporter is the oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import nir
import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch.export_nir import export_to_nir
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import ConfigError, LoweringError
from squat_deploy.readers.nir.model import NirOptions
from squat_deploy.readers.nir.scales import BESIDE
from squat_deploy.snn.running import run_model
from tests.law import assert_agrees

STEPS = 6


def dense() -> nn.Sequential:
    two = {"alpha": torch.full((4,), 0.5), "beta": torch.full((4,), 0.8), "threshold": torch.ones(4)}
    last = snn.Synaptic(**two, init_hidden=True)
    return nn.Sequential(nn.Linear(12, 9), full((9,), 0.9), nn.Linear(9, 4, bias=False), last)


def full(shape: tuple[int, ...], beta: float) -> snn.Leaky:
    """The exporter wants one value a neuron."""
    return snn.Leaky(beta=torch.full(shape, beta), threshold=torch.ones(shape), init_hidden=True)


def convolutional() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, stride=1), full((4, 8, 8), 0.75),
        nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(64, 3), full((3,), 0.5),
    )  # fmt: skip


def recurrent() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(12, 6), snn.RLeaky(beta=0.9, linear_features=6, init_hidden=True),
        nn.Linear(6, 4), snn.RSynaptic(alpha=0.5, beta=0.8, linear_features=4, init_hidden=True),
    )  # fmt: skip


MODELS: dict[str, tuple[Callable[[], nn.Sequential], tuple[int, ...]]] = {
    "dense": (dense, (12,)),
    "convolutional": (convolutional, (2, 8, 8)),
    "recurrent": (recurrent, (12,)),
}


@pytest.fixture
def events() -> Callable[[tuple[int, ...]], torch.Tensor]:
    return lambda shape: (torch.rand(STEPS, 20, *shape) < 0.4).float()


@pytest.mark.parametrize("name", MODELS)
def test_models_that_snntorch_exported(name: str, tmp_path: Path, events: Callable[..., torch.Tensor]) -> None:
    """The same spikes as the model before its export; then quantized, lowered, and equal to the integers."""
    torch.manual_seed(2)
    make, shape = MODELS[name]
    model, data = make().eval(), events(shape)
    for module in model:
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.weight.data = module.weight.data * 3 + 0.1
    nir.write(tmp_path / "net.nir", export_to_nir(model, data[0], ignore_dims=[0]))
    read = sd.read_nir(tmp_path / "net.nir", NirOptions(dt=1e-4))
    assert read.shape == shape and len(read.gaps) == 4 + 2 * (name == "recurrent")  # two names with a dot
    want, got = (run_model(m, data, STEPS, direct=False) for m in (model, read.model))
    for ours, theirs in zip(want.values(), got.values(), strict=True):
        different = torch.stack(ours.spikes) != torch.stack(theirs.spikes)
        assert torch.stack(ours.spikes).any() and different.float().mean() < 0.002  # 1 - dt / tau is rounded
    made = sd.quantize(read.model, data, steps=STEPS, encoding="sequence", state_bits=3)
    network = sd.lower(made, sd.InputSpec(shape, encoding="sequence"), STEPS, allow_unproven=True)
    assert_agrees(sd.verify(network, made, data.numpy().astype(int), executors=("torch", "numpy")))


def li() -> nir.LI:
    return nir.LI(tau=np.ones(2), r=np.ones(2), v_leak=np.zeros(2))


def chain(*nodes: nir.NIRNode, inputs: int | tuple[int, ...] = 3) -> nir.NIRGraph:
    ends = nir.Input({"input": np.atleast_1d(inputs)}), nir.Output({"output": np.array([2])})
    return nir.NIRGraph.from_list(ends[0], *nodes, ends[1], type_check=False)


def lif(**changes: object) -> nir.LIF:
    ones = np.ones(2)
    values = {"tau": ones * 1e-3, "r": ones, "v_leak": ones * 0, "v_threshold": ones, "v_reset": ones * 0, **changes}
    return nir.LIF(**values)


def affine() -> nir.Affine:
    return nir.Affine(np.arange(6.0).reshape(2, 3), np.array([0.5, -1]))


def test_the_factor_of_the_current_is_the_unit_of_the_membrane(tmp_path: Path) -> None:
    """As Norse and Sinabs write it: tau of many steps, r of 1. No weight is touched."""
    nir.write(tmp_path / "net.nir", chain(affine(), lif()))
    model = sd.read_nir(tmp_path / "net.nir", NirOptions(dt=1e-4, reset="zero")).model
    assert float(model[1].beta) == pytest.approx(0.9) and model[1]._reset_mechanism == "zero"
    assert float(model[1].threshold) == pytest.approx(10)
    assert torch.equal(model[0].weight, torch.arange(6.0).reshape(2, 3))
    assert torch.equal(model[0].bias, torch.tensor([0.5, -1]))


@pytest.mark.parametrize("threshold", [0.1, 0.3, 1.0, 2 / 3, -0.7])
def test_thresholds_are_rounded_down(threshold: float, tmp_path: Path) -> None:
    """So that a float32 lies above them exactly where it lies above what the file says."""
    cell = lif(tau=np.ones(2), r=np.full(2, 3.0), v_threshold=np.full(2, threshold))
    nir.write(tmp_path / "net.nir", chain(affine(), cell))
    options = NirOptions(dt=0.1, reset="none" if threshold < 0 else None)
    got = sd.read_nir(tmp_path / "net.nir", options).model[1].threshold
    want = threshold / (0.1 / 1.0 * 3.0)
    assert float(got) <= want < float(np.nextafter(got.numpy(), np.float32(np.inf)))


def integrate_and_fire(r: float = 1.0) -> nir.IF:
    return nir.IF(r=np.full(2, r), v_threshold=np.ones(2), v_reset=np.zeros(2))


def test_the_time_step_is_stated_or_needed_by_nothing(tmp_path: Path) -> None:
    path = tmp_path / "net.nir"
    nir.write(path, chain(affine(), integrate_and_fire()))
    read = sd.read_nir(path)
    assert float(read.model[1].threshold) == 1.0 and "dt = 1 was taken" in read.gaps[0]
    stated = sd.read_nir(path, NirOptions(dt=0.25))
    assert float(stated.model[1].threshold) == 4.0 and "dt = 0.25 was stated" in stated.gaps[0]


def test_an_endless_time_constant_integrates(tmp_path: Path) -> None:
    """snnTorch's exporter writes beta = 1 with tau and r infinite."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(12, 8), snn.Leaky(beta=torch.tensor([1.0, 0.5] * 4), threshold=torch.ones(8), init_hidden=True)
    )
    nir.write(tmp_path / "net.nir", export_to_nir(model, torch.rand(1, 12), ignore_dims=[0]))
    read = sd.read_nir(tmp_path / "net.nir", NirOptions(dt=1e-4))
    assert read.model[1].beta.tolist() == [1.0, 0.5] * 4 and "infinite tau" in read.gaps[-1]
    data = torch.rand(25, 3, 12) * 2
    (want,), (got,) = (run_model(m, data, 25, direct=False).values() for m in (model, read.model))
    assert torch.stack(want.spikes).any() and torch.equal(torch.stack(want.spikes), torch.stack(got.spikes))


def test_v_reset_is_left_out_where_the_user_says_so(tmp_path: Path) -> None:
    nir.write(tmp_path / "net.nir", chain(affine(), lif(v_reset=np.full(2, -0.5))))
    read = sd.read_nir(tmp_path / "net.nir", NirOptions(dt=1e-4, reset="subtract"))
    assert "'subtract' was stated" in read.gaps[1]


@pytest.mark.parametrize(
    "options",
    [
        {"dt": 0},
        {"dt": -1e-3},
        {"dt": float("nan")},
        {"dt": float("inf")},
        {"dt": True},
        {"dt": "1e-3"},
        {"dt": 10**400},
        {"reset": "soft"},
        {"reset_delay": 1},
    ],
)
def test_options_out_of_range(options: dict[str, object], tmp_path: Path) -> None:
    nir.write(tmp_path / "net.nir", chain(affine(), lif()))
    with pytest.raises(ConfigError, match=f"NirOptions: {next(iter(options))} "):
        sd.read_nir(tmp_path / "net.nir", NirOptions(**options))


def cuba(**changes: object) -> nir.CubaLIF:
    ones = np.ones(2)
    values = {"tau_syn": ones * 1e-3, "tau_mem": ones * 1e-3, "r": ones, "v_leak": ones * 0, "v_threshold": ones}
    return nir.CubaLIF(**{**values, "w_in": ones, "v_reset": ones * 0, **changes})


def looped(cell: nir.NIRNode, weight: np.ndarray | None = None, before: Sequence[nir.NIRNode] = ()) -> nir.NIRGraph:
    graph = chain(affine(), *before, cell)
    name = next(key for key, node in graph.nodes.items() if node is cell)
    graph.nodes["back"] = nir.Linear(np.eye(2) if weight is None else weight)
    graph.edges += [(name, "back"), ("back", name)]
    return unchecked(graph)


def unchecked(graph: nir.NIRGraph, *edges: tuple[str, str], **nodes: nir.NIRNode) -> nir.NIRGraph:
    """With more nodes and edges, and none of nir's own checks."""
    return nir.NIRGraph({**graph.nodes, **nodes}, [*graph.edges, *edges], type_check=False)


def picture(*nodes: nir.NIRNode, shape: tuple[int, ...] = (2, 6, 6)) -> nir.NIRGraph:
    ends = nir.Input(np.array(shape)), nir.Output(np.array([2]))
    return nir.NIRGraph.from_list(ends[0], *nodes, ends[1], type_check=False)


def conv(**changes: object) -> nir.Conv2d:
    values = {
        "input_shape": (6, 6),
        "weight": np.ones((2, 2, 3, 3)),
        "stride": (1, 1),
        "padding": (1, 1),
        "dilation": (1, 1),
    }
    return nir.Conv2d(**{**values, "groups": 1, "bias": np.zeros(2), **changes})


STATED = NirOptions(dt=1e-4)
SUBGRAPH = nir.NIRGraph.from_list(nir.Input({"input": np.array([2])}), lif(), nir.Output({"output": np.array([2])}))
REFUSALS: dict[str, tuple[Callable[[], nir.NIRGraph], NirOptions, str]] = {
    "two states that are read": (
        lambda: chain(affine(), nir.CubaLI(tau_mem=np.ones(2), tau_syn=np.ones(2), r=np.ones(2), v_leak=np.zeros(2))),
        STATED,
        "(CubaLI): this node has no counterpart; got CubaLI; write LI, or CubaLIF, whose spikes are counted",
    ),
    "readout of spikes": (
        lambda: chain(affine(), lif(), li()),
        STATED,
        "(LI): a readout stands behind synapses; got none before it; " + BESIDE,
    ),
    "readout with a leak to infinity": (
        lambda: chain(affine(), nir.LI(tau=np.ones(2), r=np.zeros(2), v_leak=np.ones(2))),
        STATED,
        "(LI): every parameter is finite; got v_leak / r inf; export it again",
    ),
    "readout before others": (
        lambda: chain(affine(), nir.I(np.ones(2)), lif()),
        STATED,
        "(I): neurons without spikes are the last ones; got others behind it; "
        "write IF in its place, whose spikes are sent",
    ),
    "scale below zero before neurons": (
        lambda: chain(affine(), lif(), nir.Scale(np.array([1.0, -1.0])), lif()),
        STATED,
        "(LIF): a Scale in front of neurons is above 0, and their own spikes do not pass it; got factors down to -1; "
        + BESIDE,
    ),
    "scale before a recurrent layer": (
        lambda: looped(lif(), before=(lif(), nir.Scale(np.ones(2) * 2))),
        STATED,
        "got recurrent neurons; " + BESIDE,
    ),
    "scale before a threshold": (
        lambda: chain(affine(), lif(), nir.Scale(np.ones(2)), nir.Threshold(np.ones(2))),
        STATED,
        "(Threshold): takes what a Scale gives; got neither synapses nor neurons; " + BESIDE,
    ),
    "scale at the end": (
        lambda: chain(affine(), lif(), nir.Scale(np.ones(2))),
        STATED,
        "(Output): takes what a Scale gives; got neither synapses nor neurons; leave it out: spikes are counted",
    ),
    "steps in the shape": (
        lambda: chain(affine(), lif(), inputs=(256, 3)),
        STATED,
        "(Input): the input has the shape of one sample in one time step; got (256, 3); state NirOptions(shape=(3,))",
    ),
    "another shape": (
        lambda: chain(affine(), lif()),
        NirOptions(dt=1e-4, shape=(4,)),
        "got (3,), where (4,) was stated; state its last axes",
    ),
    "delay": (
        lambda: chain(affine(), nir.Delay(np.ones(2)), lif()),
        STATED,
        "(Delay): delays are 0 to 255 whole time steps; got [1.0] of dt 0.0001; state another NirOptions(dt=...), or round it",  # noqa: E501
    ),
    "leak": (
        lambda: chain(affine(), lif(), lif(v_leak=np.ones(2))),
        STATED,
        "(LIF): the membrane leaks towards 0, or stands behind synapses; got another v_leak; " + BESIDE,
    ),
    "leak of two states": (
        lambda: chain(affine(), cuba(v_leak=np.ones(2))),
        STATED,
        "(CubaLIF): the membrane leaks towards 0, or stands behind synapses; got another v_leak; write v_leak = 0",
    ),
    "reset": (
        lambda: chain(affine(), lif(v_reset=np.ones(2) * 0.1)),
        NirOptions(dt=1e-4, reset="zero"),
        "(LIF): reset='zero' needs a reset potential of 0; got v_reset 0.1 to 0.1; use reset='subtract'",
    ),
    "reset not stated": (
        lambda: chain(affine(), lif(v_reset=np.array([0, -0.5]))),
        STATED,
        "(LIF): the reset is stated where v_reset is not 0; got v_reset -0.5 to 0; "
        "state NirOptions(reset='subtract'), which v_reset has no part in",
    ),
    "time step": (
        lambda: chain(affine(), lif()),
        NirOptions(dt=1.0),
        "(LIF): a decay 1 - dt / tau lies in 0..1; got -999 to -999; state the dt that the file was made with",
    ),
    "a decay that float32 loses": (
        lambda: chain(affine(), lif(tau=np.ones(2) * 1e6)),
        STATED,
        "(LIF): a decay 1 - dt / tau lies in 0..1; got 1 to 1; state the dt that the file was made with",
    ),
    "no time step": (
        lambda: chain(affine(), lif(tau=np.array([1e-3, 2e-3]))),
        NirOptions(),
        "lif (LIF): a time step is stated where a node has a time constant; got none; "
        "state it: NirOptions(dt=...); snnTorch's exporter writes 1e-4, Norse's time step is 1e-3",
    ),
    "no time step, but a sign of one": (
        lambda: chain(affine(), cuba(tau_mem=np.array([1e-3, 2e-3]), r=np.array([10.0, 20.0]))),
        NirOptions(),
        "got none; state it: NirOptions(dt=0.0001) is tau / r everywhere, which snnTorch's exporter writes",
    ),
    "negative factor": (
        lambda: chain(affine(), lif(r=np.array([1.0, -1.0]))),
        STATED,
        "(LIF): the factor of the current is above 0; got -0.1 to 0.1; negate r and the weights before "
        "where r is negative; write r = 1 and weights of 0 where it is 0",
    ),
    "no factor": (
        lambda: chain(affine(), cuba(w_in=np.zeros(2))),
        STATED,
        "write r = 1 and weights of 0 where it is 0",
    ),
    "NaN": (
        lambda: chain(nir.Linear(np.full((2, 3), np.nan)), lif()),
        STATED,
        "linear (Linear): every parameter is finite; got weight nan, nan, nan; export it again",
    ),
    "endless bias": (
        lambda: chain(nir.Affine(np.ones((2, 3)), np.array([0, np.inf])), lif()),
        STATED,
        "affine (Affine): every parameter is finite; got bias inf; export it again",
    ),
    "endless tau alone": (
        lambda: chain(affine(), lif(tau=np.full(2, np.inf))),
        STATED,
        "got tau inf, inf; export it again",
    ),
    "endless r alone": (lambda: chain(affine(), lif(r=np.full(2, np.inf))), STATED, "got r inf, inf; export it again"),
    "NaN threshold": (
        lambda: chain(affine(), integrate_and_fire(), nir.Threshold(np.full(2, np.nan))),
        STATED,
        "(Threshold): every parameter is finite; got threshold nan, nan; export it again",
    ),
    "out of float32": (
        lambda: chain(nir.Linear(np.full((2, 3), 1e300)), lif()),
        STATED,
        "(Linear): parameters are float32; got weight up to 1e+300; scale the network",
    ),
    "two resets in one": (
        lambda: chain(affine(), lif()),
        NirOptions(dt=1e-4, reset_delay=False),
        "(LIF): snnTorch's Leaky resets as stated; got reset='subtract', reset_delay=False, which it does otherwise; "
        "use reset='subtract', reset_delay=True or reset='zero', reset_delay=True or reset='zero', reset_delay=False",
    ),
    "zero that drops a step": (
        lambda: chain(affine(), cuba()),
        NirOptions(dt=1e-4, reset="zero"),
        "use reset='subtract', reset_delay=True or reset='zero', reset_delay=False",
    ),
    "RSynaptic at once": (
        lambda: looped(cuba()),
        NirOptions(dt=1e-4, reset="zero", reset_delay=False),
        "got reset='zero', reset_delay=False, which it does otherwise; use reset='subtract', reset_delay=True",
    ),
    "stray node": (
        lambda: unchecked(chain(affine(), lif()), stray=nir.Linear(np.eye(2))),
        STATED,
        "stray (Linear): every node lies on the one way from the input to the output; got a node that does not; "
        "leave it out of the file, or join it to the chain",
    ),
    "another node feeds the chain": (
        lambda: unchecked(chain(affine(), lif()), ("stray", "lif"), stray=nir.Linear(np.eye(2))),
        STATED,
        "got edges from affine, stray; write the model in PyTorch, where branches can be lowered",
    ),
    "output reached early": (
        lambda: nir.NIRGraph(chain(affine(), lif()).nodes, [("input", "output"), ("affine", "lif")], type_check=False),
        STATED,
        "affine (Affine): every node lies on the one way from the input to the output; got a node that does not; "
        "leave it out of the file, or join it to the chain",
    ),
    "empty": (
        lambda: nir.NIRGraph({"in": nir.Input(np.array([2])), "out": nir.Output(np.array([2]))}, [("in", "out")]),
        STATED,
        "in (Input): a network has layers; got none; export it again",
    ),
    "branch": (
        lambda: unchecked(chain(affine(), lif()), ("affine", "two"), ("two", "output"), two=lif()),
        STATED,
        "affine (Affine): every node feeds one other; got edges to lif, two; "
        "write the model in PyTorch, where branches can be lowered",
    ),
    "two inputs": (
        lambda: unchecked(chain(affine(), lif()), more=nir.Input(np.array([3]))),
        STATED,
        "input (NIR): a graph has one input; got 2 input, more; export one network",
    ),
    "edge to nowhere": (
        lambda: unchecked(chain(affine(), lif()), ("lif", "nobody")),
        STATED,
        "nobody (NIR): edges lead from node to node; got the edge from 'lif' to 'nobody', and no such node; "
        "export it again",
    ),
    "edge twice": (
        lambda: unchecked(chain(affine(), lif()), ("affine", "lif")),
        STATED,
        "affine (Affine): edges come once; got the edge from 'affine' to 'lif' 2 times; export it again",
    ),
    "edge to itself": (
        lambda: unchecked(chain(affine(), lif()), ("lif", "lif")),
        STATED,
        "got the edge from 'lif' to 'lif'; put a Linear with the identity between",
    ),
    "input fed": (
        lambda: unchecked(chain(affine(), lif()), ("back", "input"), ("lif", "back"), back=nir.Linear(np.ones((3, 2)))),
        STATED,
        "input (Input): the input takes nothing; got edges from back; "
        "write the model in PyTorch, where branches can be lowered",
    ),
    "a loop through two": (
        lambda: unchecked(
            chain(affine(), lif()),
            ("lif", "a"),
            ("a", "b"),
            ("b", "lif"),
            a=nir.Linear(np.eye(2)),
            b=nir.Linear(np.eye(2)),
        ),
        STATED,
        "lif (LIF): every node feeds one other; got edges to output, a; "
        "write the model in PyTorch, where branches can be lowered",
    ),
    "subgraph of neither kind": (
        lambda: chain(affine(), unchecked(SUBGRAPH, ("lif", "w"), w=nir.Linear(np.eye(2)))),
        STATED,
        "nirgraph/lif (LIF): every node feeds one other; got edges to nirgraph/w, output; "
        "write the model in PyTorch, where branches can be lowered",
    ),
    "subgraph of another shape": (
        lambda: unchecked(
            chain(
                affine(),
                nir.NIRGraph({**SUBGRAPH.nodes, "input": nir.Input(np.array([3]))}, SUBGRAPH.edges, type_check=False),
            )
        ),
        STATED,
        "nirgraph/lif (LIF): subgraphs take and give the shapes that they say; "
        "got (3,) said by the input of its subgraph for (2,); export it again",
    ),
    "subgraph that gives another shape": (
        lambda: chain(
            affine(),
            nir.NIRGraph({**SUBGRAPH.nodes, "output": nir.Output(np.array([1, 2]))}, SUBGRAPH.edges, type_check=False),
        ),
        STATED,
        "got (1, 2) said by the output of its subgraph for (2,); export it again",
    ),
    "vast stride": (
        lambda: picture(nir.SumPool2d(np.array([2, 2]), np.array([2**40, 2]), np.array([0, 0])), lif()),
        STATED,
        "sizes are 2 whole numbers from 1, or one; got stride [1099511627776.0, 2.0]; export it again",
    ),
    "vast padding": (
        lambda: picture(conv(padding=(2**20, 2**20)), lif()),
        STATED,
        "conv2d (Conv2d): a layer has 1 to 67108864 values; got (2, 2097156, 2097156); export it again",
    ),
    "padding beyond the kernel": (
        lambda: picture(nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([2, 2])), lif()),
        STATED,
        "pools are padded by half their kernel at most; got padding (2, 2), kernel_size (2, 2); "
        "pad in the convolution before",
    ),
    "back to other neurons": (
        lambda: looped(lif(), np.ones((3, 2))),
        STATED,
        "lif (LIF): spikes come back to the same neurons; got (3,) for (2,); export it again",
    ),
    "parameters of another shape": (
        lambda: unchecked(chain(affine(), nir.IF(np.ones(3), np.ones(3), np.zeros(3)))),
        STATED,
        "(IF): parameters are one for all neurons, or one for each; got v_threshold of (3,) for (2,); export it again",
    ),
    "matrix for a picture": (
        lambda: picture(nir.Linear(np.ones((2, 6))), integrate_and_fire()),
        STATED,
        "linear (Linear): this node takes 1 axes; got (2, 6, 6); export it again",
    ),
    "uneven padding": (
        lambda: picture(conv(weight=np.ones((2, 2, 2, 2)), padding="same"), lif()),
        STATED,
        "conv2d (Conv2d): pads both sides alike; got padding 'same', kernel (2, 2), stride (1, 1); "
        "export numbers in place of 'same'",
    ),
    "input of another size": (
        lambda: picture(conv(input_shape=(5, 5)), lif()),
        STATED,
        "conv2d (Conv2d): this node takes what the one before gives; got (2, 6, 6); it says (5, 5); export it again",
    ),
    "stride of 0": (
        lambda: picture(nir.SumPool2d(np.array([2, 2]), np.array([0, 2]), np.array([0, 0])), lif()),
        STATED,
        "sumpool2d (SumPool2d): sizes are 2 whole numbers from 1, or one; got stride [0.0, 2.0]; export it again",
    ),
    "flattens beyond": (
        lambda: picture(nir.Flatten({"input": np.array([2, 6, 6])}, 0, 1), nir.Linear(np.ones((2, 12)))),
        STATED,
        "linear (Linear): this node takes 1 axes; got (12, 6); export it again",
    ),
    "one bias": (
        lambda: chain(nir.Affine(np.ones((2, 3)), np.ones(1)), lif()),
        STATED,
        "affine (Affine): one bias an output; got 1 for 2; export it again",
    ),
    "groups of channels": (
        lambda: picture(conv(groups=2, weight=np.ones((3, 1, 3, 3)), bias=np.ones(3)), lif()),
        STATED,
        "conv2d (Conv2d): groups divide the channels; got 2 groups, 3 channels; export it again",
    ),
    "flattens nothing": (
        lambda: picture(nir.Flatten({"input": np.array([2, 6, 6])}, 2, 1), nir.Linear(np.ones((2, 72))), lif()),
        STATED,
        "flatten (Flatten): flattens axes from the first to the last (without a batch axis); "
        "got start_dim 2, end_dim 1 of (2, 6, 6); export it again",
    ),
    "reset below zero": (
        lambda: chain(affine(), lif(v_threshold=np.array([1.0, -1.0]))),
        NirOptions(dt=1e-4, reset="zero", reset_delay=False),
        "lif (LIF): neurons that reset are at rest below their threshold; got v_threshold -10; use reset='none'",
    ),
    "later reset below zero": (
        lambda: chain(affine(), lif(v_threshold=np.array([1.0, -1.0]))),
        NirOptions(dt=1e-4, reset="subtract"),
        "lif (LIF): neurons that reset are at rest below their threshold; got v_threshold -10; use reset='none'",
    ),
    "many faults": (
        lambda: unchecked(chain(affine(), lif()), **{f"stray{n}": nir.Linear(np.eye(2)) for n in range(25)}),
        STATED,
        "the network: has no such faults elsewhere; got 5 more; mend these first",
    ),
    "back without synapses": (
        lambda: unchecked(chain(affine(), lif()), ("lif", "lif")),
        STATED,
        "lif (LIF): spikes come back through a Linear; got the edge from 'lif' to 'lif'; "
        "put a Linear with the identity between",
    ),
    "another output": (
        lambda: unchecked(chain(nir.Linear(np.ones((3, 3))), nir.IF(np.ones(3), np.ones(3), np.zeros(3)))),
        STATED,
        "output (Output): the output has the shape that the file says; got (3,); it says (2,); export it again",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case: str, tmp_path: Path) -> None:
    make, options, message = REFUSALS[case]
    nir.write(tmp_path / "net.nir", make())
    with pytest.raises(LoweringError) as caught:
        sd.read_nir(tmp_path / "net.nir", options)
    assert any(str(fault).endswith(message) for fault in caught.value.faults), caught.value


def test_every_fault_is_said_at_once(tmp_path: Path) -> None:
    nir.write(tmp_path / "net.nir", chain(affine(), lif(r=np.zeros(2)), nir.Delay(np.ones(2)), lif(v_leak=np.ones(2))))
    with pytest.raises(LoweringError) as caught:
        sd.read_nir(tmp_path / "net.nir", STATED)
    assert [fault.layer for fault in caught.value.faults] == ["lif (LIF)", "delay (Delay)", "lif_1 (LIF)"]
