"""One neuron module behind several layers: taken in where each layer hands in its own states, else refused."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import LoweringError
from squat_deploy.lowering import check
from squat_deploy.snn.identity import model_digest
from squat_deploy.snn.quantizers import state_quant
from squat_deploy.snn.sharing import Shared as Apart
from tests.test_models import leaky, linear

STEPS = 6
STILL, FRAMES = sd.InputSpec((12,), 0, 1), sd.InputSpec((12,), 0, 1, encoding="sequence")


class Shared(nn.Module):
    """Layers of several widths with one neuron module, in a loop that is written in some way."""

    def __init__(self, kind: str = "", neurons: Any = None, sizes: tuple[int, ...] = (12, 8, 6, 4)) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kind, self.lif = kind, neurons or leaky(False)
        self.fcs = nn.ModuleList(linear(*pair) for pair in pairwise(sizes))
        for fc in self.fcs:
            fc.weight.data.normal_(0, 0.6)

    def start(self):
        states = [self.lif.init_leaky() for _ in self.fcs]
        return [torch.zeros(0) for _ in self.fcs] if self.kind == "zeros" else states

    def kept(self, state):
        return {"clone": state.clone, "detach": state.detach}.get(self.kind, lambda: state)()

    def forward(self, x):
        states, spikes = self.start(), []
        for step in range(STEPS):
            spk = x[step] if x.dim() == 3 else x
            for layer, fc in enumerate(self.fcs):
                given = states[0 if self.kind == "one state" else layer]
                if self.kind == "swapped" and step == 3:
                    given = states[layer - 1]
                spk, state = self.called(fc(spk), given, layer)
                states[0 if self.kind == "one state" else layer] = self.kept(state)
            spikes.append(self.lif.mem * 1 if self.kind == "its own" else spk)
        return torch.stack(spikes)

    def called(self, current, state, layer):
        if self.kind == "without" and layer:
            return self.lif(current)
        return self.lif(current, mem=state) if self.kind == "named" else self.lif(current, state)


class LayerByLayer(Shared):
    """All steps of a layer before the next one."""

    def forward(self, x):
        spikes = [x] * STEPS
        for fc in self.fcs:
            mem, out = self.lif.init_leaky(), []
            for spk in spikes:
                spk, mem = self.lif(fc(spk), mem)
                out.append(spk)
            spikes = out
        return torch.stack(spikes)


class Synaptics(Shared):
    def __init__(self) -> None:
        table = state_quant(3, uniform=False)
        super().__init__("", snn.Synaptic(alpha=0.5, beta=0.8, state_quant=table), (12, 6, 4))

    def forward(self, x):
        one, two = self.lif.init_synaptic(), self.lif.init_synaptic()
        spikes = []
        for _ in range(STEPS):
            spk, *one = self.lif(self.fcs[0](x), *one)
            spk, *two = self.lif(self.fcs[1](spk), *two)
            spikes.append(spk)
        return torch.stack(spikes)


class Stated(Shared):
    """One step a call."""

    def forward(self, x, states):
        states, left = self.start() if states is None else states, []
        for fc, state in zip(self.fcs, states, strict=True):
            x, state = self.lif(fc(x), state)
            left.append(state)
        return x, left


TAKEN: dict[str, tuple[Any, sd.InputSpec]] = {
    **{kind: (lambda kind=kind: Shared(kind), STILL) for kind in ("", "zeros", "clone", "detach", "named")},
    "frames": (Shared, FRAMES),
    "one width": (lambda: Shared(sizes=(12, 6, 6, 6)), STILL),
    "layer by layer": (LayerByLayer, STILL),
    "two states": (Synaptics, STILL),
    "states passed": (Stated, FRAMES),
}


@pytest.mark.parametrize("name", TAKEN)
def test_neurons_of_several_layers_that_are_given_their_states(name: str) -> None:
    make, spec = TAKEN[name]
    model = make().eval()
    network = sd.lower(model, spec, STEPS)
    layers = len(model.fcs)
    assert [neuron.name for neuron in network.neurons] == ["lif", "lif.use2", "lif.use3"][:layers]
    assert network.certificate.proven and network.origin.model == model_digest(model)
    inputs = np.random.default_rng(0).integers(0, 2, (9, 12) if spec is STILL else (STEPS, 9, 12))
    assert sd.verify(network, model, inputs, executors=["torch", "numpy"]).agrees
    real, state = torch.from_numpy(inputs).float(), None
    if isinstance(model, Stated):
        each = []
        for frame in real:
            spk, state = model(frame, state)
            each.append(spk)
        returned = torch.stack(each)
    else:
        returned = model(real)
    assert returned.any() and (sd.simulate(network, inputs).scores == returned.sum(0).int().numpy()).all()
    assert name not in ("", "states passed") or all(row.verdict != "refused" for row in check(model, spec, STEPS))


RULE = "Leaky: neurons that serve several layers are given the states of each; got "
REFUSED = {
    "without": "lif (Leaky): neurons keep their own membranes; got one module for layers of (8,) and (6,) neurons",
    "one state": "lif (Leaky): neurons keep their own membranes; got one module for layers of (8,) and (6,) neurons",
    "swapped": "got ",
    "its own": RULE + "its own mem, in which all of them leave theirs; pass the states and keep what comes back",
}


@pytest.mark.parametrize("name", REFUSED)
def test_neurons_that_share_what_they_hold_are_refused(name: str) -> None:
    """And the hint of each, done: states of their own."""
    with pytest.raises(LoweringError) as caught:
        sd.lower(Shared(name).eval(), STILL, STEPS)
    assert REFUSED[name] in str(caught.value), str(caught.value)
    assert sd.lower(Shared().eval(), STILL, STEPS).certificate.proven


def test_what_was_given_states_once_is_given_them_always() -> None:
    model = Apart(leaky(False), (0, 1))
    with pytest.raises(LoweringError, match="are given the states of each; got a call without states; pass the states"):
        model(torch.zeros(1, 3))
    assert len(model(torch.zeros(1, 3), torch.zeros(1, 3))) == 2
