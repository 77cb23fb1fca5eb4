"""How far two torch models are apart on the same inputs, spike by spike: a trained one and its exact form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from squat_deploy.engines.torch import read_out
from squat_deploy.errors import ConfigError, SquatError
from squat_deploy.network import InputSpec, IntArray
from squat_deploy.network.readout import Readout

if TYPE_CHECKING:
    from torch import nn

    from squat_deploy.snn.running import ModelTrace

_BATCH = 100


@dataclass(frozen=True)
class LayerDeviation:
    """One neuron layer: how many (step, sequence, neuron) were compared, where spikes differ, and where states do."""

    layer: str
    compared: int
    spikes: int
    states: int


@dataclass(frozen=True)
class Deviation:
    """Result of `deviation`.

    Attributes:
        decisions: sequences whose class differs.
        inputs: whether they were the user's own, or random ones over the whole range.
    """

    layers: tuple[LayerDeviation, ...]
    samples: int
    decisions: int
    inputs: Literal["given", "random"]

    @property
    def line(self) -> str:
        """All of it in one sentence."""
        spikes, compared = (sum(getattr(row, key) for row in self.layers) for key in ("spikes", "compared"))
        rows = ", ".join(f"{row.layer} {row.spikes:,}" for row in self.layers if row.spikes)
        return (
            f"{spikes:,} of {compared:,} spikes{f' ({rows})' if rows else ''} and {self.decisions:,} of "
            f"{self.samples:,} classes differ from those of the trained model, on {self.inputs} inputs"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self)


def deviation(
    model: nn.Module,
    other: nn.Module,
    spec: InputSpec,
    steps: int,
    inputs: NDArray[Any] | None = None,
    *,
    samples: int = 64,
    readout: Readout = "count",
    initial_state: Any = None,
) -> Deviation:
    """Runs both models, in batches of 100, and counts what differs; neither is changed.

    Args:
        model, other: the trained one, and the one that `exact` made of it.
        inputs: integers, as for `simulate`; random ones over the whole range if there are none.
        samples: how many random ones.
        readout: what makes a class of the last neurons.
        initial_state: of models that take their states, as for `lower`.

    Raises: ConfigError for inputs that are not on the grid, or models that do not run on them or have other layers.
    """
    if not isinstance(steps, int) or steps < 1:
        raise ConfigError(f"deviation: steps must be 1 or more; got {steps}")
    lead = (samples,) if spec.encoding == "direct" else (steps, samples)
    drawn = inputs is None
    given = np.random.default_rng(0).integers(spec.low, spec.high + 1, (*lead, *spec.shape)) if drawn else inputs
    values = spec.check(np.asarray(given), steps)
    found: dict[str, list[LayerDeviation]] = {}
    decisions = 0
    for ours, theirs in _traces(model, other, spec, steps, values, initial_state):
        for (name, first), second in zip(ours.items(), theirs.values(), strict=True):
            found.setdefault(name, []).append(_compared(name, first, second))
        ends = [read_out(readout, list(traces.values())[-1]) for traces in (ours, theirs)]
        decisions += int((ends[0] != ends[1]).sum())
    rows = tuple(_summed(parts) for parts in found.values())
    return Deviation(rows, values.shape[len(lead) - 1], decisions, "random" if drawn else "given")


def _traces(
    model: nn.Module, other: nn.Module, spec: InputSpec, steps: int, values: IntArray, initial_state: Any
) -> Iterator[tuple[dict[str, ModelTrace], dict[str, ModelTrace]]]:
    """What both do, batch after batch. Raises: ConfigError."""
    import torch

    from squat_deploy.snn.batch_first import time_first
    from squat_deploy.snn.copying import frozen_copy, undisturbed
    from squat_deploy.snn.running import run_model
    from squat_deploy.snn.states import made_state

    direct = spec.encoding == "direct"
    real, axis = torch.from_numpy((values * spec.step).astype(np.float32)), 0 if direct else 1
    with undisturbed(), torch.no_grad():
        copies = [time_first(frozen_copy(each), spec) for each in (model, other)]
        called = {"direct": direct, "initial_state": made_state(initial_state)}
        for part in torch.split(real, _BATCH, dim=axis):
            try:
                ours, theirs = (run_model(copied, part, steps, **called) for copied in copies)
            except SquatError:
                raise
            except Exception as error:
                raise ConfigError(f"deviation: a model does not run on these inputs: {error}") from error
            if _shapes(ours) != _shapes(theirs):
                raise ConfigError(f"deviation: two models of the same neuron layers; got {[*ours]} and {[*theirs]}")
            yield ours, theirs


def _shapes(traces: dict[str, ModelTrace]) -> list[Any]:
    return [(name, [spikes.shape for spikes in trace.spikes]) for name, trace in traces.items()]


def _compared(name: str, first: ModelTrace, second: ModelTrace) -> LayerDeviation:
    def differing(ours: list[Any], theirs: list[Any]) -> int:
        return sum(int((a != b).sum()) for a, b in zip(ours, theirs, strict=True))

    states = differing(first.membranes, second.membranes) + differing(first.currents, second.currents)
    return LayerDeviation(name, sum(x.numel() for x in first.spikes), differing(first.spikes, second.spikes), states)


def _summed(parts: list[LayerDeviation]) -> LayerDeviation:
    totals = (sum(getattr(part, key) for part in parts) for key in ("compared", "spikes", "states"))
    return LayerDeviation(parts[0].layer, *totals)
