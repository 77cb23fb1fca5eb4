"""Loops over time as tutorials and repositories write them: taken in, or refused for the true reason, with the line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from snntorch import spikegen, utils
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import ConfigError, LoweringError
from tests.test_models import conv, leaky, linear

STILL, FRAMES = sd.InputSpec((20,), 0, 1), sd.InputSpec((20,), 0, 1, encoding="sequence")
PLANES = sd.InputSpec((1, 8, 8), 0, 1)
STEPS = 8


class Tutorial(nn.Module):
    """Two layers in a loop over a fixed number of steps, with one thing written in another way."""

    def __init__(self, kind: str = "", steps: int = STEPS, **neurons: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kind, self.steps = kind, steps
        self.fc1, self.lif1 = linear(20, 12), leaky(False, **neurons)
        self.fc2, self.lif2 = linear(12, 5), leaky(False, **neurons)
        self.drop, self.rec = nn.Dropout(0.3), linear(12, 12)
        with torch.no_grad():
            for layer in (self.fc1, self.fc2):
                layer.weight.mul_(4)

    def start(self):
        if self.kind == "reset_mem":
            return self.lif1.reset_mem(), self.lif2.reset_mem()
        if self.kind == "utils.reset":
            utils.reset(self)
        return self.lif1.init_leaky(), self.lif2.init_leaky()

    def current(self, x, before):
        current = self.fc1(x)
        if self.kind == "iadd":
            current += self.rec(before)
        if self.kind == "add":
            current = current + self.rec(before)
        if self.kind == "sum":
            current = sum([current, self.rec(before)])
        if self.kind == "alpha":
            current = torch.add(current, self.rec(before), alpha=2)
        return self.drop(current) if self.kind == "dropout" else current

    def states(self, one, two):
        if self.kind == "detach":
            return one.detach(), two.detach()
        if self.kind == "clones":
            return one.clone(), two.detach().clone()
        if self.kind == "data":
            return one.data, two.contiguous()
        if self.kind == "moved":
            return one.to(two.device), two.to(torch.float32).cpu()
        if self.kind == "typed":
            return one.float(), two.type_as(one)
        if self.kind == "double":
            return one, two.double().float()
        return one, torch.clamp(two, -1, 1) if self.kind == "clamp" else two

    def frames(self, x):
        if self.kind == "rate":
            return spikegen.rate(x, num_steps=self.steps)
        if self.kind == "enumerate":
            return [frame for _, frame in enumerate(x)]
        if self.kind == "sizes":
            return [x[step] for step in range(x.size(0))]
        if self.kind == "unbind":
            return torch.unbind(x)
        if self.kind == "split":
            return [part.squeeze(0) for part in x.split(1)]
        return [x] * self.steps

    def forward(self, x):
        mem1, mem2 = self.start()
        spikes, membranes = [], []
        before = torch.zeros(x.size(-2), 12)
        for frame in self.frames(x):
            mem1, mem2 = self.states(mem1, mem2)
            before, mem1 = self.lif1(self.current(frame, before), mem1)
            scaled = before * 1.0 if self.kind == "times" else before
            scaled = scaled * 2.0 if self.kind == "times two" else scaled
            spk, mem2 = self.lif2(self.fc2(scaled), mem2)
            spikes.append(spk)
            membranes.append(mem2)
        return self.returned(spikes, membranes)

    def returned(self, spikes, membranes):
        if self.kind == "dict":
            return {"out": torch.stack(spikes), "mem": torch.stack(membranes)}
        if self.kind == "mean":
            return torch.stack(spikes).mean(0)
        if self.kind == "softmax":
            return F.log_softmax(torch.stack(membranes).max(0)[0], dim=1)
        if self.kind == "concatenated":
            return torch.cat([one.unsqueeze(0) for one in spikes])
        return torch.stack(spikes, dim=0), torch.stack(membranes, dim=0)


class Filled(Tutorial):
    """Spikes written into a tensor that was made before."""

    def forward(self, x):
        mem1, mem2 = self.start()
        out = torch.zeros(self.steps, x.shape[0], 5)
        for step in range(self.steps):
            spk, mem1 = self.lif1(self.fc1(x), mem1)
            out[step], mem2 = self.lif2(self.fc2(spk), mem2)
        return out


class FilledAndMembranes(Tutorial):
    """The same beside the membranes, which are not all that is returned."""

    def forward(self, x):
        mem1, mem2 = self.start()
        out, membranes = torch.zeros(self.steps, x.shape[0], 5), []
        for step in range(self.steps):
            spk, mem1 = self.lif1(self.fc1(x), mem1)
            out[step], mem2 = self.lif2(self.fc2(spk), mem2)
            membranes.append(mem2)
        return out, torch.stack(membranes)


class Anew(Tutorial):
    """One step a call, with states made new in each."""

    def forward(self, x):
        mem1, mem2 = self.start()
        spk, mem1 = self.lif1(self.fc1(x), mem1)
        return self.lif2(self.fc2(spk), mem2)


class Listed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        sizes = (20, 12, 12, 5)
        self.fcs = nn.ModuleList(linear(*pair) for pair in pairwise(sizes))
        self.lifs = nn.ModuleList(leaky() for _ in self.fcs)
        with torch.no_grad():
            for layer in self.fcs:
                layer.weight.mul_(4)

    def forward(self, x):
        for fc, lif in zip(self.fcs, self.lifs, strict=True):
            x = lif(fc(x))
        return x


class Hidden(nn.Module):
    """An `nn.Sequential` whose states are reset at the front of forward."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(linear(20, 12), leaky(), linear(12, 5), leaky(output=True))
        with torch.no_grad():
            for layer in (self.net[0], self.net[2]):
                layer.weight.mul_(4)

    def forward(self, x):
        utils.reset(self.net)
        spikes, membranes = [], []
        for _ in range(STEPS):
            spk, mem = self.net(x)
            spikes.append(spk)
            membranes.append(mem)
        return torch.stack(spikes), torch.stack(membranes)


