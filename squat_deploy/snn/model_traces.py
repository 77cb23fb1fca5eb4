"""What a trained model did, as arrays in the order of a network's layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from squat_deploy.errors import ConfigError
from squat_deploy.network import Network
from squat_deploy.network.observed import Derived, Observed, Seen, What
from squat_deploy.snn.returned import Returned, expected_of
from squat_deploy.snn.running import ModelTrace, OwnRun

T = TypeVar("T")
_BYTES_A_VALUE = 32


def bytes_a_sample(network: Network) -> int:
    """What one sequence of a comparison takes: the traces of the model and of the network."""
    sequence = network.input.encoding == "sequence"
    width = sum(neuron.neurons for neuron in network.neurons) + (network.input.size if sequence else 0)
    return _BYTES_A_VALUE * width * network.steps


def observed_of(network: Network, run: OwnRun, returned: Iterable[Returned], samples: int, start: int = 0) -> Observed:
    """The traces of a run, where it was watched, and what it returned, where that is recognised.

    Raises: ConfigError where the model has other neuron layers.
    """
    names = names_of(network, run.traces) if run.traces else [neuron.name for neuron in network.neurons]
    layers = tuple(seen_of(run.traces[name]) if run.traces else Seen() for name in names)
    return Observed(start, samples, layers, derived=derived_of(names, run, returned))


def derived_of(names: Sequence[str], run: OwnRun, returned: Iterable[Returned]) -> tuple[Derived, ...]:
    """What a run returned, where it is recognised as of one of these layers."""
    known = [said for said in returned if said.layer in names]
    return tuple(
        _derived(said, names.index(said.layer), call, result)
        for said in known
        for call, result in enumerate(run.returned)
    )


def seen_of(trace: ModelTrace) -> Seen:
    """One layer of a model: spikes by what they are worth, membranes as float32, second states where it has some."""
    values: dict[What, NDArray[Any]] = {"membrane": _array(trace.membranes), "spike": _array(trace.spikes)}
    if trace.currents:
        values["synaptic current"] = _array(trace.currents)
    return Seen(values, trace.spike)


def _derived(said: Returned, layer: int, call: int, result: Any) -> Derived:
    """What one call returned."""

    def expected(spikes: NDArray[np.bool_], membranes: NDArray[np.float32]) -> NDArray[Any]:
        return expected_of(said, spikes, membranes, call).numpy()

    got = said.found_in(result)
    values = np.zeros(0) if got is None else _flat(got, 3 if said.form == "stack" else 2)
    return Derived(f"returned {said.part}", layer, values, expected)


def _array(values: Sequence[Tensor]) -> NDArray[Any]:
    """(T, B, N) of tensors (B, ...), one a step; an empty array where their shapes differ."""
    if not values or len({value.shape for value in values}) > 1:
        return np.zeros(0)
    return _flat(torch.stack(list(values)), 3)


def _flat(values: Tensor, axes: int) -> NDArray[Any]:
    """As NumPy, the last axes as one; half precisions are widened, which changes no value."""
    wide = (
        values if values.dtype in (torch.float32, torch.float64) or not values.is_floating_point() else values.float()
    )
    return (wide.flatten(axes - 1) if wide.ndim >= axes else wide).detach().cpu().numpy()


def names_of(network: Network, traces: Mapping[str, Any]) -> list[str]:
    """The model's names of the network's neuron layers, in their order: the same, or by order where all are others.

    Raises: ConfigError where the model has other neuron layers.
    """
    names = [neuron.name for neuron in network.neurons]
    if len(set(names)) == len(names) and set(names) <= set(traces):
        return names
    if len(traces) != len(names) or (set(names) & set(traces) and len(set(names)) == len(names)):
        got = f"neuron layers {', '.join(traces)}, the network {', '.join(names)}"
        raise ConfigError(f"verify: the model has {got}: not the same")
    return list(traces)


def traces_of(network: Network, traces: Mapping[str, T]) -> list[T]:
    """The traces of a model in the order of the network's neurons. Raises: ConfigError, as `names_of`."""
    return [traces[name] for name in names_of(network, traces)]
