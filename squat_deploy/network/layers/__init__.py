"""Layers of a network; what must differ by layer elsewhere is a `match` over `Layer` that ends in `assert_never`."""

from __future__ import annotations

from typing import get_args

from squat_deploy.network.layers.add import Add
from squat_deploy.network.layers.base import BaseLayer, IntArray, Range, constant_range
from squat_deploy.network.layers.concat import Concat
from squat_deploy.network.layers.conv2d import Conv2d
from squat_deploy.network.layers.conv_transpose2d import ConvTranspose2d
from squat_deploy.network.layers.delay import Delay
from squat_deploy.network.layers.dense import Dense
from squat_deploy.network.layers.neuron import Neuron
from squat_deploy.network.layers.neuron_layer import NeuronLayer
from squat_deploy.network.layers.pool2d import Pool2d
from squat_deploy.network.layers.synapses import Synapses
from squat_deploy.network.layers.two_state import TwoStateNeuron

__all__ = [
    "KINDS",
    "Add",
    "AnyNeuron",
    "BaseLayer",
    "Concat",
    "Conv2d",
    "ConvTranspose2d",
    "Delay",
    "Dense",
    "IntArray",
    "Join",
    "Layer",
    "Neuron",
    "NeuronLayer",
    "Plain",
    "Pool2d",
    "Range",
    "Synapses",
    "TwoStateNeuron",
    "Weighted",
    "constant_range",
]

Weighted = Dense | Conv2d | ConvTranspose2d
Join = Pool2d | Add | Concat
AnyNeuron = Neuron | TwoStateNeuron
Plain = Weighted | Join | Delay  # all but neurons
Layer = Plain | AnyNeuron
KINDS: dict[str, type[Layer]] = {kind.__name__: kind for kind in get_args(Layer)}
