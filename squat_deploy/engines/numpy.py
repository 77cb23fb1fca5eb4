"""The NumPy simulator: the reference itself."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from squat_deploy.engines.base import Case, Engine
from squat_deploy.network.observed import Observed, Seen, Verdict
from squat_deploy.network.simulator import LayerTrace


@dataclass(frozen=True)
class NumpyEngine(Engine):
    """What all others are compared with; its own verdict counts the states and spikes that it has."""

    name: str = "numpy"

    def missing(self) -> str:
        return ""

    def run(self, case: Case) -> Generator[Observed, None, None]:
        result, seconds = case.simulated
        layers = result.trace or ()
        worth = case.network.values
        values = None if worth is None else worth.integers(result.scores) * worth.step
        verdict = Verdict(sum(layer.states.size + layer.spikes.size for layer in layers))
        yield Observed(
            0, case.samples, seen_of(layers), result.scores, result.classes, (), seconds, verdict, values=values
        )


def seen_of(layers: Sequence[LayerTrace]) -> tuple[Seen, ...]:
    """All that traces hold."""
    return tuple(Seen({"synaptic sum": layer.sums, "state": layer.states, "spike": layer.spikes}) for layer in layers)
