"""What has to be known of each snnTorch neuron to run it from any state: names of its states and parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import snntorch as snn
from snntorch._neurons.neurons import SpikingNeuron
from torch import nn

from squat_deploy.snn.delay import REMEMBERING
from squat_deploy.snn.recurrence import CurrentsFirstRLeaky, CurrentsFirstRSynaptic


@dataclass(frozen=True)
class NeuronKind:
    """One snnTorch neuron class.

    Attributes:
        states: its quantized states, in the order in which `forward` takes and returns them; the membrane is last.
        parameters: what its update reads, one value a layer or spread by torch's rule.
        recurrent: whether `forward` also takes its last spikes, in front of the states, through `module.recurrent`.
    """

    states: tuple[str, ...]
    parameters: tuple[str, ...]
    recurrent: bool = False

    @property
    def given(self) -> tuple[int, ...]:
        """Which results (0: spikes, then the states) `forward` takes back one step later."""
        return tuple(range(0 if self.recurrent else 1, 1 + len(self.states)))


_DECAYS = ("alpha", "beta", "threshold")
_RC = ("R", "C", "time_step", "threshold")
KINDS: dict[type[nn.Module], NeuronKind] = {
    snn.Leaky: NeuronKind(("mem",), ("beta", "threshold")),
    snn.Lapicque: NeuronKind(("mem",), _RC),
    snn.RLeaky: NeuronKind(("mem",), ("beta", "threshold"), recurrent=True),
    snn.Synaptic: NeuronKind(("syn", "mem"), _DECAYS),
    snn.RSynaptic: NeuronKind(("syn", "mem"), _DECAYS, recurrent=True),
    CurrentsFirstRLeaky: NeuronKind(("mem",), ("beta", "threshold"), recurrent=True),
    CurrentsFirstRSynaptic: NeuronKind(("syn", "mem"), _DECAYS, recurrent=True),
}
NEURONS = tuple(KINDS)


def kind_of(module: nn.Module) -> NeuronKind:
    """The kind of a neuron module, or of what it is a subclass of. Raises: LookupError for other modules."""
    kind = next((KINDS[base] for base in type(module).__mro__ if base in KINDS), None)
    if kind is None:
        raise LookupError(f"{type(module).__name__} is no neuron that is known")
    return kind


def spike_value(module: nn.Module) -> float:
    """What one spike is worth: 1, or the neuron's `graded_spikes_factor`, as float32 holds it."""
    return float(module.graded_spikes_factor.detach().reshape(-1)[0].float())  # type: ignore[operator,union-attr]


def gives_states(module: nn.Module) -> bool:
    """Whether a call of a neuron returns its states beside the spikes, which no other layer takes."""
    return bool(module.output) or not module.init_hidden


def spikes_alone(module: nn.Module) -> str:
    """What a neuron that gives its states is made with, so that it gives spikes alone."""
    return " and ".join([*["init_hidden=True"] * (not module.init_hidden), *["output=False"] * bool(module.output)])


def own_surrogate(module: nn.Module) -> bool:
    """Whether neurons decide to spike by a function of the user's, which may compute anything."""
    function = getattr(module, "spike_grad", None)
    made = getattr(function, "__module__", None) or type(function).__module__
    return made.split(".")[0] not in ("torch", "snntorch", "squat_deploy")


@lru_cache(maxsize=256)
def arguments_of(forward: Callable[..., Any]) -> tuple[str, ...]:
    """Names of what the forward of a class takes."""
    return tuple(inspect.signature(forward).parameters)[1:]


def remembered(module: nn.Module) -> tuple[str, ...]:
    """The buffers that hold what a layer remembers from step to step."""
    if isinstance(module, NEURONS):
        return ("spk", *kind_of(module).states)
    return REMEMBERING.get(type(module), ())


def reset_neurons(model: nn.Module) -> None:
    """Puts all that remembers in this model, and in no other, to rest (snnTorch's own reset touches all models)."""
    _reset(model, (*NEURONS, *REMEMBERING))


def reset_delays(model: nn.Module) -> None:
    """The same of what delays alone."""
    _reset(model, tuple(REMEMBERING))


def _reset(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> None:
    for module in model.modules():
        for name in remembered(module) if type(module) in kinds else ():
            if name in module._buffers:
                setattr(module, name, getattr(module, name).new_zeros(0))


@contextmanager
def own_instances(model: nn.Module) -> Iterator[None]:
    """Lets snnTorch's resets of a whole class reach the neurons of this model, a copy perhaps, and no others."""
    own = [module for module in model.modules() if isinstance(module, SpikingNeuron)]
    before = {kind: vars(kind)["instances"] for kind in (SpikingNeuron, *KINDS) if "instances" in vars(kind)}
    try:
        for kind in before:
            kind.instances = own  # type: ignore[attr-defined]
        yield
    finally:
        for kind, instances in before.items():
            kind.instances = instances  # type: ignore[attr-defined]
