"""What a project says of itself to readers."""

from __future__ import annotations

from dataclasses import dataclass

from squat_deploy.backends import cpp
from squat_deploy.backends.hls.estimates import bound_of, folding_table, microseconds, shortage_text
from squat_deploy.hardware.boards import BOARDS
from squat_deploy.hardware.budget import Budget
from squat_deploy.hardware.design import Design
from squat_deploy.hardware.folding import Folding
from squat_deploy.hardware.graph import ENTRY, Process
from squat_deploy.hardware.options import HlsConfig
from squat_deploy.hardware.units import Unit
from squat_deploy.network import Network
from squat_deploy.network.certificate import Certificate
from squat_deploy.network.encoders import EventEncoder
from squat_deploy.network.readout import OF_MEMBRANES, SCORES


@dataclass(frozen=True)
class LayerRow:
    """One line of the table of layers."""

    number: int
    name: str
    what: str
    takes: str
    pe: str


@dataclass(frozen=True)
class Readme:
    """The file README.md.

    Attributes:
        expected: last line of a run of the testbench that finds nothing.
        ticks: what times of events may be, where events enter.
        mean, worst: time of one inference.
        folding, bound: the lanes of every process, and what keeps the core from being faster.
        resources: what is taken of the part, if that is known.
        shortage: what the part has too little of, and what to change.
        board: for which the project is whole, if there is one.
    """

    title: str
    inputs: int
    outputs: int
    steps: int
    digest: str
    version: str
    certificate: str
    layers: tuple[LayerRow, ...]
    streamed: bool
    processes: str
    expected: str
    in_stream: str
    out_stream: str
    ticks: str | None
    mean: str
    worst: str
    clock_ns: float
    folding: str
    bound: str
    resources: str | None
    shortage: str | None
    board: str | None


def readme_of(folding: Folding, config: HlsConfig, sequences: int) -> Readme:
    """The readme of a project whose testbench runs so many golden sequences."""
    from squat_deploy import __version__

    design, schedule = folding.design, folding.schedule
    network = design.network
    return Readme(
        title=cpp.plain(network.name),
        inputs=network.input.size,
        outputs=network.outputs,
        steps=network.steps,
        digest=network.digest,
        version=__version__,
        certificate=_certificate(design.network.certificate),
        layers=tuple(_row(part) for part in design.parts),
        streamed=design.graph.streamed,
        processes="; ".join(_layers(process) for process in design.graph.processes),
        expected=_expected(design, sequences),
        in_stream=design.entry.words.described,
        out_stream=f"{network.outputs} scores a call ({SCORES[network.readout]}), TLAST on the last; "
        f"the class is the index of the highest, the lowest on ties{_values(network)}",
        ticks=_ticks(design),
        mean=microseconds(schedule.mean_cycles, config),
        worst=microseconds(schedule.worst_cycles, config),
        clock_ns=config.clock_ns,
        folding=folding_table(folding),
        bound=bound_of(folding),
        resources=_resources(folding.budget),
        shortage=shortage_text(folding),
        board=None if config.board is None else BOARDS[config.board].title,
    )


def _values(network: Network) -> str:
    """What scores of membranes are worth."""
    values = network.values
    if values is None:
        return f"; no values: {network.why_no_values}" if network.readout in OF_MEMBRANES else ""
    table = f": {', '.join(map(str, values.table))}" if values.table else ""
    words = "; each is sent in two words, the low one first" if values.worth else ""
    return f"{words}; {values.described}{table}"


def _ticks(design: Design) -> str | None:
    encoder, steps = design.entry.encoder, design.network.steps
    if not isinstance(encoder, EventEncoder):
        return None
    return (
        f"Times of events are ticks of 16 bits: the {steps} steps of a sequence take ticks 0 to "
        f"{steps * encoder.window - 1}, and a window could\nhave {encoder.most_ticks(steps)} at most. A host with a "
        "finer clock divides its times first, and leaves out what comes after the last step.\nA step ends with the "
        "first event of a later one or with the mark of the end: where nothing comes any more, the host sends the mark."
    )


def _certificate(certificate: Certificate) -> str:
    if certificate.proven:
        return "proven in every layer"
    return f"NOT PROVEN in every layer, see manifest.json; {certificate.looked_for}"


def _row(part: Unit) -> LayerRow:
    takes = (
        ("input" if port.number == ENTRY else str(port.number)) + " (step before)" * port.late
        for port in part.ports.takes
    )
    pe = "" if part.lanes is None else str(part.lanes.pe)
    return LayerRow(part.number, cpp.plain(part.name), part.about, ", ".join(takes), pe)


def _layers(process: Process) -> str:
    return f"{process.number} = layers {', '.join(str(node.number) for node in process.nodes)}"


def _expected(design: Design, sequences: int) -> str:
    """What the testbench compares (constants, states, spikes, scores, a refusal, TLAST), and the sequences it runs."""
    network, longer = design.network, design.network.steps > 1
    steps_run = (sequences + 1 + longer) * network.steps + (network.steps + 1) // 2
    traced = sum(part.size for part in design.neurons)
    scores = (sequences + 2 + 2 * longer) * network.outputs
    scores *= 3 if network.worth else 2  # each with the TLAST of its words
    values = sum(len(part.constants) for part in design.parts) + 2 * (steps_run * traced + longer) + scores
    return f"PASS: 0 mismatches in {values:,} values, {sequences + 2 + longer} sequences"


def _resources(budget: Budget) -> str | None:
    offer, total = budget.offer, budget.total
    if offer is None:
        return None
    memory, logic = f"{total.bram18} of {offer.bram36 * 2} BRAM18", f"{total.lut} of {offer.lut} LUT"
    return f"On a {offer.name} by estimate: {memory}, {logic}, {total.dsp} of {offer.dsp} DSP."
