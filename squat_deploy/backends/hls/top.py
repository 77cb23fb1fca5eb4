"""What `squat_top.cpp` prints: the reader of inputs, the processes and their calls in running order, the readout."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from squat_deploy.backends import cpp
from squat_deploy.backends.hls.addresses import element_of
from squat_deploy.backends.hls.lists import EventList, handed_lists, list_of
from squat_deploy.backends.hls.reader import Reader, reader_of
from squat_deploy.backends.hls.storage import storage
from squat_deploy.backends.hls.streams import Channel, Link, Streams, streams_of
from squat_deploy.hardware.design import Design
from squat_deploy.hardware.graph import Graph, Process
from squat_deploy.hardware.pipeline import DOUBLE
from squat_deploy.hardware.units import Firing, Summer, Unit
from squat_deploy.hardware.words import Fields
from squat_deploy.network.readout import SCORES

_UPDATED = {
    "last-membrane": "state",
    "highest-membrane": "state > scores[neuron] ? state : scores[neuron]",
    "mean-membrane": "scores[neuron] + WORTH[state]",
}
_STEP = "const unsigned step", "const bool restart_sequence"
_FUNCTIONS = {"listing": "list", "synapses": "scatter"}  # of the namespace of a layer, where not called as its kind


@dataclass(frozen=True)
class Step:
    """One layer inside a process: the variables that it needs there, and its call.

    Attributes:
        variables, call: templates.
        function: of the layer's namespace.
        taken, given: arguments: what it reads, and what it writes.
        storage: pragmas of its sums.
        index_type: of the events that it gives.
    """

    number: int
    variables: str
    call: str
    function: str
    taken: str
    given: str
    storage: str
    index_type: str


@dataclass(frozen=True)
class TopProcess:
    """One function, and its call in the loop over time steps.

    Attributes:
        name: of the function.
        names: of its layers.
        traces: ports of its neurons.
        taken, given: parameters: lists that it reads, each with its comma; what it writes, and the step; states have a
            line of their own.
        sources, targets: arguments for these.
        lists: that are complete at its end.
    """

    name: str
    names: str
    traces: tuple[str, ...]
    taken: str
    given: str
    sources: str
    targets: str
    parts: tuple[Step, ...]
    lists: tuple[EventList, ...]


@dataclass(frozen=True)
class TopReadout:
    """The function `read_out`; `template` updates the scores, with the table `worth` of states if it has one.

    Attributes:
        neuron: of the code `place` in the list of spikes.
        updated: a score by `state`, of membranes.
        timed: scores are times of first spikes until they are sent.
        registers: scores are registers, where loops run over all steps.
        idle: iterations after the last event of a step, there.
    """

    name: str
    scores: str
    template: str
    parameters: str
    arguments: str
    neuron: str
    worth: str
    wide: bool
    updated: str
    timed: bool
    registers: bool
    idle: int


@dataclass(frozen=True)
class Top:
    """The whole core; `variables` declares the lists between processes.

    Attributes:
        core: what its stages are: functions that run once a step and hand over "lists", or loops over all steps.
        chain, channels, frames, frames_of_step: of `Streams`.
    """

    header: str
    core: str
    chain: tuple[Link, ...]
    channels: tuple[Channel, ...]
    frames: str
    frames_of_step: str
    layers: tuple[int, ...]
    outputs: int
    traces: tuple[str, ...]
    variables: str
    frame: Fields
    reader: Reader
    processes: tuple[TopProcess, ...]
    readout: TopReadout


def top_of(design: Design, header: str) -> Top:
    """The core of a design."""
    streams = streams_of(design) or Streams((), (), "", "")
    return Top(
        header=header,
        core="streams" if streams.chain else "lists",
        **vars(streams),
        layers=tuple(part.number for part in design.parts),
        outputs=design.network.outputs,
        traces=traces_of(design.neurons),
        variables="" if streams.chain else _variables(design),
        frame=design.entry.fields,
        reader=reader_of(design),
        processes=tuple(
            _process(design, process, stage)
            for process in design.graph.processes
            for stage in range(len(process.stages))
            if not streams.chain
        ),
        readout=_readout(design),
    )


def traces_of(neurons: Iterable[Unit]) -> tuple[str, ...]:
    """Ports that give states and spikes."""
    return tuple(f"trace{part.number}" for part in neurons)


def _listed(part: Unit) -> bool:
    return not isinstance(part, Firing) or part.lists_spikes


def _hands_states(part: Unit) -> bool:
    return isinstance(part, Firing) and part.hands_over


def _variables(design: Design) -> str:
    graph = design.graph
    declared = [
        line
        for number in range(len(design.parts) + 1)
        for taker in graph.handed_to(number)
        for line in _declared(list_of(graph, number, taker), graph.depth(number, taker))
    ]
    if design.readout.reads_states:
        declared.append("std::uint16_t last_states[OUTPUTS];")
    sums = (part for part in design.parts if graph.hands(part.number))
    stored = (f"{_handed_sums(part)};\n{storage(part, 'handed', f'handed{part.number}')}" for part in sums)
    return "\n".join([*declared, *stored])


def _declared(handed: EventList, depth: int) -> tuple[str, ...]:
    """A list between processes: two buffers are what tools make of an array."""
    pragmas = (f"SQUAT_HLS(stream variable={name} type=pipo depth={depth})" for name in handed.names)
    lines = (f"{line};" for line in (*handed.arrays, f"unsigned {handed.count}"))
    return (*lines, *pragmas) if depth > DOUBLE else tuple(lines)


def _handed_sums(part: Unit) -> str:
    number = part.number
    return f"sum{number}_t handed{number}[layer{number}::ROWS][layer{number}::PE]"


def _process(design: Design, process: Process, stage: int) -> TopProcess:
    """One stage of a process: the first takes its lists, the last gives them; sums go from one to the other."""
    graph, parts = design.graph, design.parts_of(process.stages[stage])
    handed = [given for part in parts for given in handed_lists(graph, part.number)]
    sums = [part for part in design.parts_of(process) if part.number == process.hands]
    first, last = stage == 0, stage == len(process.stages) - 1
    given, taken = ([], sums) if last else (sums, [])
    written = [*map(_handed_sums, given), *(one.written for one in handed)]
    passed = [*(f"handed{part.number}" for part in given), *(one.passed for one in handed)]
    read = [*map(_handed_sums, taken), *(list_of(graph, source).read for source in process.takes if first)]
    sources = (list_of(graph, source, process.number).passed for source in process.takes if first)
    states = any(_hands_states(part) for part in parts)
    return TopProcess(
        name=f"process{process.number}{'' if first else '_fire'}",
        names=", ".join(cpp.plain(part.name) for part in parts),
        traces=traces_of(part for part in parts if part.fires),
        taken=" ".join(f"{one}," for one in read),
        given=",\n".join([*["std::uint16_t read_out[OUTPUTS]"] * states, ", ".join([*written, *_STEP])]),
        sources=" ".join(f"{one}," for one in [*(f"handed{part.number}" for part in taken), *sources]),
        targets=",\n".join([*["last_states"] * states, ", ".join([*passed, "step", "restart"])]),
        parts=tuple(_step(design, part) for part in parts),
        lists=tuple(handed),
    )


def _step(design: Design, part: Unit) -> Step:
    graph = design.graph
    taken = [
        list_of(graph, source).passed if signal.events else f"{'handed' if graph.hands(source) else 'sums'}{source}"
        for source, signal in zip(part.sources, part.takes, strict=True)
    ]
    variables = _kept(graph, part)
    call = "fire" if part.fires else "scatter" if part.accumulates else "join"
    return Step(
        number=part.number,
        variables=f"top/{variables}.cpp.jinja",
        call=f"top/{call}{_when(part)}.cpp.jinja",
        function=_FUNCTIONS.get(part.kind, part.kind),
        taken=", ".join([*taken, *["restart"] * part.remembers]),
        given=_given(design, part),
        storage=storage(part, "sums", f"sums{part.number}") if variables == "sums" else "",
        index_type=cpp.index_type(part.signal.grid.codes),
    )


def _when(part: Unit) -> str:
    """Of the template of a call, where not all of it is done in every step."""
    return "_held" if part.held else "_restored" if part.ports.gives.restored is not None else ""


def _kept(graph: Graph, part: Unit) -> str:
    """What a process remembers of a layer."""
    if isinstance(part, Summer):
        return "handed" if part.handed and not part.gathers else "sums"
    if not graph.kept(part.number):
        return "count" if _listed(part) else "no_list"
    if part.fires:
        return "kept_spikes"
    return "kept_events" if part.signal.unit else "kept_values"


def _given(design: Design, part: Unit) -> str:
    """An array of sums; or events, in a list for its own process and one for each other, all of one length."""
    if isinstance(part, Summer):
        names = [*["sums"] * (part.gathers or not part.handed), *["handed"] * part.handed]
        return ", ".join(f"{name}{part.number}" for name in names)
    graph, number = design.graph, part.number
    lists = [*[list_of(graph, number)] * graph.kept(number), *handed_lists(graph, number)]
    states = ["read_out"] * _hands_states(part)
    return ", ".join([*states, *(name for given in lists for name in given.names), *[f"count{number}"] * _listed(part)])


def _readout(design: Design) -> TopReadout:
    readout, last, states = design.network.readout, len(design.parts), design.readout.reads_states
    unit = design.readout
    spikes = list_of(design.graph, last, len(design.graph.processes) + 1).passed
    index_type = "std::uint16_t" if states else cpp.index_type(design.parts[-1].signal.grid.codes)
    read = "last_states[OUTPUTS]" if states else "spike_index[OUTPUTS], const unsigned spikes"
    return TopReadout(
        name=readout,
        scores=SCORES[readout],
        template=f"top/{_readout_template(design)}.cpp.jinja",
        parameters=f"const {index_type} {read}",
        arguments=_read(design) if unit.streamed else "last_states" if states else spikes,
        neuron=str(element_of(design.parts[-1].signal, "place")),
        worth=cpp.initializer(np.array(design.network.worth, dtype=np.int64)),
        wide=bool(design.network.worth),
        updated=_UPDATED.get(readout, ""),
        timed=readout == "first",
        registers=unit.streamed and unit.in_registers,
        idle=unit.idle if unit.streamed else 0,
    )


def _readout_template(design: Design) -> str:
    readout, states = design.network.readout, design.readout.reads_states
    if design.readout.streamed:
        return "stream_states" if states else "stream_count"
    return "score_membranes" if states else f"score_{readout}"


def _read(design: Design) -> str:
    """The channel that a streamed readout takes."""
    number = design.neurons[-1].number
    return f"fired{number}" if design.readout.reads_states else f"pairs{number}"
