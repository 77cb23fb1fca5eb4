"""Cycle estimate of the emitted project, from its loops: every pipelined loop is counted at its initiation interval.

The processes of one time step hand event lists to each other through double buffers, so step t of one process runs
while the next works on step t - 1: `finish[p, t] = max(finish[q, t] of all q before p, finish[p, t-1]) + cost[p, t]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.design import Design
from squat_deploy.hardware.graph import ENTRY, Process
from squat_deploy.hardware.units import Fire, Lister
from squat_deploy.hardware.units.base import Cycles
from squat_deploy.network import IntArray
from squat_deploy.network.simulator import Result


@dataclass(frozen=True)
class ProcessCycles:
    """Cycles of one process a time step: mean over the golden sequences, and with every input and neuron active."""

    name: str
    mean: float
    worst: int


@dataclass(frozen=True)
class Schedule:
    """Cycles of one inference, and of the processes that share the work."""

    processes: tuple[ProcessCycles, ...]
    mean_cycles: float
    worst_cycles: int


def estimate(design: Design, events: dict[int, Cycles]) -> Schedule:
    """Schedule for the events of golden sequences.

    Args:
        events: of every node that gives lists, (sequences, T); 0 for what enters. `event_counts` makes them.
    """
    most = {
        number: np.full((1, design.network.steps), float(design.graph.signal(number).capacity)) for number in events
    }
    costs, worst = _costs(design, events), _costs(design, most)
    names = ["input", *(process_name(design, process) for process in design.graph.processes), "readout"]
    rows = [ProcessCycles(n, float(c.mean()), int(w.max())) for n, c, w in zip(names, costs, worst, strict=True)]
    return Schedule(tuple(rows), float(_finish(design, costs).mean()), int(_finish(design, worst).max()))


def process_name(design: Design, process: Process) -> str:
    """What a process is known by: its last neuron layer, else its last layer."""
    parts = design.parts_of(process)
    return next((part.name for part in reversed(parts) if isinstance(part, Fire)), parts[-1].name)


def event_counts(design: Design, inputs: IntArray, result: Result) -> dict[int, Cycles]:
    """Events (sequences, T) of every list in a simulated run; lists of sums are taken as full."""
    network = design.network
    flat = inputs.reshape(*inputs.shape[: inputs.ndim - len(network.input.shape)], -1) != 0
    entering = np.broadcast_to(flat, (network.steps, *flat.shape)) if network.input.encoding == "direct" else flat
    many: dict[int, NDArray[Any]] = {ENTRY: entering.astype(np.uint16)}
    for part, layer in zip(design.neurons, result.trace or (), strict=True):
        many[part.number] = layer.spikes.astype(np.uint16)
    for unit in design.parts:
        if isinstance(unit, Lister):
            lists = [many[port.number] for port in unit.ports.takes if port.signal.events]
            many[unit.number] = unit.multiplicity(*lists)
    return {number: found.sum(axis=2, dtype=np.float64).T for number, found in many.items()}


def _costs(design: Design, events: dict[int, Cycles]) -> list[Cycles]:
    """(sequences, T) cycles of the input, of each process, and of the readout."""
    entering = events[ENTRY]
    arriving = {**events, ENTRY: design.entry.handed(entering)}
    costs = [design.entry.cycles(events)]
    for process in design.graph.processes:
        costs.append(sum((part.cycles(arriving) for part in design.parts_of(process)), np.zeros(1)))
    costs.append(design.readout.cycles(events))
    return [np.broadcast_to(cost, entering.shape) for cost in costs]


def _finish(design: Design, costs: list[Cycles]) -> Cycles:
    """(sequences,) cycle at which the last process ends the last step."""
    graph, ends = design.graph, {0: _ends([], costs[0])}
    for process in graph.processes:
        before = {0 if source == ENTRY else graph.process_of[source] for source in process.takes}
        ends[process.number] = _ends([ends[number] for number in before], costs[process.number])
    return _ends([ends[len(graph.processes)]], costs[-1])[:, -1]


def _ends(before: list[Cycles], cost: Cycles) -> Cycles:
    """(sequences, T) cycle at which a process ends each step, by those that it waits for."""
    after, done = np.zeros_like(cost), np.zeros(len(cost))
    for step in range(cost.shape[1]):
        start = np.max([done, *(end[:, step] for end in before)], axis=0)
        done = start + cost[:, step]
        after[:, step] = done
    return after
