"""What flowed into every layer of a run, from its trace."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network.layers import IntArray, NeuronLayer
from squat_deploy.network.network import INPUT, Network
from squat_deploy.network.simulator import LayerTrace


class Flows:
    """The values of a run, made where somebody asks for them; (1, B, N) where they are the same at every step."""

    def __init__(self, network: Network, inputs: IntArray, trace: tuple[LayerTrace, ...]) -> None:
        """Args: inputs: as for `simulate`."""
        spec = network.input
        flat = inputs.reshape(*inputs.shape[: inputs.ndim - len(spec.shape)], spec.size)
        self.network, self.traces = network, dict[int, LayerTrace]()
        self._known: dict[int, NDArray[Any]] = {INPUT: flat[None] if spec.encoding == "direct" else flat}
        layers = iter(trace)
        for index, layer in enumerate(network.layers):
            if isinstance(layer, NeuronLayer):
                self.traces[index] = next(layers)
                self._known[index] = self.traces[index].spikes

    def taken(self, index: int) -> list[NDArray[Any]]:
        """(T, B, N) of everything that a layer takes, (1, B, N) if none of it changes."""
        given = [_late(self.given(source)) if source >= index else self.given(source) for source in self._wires(index)]
        steps = max(len(values) for values in given)
        return [np.broadcast_to(values, (steps, *values.shape[1:])) for values in given]

    def given(self, index: int) -> NDArray[Any]:
        """(T, B, N) of what a layer gives, or enters."""
        if index not in self._known:
            layer, taken = self.network.layers[index], self.taken(index)
            if layer.remembers and len(taken[0]) == 1:
                taken = [np.broadcast_to(values, (self.network.steps, *values.shape[1:])) for values in taken]
            run = layer.stage(*self.network.taken(index)).start(taken[0].shape[1])
            self._known[index] = np.stack([run(*step) for step in zip(*taken, strict=True)])
        return self._known[index]

    def _wires(self, index: int) -> tuple[int, ...]:
        return self.network.wires[index]


def _late(values: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([np.zeros_like(values[:1]), values[:-1]])
