"""Models with a forward of their own as NIR files, and back: the same integers; sums are edges that meet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
import snntorch as snn
import torch
from torch import Tensor, nn
from torch.nn import functional

import squat_deploy as sd
from squat_deploy.errors import LoweringError
from squat_deploy.snn.delay import Delay
from squat_deploy.snn.quantizers import InputQuantizer
from squat_deploy.snn.running import run_model
from tests.test_cli import document
from tests.test_nir_out import conv, dense, leaky, recurrent

STEPS = 4
FRAMES: dict[str, Any] = {"encoding": "sequence"}


class Steps(nn.Module):
    """As the tutorials: a loop over the steps, with states in variables."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = dense(6, 5), dense(5, 3)
        self.lif1, self.lif2 = leaky(init_hidden=False), leaky(init_hidden=False)

    def forward(self, x: Tensor) -> Tensor:
        one, two = self.lif1.reset_mem(), self.lif2.reset_mem()
        found = []
        for step in range(STEPS):
            spikes, one = self.lif1(self.fc1(x[step]), one)
            spikes, two = self.lif2(self.fc2(spikes.detach()), two)
            found.append(spikes)
        return torch.stack(found)


class Passed(nn.Module):
    """States passed in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = dense(6, 4), leaky(init_hidden=False)

    def forward(self, x: Tensor, state: Any = None) -> Any:
        spikes, state = self.lif(self.fc(x), self.lif.reset_mem() if state is None else state)
        return spikes, state


class Residual(nn.Module):
    """Spikes that go around a layer, and currents of two layers that meet in neurons."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.out = dense(6, 6), dense(6, 6), dense(6, 6), dense(6, 3)
        self.one, self.two, self.end = leaky(), leaky(), leaky()

    def forward(self, x: Tensor) -> Tensor:
        first = self.one(self.a(x))
        second = self.two(self.b(first) + self.c(x))
        return self.end(self.out(first + second))


class Threefold(nn.Module):
    """Three values that meet, the last of them late."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = dense(6, 4), dense(6, 4), dense(6, 4)
        self.late, self.lif = Delay(1), leaky()

    def forward(self, x: Tensor) -> Tensor:
        return self.lif(self.c(x) + self.a(x) + self.b(self.late(x)))


class Planes(nn.Module):
    """Convolutions around each other, a pool and a reshape as functions."""

    def __init__(self) -> None:
        super().__init__()
        self.quantizer = InputQuantizer(0.25, 0, 3)
        self.a, self.b = conv(1, 2, padding=1, bias=False), conv(2, 2, padding=1, bias=True)
        self.one, self.two, self.end = leaky(), leaky(), leaky()
        self.fc = dense(18, 3)

    def forward(self, x: Tensor) -> Tensor:
        current = self.a(self.quantizer(x))
        spikes = self.two(self.b(self.one(current)) + current)
        return self.end(self.fc(functional.avg_pool2d(spikes, 2).reshape(len(x), -1)))


class Looping(nn.Module):
    """Recurrent neurons beside others."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = dense(6, 4), dense(6, 4)
        self.one, self.two = recurrent(snn.RLeaky, 4, beta=0.5), leaky()
        self.fc, self.end = dense(4, 3), leaky()

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.fc(self.one(self.a(x)) + self.two(self.b(x))))


FORMS: dict[str, tuple[type[nn.Module], sd.InputSpec]] = {
    "steps": (Steps, sd.InputSpec((6,), 0, 3, **FRAMES)),
    "states passed": (Passed, sd.InputSpec((6,), 0, 3, **FRAMES)),
    "residual": (Residual, sd.InputSpec((6,), 0, 3)),
    "threefold": (Threefold, sd.InputSpec((6,), 0, 1, **FRAMES)),
    "planes": (Planes, sd.InputSpec((1, 6, 6), 0, 3, 0.25)),
    "looping": (Looping, sd.InputSpec((6,), 0, 2)),
}


def lowered(form: str) -> tuple[sd.Network, nn.Module]:
    torch.manual_seed(4)
    kind, spec = FORMS[form]
    return sd.lower(model := kind().eval(), spec, STEPS, allow_unproven=True), model


