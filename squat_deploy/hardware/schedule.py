"""Cycle estimate of the emitted project, from its loops: every pipelined loop is counted at its initiation interval.

The processes of one time step hand event lists to each other through double buffers, so step t of one process runs
while the next works on step t - 1: `finish[p, t] = max(finish[q, t] of all q before p, finish[p, t-1]) + cost[p, t]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.design import Design, Part
from squat_deploy.hardware.graph import ENTRY, Process
from squat_deploy.network import IntArray
from squat_deploy.network.encoders import takes_intensities
from squat_deploy.network.layers import Add, Concat, Pool2d
from squat_deploy.network.readout import OF_MEMBRANES, Readout
from squat_deploy.network.simulator import Result

LOOP_OVERHEAD_CYCLES = 5  # entry, fill and drain of one pipelined loop, an assumption of the estimate
Cycles = NDArray[np.float64]  # (sequences, T)


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
    return next((part.name for part in reversed(parts) if part.kind == "neurons"), parts[-1].name)


def event_counts(design: Design, inputs: IntArray, result: Result) -> dict[int, Cycles]:
    """Events (sequences, T) of every list in a simulated run; lists of sums are taken as full."""
    network = design.network
    flat = inputs.reshape(*inputs.shape[: inputs.ndim - len(network.input.shape)], -1) != 0
    entering = np.broadcast_to(flat, (network.steps, *flat.shape)) if network.input.encoding == "direct" else flat
    many: dict[int, NDArray[Any]] = {ENTRY: entering.astype(np.uint16)}
    for part, layer in zip(design.neurons, result.trace or (), strict=True):
        many[part.number] = layer.spikes.astype(np.uint16)
    for part in design.parts:
        if part.signal.events and part.kind != "neurons":
            many[part.number] = _multiplicity(part, [many.get(source) for source in part.node.sources])
    return {number: found.sum(axis=2, dtype=np.float64).T for number, found in many.items()}


def _multiplicity(part: Part, taken: list[NDArray[Any] | None]) -> NDArray[Any]:
    """(T, B, N) how often each index stands in a list."""
    layer = part.node.layer
    first = taken[0]
    if first is None or not isinstance(layer, Pool2d | Add | Concat):
        lead = (
            next(found.shape[:2] for found in taken if found is not None)
            if any(found is not None for found in taken)
            else (1, 1)
        )
        return np.ones((*lead, part.size), dtype=np.uint16)
    lists = [found for found in taken if found is not None]
    if isinstance(layer, Concat):
        return np.concatenate(lists, axis=2)
    if isinstance(layer, Add):
        return np.asarray(np.sum(lists, axis=0, dtype=np.uint16))
    pooled = layer.apply(first.reshape(-1, first.shape[2]))
    return np.asarray(pooled.reshape(*first.shape[:2], -1))


def _costs(design: Design, events: dict[int, Cycles]) -> list[Cycles]:
    """(sequences, T) cycles of the input, of each process, and of the readout."""
    network, overhead = design.network, LOOP_OVERHEAD_CYCLES
    steps = np.arange(network.steps)
    fresh = (steps == 0) | (network.input.encoding == "sequence")
    spec, entering = network.input, events[ENTRY]
    words = -(-spec.size // (32 // spec.bits))
    scan = words + entering if (spec.low, spec.high) == (0, 1) else np.full_like(entering, spec.size)
    again = entering + overhead if design.graph.repeats else np.zeros_like(entering)
    if design.encoder is None:
        costs = [np.where(fresh, scan + overhead, 1.0) + again]
    elif takes_intensities(design.encoder):
        costs = [np.where(steps == 0, spec.size + overhead, 0) + spec.size + overhead + 0 * entering]
    else:
        costs = [4 * entering + 2 * overhead]  # one event an address, counted and listed
    arriving = dict(events) if design.graph.repeats else {**events, ENTRY: np.where(fresh, entering, 0.0)}
    for process in design.graph.processes:
        costs.append(sum((_part_cost(part, arriving, steps == 0) for part in design.parts_of(process)), np.zeros(1)))
    if network.readout in OF_MEMBRANES:
        costs[-1] = costs[-1] + network.outputs + overhead  # the last neurons hand their states over
    last, outputs = steps == network.steps - 1, len(design.parts)
    costs.append(
        _readout_cost(network.readout, network.outputs, events[outputs]) + np.where(last, network.outputs + overhead, 0)
    )
    return [np.broadcast_to(cost, entering.shape) for cost in costs]


def _readout_cost(readout: Readout, classes: int, spikes: Cycles) -> Cycles:
    listed = spikes + LOOP_OVERHEAD_CYCLES
    if readout == "count":
        return listed
    walked = np.full_like(spikes, classes + LOOP_OVERHEAD_CYCLES)
    return walked + listed if readout == "first" else walked


def _part_cost(part: Part, events: dict[int, Cycles], first: NDArray[np.bool_]) -> Cycles:
    """(sequences, T) cycles of the loops of one part."""
    overhead = float(LOOP_OVERHEAD_CYCLES)
    taken = [
        _delayed(events[source]) if part.node.is_late(source) else events[source]
        for source, signal in zip(part.node.sources, part.takes, strict=True)
        if signal.events
    ]
    lanes = part.lanes
    if part.kind == "neurons":
        assert lanes is not None
        return 2 * lanes.rows + events[part.number] + 2 * overhead
    if part.kind in ("synapses", "place"):
        assert lanes is not None
        cycles = lanes.rows + overhead + taken[0] * _visits(part) + overhead
    elif part.signal.events:
        cycles = _listing_cost(part, taken, events[part.number])
    else:
        cycles = np.asarray(_sums_cost(part) + overhead)
    return np.where(first, cycles, 0.0) if part.held else np.asarray(cycles)


def _visits(part: Part) -> int:
    """Cycles of one event on its way into the sums; memories are drained between events."""
    if part.rom is None:
        return 2
    assert part.lanes is not None
    return part.rom.visits + (0 if part.lanes.registers else LOOP_OVERHEAD_CYCLES)


def _listing_cost(part: Part, taken: list[Cycles], given: Cycles) -> Cycles:
    overhead = float(LOOP_OVERHEAD_CYCLES)
    if part.kind == "listing":
        return np.asarray(part.size + overhead)
    if part.axes is None:
        return np.sum(taken, axis=0) + overhead * len(taken)
    windows = part.axes[0].taps * part.axes[1].taps
    if getattr(part.node.layer, "kind", "") == "max":
        return taken[0] * (2 * windows + overhead) + given + overhead
    return taken[0] * (windows + (overhead if windows > 1 else 0)) + overhead


def _sums_cost(part: Part) -> int:
    assert part.lanes is not None
    if part.axes is not None:
        window = part.axes[0].kernel * part.axes[1].kernel
        return (part.lanes.rows if part.parallel else part.size) * (window + LOOP_OVERHEAD_CYCLES)
    return part.lanes.rows if part.parallel else part.size


def _delayed(events: Cycles) -> Cycles:
    """Those of the step before."""
    return np.concatenate([np.zeros_like(events[:, :1]), events[:, :-1]], axis=1)


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
