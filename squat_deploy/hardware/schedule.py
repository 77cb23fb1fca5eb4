"""Cycle estimate of the emitted project, from its loops: every pipelined loop is counted at its initiation interval.

Nested loops count as one, but for those with `loop_flatten off`; a loop that is entered costs `LOOP_OVERHEAD_CYCLES`
even if it has nothing to do. The native build of a project can count the same, and tests hold the two together.
The processes of one time step hand event lists to each other through double buffers, so step t of one process runs
while the next works on step t - 1: `finish[p, t] = max(finish[q, t] of all q before p, finish[p, t-1]) + cost[p, t]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.design import Design, Part
from squat_deploy.hardware.graph import ENTRY, Listing, Node, Place, Process
from squat_deploy.network import IntArray, Network
from squat_deploy.network.encoders import EventEncoder, takes_intensities
from squat_deploy.network.layers import Add, Concat, Pool2d
from squat_deploy.network.readout import OF_MEMBRANES, Readout
from squat_deploy.network.simulator import Result

STREAM = -1  # address events that arrive, as a list: several of one address are one event of `ENTRY`
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
    costs, worst = step_costs(design, events), step_costs(design, _most(design))
    names = ["input", *(process_name(design, process) for process in design.graph.processes), "readout"]
    rows = [ProcessCycles(n, float(c.mean()), int(w.max())) for n, c, w in zip(names, costs, worst, strict=True)]
    return Schedule(tuple(rows), float(_finish(design, costs).mean()), int(_finish(design, worst).max()))


def process_name(design: Design, process: Process) -> str:
    """What a process is known by: its last neuron layer, else its last layer."""
    parts = design.parts_of(process)
    return next((part.name for part in reversed(parts) if part.kind == "neurons"), parts[-1].name)


def event_counts(design: Design, inputs: IntArray, result: Result) -> dict[int, Cycles]:
    """Events (sequences, T) of every list in a simulated run."""
    network = design.network
    flat = inputs.reshape(*inputs.shape[: inputs.ndim - len(network.input.shape)], -1)
    values = np.broadcast_to(flat, (network.steps, *flat.shape)) if network.input.encoding == "direct" else flat
    known: dict[int, NDArray[Any]] = {ENTRY: values}
    known |= {part.number: layer.spikes for part, layer in zip(design.neurons, result.trace or (), strict=True)}
    many = {number: found != 0 for number, found in known.items()}
    many[ENTRY][_listed_steps(design) :] = False
    for part in design.parts:
        if part.kind == "listing":
            many[part.number] = _values(design, part.number, known) != 0
        elif part.signal.events and part.kind != "neurons":
            many[part.number] = _multiplicity(part, _taken(part.node, many))
    if isinstance(design.encoder, EventEncoder):
        many[STREAM] = values
    return {number: found.sum(axis=2, dtype=np.float64).T for number, found in many.items()}


def _listed_steps(design: Design) -> int:
    """Steps in which what enters is handed over: a direct input once, unless somebody takes it again."""
    once = design.network.input.encoding == "direct" and not design.graph.repeats
    return 1 if once else design.network.steps


def _most(design: Design) -> dict[int, Cycles]:
    """All lists full."""
    spec, steps = design.network.input, np.arange(design.network.steps)
    lists = [part.number for part in design.parts if part.signal.events]
    most = {number: np.full((1, len(steps)), float(design.graph.signal(number).capacity)) for number in lists}
    most[ENTRY] = np.where(steps < _listed_steps(design), float(design.graph.entry.capacity), 0.0)[None]
    return most | {STREAM: most[ENTRY] * spec.high}


def _taken(node: Node, given: dict[int, NDArray[Any]]) -> list[NDArray[Any]]:
    """(T, B, N) of each source, as it arrives."""
    return [_delayed(given[source]) if node.is_late(source) else given[source] for source in node.sources]


def _delayed(values: NDArray[Any]) -> NDArray[Any]:
    """(T, ...) of the step before."""
    return np.concatenate([np.zeros_like(values[:1]), values[:-1]])


def _values(design: Design, number: int, known: dict[int, NDArray[Any]]) -> NDArray[Any]:
    """(T, B, N) integers that a node gives, from those that are known: what enters, and all spikes."""
    if number in known:
        return known[number]
    node = design.graph.nodes[number - 1]
    taken = _taken(node, {source: _values(design, source, known) for source in node.sources})
    if isinstance(node.layer, Place | Listing):
        return taken[0]
    layers = [other.number for other in design.graph.nodes if not isinstance(other.layer, Place | Listing)]
    stage = node.layer.stage(*design.network.taken(layers.index(number)))
    run = stage.start(taken[0].shape[1])
    return np.stack([run(*step) for step in zip(*taken, strict=True)])


def _multiplicity(part: Part, lists: list[NDArray[Any]]) -> NDArray[Any]:
    """(T, B, N) how often each index stands in a list, by those that it is made of."""
    layer = part.node.layer
    if isinstance(layer, Concat):
        return np.concatenate(lists, axis=2)
    if isinstance(layer, Add):
        return np.asarray(np.sum(lists, axis=0, dtype=np.uint32))
    assert isinstance(layer, Pool2d)
    pooled = layer.apply(lists[0].reshape(-1, lists[0].shape[2]).astype(np.uint32))
    return pooled.reshape(*lists[0].shape[:2], -1)


def step_costs(design: Design, events: dict[int, Cycles]) -> list[Cycles]:
    """(sequences, T) cycles of the input, of each process, and of the readout."""
    network, first = design.network, np.arange(design.network.steps) == 0
    costs = [_input_cost(design, events, first)]
    for process in design.graph.processes:
        costs.append(sum((_part_cost(part, events, first) for part in design.parts_of(process)), np.zeros(1)))
    if network.readout in OF_MEMBRANES:
        costs[-1] = costs[-1] + network.outputs + LOOP_OVERHEAD_CYCLES  # the last neurons hand their states over
    costs.append(_readout_cost(network.readout, network.outputs, events[len(design.parts)]) + _scores_cost(network))
    return [np.broadcast_to(cost, events[ENTRY].shape) for cost in costs]


def _input_cost(design: Design, events: dict[int, Cycles], first: NDArray[np.bool_]) -> Cycles:
    """(sequences, T) cycles until what enters is listed."""
    spec, entering, overhead = design.network.input, events[ENTRY], LOOP_OVERHEAD_CYCLES
    if isinstance(design.encoder, EventEncoder):  # what was left is dropped; events counted, then listed
        return first * overhead + 2 * events[STREAM] + 2 * entering + 2 * overhead
    if takes_intensities(design.encoder):
        return first * (spec.size + overhead) + spec.size + np.zeros_like(entering) + overhead
    words = -(-spec.size // (32 // spec.bits))
    scan = words + entering if (spec.low, spec.high) == (0, 1) else np.full_like(entering, spec.size)
    fresh = first | (spec.encoding == "sequence")
    return fresh * scan + overhead + (entering + overhead if design.graph.repeats else 0)


def _scores_cost(network: Network) -> NDArray[np.int64]:
    """(T,) cycles to clear the scores in the first step, and to send them in the last."""
    cost = np.zeros(network.steps, dtype=np.int64)
    cost[0] += network.outputs + LOOP_OVERHEAD_CYCLES
    cost[-1] += network.outputs + LOOP_OVERHEAD_CYCLES
    return cost


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
        _delayed(events[source].T).T if part.node.is_late(source) else events[source]
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
        cycles = np.asarray(_sums_cost(part))
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
    entered = overhead if windows > 1 else 0  # loops over the windows of one event
    if getattr(part.node.layer, "kind", "") == "max":
        return taken[0] * (2 * windows + entered) + overhead + given + overhead
    return taken[0] * (windows + entered) + overhead


def _sums_cost(part: Part) -> int:
    assert part.lanes is not None
    items = part.lanes.rows if part.parallel else part.size
    if part.axes is not None:
        return items * (part.axes[0].kernel * part.axes[1].kernel + LOOP_OVERHEAD_CYCLES) + LOOP_OVERHEAD_CYCLES
    loops = len(part.takes) if part.kind == "concat" else 1
    return items + loops * LOOP_OVERHEAD_CYCLES


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
