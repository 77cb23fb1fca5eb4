"""NIR files become float models; snnTorch's own exporter is the oracle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch.export_nir import export_to_nir
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import FileFormatError, LoweringError
from squat_deploy.lowering.nir_model import NirOptions
from squat_deploy.training.sequence import run_model
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
    read = sd.read_nir(tmp_path / "net.nir")
    assert read.shape == shape and len(read.gaps) == 4
    want, got = (run_model(m, data, STEPS, direct=False) for m in (model, read.model))
    for ours, theirs in zip(want.values(), got.values(), strict=True):
        different = torch.stack(ours.spikes) != torch.stack(theirs.spikes)
        assert torch.stack(ours.spikes).any() and different.float().mean() < 0.002  # 1 - dt / tau is rounded
    made = sd.quantize(read.model, data, steps=STEPS, encoding="sequence", state_bits=3)
    network = sd.lower(made, sd.InputSpec(shape, encoding="sequence"), STEPS, allow_unproven=True)
    assert_agrees(sd.verify(network, made, data.numpy().astype(int), executors=("torch", "numpy")))


def chain(*nodes: nir.NIRNode, inputs: int = 3) -> nir.NIRGraph:
    ends = nir.Input({"input": np.array([inputs])}), nir.Output({"output": np.array([2])})
    return nir.NIRGraph.from_list(ends[0], *nodes, ends[1])


def lif(**changes: object) -> nir.LIF:
    ones = np.ones(2)
    values = {"tau": ones * 1e-3, "r": ones, "v_leak": ones * 0, "v_threshold": ones, "v_reset": ones * 0, **changes}
    return nir.LIF(**values)


def affine() -> nir.Affine:
    return nir.Affine(np.arange(6.0).reshape(2, 3), np.array([0.5, -1]))


def test_the_factor_of_the_current_goes_into_the_weights(tmp_path: Path) -> None:
    """As Norse and Sinabs write it: tau of many steps, r of 1."""
    nir.write(tmp_path / "net.nir", chain(affine(), lif()))
    model = sd.read_nir(tmp_path / "net.nir", NirOptions(dt=1e-4, reset="zero")).model
    assert float(model[1].beta) == pytest.approx(0.9) and model[1]._reset_mechanism == "zero"
    assert torch.allclose(model[0].weight, torch.arange(6.0).reshape(2, 3) * 0.1)
    assert torch.allclose(model[0].bias, torch.tensor([0.05, -0.1]))


REFUSALS: dict[str, tuple[Callable[[], nir.NIRGraph], NirOptions, str]] = {
    "readout": (
        lambda: chain(affine(), nir.LI(tau=np.ones(2), r=np.ones(2), v_leak=np.zeros(2))),
        NirOptions(),
        "(LI): this node has no counterpart; got LI; export another layer",
    ),
    "leak": (
        lambda: chain(affine(), lif(v_leak=np.ones(2))),
        NirOptions(),
        "(LIF): the membrane leaks towards 0; got another v_leak; shift the membrane and the threshold",
    ),
    "reset": (
        lambda: chain(affine(), lif(v_reset=np.ones(2) * 0.1)),
        NirOptions(reset="zero"),
        "(LIF): reset='zero' needs a reset potential of 0; got another v_reset; use reset='subtract'",
    ),
    "time step": (
        lambda: chain(affine(), lif()),
        NirOptions(dt=1.0),
        "(LIF): a decay 1 - dt / tau lies in 0..1; got -999 to -999; state the dt that the file was made with",
    ),
    "factor without weights": (
        lambda: chain(lif(), inputs=2),
        NirOptions(),
        "(LIF): the factor of the current goes into the weights before it; got 1 factors, 0 channels; "
        "export r = tau / dt",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case: str, tmp_path: Path) -> None:
    make, options, message = REFUSALS[case]
    nir.write(tmp_path / "net.nir", make())
    with pytest.raises(LoweringError) as caught:
        sd.read_nir(tmp_path / "net.nir", options)
    assert str(caught.value.faults[0]).endswith(message)


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "net.nir"
    with pytest.raises(FileFormatError, match="not a NIR file"):
        sd.read_nir(path)
    nir.write(path, chain(affine(), lif()))
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(FileFormatError, match="not a NIR file"):
        sd.read_nir(path)


def test_links_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "net.nir"
    nir.write(path, chain(affine(), lif()))
    with h5py.File(path, "a") as file:
        file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(FileFormatError, match="'elsewhere' is a link"):
        sd.read_nir(path)
