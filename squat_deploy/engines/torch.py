"""The trained torch model itself."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from squat_deploy.engines.base import Case, Engine, lacking
from squat_deploy.errors import ConfigError, LoweringError, SquatError
from squat_deploy.network import Network
from squat_deploy.network.observed import Observed
from squat_deploy.network.readout import Readout
from squat_deploy.snn.returned import Returned

if TYPE_CHECKING:
    from torch import Tensor, nn

    from squat_deploy.snn.calling import Calling
    from squat_deploy.snn.running import ModelTrace, OwnRun

_BATCH = 500
_FEW = 8  # samples on which it is found how a model is called
_BYTES = 2**28  # of a batch's traces, the model's and the network's


@dataclass(frozen=True)
class TorchEngine(Engine):
    """The model in batches, on the CPU, each on a copy of its own; the user's model stays as it is.

    It gives spikes and membranes, second states where there are some, what the model returns where that is recognised,
    and classes; its notes say where it runs in another environment than the one in which the network was lowered, and
    where layers have other names than the network's.
    """

    name: str = "torch"
    needs_model: ClassVar[bool] = True

    def missing(self) -> str:
        return lacking(self.name, ("torch",), "train")

    def run(self, case: Case) -> Generator[Observed, None, None]:
        """Raises: ConfigError where this model cannot be the one that was lowered."""
        import torch

        from squat_deploy.snn.batch_first import time_first
        from squat_deploy.snn.copying import frozen_copy, undisturbed
        from squat_deploy.snn.environment import differences, read_environment
        from squat_deploy.snn.sharing import taken_apart
        from squat_deploy.snn.states import made_state

        network = case.network
        assert case.model is not None
        with undisturbed():
            model = time_first(frozen_copy(case.model), network.input)
            real = torch.from_numpy((case.inputs * network.input.step).astype(np.float32))
            first = made_state(case.initial_state)
            few = real.narrow(case.axis, 0, min(case.samples, _FEW))
            called_so: dict[str, Any] = {"direct": network.input.encoding == "direct", "initial_state": first}
            model = taken_apart(model, few, network.steps, **called_so)
            called = _called(network, model, real.narrow(case.axis, 0, 1), first)
            notes = (*differences(network.certificate, read_environment(case.model)), *called.notes)
            yield from (replace(part, notes=notes) for part in _batches(case, model, real, called))


@dataclass(frozen=True)
class _Called:
    """How a model is called, what of its results is recognised, and notes."""

    calling: Calling
    returned: Sequence[Returned]
    notes: tuple[str, ...]


def _batches(case: Case, model: nn.Module, real: Tensor, called: _Called) -> Generator[Observed, None, None]:
    from squat_deploy.snn.model_traces import bytes_a_sample, observed_of, traces_of

    network = case.network
    size = max(1, min(_BATCH, _BYTES // bytes_a_sample(network)))
    for start in range(0, case.samples, size):
        values = real.narrow(case.axis, start, min(size, case.samples - start))
        run, seconds = _timed_run(model, values, network, called.calling)
        last = traces_of(network, run.traces)[-1]
        classes = read_out(network.readout, last)
        told = None if network.values is None else _of_membranes(network.readout, _stacked(last.membranes)).numpy()
        observed = observed_of(network, run, called.returned, values.shape[case.axis], start)
        yield replace(observed, classes=classes, seconds=seconds, values=told)


def _timed_run(model: nn.Module, values: Tensor, network: Network, calling: Calling) -> tuple[OwnRun, float]:
    import torch

    from squat_deploy.snn.copying import deep_copy
    from squat_deploy.snn.running import own_run

    fresh = deep_copy(model)
    began = time.perf_counter()
    options: dict[str, Any] = {"looped": calling.looped, "start": calling.start}
    with torch.no_grad():
        run = own_run(fresh, values, network.steps, direct=network.input.encoding == "direct", **options)
    return run, time.perf_counter() - began


def read_out(readout: Readout, trace: ModelTrace) -> NDArray[np.int64]:
    """(B,) class by torch's own sums, maxima and ties, on the spikes and membranes of the trained output layer."""
    import torch

    spikes, membranes = (_stacked(values) for values in (trace.spikes, trace.membranes))
    steps = len(spikes)
    if readout == "count":
        classes = spikes.sum(dim=0).argmax(dim=1)
    elif readout == "first":
        fired = torch.where(spikes > 0, torch.arange(steps).reshape(-1, 1, 1), steps)
        classes = fired.amin(dim=0).argmin(dim=1)
    else:
        classes = _of_membranes(readout, membranes).argmax(dim=1)
    return classes.numpy()


def _stacked(values: Sequence[Tensor]) -> Tensor:
    """(T, B, N)."""
    import torch

    return torch.stack(list(values)).flatten(2)


def _of_membranes(readout: Readout, membranes: Tensor) -> Tensor:
    """(B, N) of membranes (T, B, N), float64, in which a sum is exact."""
    wide = membranes.double()
    return {"highest-membrane": wide.amax(dim=0), "last-membrane": wide[-1]}.get(readout, wide.sum(dim=0))


def _called(network: Network, model: nn.Module, real: Tensor, initial_state: Any) -> _Called:
    """Found by running one sequence. Raises: ConfigError where this model cannot be the one that was lowered."""
    from squat_deploy.lowering.returned import returned_of
    from squat_deploy.snn.calling import calling_of
    from squat_deploy.snn.copying import deep_copy

    direct, steps = network.input.encoding == "direct", network.steps
    try:
        calling = calling_of(model, real, steps, direct=direct, initial_state=initial_state)
        run, _ = _timed_run(model, real, network, calling)
    except SquatError:
        raise
    except Exception as error:
        raise ConfigError(f"verify: this model does not take the network's inputs: {error}") from error
    notes = _matched(network, run)
    try:
        return _Called(calling, returned_of(deep_copy(model), network.input, steps, run, calling), notes)
    except LoweringError:
        return _Called(calling, (), notes)


def _matched(network: Network, run: OwnRun) -> tuple[str, ...]:
    """Layers that only the order matches. Raises: ConfigError where the model has others than the network."""
    from squat_deploy.snn.model_traces import names_of, traces_of

    widths = [trace.spikes[0][0].numel() for trace in traces_of(network, run.traces)]
    expected = [neuron.neurons for neuron in network.neurons]
    if widths != expected:
        raise ConfigError(f"verify: the model has neuron layers of {widths}, the network of {expected}: not the same")
    pairs = zip(names_of(network, run.traces), network.neurons, strict=True)
    others = [f"{name} = {neuron.name}" for name, neuron in pairs if name != neuron.name]
    return (f"layers are matched by their order, not by name: {', '.join(others)}",) if others else ()
