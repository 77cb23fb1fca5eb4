"""What the generated top is made of: the parameters of every instance, from the folded design."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from squat_deploy.errors import ExportError
from squat_deploy.hardware.design import Design
from squat_deploy.hardware.units import Fire, Unit
from squat_deploy.hardware.units.scatter import Scatter
from squat_deploy.hardware.words import Fields
from squat_deploy.names import plain

_TAKEN = "RTL takes fully connected layers and neurons of one state, one after another, so far"
_INSTEAD = "write this network with `squat-deploy hls`"


@dataclass(frozen=True)
class Listing:
    """A lister: words of `fields` numbers become events of `simd` banks.

    Attributes:
        words: of a step.
        value: bits of a number, `signed` or not.
        index: bits of an index in a bank.
    """

    fields: int
    words: int
    value: int
    simd: int
    signed: bool

    @property
    def entries(self) -> int:
        """Numbers of one bank."""
        return self.words * self.fields // self.simd

    @property
    def index(self) -> int:
        return max(1, (self.entries - 1).bit_length())


@dataclass(frozen=True, eq=False)
class Layer:
    """Synapses and the neurons behind them, folded alike."""

    synapses: Scatter
    neurons: Fire
    listing: Listing

    @property
    def number(self) -> int:
        """Of the neurons in the design, as testbenches name them."""
        return self.neurons.number

    @property
    def name(self) -> str:
        """As a comment may hold it."""
        return plain(self.neurons.name)

    @property
    def facts(self) -> dict[str, object]:
        """What a manifest says of it."""
        own = {"name": self.name, "simd": self.listing.simd, "neurons": self.neurons.size}
        return {**own, **self.synapses.facts, **self.neurons.facts}

    @property
    def queue(self) -> int:
        """Rows of spikes that may wait: those of a step, at least two."""
        return max(2, 2 ** (self.neurons.lanes.groups - 1).bit_length())


@dataclass(frozen=True, eq=False)
class RtlPlan:
    """A whole core.

    Attributes:
        frame: the numbers of one step in the words of the input stream.
        mode: of the readout, as `squat_scores.sv` numbers them.
    """

    design: Design
    frame: Fields
    layers: tuple[Layer, ...]
    mode: int


def plan_of(design: Design, simd: int) -> RtlPlan:
    """The plan of a folded design. Raises: ExportError naming the layer that RTL does not take, or the folding."""
    pairs = _chain(design)
    frame = design.entry.fields
    spec = design.network.input
    fields, words, value, signed = frame.per_word, frame.words, spec.bits, spec.low < 0
    layers = list[Layer]()
    for synapses, neurons in pairs:
        if fields % simd:
            source = "the input" if not layers else layers[-1].neurons.name
            what = f"{fields} numbers a word" if not layers else f"PE {fields}"
            raise ExportError(f"{source}: {what} cannot be dealt over {simd} banks; use simd={_divisor(fields, simd)}")
        layers.append(Layer(synapses, neurons, Listing(fields, words, value, simd, signed)))
        fields, words, value, signed = neurons.lanes.pe, neurons.lanes.groups, 1, False
    return RtlPlan(design, frame, tuple(layers), _MODES[design.network.readout])


_MODES = {"count": 0, "first": 1, "highest-membrane": 2, "last-membrane": 3, "mean-membrane": 4}


def _divisor(fields: int, simd: int) -> int:
    """The highest number of banks below `simd` that works for so many fields."""
    return max(number for number in range(1, simd) if fields % number == 0)


def _chain(design: Design) -> list[tuple[Scatter, Fire]]:
    """Synapses and neurons in turn, each taking what the one before gives, and nothing else."""
    if design.entry.encoder is not None:
        raise ExportError(f"input: encoders are not in RTL; {_INSTEAD}")
    for before, part in pairwise((None, *design.parts)):
        expected = Fire if isinstance(before, Scatter) else Scatter
        number = 0 if before is None else before.number
        if not isinstance(part, expected) or part.sources != (number,):
            raise _refused(part)
        if isinstance(part, Scatter) and not part.rom.plane.single:
            raise _refused(part)
    if len(design.parts) % 2:
        raise _refused(design.parts[-1])
    return list(zip(design.parts[::2], design.parts[1::2], strict=True))  # type: ignore[arg-type]


def _refused(part: Unit | None) -> ExportError:
    assert part is not None
    return ExportError(f"{part.name}: {part.about}: {_TAKEN}; {_INSTEAD}")