@pytest.mark.parametrize("form", FORMS)
def test_the_same_integers_come_back(form: str, tmp_path: Path) -> None:
    network, model = lowered(form)
    sd.write_nir(network, model, tmp_path / "net.nir")
    read = sd.read_nir(tmp_path / "net.nir")
    assert read.whole is not None
    again = sd.lower(read.model, read.whole.spec(read.shape), STEPS, readout=read.whole.readout, allow_unproven=True)
    assert again.digest == network.digest
    frames = np.random.default_rng(0).integers(0, network.input.high + 1, (STEPS, 20, *network.input.shape))
    direct = network.input.encoding == "direct"
    inputs = frames[0] if direct else frames
    assert sd.verify(again, read.model, inputs, executors=["torch", "numpy"]).agrees
    real = torch.from_numpy(inputs * network.input.step).float()
    ours, theirs = (list(run_model(net, real, STEPS, direct=direct).values()) for net in (model, read.model))
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(torch.stack(one.spikes), torch.stack(other.spikes))


def test_sums_are_edges_that_meet(tmp_path: Path) -> None:
    network, model = lowered("residual")
    sd.write_nir(network, model, tmp_path / "net.nir")
    edges = [tuple(edge) for edge in nir.read(tmp_path / "net.nir", type_check=False).edges]
    assert {("b", "two"), ("c", "two"), ("one", "out"), ("two", "out"), ("one", "b"), ("input", "c")} <= set(edges)
    assert len(edges) == 10


def test_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(
        "import torch\nfrom tests.test_nir_branches import Residual\n\n"
        "def factory():\n    torch.manual_seed(4)\n    return Residual().eval()\n"
    )
    digest = document("lower", "net.py:factory", "--steps", 4, "--shape", 6, "--high", 3)["digest"]
    document("export-nir", "network.safetensors", "--model", "net.py:factory", "--out", "net.nir")
    again = document("nir", "net.nir", "--out", "again.safetensors")
    assert again["digest"] == digest and again["proven"]


class Hinted(nn.Module):
    """What is refused, and, if `mended`, what the hint says."""

    def __init__(self, mended: bool = False) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.mended = mended
        self.a, self.b, self.c, self.both, self.one = dense(6, 4), dense(6, 4), dense(6, 4), dense(8, 3), leaky()
        self.fc, self.other, self.end, self.two = dense(4, 3), dense(4, 3), leaky(), leaky()


class Joined(Hinted):
    def forward(self, x: Tensor) -> Tensor:
        first, second = self.one(self.a(x)), self.two(self.b(x))
        if self.mended:
            return self.end(self.fc(first) + self.other(second))
        return self.end(self.both(torch.cat([first, second], dim=1)))


class Nested(Hinted):
    def forward(self, x: Tensor) -> Tensor:
        a, b, c = self.a(x), self.b(x), self.c(x)
        return self.one(a + b + c if self.mended else a + (b + c))


class Twice(Hinted):
    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        return self.one(a + self.b(x) if self.mended else a + a)


class Shaped(Hinted):
    def forward(self, x: Tensor) -> Tensor:
        spikes = self.one(self.a(x))
        return self.end(self.fc(spikes if self.mended else spikes.unflatten(1, (2, 2)).flatten(1)))


