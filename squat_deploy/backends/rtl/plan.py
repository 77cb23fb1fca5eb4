"""What the generated top is made of: the instances of every unit of a folded design, and what joins them."""

from __future__ import annotations

from dataclasses import dataclass

from squat_deploy.backends.rtl.builders import BUILDERS, rows_of
from squat_deploy.backends.rtl.encoding import EncodeLatency, EncodeRate
from squat_deploy.backends.rtl.flow import EventReader, Reader
from squat_deploy.backends.rtl.folding import Share
from squat_deploy.backends.rtl.instance import Instance
from squat_deploy.backends.rtl.neurons import Neurons, Scores
from squat_deploy.backends.rtl.streams import Rows, in_words
from squat_deploy.backends.rtl.sums import Dense
from squat_deploy.backends.rtl.wiring import Wiring
from squat_deploy.errors import ExportError
from squat_deploy.hardware.design import Design
from squat_deploy.hardware.graph import ENTRY
from squat_deploy.hardware.words import Fields
from squat_deploy.names import plain
from squat_deploy.network.encoders import EventEncoder, RateEncoder


@dataclass(frozen=True, eq=False)
class RtlPlan:
    """A whole core.

    Attributes:
        frame: the numbers of one step in the words of the input stream.
        instances: of the generated top, in the order in which they are printed.
        shares: how it is folded, a process each.
    """

    design: Design
    frame: Fields
    instances: tuple[Instance, ...]
    shares: tuple[Share, ...] = ()

    @property
    def neurons(self) -> tuple[Neurons, ...]:
        """First to last: those that are traced."""
        return tuple(instance for instance in self.instances if isinstance(instance, Neurons))

    @property
    def modules(self) -> tuple[str, ...]:
        """Of the library, as far as they are used."""
        return tuple(sorted({module for instance in self.instances for module in instance.modules}))

    @property
    def memories(self) -> dict[str, str]:
        """Text of every memory by the name of its file."""
        return {name: text for instance in self.instances for name, text in instance.memories.items()}

    @property
    def facts(self) -> list[dict[str, object]]:
        """What a manifest says of every unit."""
        units = self.design.parts
        return [{"name": plain(unit.name), "kind": unit.kind, "size": unit.size, **unit.facts} for unit in units]


def plan_of(design: Design, simd: int, pace: float) -> RtlPlan:
    """The plan of a folded design. Raises: ExportError naming the layer that RTL does not take, or the folding."""
    wiring = Wiring(design, simd, pace)
    for neurons in design.neurons:  # spikes of later ones may be taken by earlier layers
        wiring.give(neurons.number, rows_of(neurons).alone)
    _read(wiring)
    for part in design.parts:
        BUILDERS[type(part)](wiring, part)
    _score(wiring)
    wiring.finish()
    if simd > 1 and not any(isinstance(one, Dense) and one.source.banks > 1 for one in wiring.instances):
        raise ExportError(f"simd {simd}: no layer here takes several events a cycle; use simd=1")
    return RtlPlan(design, design.entry.fields, tuple(wiring.instances))


def _read(wiring: Wiring) -> None:
    entry, fields = wiring.design.entry, wiring.design.entry.fields
    encoder = entry.encoder
    per_word = fields.per_word
    if isinstance(encoder, EventEncoder):
        per_word = 1 << per_word.bit_length() - 1  # so that an address is a row and a field
    words = Rows("word", in_words(entry.size, per_word), fields.bits, entry.spec.low < 0)
    if isinstance(encoder, EventEncoder):
        wiring.add(EventReader("reader", entry, words, encoder))
        return wiring.give(ENTRY, words)
    wiring.add(Reader("reader", entry, words))
    if encoder is None:
        return wiring.give(ENTRY, words)
    frame = wiring.repeated(words, "0")
    assert isinstance(frame, Rows)
    spikes = Rows("spike", words.elements, 1, signed=False)
    if isinstance(encoder, RateEncoder):
        wiring.add(EncodeRate("encoder", frame, spikes, encoder))
    else:
        wiring.add(EncodeLatency("encoder", frame, spikes, encoder, entry.steps))
    return wiring.give(ENTRY, spikes)


def _score(wiring: Wiring) -> None:
    last = wiring.design.neurons[-1]
    (neurons,) = (one for one in wiring.instances if isinstance(one, Neurons) and one.layer is last)
    leg = wiring.leg(last.number, queued=False)
    wiring.add(Scores("readout", wiring.design.readout, neurons, leg))
