"""Runs a design unit by unit in NumPy: every list of events and every array of sums that flows, step by step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from squat_deploy.hardware.design import Design
from squat_deploy.hardware.graph import ENTRY
from squat_deploy.hardware.units import Events, Flow, Kept
from squat_deploy.network import IntArray


@dataclass(frozen=True, eq=False)
class Moment:
    """One time step of one sequence.

    Attributes:
        flows: what every unit gave, by its number; 0 for the input, scores (classes,) last.
        states: (neurons,) of every neuron layer after the step, by its number.
    """

    flows: dict[int, Flow]
    states: dict[int, IntArray]


def run(design: Design, words: Sequence[IntArray]) -> Iterator[Moment]:
    """One sequence, by the words of the input stream that arrive in each step (`ReadInput.stream`)."""
    kept: dict[int, Kept] = defaultdict(dict)
    flows: dict[int, Flow] = {part.number: Events.none() for part in design.parts if part.signal.events}
    for step, arriving in enumerate(words):
        flows[ENTRY] = design.entry.run(kept[ENTRY], arriving)
        for part in design.parts:
            if not (part.held and step):
                flows[part.number] = part.run(kept[part.number], *(flows[source] for source in part.sources))
        states = {part.number: part.lanes.elements(kept[part.number]["states"]) for part in design.neurons}
        readout, number, output = design.readout, design.readout.number, design.neurons[-1]
        last = [output.told(states[output.number])] * readout.reads_states
        flows[number] = readout.run(kept[number], *(flows[source] for source in readout.sources), *last)
        yield Moment(dict(flows), states)
