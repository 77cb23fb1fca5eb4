"""A core whose stages are loops over all time steps, as its top prints it: layers in a row, channels between them."""

from __future__ import annotations

from dataclasses import dataclass

from squat_deploy.hardware.design import Design
from squat_deploy.hardware.graph import ENTRY
from squat_deploy.hardware.pipeline import DOUBLE
from squat_deploy.hardware.units import Firing, ReadInput, Unit


@dataclass(frozen=True)
class Channel:
    """A channel of the core; `room`: items of two time steps."""

    name: str
    type: str
    room: int


@dataclass(frozen=True)
class Link:
    """Synapses and their neurons, by their numbers.

    Attributes:
        source: number of what they take.
        held: the sums are made once a sequence.
        lists: the spikes are listed; else the readout takes states.
        traced: rows of two time steps.
        pairs: of events that are given in two time steps.
    """

    synapses: int
    neurons: int
    source: int
    held: bool
    lists: bool
    traced: int
    pairs: int


@dataclass(frozen=True)
class Streams:
    """What the stages of a streamed core are called with.

    Attributes:
        frames, frames_of_step: that are read in a call, and in one step of it.
    """

    chain: tuple[Link, ...]
    channels: tuple[Channel, ...]
    frames: str
    frames_of_step: str


def streams_of(design: Design) -> Streams | None:
    """The stages of a design, if it is streamed."""
    if not design.graph.streamed:
        return None
    once = design.entry.once and design.entry.encoder is None
    layers = [(a, b) for a, b in zip(design.parts[::2], design.neurons, strict=True)]
    return Streams(
        chain=tuple(_link(synapses, neurons) for synapses, neurons in layers),
        channels=(*_entering(design.entry), *(one for a, b in layers for one in _between(a, b))),
        frames="restart ? 1 : 0" if once else "steps",
        frames_of_step="starts ? 1 : 0" if once else "1",
    )


def _link(synapses: Unit, neurons: Firing) -> Link:
    (source,), rows = synapses.sources, neurons.lanes.rows
    pairs = DOUBLE * neurons.ports.gives.pairs
    return Link(synapses.number, neurons.number, source, synapses.held, neurons.lists_spikes, DOUBLE * rows, pairs)


def _entering(entry: ReadInput) -> list[Channel]:
    words = [Channel("words0", "spikes_t", DOUBLE * entry.fields.words)] * entry.lists_words
    return [*words, _pairs(entry)]


def _between(synapses: Unit, neurons: Firing) -> list[Channel]:
    number, rows, space = neurons.number, DOUBLE * neurons.lanes.rows, f"layer{neurons.number}"
    sums = Channel(f"sums{synapses.number}", f"layer{synapses.number}::row_t", rows)
    if not neurons.lists_spikes:
        return [sums, Channel(f"fired{number}", f"{space}::told_t", rows)]
    return [sums, Channel(f"fired{number}", "spikes_t", rows * neurons.masks.words), _pairs(neurons)]


def _pairs(giver: Unit) -> Channel:
    number = giver.number
    return Channel(f"pairs{number}", f"pair_t<event{number}_t>", DOUBLE * giver.ports.gives.pairs)


assert ENTRY == 0  # the templates name what enters so
