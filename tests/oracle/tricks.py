"""What a forward must not do behind the record, and much that is merely unusual: each is equal, or refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Clock:
    """The time step, as a model knows that counts for itself."""

    def __init__(self) -> None:
        self.step = -1


NOW = Clock()  # of loops: outside the models, which keep nothing of it


def _set(values: Tensor) -> Tensor:
    values[:, :1] = 0
    return values


def _alike(change: Callable[[Tensor], Any]) -> Callable[[Tensor], Tensor]:
    """The tensor itself, after something was done to it."""

    def changed(values: Tensor) -> Tensor:
        change(values)
        return values

    return changed


def _noise(values: Tensor) -> Tensor:
    return values + 0.5 * torch.rand(values.shape)


# Of the current of neurons, or of their spikes.
VALUES: dict[str, Callable[[Tensor], Tensor]] = {
    "view.mul_": _alike(lambda x: x.view(-1).mul_(2)),
    "flatten.add_": _alike(lambda x: x.flatten().add_(0.25)),
    "select.zero_": _alike(lambda x: x[:, 0].zero_()),
    "detach.neg_": _alike(lambda x: x.detach().neg_()),
    "data.mul_": _alike(lambda x: x.data.mul_(2)),
    "setitem": _set,
    "numpy": _alike(lambda x: x.detach().numpy().__imul__(2)),
    "mul_": _alike(lambda x: x.mul_(2)),
    "clamp_": _alike(lambda x: x.clamp_(-0.5, 0.5)),
    "copy_": _alike(lambda x: x.copy_(x.flip(1))),
    "fill_": _alike(lambda x: x.fill_(0.5)),
    "chunk.zero_": _alike(lambda x: x.chunk(2, dim=1)[0].zero_()),
    "unbind.zero_": _alike(lambda x: x.unbind(0)[0].zero_()),
    "out=": _alike(lambda x: torch.mul(x, 2, out=x)),
    "transpose.add_": _alike(lambda x: x.transpose(0, 1).add_(0.5)),
    "index_fill_": _alike(lambda x: x.index_fill_(1, torch.tensor([0]), 0.0)),
    "masked_fill_": _alike(lambda x: x.masked_fill_(torch.zeros_like(x, dtype=torch.bool), 1.0)),
    "relu_": _alike(lambda x: F.relu(x, inplace=True)),
    "set_": _alike(lambda x: x.set_(x.clone().mul(3))),
    "init": _alike(lambda x: nn.init.constant_(x, 0.5)),
    "times": lambda x: x * 2,
    "over": lambda x: x / 3,
    "plus": lambda x: x + 0.5,
    "negative": lambda x: -x,
    "relu": F.relu,
    "clamp": lambda x: x.clamp(max=0.75),
    "round": torch.round,
    "half": lambda x: x.to(torch.bfloat16).float(),
    "double": lambda x: x.double().float(),
    "int": lambda x: x.int().float(),
    "where": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "roll": lambda x: x.roll(1, -1),
    "flip": lambda x: x.flip(1),
    "narrow-cat": lambda x: torch.cat([x[:, 1:], x[:, :1]], dim=1),
    "sort": lambda x: x.sort(dim=-1).values,
    "cumsum": lambda x: x.cumsum(-1),
    "batch roll": lambda x: x.roll(1, 0),
    "batch mean": lambda x: x + x.mean(0, keepdim=True),
    "batch flip": lambda x: x.flip(0),
    "mix axes": lambda x: x.reshape(x.shape[1], -1).transpose(0, 1).reshape(x.shape),
    "batch view": lambda x: x.view(-1).reshape(x.shape),
    "branch on data": lambda x: x + x if x.sum() > 0 else x,
    "branch on max": lambda x: x + x if float(x.max()) > 0.5 else x,
    "branch on item": lambda x: x + x if x.flatten()[0].item() > 0 else x,
    "branch on equal": lambda x: x + x if torch.equal(x, x.abs()) else x,
    "branch on batch": lambda x: x + x if x.shape[0] > 6 else x,
    "branch on single": lambda x: x + x if len(x) == 1 else x,
    "branch on size": lambda x: x + x if x.size(0) == 7 else x,
    "alpha": lambda x: torch.add(x, x, alpha=2),
    "alpha negative": lambda x: x.add(x, alpha=-0.5),
    "alpha in place": lambda x: x.add_(x, alpha=3),
    "alpha zero": lambda x: torch.add(x, x, alpha=0),
    "iadd": lambda x: x.__iadd__(x.clone()),
    "add out": lambda x: torch.add(x, x, out=torch.empty_like(x)),
    "sub": lambda x: x - x,
    "rsub": lambda x: torch.rsub(x, x),
    "noise": _noise,
    "noise_": _alike(lambda x: x.add_(torch.randn(x.shape))),
    "dropout": lambda x: F.dropout(x, 0.5),
    "dropout positional": lambda x: F.dropout(x, 0.5, True),
    "dropout eval": lambda x: F.dropout(x, 0.5, False),
    "normalize": lambda x: F.normalize(x, dim=1),
    "softmax": lambda x: F.softmax(x, dim=1),
    "clone": lambda x: x.clone(),
    "contiguous": lambda x: x.contiguous(),
    "squeeze": lambda x: x.unsqueeze(1).squeeze(1),
    "cat self": lambda x: torch.cat([x[:, :1], x], dim=1)[:, 1:],
    "stack sum": lambda x: torch.stack([x, x]).sum(0),
    "einsum": lambda x: torch.einsum("b...->b...", x),
    "linear": lambda x: F.linear(x.flatten(1), torch.eye(x[0].numel())).reshape(x.shape),
}


def _reset(neuron: Any) -> None:
    neuron.reset_mem()


def _quantized_otherwise(neuron: Any) -> None:
    neuron.state_quant = torch.round


# Of the neurons themselves, before they run.
NEURONS: dict[str, Callable[[Any], Any]] = {
    "reset_mem": _reset,
    "reset_hidden": lambda neuron: type(neuron).reset_hidden(),
    "mem.zero_": lambda neuron: neuron.mem.zero_(),
    "mem.mul_": lambda neuron: neuron.mem.mul_(0.5),
    "mem=": lambda neuron: setattr(neuron, "mem", neuron.mem * 0.5),
    "threshold.fill_": lambda neuron: neuron.threshold.data.fill_(0.3),
    "threshold=": lambda neuron: setattr(neuron, "threshold", nn.Parameter(torch.tensor(0.3), requires_grad=False)
                                         if isinstance(neuron.threshold, nn.Parameter) else torch.tensor(0.3)),
    "beta.mul_": lambda neuron: neuron.beta.data.mul_(0.5),
    "state_quant=": _quantized_otherwise,
    "reset_mechanism=": lambda neuron: setattr(neuron, "reset_mechanism", "none"),
    "reset_delay=": lambda neuron: setattr(neuron, "reset_delay", not getattr(neuron, "reset_delay", True)),
    "factor.fill_": lambda neuron: neuron.graded_spikes_factor.data.fill_(2.0),
}  # fmt: skip
# Of the synapses, before they run.
SYNAPSES: dict[str, Callable[[Any], Any]] = {
    "weight.mul_": lambda synapses: synapses.weight.data.mul_(2),
    "weight.neg_": lambda synapses: synapses.weight.data.neg_(),
    "bias.add_": lambda synapses: None if synapses.bias is None else synapses.bias.data.add_(0.5),
    "weight.copy_": lambda synapses: synapses.weight.data.copy_(synapses.weight.data.flip(0)),
}
HARMLESS = frozenset(["clone", "contiguous", "squeeze", "dropout eval", "batch view", "alpha zero", "einsum", "double"])


class Held:
    """Keeps a module of elsewhere in the model, which is so no part of the one that keeps it."""

    def __init__(self, target: Any) -> None:
        self.target = target


class Trick(nn.Module):
    """Does something to what passes, at some time steps.

    Attributes:
        clock: of a model that counts its own calls; None in loops.
        when: from this step on, or at it alone where `once`.
    """

    def __init__(
        self, name: str, act: Callable[[Any], Any], clock: Clock | None, when: int, once: bool, target: Any
    ) -> None:
        super().__init__()
        self.name, self.act, self.clock, self.when, self.once = name, act, clock, when, once
        self.held = Held(target)

    def forward(self, x: Tensor) -> Tensor:
        step = (self.clock or NOW).step
        if (self.when or self.once) and (step != self.when if self.once else step < self.when):
            return x
        if self.held.target is None:
            return self.act(x)
        self.act(self.held.target)
        return x


def draw_trick(rng: random.Random, clock: Clock | None, steps: int, synapses: nn.Module, neuron: nn.Module) -> Trick:
    """At every step, from some step on, or once; at every step where the model knows of one step only."""
    always = rng.random() < 0.5 or steps == 1
    when, once = (0, False) if always else (rng.randint(0, steps - 1), rng.random() < 0.5)
    kind = rng.random()
    if kind < 0.6:
        return _trick(rng, VALUES, clock, when, once, None)
    if kind < 0.85:
        return _trick(rng, NEURONS, clock, when, once, neuron)
    return _trick(rng, SYNAPSES, clock, when, once, synapses)


def _trick(rng: random.Random, acts: dict[str, Any], clock: Clock | None, when: int, once: bool, target: Any) -> Trick:
    name = rng.choice(sorted(acts))
    return Trick(name, acts[name], clock, when, once, target)
