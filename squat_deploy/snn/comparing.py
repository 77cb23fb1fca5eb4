"""Comparing traces value by value with the reference, and classes with labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import ConfigError
from squat_deploy.network import IntArray, Network, Neuron
from squat_deploy.network.simulator import LayerTrace, Result
from squat_deploy.network.tally import Tally
from squat_deploy.snn.returned import Returned, expected_of

if TYPE_CHECKING:
    from torch import Tensor

    from squat_deploy.snn.running import LayerTrace as ModelTrace
    from squat_deploy.snn.running import OwnRun

T = TypeVar("T")
_BYTES_A_VALUE = 32


def check_labels(labels: NDArray[Any] | None, samples: int) -> None:
    """Raises: ConfigError unless labels are one integer a sample."""
    if labels is None:
        return
    array = np.asarray(labels)
    if array.shape != (samples,) or array.dtype.kind not in "iu":
        raise ConfigError(f"labels: expected {samples} integers; got {array.dtype} of shape {array.shape}")


def accuracy_of(classes: IntArray, labels: NDArray[Any] | None) -> float | None:
    """Share of correct classes, if there are labels."""
    return None if labels is None else float((classes == np.asarray(labels)).mean())


def bytes_a_sample(network: Network) -> int:
    """What one sequence of a comparison takes: the traces of the model and of the network."""
    sequence = network.input.encoding == "sequence"
    width = sum(neuron.neurons for neuron in network.neurons) + (network.input.size if sequence else 0)
    return _BYTES_A_VALUE * width * network.steps


def compare_run(
    tally: Tally, network: Network, layers: Sequence[LayerTrace], run: OwnRun, returned: Iterable[Returned], start: int
) -> None:
    """The traces of a trained model, and what it returned, against the NumPy trace of the same batch."""
    for neuron, layer, trace in zip(network.neurons, layers, traces_of(network, run.traces), strict=True):
        compare_torch(tally, neuron, layer, trace, start)
    compare_returned(tally, network, layers, run, returned, start)


def compare_torch(tally: Tally, neuron: Neuron, layer: LayerTrace, trace: ModelTrace, start: int = 0) -> None:
    """One layer of the model: spikes by what they are worth, membranes as float32, second states one to one."""
    membranes = _array(trace.membranes)
    tally.compare("membrane", neuron.membranes[neuron.table, layer.states], membranes, neuron.name, start)
    spikes = layer.spikes if trace.spike == 1 else layer.spikes * np.float32(trace.spike)
    tally.compare("spike", spikes, _array(trace.spikes), neuron.name, start)
    if trace.currents:
        _compare_currents(tally, neuron, layer, _array(trace.currents), start)


def _compare_currents(tally: Tally, neuron: Neuron, layer: LayerTrace, currents: NDArray[Any], start: int) -> None:
    """The synaptic current of two-state neurons, which a network does not name.

    Its state indices stand for pairs of a current and a membrane. So one index must always come with one current, and
    two indices with the same membrane never with the same.
    """
    if currents.shape != layer.states.shape:
        tally.compare("synaptic current", layer.states, currents, neuron.name, start)
        return
    keys = neuron.table * neuron.states + layer.states
    found, first, place = np.unique(keys, return_index=True, return_inverse=True)
    values = currents.reshape(-1)[first]
    tally.compare("synaptic current", values[place].reshape(keys.shape), currents, neuron.name, start)
    table, state = np.divmod(found, neuron.states)
    pairs = np.stack([table, neuron.membranes[table, state], values + 0.0], axis=1)
    distinct = np.full(1, len(found)), np.full(1, len(np.unique(pairs, axis=0)))
    tally.compare("number of states", *distinct, neuron.name, start)


def compare_returned(
    tally: Tally, network: Network, layers: Sequence[LayerTrace], run: OwnRun, returned: Iterable[Returned], start: int
) -> None:
    """What the model returned, where it is recognised."""
    places = {name: index for index, name in enumerate(names_of(network, run.traces))} if run.traces else None
    for said in returned:
        index = _index_of(network, said.layer) if places is None else places.get(said.layer)
        if index is None:
            continue
        neuron, layer = network.neurons[index], layers[index]
        membranes = neuron.membranes[neuron.table, layer.states]
        for call, result in enumerate(run.returned):
            want = expected_of(said, layer.spikes, membranes, call)
            got = said.found_in(result)
            given = np.zeros(0) if got is None else _flat(got, want.ndim)
            tally.compare(f"returned {said.part}", want.numpy(), given, neuron.name, start)


def _index_of(network: Network, name: str) -> int | None:
    return next((index for index, neuron in enumerate(network.neurons) if neuron.name == name), None)


def _array(values: Sequence[Tensor]) -> NDArray[Any]:
    """(T, B, N) of tensors (B, ...), one a step; an empty array where their shapes differ."""
    import torch

    if not values or len({value.shape for value in values}) > 1:
        return np.zeros(0)
    return _flat(torch.stack(list(values)), 3)


def _flat(values: Tensor, axes: int) -> NDArray[Any]:
    """As NumPy, the last axes as one; half precisions are widened, which changes no value."""
    import torch

    wide = (
        values if values.dtype in (torch.float32, torch.float64) or not values.is_floating_point() else values.float()
    )
    return (wide.flatten(axes - 1) if wide.ndim >= axes else wide).detach().cpu().numpy()


def names_of(network: Network, traces: Mapping[str, Any]) -> list[str]:
    """The model's names of the network's neuron layers, in their order. Raises: ConfigError, as `traces_of`."""
    names = [neuron.name for neuron in network.neurons]
    if len(set(names)) == len(names) and set(names) <= set(traces):
        return names
    if len(traces) != len(names) or (set(names) & set(traces) and len(set(names)) == len(names)):
        got = f"neuron layers {', '.join(traces)}, the network {', '.join(names)}"
        raise ConfigError(f"verify: the model has {got}: not the same")
    return list(traces)


def traces_of(network: Network, traces: Mapping[str, T]) -> list[T]:
    """The traces of a model in the order of the network's neurons: by name, or by order where all names are others.

    Raises: ConfigError where the model has other neuron layers.
    """
    return [traces[name] for name in names_of(network, traces)]


def compare_traces(reference: Result, result: Result, samples: int | None = None) -> Tally:
    """Sums, states, spikes, scores and classes of the first `samples`, all by default."""
    tally = Tally()
    window = slice(samples)
    for want, got in zip(reference.trace or (), result.trace or (), strict=True):
        for key, what in (("sums", "synaptic sum"), ("states", "state"), ("spikes", "spike")):
            tally.compare(what, getattr(want, key)[:, window], getattr(got, key), want.name)
    tally.compare("score", reference.scores[window], result.scores)
    tally.compare("class", reference.classes[window], result.classes)
    return tally
