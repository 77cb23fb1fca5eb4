"""Cycle estimate of the emitted project, from its loops: every pipelined loop is counted at its initiation interval.

Nested loops count as one, but for those with `loop_flatten off`; a loop that is entered costs `LOOP_OVERHEAD_CYCLES`
even if it has nothing to do. The native build of a project can count the same, and tests hold the two together.
When the stages of all processes run, by these cycles, is in `pipeline.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.design import Design
from squat_deploy.hardware.graph import ENTRY, Graph, Node, Process
from squat_deploy.hardware.pipeline import ends
from squat_deploy.hardware.units import Lister, Scatter, Unit
from squat_deploy.hardware.units.base import Cycles, delayed, listed_at
from squat_deploy.network import IntArray
from squat_deploy.network.simulator import Result


@dataclass(frozen=True)
class ProcessCycles:
    """Cycles of one process a time step: mean over some sequences, and with every input and neuron active.

    Of two stages, those of the slower one.
    """

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
    """Schedule for the events of some sequences.

    Args:
        events: as `event_counts` makes them.
    """
    costs, worst = stage_costs(design, events), stage_costs(design, _most(design))
    names = ["input", *(process.name for process in design.graph.processes), "readout"]
    rows = [
        ProcessCycles(name, slowest(stages), max(int(cost.max()) for cost in most))
        for name, stages, most in zip(names, costs, worst, strict=True)
    ]
    return Schedule(tuple(rows), float(finish(design.graph, costs).mean()), int(finish(design.graph, worst).max()))


def event_counts(design: Design, inputs: IntArray, result: Result) -> dict[int, Cycles]:
    """Events (sequences, T) of every list in a simulated run; of synapses that walk, (7, sequences, T) `Plane.walked`.

    And what is listed in rounds (`listed_at`).
    """
    known = known_values(design, inputs, result)
    many = {number: found != 0 for number, found in known.items()}
    many[ENTRY][design.entry.listed_steps :] = False
    many |= dict.fromkeys(design.entry.sources, known[ENTRY])
    for unit in design.parts:
        if unit.lists_values:
            many[unit.number] = values_of(design, unit.number, known) != 0
        elif isinstance(unit, Lister):
            many[unit.number] = unit.multiplicity(*_taken(design.graph.nodes[unit.number - 1], many))
    walked = {
        unit.number: (_taken(design.graph.nodes[unit.number - 1], many)[0] @ unit.plane.walked.astype(np.float64)).T
        for unit in design.parts
        if isinstance(unit, Scatter) and unit.walks
    }
    counts = {number: found.sum(axis=2, dtype=np.float64).T for number, found in many.items()}
    units = (design.entry, *design.parts)
    return counts | walked | {listed_at(unit.number): many[unit.number] for unit in units if unit.in_rounds}


def known_values(design: Design, inputs: IntArray, result: Result) -> dict[int, NDArray[Any]]:
    """(T, B, N) integers of what enters, and of all spikes, by the numbers of their units."""
    network = design.network
    flat = inputs.reshape(*inputs.shape[: inputs.ndim - len(network.input.shape)], -1)
    values = np.broadcast_to(flat, (network.steps, *flat.shape)) if network.input.encoding == "direct" else flat
    spikes = {part.number: layer.spikes for part, layer in zip(design.neurons, result.trace or (), strict=True)}
    return {ENTRY: values, **spikes}


def _most(design: Design) -> dict[int, Cycles]:
    """All lists full."""
    steps = np.arange(design.network.steps)
    ports = (*design.entry.ports.takes, *(part.ports.gives for part in design.parts if part.signal.events))
    most = {port.number: np.full((1, len(steps)), float(port.signal.capacity)) for port in ports}
    most[ENTRY] = np.where(steps < design.entry.listed_steps, float(design.entry.signal.capacity), 0.0)[None]
    for unit in design.parts:
        if isinstance(unit, Scatter) and unit.walks:
            (port,) = unit.ports.takes
            full = most[port.number] / port.signal.capacity
            most[unit.number] = unit.most_walked[:, None, None] * (delayed(full.T).T if port.late else full)
    for unit in (design.entry, *design.parts):
        if unit.in_rounds:
            most[listed_at(unit.number)] = np.ones((len(steps), 1, unit.size))
    return most


def _taken(node: Node, given: dict[int, NDArray[Any]]) -> list[NDArray[Any]]:
    """(T, B, N) of each source, as it arrives."""
    return [delayed(given[source]) if node.is_late(source) else given[source] for source in node.sources]


def values_of(design: Design, number: int, known: dict[int, NDArray[Any]]) -> NDArray[Any]:
    """(T, B, N) integers that a node gives, from those that are known: what enters, and all spikes."""
    if number in known:
        return known[number]
    node = design.graph.nodes[number - 1]
    taken = _taken(node, {source: values_of(design, source, known) for source in node.sources})
    if node.position is None:
        return taken[0]
    run = design.network.layers[node.position].stage(*design.network.taken(node.position)).start(taken[0].shape[1])
    return np.stack([run(*step) for step in zip(*taken, strict=True)])


def stage_costs(design: Design, events: dict[int, Cycles]) -> list[list[Cycles]]:
    """(sequences, T) cycles of every stage: of the input, of those of each process, and of the readout."""
    processes = [process_costs(process, design.parts_of(process), events) for process in design.graph.processes]
    return [end_costs(design.entry, events), *processes, end_costs(design.readout, events)]


def end_costs(unit: Unit, events: dict[int, Cycles]) -> list[Cycles]:
    """(sequences, T) cycles of every stage of what enters, or of the readout."""
    loops = unit.loops(events) if unit.streamed else [unit.cycles(events)]
    return [np.broadcast_to(cost, events[ENTRY].shape) for cost in loops]


def process_costs(process: Process, units: Sequence[Unit], events: dict[int, Cycles]) -> list[Cycles]:
    """(sequences, T) cycles of every stage of a process with these units."""
    if units[0].streamed:
        return [cost for unit in units for cost in end_costs(unit, events)]
    by_number = {unit.number: unit for unit in units}
    return [cost_of([by_number[node.number] for node in stage], events) for stage in process.stages]


def cost_of(units: Iterable[Unit], events: dict[int, Cycles]) -> Cycles:
    """(sequences, T) cycles of units that run one after another."""
    return np.broadcast_to(sum((unit.cycles(events) for unit in units), np.zeros(1)), events[ENTRY].shape)


def slowest(stages: Sequence[Cycles]) -> float:
    """Mean cycles a step of the stage that takes longest."""
    return max(float(cost.mean()) for cost in stages)


def finish(graph: Graph, costs: Sequence[Sequence[Cycles]]) -> Cycles:
    """(sequences,) cycle at which the readout ends the last step, by the costs of `stage_costs`."""
    return ends(graph.links, [cost for stages in costs for cost in stages])[-1][:, -1]