class Shared(nn.Module):
    """One neuron module behind every layer, of one size or of several; in a loop or one step a call."""

    def __init__(self, sizes: tuple[int, ...] = (20, 12, 12, 5), looped: bool = False) -> None:
        super().__init__()
        self.fcs = nn.ModuleList(linear(*pair) for pair in pairwise(sizes))
        self.lif, self.looped = leaky(), looped

    def forward(self, x):
        if not self.looped:
            return self.step(x)
        self.lif.reset_mem()
        return torch.stack([self.step(x) for _ in range(STEPS)])

    def step(self, x):
        for fc in self.fcs:
            x = self.lif(fc(x))
        return x


class NormOfEachStep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = linear(20, 5), leaky(False)
        self.norms = nn.ModuleList(nn.BatchNorm1d(5) for _ in range(STEPS))

    def forward(self, x):
        mem, out = self.lif.init_leaky(), []
        for step in range(STEPS):
            spk, mem = self.lif(self.norms[step](self.fc(x)), mem)
            out.append(spk)
        return torch.stack(out)


class Residual(nn.Module):
    """A block whose spikes are changed in place after they were returned, and a pooling that is made in forward."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kind = kind
        self.conv1, self.lif1 = conv(1, 4, 3, padding=1), leaky()
        self.conv2, self.lif2 = conv(4, 4, 3, padding=1), leaky()
        self.fc, self.lif3 = linear(4, 5), leaky()
        with torch.no_grad():
            for layer in (self.conv1, self.conv2, self.fc):
                layer.weight.abs_().mul_(4)

    def forward(self, x):
        first = self.lif1(self.conv1(x))
        second = self.lif2(self.conv2(first))
        if self.kind == "iadd":
            second += first
        elif self.kind == "add_":
            second = second.add_(first)
        elif self.kind == "and":
            second *= first
        pool = nn.AvgPool2d(kernel_size=second.shape[2:])
        return self.lif3(self.fc(pool(second).flatten(1)))


class FixedBatch(nn.Module):
    """The size of the batch of training stands in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lif1 = conv(1, 4, 5), leaky()
        self.fc, self.lif2 = linear(64, 5), leaky()

    def forward(self, x):
        return self.lif2(self.fc(self.lif1(self.conv(x)).view(128, -1)))


