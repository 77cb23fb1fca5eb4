"""The network of integers: what it is, its ranges and rules, its file, and the reference executor. NumPy alone."""

from __future__ import annotations

from squat_deploy.network.inputs import Encoding, InputSpec, int_bits
from squat_deploy.network.layers import AnyNeuron, IntArray, Layer, Neuron, TwoStateNeuron
from squat_deploy.network.limits import MAX_NEURONS, MAX_RANK
from squat_deploy.network.network import INPUT, SCHEMA_VERSION, Network, Wires

__all__ = [
    "INPUT",
    "MAX_NEURONS",
    "MAX_RANK",
    "SCHEMA_VERSION",
    "AnyNeuron",
    "Encoding",
    "InputSpec",
    "IntArray",
    "Layer",
    "Network",
    "Neuron",
    "TwoStateNeuron",
    "Wires",
    "int_bits",
]
