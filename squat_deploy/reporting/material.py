"""All that a report is drawn from: made once, by the functions that everything else uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.agreement import Agreement
from squat_deploy.backends.rtl.options import RtlConfig
from squat_deploy.hardware.folding import Folding
from squat_deploy.hardware.options import HlsConfig
from squat_deploy.hardware.units.base import Cycles
from squat_deploy.network import IntArray, Network
from squat_deploy.network.simulator import LayerTrace, Result, simulate

if TYPE_CHECKING:
    from squat_deploy.reporting.rtl_timeline import RtlTiming

MOST_SEQUENCES = 256
_MOST_VALUES = 3 * 2**20  # of all neurons in all steps


@dataclass(frozen=True, eq=False)
class Run:
    """Some sequences, simulated.

    Attributes:
        frames: integers (B, *shape) or (T, B, *shape).
        described: which they are, in words.
        labels: (B,) their classes, if known.
        given: they are the user's own.
        warnings: what is doubtful about them.
    """

    frames: IntArray
    result: Result
    described: str
    labels: IntArray | None = None
    given: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def trace(self) -> tuple[LayerTrace, ...]:
        """What every neuron layer did."""
        assert self.result.trace is not None
        return self.result.trace

    @property
    def sequences(self) -> int:
        """How many."""
        return len(self.result.scores)

    @property
    def usual(self) -> int:
        """The sequence with the median number of spikes, of two the one with fewer."""
        spikes = sum(layer.spikes.sum(axis=(0, 2), dtype=np.int64) for layer in self.trace)
        return int(np.argsort(spikes, kind="stable")[(self.sequences - 1) // 2])


@dataclass(frozen=True, eq=False)
class Core:
    """The network as hardware.

    Attributes:
        config: options of the HLS project.
        events: of the sequences that cycles are counted on, as `event_counts` makes them.
        described: those sequences, in words.
        project: the folder whose folding this is; empty where it was chosen for the report.
    """

    folding: Folding
    config: HlsConfig
    events: dict[int, Cycles]
    described: str
    project: str = ""


@dataclass(frozen=True)
class Synthesis:
    """What `synth` measured of a SystemVerilog project, on one target.

    Attributes:
        mhz: None where it was not routed; `latency`, in cycles, None where it was not simulated.
    """

    target: str
    device: str | None
    resources: dict[str, float]
    mhz: float | None
    latency: float | None
    latency_us: float | None


@dataclass(frozen=True)
class RtlProject:
    """What the manifest of a SystemVerilog project says of its layers, facts of each, and what was measured of it."""

    folder: str
    layers: tuple[dict[str, Any], ...]
    config: RtlConfig
    measured: tuple[Synthesis, ...] = ()


@dataclass(frozen=True, eq=False)
class Material:
    """What a report shows.

    Attributes:
        sample: the sequence of `run` that is drawn spike by spike.
        core: None where `no_core` says why.
        agreement: None where nothing was compared.
        timing: of the RTL project, if there is one, or why there is none.
    """

    network: Network
    run: Run
    sample: int
    core: Core | None
    no_core: str
    agreement: Agreement | None
    rtl: RtlProject | None
    timing: RtlTiming | str | None = None


def sequences_shown(network: Network, sequences: int) -> int:
    """How many of some sequences are simulated for a report."""
    values = network.steps * (network.input.size + sum(neuron.neurons for neuron in network.neurons))
    return min(sequences, MOST_SEQUENCES, max(1, _MOST_VALUES // values))


def run_of(
    network: Network, frames: IntArray, what: str, labels: NDArray[Any] | None, warnings: tuple[str, ...] = ()
) -> Run:
    """Simulates the first of some sequences; `what` is what they are called, e.g. "given"."""
    axis = 0 if network.input.encoding == "direct" else 1
    whole = frames.shape[axis]
    shown = sequences_shown(network, whole)
    taken = frames.take(range(shown), axis=axis)
    described = (
        f"{whole:,} {what} sequences" if shown == whole else f"the first {shown:,} of {whole:,} {what} sequences"
    )
    described = described.replace("1 given sequences", "1 given sequence") if whole == 1 else described
    own = None if labels is None else np.asarray(labels)[:shown].astype(np.int64)
    return Run(taken, simulate(network, taken, trace=True), described, own, what == "given", warnings)