TAKEN = [
    "", "reset_mem", "utils.reset", "iadd", "add", "sum", "dropout", "detach", "clones", "data", "moved", "typed",
    "times", "dict", "mean", "softmax", "concatenated",
]  # fmt: skip
OF_FRAMES = ["enumerate", "sizes", "unbind"]
OTHERS: dict[str, tuple[Callable[[], nn.Module], sd.InputSpec]] = {
    "filled": (Filled, STILL),
    "filled, and membranes": (FilledAndMembranes, STILL),
    "25 steps": (lambda: Tutorial(steps=25), STILL),
    "no reset delay": (lambda: Tutorial(reset_mechanism="zero", reset_delay=False), STILL),
    "learned": (lambda: Tutorial(learn_beta=True, learn_threshold=True), STILL),
    "list": (Listed, STILL),
    "hidden": (Hidden, STILL),
    "pool made in forward": (lambda: Residual(""), PLANES),
    "spikes added in place": (lambda: Residual("iadd"), PLANES),
    "spikes added by name": (lambda: Residual("add_"), PLANES),
}


def _agrees(model: nn.Module, spec: sd.InputSpec, steps: int = STEPS, readout: Any = "count") -> sd.Network:
    network = sd.lower(model.eval(), spec, steps, readout=readout)
    assert network.certificate.proven
    lead = (5,) if spec.encoding == "direct" else (steps, 5)
    inputs = np.random.default_rng(1).integers(0, 2, (*lead, *spec.shape))
    assert sd.verify(network, model, inputs, executors=("torch", "numpy")).agrees
    assert sd.simulate(network, inputs).scores.any()
    return network


@pytest.mark.parametrize("kind", TAKEN)
def test_what_is_taken_in(kind: str) -> None:
    _agrees(Tutorial(kind), STILL, readout="highest-membrane" if kind == "softmax" else "count")


@pytest.mark.parametrize("kind", OF_FRAMES)
def test_what_is_taken_in_of_frames(kind: str) -> None:
    _agrees(Tutorial(kind), FRAMES)


@pytest.mark.parametrize("name", OTHERS)
def test_what_else_is_taken_in(name: str) -> None:
    make, spec = OTHERS[name]
    _agrees(make(), spec, 25 if name == "25 steps" else STEPS)


def _line(function: Callable[..., Any], text: str) -> str:
    """File and line of a part of a function above."""
    code = function.__code__
    lines = Path(__file__).read_text().splitlines()[code.co_firstlineno - 1 :]
    return f"test_spellings.py:{code.co_firstlineno + next(n for n, line in enumerate(lines) if text in line)}"


