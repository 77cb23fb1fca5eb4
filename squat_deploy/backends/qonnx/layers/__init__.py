"""Plans of layers; what must differ by layer is in them, and one `match` from layer to plan ends in `assert_never`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, assert_never

from pydantic import Field

from squat_deploy.backends.qonnx.layers.base import Head
from squat_deploy.backends.qonnx.layers.delay import DelayPlan
from squat_deploy.backends.qonnx.layers.joins import AddPlan, ConcatPlan
from squat_deploy.backends.qonnx.layers.neuron import NeuronPlan
from squat_deploy.backends.qonnx.layers.pool import PoolPlan
from squat_deploy.backends.qonnx.layers.synapses import SynapsePlan
from squat_deploy.backends.qonnx.layers.transposed import TransposedPlan
from squat_deploy.backends.qonnx.layers.two_state import TwoStatePlan
from squat_deploy.names import plain, unique_name
from squat_deploy.network import Network
from squat_deploy.network.layers import (
    Add,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Delay,
    Dense,
    Layer,
    Neuron,
    Pool2d,
    Range,
    TwoStateNeuron,
)

__all__ = ["AnyNeuronPlan", "LayerPlan", "Plan", "plan_layers"]

_Joins = Annotated[PoolPlan | AddPlan | ConcatPlan, Field(discriminator="operation")]
AnyNeuronPlan = NeuronPlan | TwoStatePlan
Plan = SynapsePlan | TransposedPlan | AnyNeuronPlan | _Joins | DelayPlan
LayerPlan = Annotated[Plan, Field(discriminator="kind")]


def plan_layers(network: Network) -> tuple[Plan, ...]:
    """The plan of every layer; prefixes of tensors are plain and unique, whatever the layers are called."""
    taken: dict[str, int] = {}
    return tuple(
        _plan_of(Head(layer.name, unique_name(plain(layer.name), taken), takes), layer, network.taken(index))
        for index, (layer, takes) in enumerate(zip(network.layers, network.wires, strict=True))
    )


def _plan_of(head: Head, layer: Layer, taken: Sequence[Range]) -> Plan:
    match layer:
        case Dense() | Conv2d():
            return SynapsePlan.of(head, layer, taken)
        case ConvTranspose2d():
            return TransposedPlan.of(head, layer, taken)
        case Neuron():
            return NeuronPlan.of(head, layer, taken)
        case TwoStateNeuron():
            return TwoStatePlan.of(head, layer, taken)
        case Pool2d():
            return PoolPlan.of(head, layer, taken)
        case Add():
            return AddPlan.of(head, layer, taken)
        case Concat():
            return ConcatPlan.of(head, layer, taken)
        case Delay():
            return DelayPlan.of(head, layer, taken)
        case _:
            assert_never(layer)
