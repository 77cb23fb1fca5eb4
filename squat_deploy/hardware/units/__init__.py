"""Hardware units, one frozen class each, and one `match` from layer to unit that ends in `assert_never`."""

from __future__ import annotations

from typing import assert_never

from squat_deploy.hardware.units.base import Blueprint, Events, Flow, Kept, Lister, Port, Ports, Settings, Summer, Unit
from squat_deploy.hardware.units.delay import DelayBlueprint
from squat_deploy.hardware.units.ends import ReadInput, ReadOut
from squat_deploy.hardware.units.fire import Fire, NeuronBlueprint
from squat_deploy.hardware.units.fire_pairs import FirePairs, PairBlueprint
from squat_deploy.hardware.units.firing import Firing
from squat_deploy.hardware.units.forms import FormBlueprint, ListSums, PlaceEvents
from squat_deploy.hardware.units.joins import AddBlueprint, ConcatBlueprint
from squat_deploy.hardware.units.pool import PoolBlueprint
from squat_deploy.hardware.units.scatter import Scatter, SynapseBlueprint
from squat_deploy.network import Layer, Neuron, TwoStateNeuron
from squat_deploy.network.layers import Add, Concat, Conv2d, ConvTranspose2d, Delay, Dense, Pool2d

__all__ = [
    "Blueprint",
    "Events",
    "Fire",
    "FirePairs",
    "Firing",
    "Flow",
    "FormBlueprint",
    "Kept",
    "ListSums",
    "Lister",
    "PlaceEvents",
    "Port",
    "Ports",
    "ReadInput",
    "ReadOut",
    "Scatter",
    "Settings",
    "Summer",
    "Unit",
    "blueprint_of",
]


def blueprint_of(layer: Layer) -> Blueprint:
    """How a layer becomes a unit."""
    match layer:
        case Dense() | Conv2d() | ConvTranspose2d():
            return SynapseBlueprint(layer.name, layer)
        case Neuron():
            return NeuronBlueprint(layer.name, layer)
        case TwoStateNeuron():
            return PairBlueprint(layer.name, layer)
        case Pool2d():
            return PoolBlueprint(layer.name, layer)
        case Add():
            return AddBlueprint(layer.name, layer)
        case Concat():
            return ConcatBlueprint(layer.name, layer)
        case Delay():
            return DelayBlueprint(layer.name, layer)
        case _:
            assert_never(layer)
