"""Hints of what is refused in a forward, done as they say: each then lowers, and agrees with the model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import LoweringError
from squat_deploy.snn.delay import Delay
from tests.test_models import leaky, linear

SPEC = sd.InputSpec((10,), 0, 1, encoding="sequence")
STEPS = 4
Part = Callable[["Net", int, torch.Tensor], torch.Tensor]


class Net(nn.Module):
    """A loop over time; `part` gives the current of the first layer, `between` what the second layer takes."""

    def __init__(self, part: Part | None = None, between: Part | None = None, after: Any = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.lif1 = linear(10, 6), leaky()
        self.fc2, self.lif2 = linear(6, 4), leaky()
        self.other, self.extra, self.late, self.norm = linear(6, 6), leaky(), Delay(1), nn.BatchNorm1d(6)
        with torch.no_grad():
            self.fc1.weight.mul_(3)
            self.fc2.weight.mul_(4)
        self.part = part or (lambda net, step, x: net.fc1(x))
        self.between, self.after = between or (lambda net, step, spk: spk), after or torch.stack
        self.kept: list[Any] = []

    def forward(self, x):
        for neuron in (self.lif1, self.lif2, self.extra):
            neuron.reset_mem()
        self.late.reset_delay()
        out, self.kept = [], []
        for step in range(x.shape[0]):
            spk = self.lif1(self.part(self, step, x[step]))
            out.append(self.lif2(self.fc2(self.between(self, step, spk))))
        return self.after(out)


def _statements(text: str, value: str) -> Part:
    """A function of statements that end with `value`."""
    lines = "".join(f"    {line}\n" for line in text.split("; "))
    space: dict[str, Any] = {"torch": torch, "nn": nn, "copy": copy, "__name__": "hinted"}
    exec(compile(f"def part(net, step, {value}):\n{lines}    return {value}\n", "hinted.py", "exec"), space)
    made: Part = space["part"]
    return made


CURRENT, SPIKES = "x = net.fc1(x)", "spk = spk"
# What is refused, a part of what is said, and what the hint makes of it; of a current or of spikes.
PAIRS: dict[str, tuple[str, str, str, str]] = {
    "a branch": (f"{CURRENT}; x = x * 2 if x.sum() > 0 else x", "no control flow depends on the data", CURRENT, "x"),
    "a copy": (f"{CURRENT}; x = torch.tensor(x.tolist())", "hinted.py:3", CURRENT, "x"),
    "elements": (f"{CURRENT}; x[:, 0] = 0", "an assignment to elements; leave it out", CURRENT, "x"),
    "a layer's forward": ("x = net.fc1.forward(x)", "layers are called", CURRENT, "x"),
    "another name": (f"{CURRENT}; y = x.view(-1); y.add_(1)", "no value is changed under another name", CURRENT, "x"),
    "half": ("x = net.fc1(x).half().float()", "this function cannot be lowered", CURRENT, "x"),
    "double layers": ("net.fc1.double(); x = net.fc1(x.double())", "states are float32; got float64", CURRENT, "x"),
    "contents": (f"net.fc1.weight.data.mul_(0.5); {CURRENT}", "layers stay as they are", CURRENT, "x"),
    "a copied layer": ("x = copy.deepcopy(net.fc1)(x)", "layers are modules of the model", CURRENT, "x"),
    "random": (f"{CURRENT}; x = x + torch.rand(x.shape)", "hinted.py:3", CURRENT, "x"),
    "a constant": (f"{CURRENT}; x = x + torch.ones(6)", "values come from inputs, spikes and layers",
                   CURRENT, "x"),
    "batch size": (f"{CURRENT}; x = x + x if len(x) == 64 else x", "every batch and every sequence makes the same",
                   f"{CURRENT}; x = x + x", "x"),
    "a step alone": (f"{CURRENT}; x = x if step != 2 else x + x", "every time step makes the same calls", CURRENT, "x"),
    "a membrane": ("spk = net.lif1.mem", "layers take spikes; got a membrane", "spk = spk", "spk"),
    "two calls": ("spk = net.extra(net.other(spk)); spk = net.extra(net.other(spk))", "make",
                  "spk = net.extra(net.other(spk)); spk = net.fc2.in_features and spk", "spk"),
    "spikes of long ago": ("net.kept.append(spk); spk = net.kept[step - 2] if step > 1 else torch.zeros_like(spk)",
                           "layers take spikes of this step or the last",
                           "spk = net.late(spk)", "spk"),
    "written into": ("y = torch.zeros(spk.shape[0], 6); y[:, :] = spk; spk = y", "values are used as they were made",
                     "y = spk; spk = y", "spk"),
    "reset in between": ("net.late.reset_delay(); spk = net.late(spk)", "layers remember what they took",
                         "spk = net.late(spk)", "spk"),
    "its own states": ("net.lif1.mem = net.lif1.mem * 0.5", "neurons keep their own states", "spk = spk", "spk"),
    "training": ("net.norm.train(); spk = net.norm(spk)", "layers stay as they are", "spk = spk", "spk"),
    "autocast": ("torch.set_default_dtype(torch.float64); y = net.other(spk); torch.set_default_dtype(torch.float32)",
                 "torch's settings stay as they are", "y = net.other(spk)", "spk"),
}  # fmt: skip


def _net(text: str, value: str) -> Net:
    made = _statements(text, value)
    return Net(part=made) if value == "x" else Net(between=made)


@pytest.mark.parametrize("name", PAIRS)
def test_a_hint_works(name: str) -> None:
    text, message, mended, value = PAIRS[name]
    try:
        with pytest.raises(LoweringError) as caught:
            sd.lower(_net(text, value).eval(), SPEC, STEPS)
    finally:
        torch.set_default_dtype(torch.float32)
    assert message in str(caught.value), str(caught.value)
    model = _net(mended, value).eval()
    network = sd.lower(model, SPEC, STEPS)
    inputs = np.random.default_rng(0).integers(0, 2, (STEPS, 5, 10))
    assert network.certificate.proven and sd.verify(network, model, inputs, executors=("torch", "numpy")).agrees


# The same of hints that change a layer: what is refused, what is said, and the form and change that the hint asks for.
CHANGES: dict[str, tuple[str, str, str, str, Callable[[Net], Any]]] = {
    "a factor": ("spk = spk * 0.5", "put a factor into the weights", "spk = spk", "spk",
                 lambda net: net.fc2.weight.mul_(0.5)),
    "a factor of a current": ("x = 2 * net.fc1(x)", "put a factor into the weights", CURRENT, "x",
                              lambda net: net.fc1.weight.mul_(2)),
    "a difference": ("spk = net.extra(net.other(spk) - net.part2(spk))", "give that branch the negative weights",
                     "spk = net.extra(net.other(spk) + net.part2(spk))", "spk", lambda net: net.part2.weight.neg_()),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_hint_that_changes_a_layer_gives_the_same(name: str) -> None:
    text, message, mended, value, change = CHANGES[name]
    before, after = _net(text, value), _net(mended, value)
    for net in (before, after):
        torch.manual_seed(1)
        net.part2 = linear(6, 6)
    with torch.no_grad():
        change(after)
    with pytest.raises(LoweringError, match=message):
        sd.lower(before.eval(), SPEC, STEPS)
    network = sd.lower(after.eval(), SPEC, STEPS)
    inputs = np.random.default_rng(0).integers(0, 2, (STEPS, 5, 10))
    with torch.no_grad():
        counts = before(torch.from_numpy(inputs.astype(np.float32))).sum(0).numpy()
    assert (counts == sd.simulate(network, inputs).scores).all()
