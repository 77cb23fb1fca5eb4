"""What is known while the modules of a model are walked."""

from __future__ import annotations

from dataclasses import dataclass, field

import snntorch as snn

from squat_deploy.errors import Fault
from squat_deploy.lowering.current import Current
from squat_deploy.network import InputSpec
from squat_deploy.quantize import StateQuantizer
from squat_deploy.synapses import Synapses


@dataclass(frozen=True, eq=False)
class PendingLayer:
    """Synapses whose neurons have not come yet."""

    synapses: Synapses
    current: Current


@dataclass(frozen=True, eq=False)
class PendingNeuron:
    """A complete layer, ready for extraction."""

    name: str
    synapses: Synapses
    current: Current
    module: snn.Leaky
    quantizer: StateQuantizer
    low: int
    high: int


@dataclass
class Walk:
    """What is known after each module: the integers that flow, the synapses that wait, all faults so far.

    After a module that cannot be lowered `shape` is None and the walk is `broken` until the next neurons, so that one
    fault does not cause others.
    """

    spec: InputSpec
    shape: tuple[int, ...] | None
    low: int
    high: int
    step: float
    pending: PendingLayer | None = None
    broken: bool = False
    layers: list[PendingNeuron] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def fault(self, name: str, rule: str, got: object, hint: str) -> None:
        self.faults.append(Fault(name, rule, str(got), hint))


def plain_name(label: str) -> str:
    """The module's own name, without its type."""
    return label.rsplit(" (", 1)[0]
