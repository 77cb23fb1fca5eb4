"""How the traces and scores of a core lie in a file, whatever core that is; its testbench says the same in C++."""

from __future__ import annotations

from typing import Any

import numpy as np

from squat_deploy.network import Network


def record_of(network: Network) -> np.dtype[Any]:
    """One sequence: `steps` of `layer0`, `layer1` ... with a `state` index and a `spike` a neuron, then `scores`."""
    neuron = np.dtype([("state", f"<u{network.state_bytes}"), ("spike", "u1")])
    step = [(f"layer{index}", neuron, (layer.neurons,)) for index, layer in enumerate(network.neurons)]
    kind = "<u8" if network.worth else "<u4"
    return np.dtype([("steps", step, (network.steps,)), ("scores", kind, (network.outputs,))])