class Largest(Hinted):
    def __init__(self, mended: bool = False) -> None:
        super().__init__(mended)
        self.conv, self.wide = conv(1, 2), dense(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        pool = functional.avg_pool2d if self.mended else functional.max_pool2d
        return self.end(self.wide(pool(self.one(self.conv(x)), 2).flatten(1)))


class Late(Hinted):
    def __init__(self, mended: bool = False) -> None:
        super().__init__(mended)
        self.own = recurrent(snn.RLeaky, 4, beta=0.5)
        self.back = dense(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        if self.mended:
            self.own.reset_mem()
        else:
            self.one.reset_mem()
        spikes, found = torch.zeros(x.shape[0], 4), []
        for _ in range(STEPS):
            spikes = self.own(self.a(x)) if self.mended else self.one(self.a(x) + self.back(spikes))
            found.append(spikes)
        return torch.stack(found)


REFUSED = {
    Joined: "NIR has a node for this function; got cat; NIR has no concatenation: let a layer each take the",
    Nested: "sums are of nodes, from left to right; got a sum in the second term; write (a + b) + c, and factors as w",
    Twice: "sums are of nodes, from left to right; got one value twice; write (a + b) + c",
    Shaped: "NIR changes shapes by Flatten alone; got (2, 2); use x.flatten(1)",
    Largest: "NIR has a node for this function; got max_pool2d; NIR has no maximum: use avg_pool2d",
    Late: "what NIR takes was made in the same step; got spikes of the step before; use snn.RLeaky or snn.RSynaptic",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_no_edges(kind: type[Hinted], tmp_path: Path) -> None:
    """Refused with a hint, and written when that is done."""
    spec = sd.InputSpec((1, 6, 6) if kind is Largest else (6,), 0, 2)
    model = kind().eval()
    with pytest.raises(LoweringError) as caught:
        sd.write_nir(sd.lower(model, spec, STEPS, allow_unproven=True), model, tmp_path / "net.nir")
    assert REFUSED[kind] in str(caught.value) and not (tmp_path / "net.nir").exists()
    mended = kind(mended=True).eval()
    network = sd.lower(mended, spec, STEPS, allow_unproven=True)
    sd.write_nir(network, mended, tmp_path / "net.nir")
    read = sd.read_nir(tmp_path / "net.nir")
    assert sd.lower(read.model, spec, STEPS, allow_unproven=True).digest == network.digest


def rewired(path: Path, change: dict[tuple[str, str], tuple[str, str]]) -> None:
    with h5py.File(path, "a") as file:
        edges = [tuple(part.decode() for part in edge) for edge in file["node/edges"][()]]
        del file["node/edges"]
        file["node/edges"] = np.array([change.get(edge, edge) for edge in edges], dtype=object)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({("two", "out"): ("two", "end")}, "what meets at a node has one shape; got "),
        ({("end", "output"): ("end", "a")}, "every node lies on the one way from the input to the output"),
        ({("c", "two"): ("output", "two")}, "every node lies on the one way"),
    ],
)
def test_edges_of_others_are_not_trusted(
    change: dict[tuple[str, str], tuple[str, str]], message: str, tmp_path: Path
) -> None:
    network, model = lowered("residual")
    sd.write_nir(network, model, tmp_path / "net.nir")
    rewired(tmp_path / "net.nir", change)
    with pytest.raises(LoweringError, match=message):
        sd.read_nir(tmp_path / "net.nir")


def test_a_scale_in_front_of_a_sum(tmp_path: Path) -> None:
    """Behind synapses they take it in; behind neurons nobody does."""
    network, model = lowered("residual")
    for before, after, refused in (("c", "two", False), ("one", "out", True)):
        sd.write_nir(network, model, tmp_path / "net.nir")
        graph = nir.read(tmp_path / "net.nir", type_check=False)
        graph.nodes["twice"] = nir.Scale(np.full(6, 2.0))
        rest = [edge for edge in graph.edges if tuple(edge) != (before, after)]
        graph.edges = [*rest, (before, "twice"), ("twice", after)]
        nir.write(tmp_path / "net.nir", graph)
        if refused:
            with pytest.raises(LoweringError, match="what meets at a node has passed no Scale; got a Scale in front"):
                sd.read_nir(tmp_path / "net.nir")
        else:
            weights = sd.read_nir(tmp_path / "net.nir").model.get_submodule("c").weight
            assert torch.equal(weights, 2 * model.c.quant_weight().value)  # type: ignore[union-attr, operator]


def test_edges_that_were_changed_make_another_network(tmp_path: Path) -> None:
    network, model = lowered("residual")
    sd.write_nir(network, model, tmp_path / "net.nir")
    rewired(tmp_path / "net.nir", {("one", "b"): ("input", "b")})
    read = sd.read_nir(tmp_path / "net.nir")
    assert sd.lower(read.model, network.input, STEPS, allow_unproven=True).digest != network.digest