REFUSED: dict[str, tuple[Callable[[], nn.Module], sd.InputSpec, int, str, str]] = {
    "split": (lambda: Tutorial("split"), FRAMES, STEPS, f"split at {_line(Tutorial.frames, 'x.split')}: each step takes"
              " its own inputs, x[step]; got all steps at once", "take x[step] first"),
    "alpha": (lambda: Tutorial("alpha"), STILL, STEPS, f"add at {_line(Tutorial.current, 'alpha=2')}: the terms of",
              "put alpha into the weights of that branch"),
    "times": (lambda: Tutorial("times two"), STILL, STEPS, f"mul at {_line(Tutorial.forward, '* 2.0')}: this function",
              "put a factor into the weights of the layer before or behind it"),
    "clamp": (lambda: Tutorial("clamp"), STILL, STEPS, "got another value as a state (clamp at "
              f"{_line(Tutorial.states, 'torch.clamp')})", "pass on what the same neurons returned one step before"),
    "double": (lambda: Tutorial("double"), STILL, STEPS, "got another value as a state (float at "
               f"{_line(Tutorial.states, 'double()')})", "pass on what the same neurons returned one step before"),
    "rate": (lambda: Tutorial("rate"), STILL, STEPS, f"bernoulli at {_line(Tutorial.frames, 'spikegen')}: nothing in",
             "encode before the model"),
    "other steps": (lambda: Tutorial(steps=25), STILL, STEPS, "the model runs 25 time steps in one call; steps=8 were",
                    "ask for steps=25"),
    "anew": (Anew, STILL, STEPS, f"got mem is zero again in step 1, at {_line(Anew.forward, 'self.lif1')}",
             "where each call is a sequence of its own, ask for steps=1"),
    "shared": (Shared, STILL, STEPS, "lif (Leaky): neurons keep their own membranes; got one module for layers of "
               f"(12,) and (5,) neurons, at {_line(Shared.step, 'self.lif')}", "make a second one for the other layer"),
    "shared, one size": (lambda: Shared((20, 20, 20)), STILL, STEPS, "got one module behind fcs.0, fcs.1, called 2"
                         f" times, at {_line(Shared.step, 'self.lif')}", "make one for each layer"),
    "shared, as many as steps": (lambda: Shared((20, 20, 20)), STILL, 2, "got one module behind fcs.0, fcs.1, called 2",
                                 "make one for each layer"),
    "shared, in a loop": (lambda: Shared((20, 20, 20), looped=True), STILL, STEPS, "called 16 times, at "
                          f"{_line(Shared.step, 'self.lif')}", "make one for each layer"),
    "norms": (NormOfEachStep, STILL, STEPS, "step 0 computes something else than step 1: norms.0 (BatchNorm1d) in "
              "place of norms.1 (BatchNorm1d)", "move what differs out of forward"),
    "product of spikes": (lambda: Residual("and"), PLANES, STEPS, f"mul at {_line(Residual.forward, '*= first')}",
                          "got mul"),
    "fixed batch": (FixedBatch, PLANES, STEPS, f"{_line(FixedBatch.forward, 'view(128')}: nothing depends on the size"
                    " of the batch; got a forward that takes batches of 128 alone", "x.view(x.size(0), -1), or x."),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    make, spec, steps, message, hint = REFUSED[name]
    with pytest.raises((LoweringError, ConfigError)) as caught:
        sd.lower(make().eval(), spec, steps)
    assert message in str(caught.value) and hint in str(caught.value)


def test_hints_of_steps_and_batches_work() -> None:
    class AnyBatch(FixedBatch):
        def forward(self, x):
            spikes = self.lif1(self.conv(x))
            return self.lif2(self.fc(spikes.view(spikes.size(0), -1)))

    assert sd.lower(AnyBatch().eval(), PLANES, STEPS).certificate.proven
    _agrees(Tutorial(steps=25), STILL, 25)
    _agrees(Anew(), STILL, 1)


def test_time_comes_first() -> None:
    class BatchFirst(Tutorial):
        def frames(self, x):
            return [x[:, step] for step in range(self.steps)]

    class Turned(BatchFirst):
        def frames(self, x):
            return x

    with pytest.raises((LoweringError, ConfigError)) as caught:
        sd.lower(BatchFirst().eval(), FRAMES, STEPS)
    assert "time is where the model takes it; got (steps, batch, ...)" in str(caught.value)
    assert sd.lower(BatchFirst().eval(), replace(FRAMES, time_first=False), STEPS).certificate.proven
    _agrees(Turned(), FRAMES)
