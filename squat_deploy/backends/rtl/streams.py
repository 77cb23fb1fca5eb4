"""What flows between the instances of the generated top: rows of numbers, beats of events, and pages of sums."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from squat_deploy.hardware.lanes import Lanes
from squat_deploy.network import IntArray

FLAGS = 2  # that every step carries: it starts a sequence, it ends a call
NOTHING = -1  # in place of an element: a slot that holds none


@dataclass(frozen=True, eq=False)
class Stream(ABC):
    """A handshake with the end and the flags of a step, and numbers of `value` bits each, `signed` or not.

    Attributes:
        name: all its wires begin so.
        elements: which element of the signal each of its places is, `NOTHING` for none.
    """

    name: str
    elements: IntArray
    value: int
    signed: bool
    end: ClassVar[str] = "last"  # the wire that says that a step ends

    @property
    @abstractmethod
    def payload(self) -> Mapping[str, int]:
        """Bits of what it carries besides, by the names of wires."""

    @property
    @abstractmethod
    def most(self) -> int:
        """Beats of a step, at most."""

    @property
    def wires(self) -> dict[str, int]:
        """All its wires with their bits."""
        own = {"valid": 1, "ready": 1, self.end: 1, "flags": FLAGS, **self.payload}
        return {f"{self.name}_{wire}": bits for wire, bits in own.items()}

    @property
    def carried(self) -> tuple[str, ...]:
        """All of its wires but the handshake."""
        return (self.end, "flags", *self.payload)

    @property
    def width(self) -> int:
        """Bits of a beat, its end and flags among them."""
        return 1 + FLAGS + sum(self.payload.values())

    @property
    def beat(self) -> str:
        """All of that, as one number."""
        return f"{{{', '.join(f'{self.name}_{wire}' for wire in self.carried)}}}"

    @property
    def numbers(self) -> str:
        """All but the end and the flags, as one number."""
        return f"{{{', '.join(f'{self.name}_{wire}' for wire in self.payload)}}}"

    def ports(self, side: str) -> dict[str, str]:
        """Its wires as the ports of a module that begin with `side`."""
        return {f"{side}_{wire}": f"{self.name}_{wire}" for wire in ("valid", "ready", *self.carried)}

    def handshake(self, side: str) -> dict[str, str]:
        """Those of the handshake alone."""
        return {f"{side}_{wire}": f"{self.name}_{wire}" for wire in ("valid", "ready")}

    def renamed(self, name: str) -> Self:
        """The same elsewhere."""
        return replace(self, name=name)


@dataclass(frozen=True, eq=False)
class Rows(Stream):
    """Words of `fields` numbers: `elements` (words, fields). A step may end early: what is missing is zero."""

    @property
    def words(self) -> int:
        return len(self.elements)

    @property
    def fields(self) -> int:
        return int(self.elements.shape[1])

    @property
    def payload(self) -> Mapping[str, int]:
        return {"fields": self.fields * self.value}

    @property
    def most(self) -> int:
        return self.words


@dataclass(frozen=True, eq=False)
class SpikeRows(Rows):
    """Rows of spikes of neurons, beside which their states stand.

    Attributes:
        state: bits of a state.
    """

    state: int

    @property
    def alone(self) -> Rows:
        """The spikes without the states."""
        return Rows(self.name, self.elements, self.value, self.signed)

    @property
    def states(self) -> str:
        """The wires of the states."""
        return f"{self.name}_states"

    @property
    def wires(self) -> dict[str, int]:
        return {**super().wires, self.states: self.fields * self.state}


@dataclass(frozen=True, eq=False)
class Ticks(Stream):
    """One beat a step, which carries its flags."""

    @property
    def payload(self) -> Mapping[str, int]:
        return {}

    @property
    def most(self) -> int:
        return 1


@dataclass(frozen=True, eq=False)
class Beats(Stream):
    """Up to an event of each bank: `elements` (banks, entries) by bank and index. A step without any is one beat.

    Attributes:
        capacity: most beats of a step.
    """

    capacity: int
    end: ClassVar[str] = "end"

    @property
    def banks(self) -> int:
        return len(self.elements)

    @property
    def entries(self) -> int:
        """Indices of a bank."""
        return int(self.elements.shape[1])

    @property
    def index(self) -> int:
        """Bits of an index."""
        return max(1, (self.entries - 1).bit_length())

    @property
    def payload(self) -> Mapping[str, int]:
        return {"keep": self.banks, "index": self.banks * self.index, "value": self.banks * self.value}

    @property
    def most(self) -> int:
        return self.capacity


@dataclass(frozen=True, eq=False)
class Page:
    """All sums of a step, which its reader asks for row by row.

    Attributes:
        name: all its wires begin so.
        lanes: how the sums lie.
        bits: of a sum, signed.
        held: the same in all steps of a sequence.
        number: of the unit whose numbers they are.
        reading: cycles from where a row is asked for to its sums.
    """

    name: str
    lanes: Lanes
    bits: int
    held: bool
    number: int
    reading: int = 1

    @property
    def row(self) -> int:
        """Bits of a row's number."""
        return max(1, (self.lanes.rows - 1).bit_length())

    @property
    def wires(self) -> dict[str, int]:
        own = {"full": 1, "flags": FLAGS, "row": self.row, "read": 1, "sums": self.lanes.pe * self.bits, "done": 1}
        return {f"{self.name}_{wire}": bits for wire, bits in own.items()}

    def ports(self, side: str) -> dict[str, str]:
        """Its wires as the ports of a module that begin with `side`."""
        return {f"{side}_{wire}": f"{self.name}_{wire}" for wire in ("full", "flags", "row", "read", "sums", "done")}


@dataclass(frozen=True)
class Handshake:
    """That of a stream alone, for a leg whose numbers are those of the stream that is forked."""

    name: str

    @property
    def wires(self) -> dict[str, int]:
        return {f"{self.name}_{wire}": 1 for wire in ("valid", "ready")}


Bundle = Stream | Page | Handshake


def elements_of(lanes: Lanes) -> IntArray:
    """(rows, pe) which element lies where."""
    row, lane = np.arange(lanes.rows)[:, None], np.arange(lanes.pe)
    return np.where(lanes.active, lanes.element(row, lane), NOTHING)


def in_words(size: int, fields: int) -> IntArray:
    """(words, fields) elements in their order."""
    slots = np.arange(-(-size // fields) * fields)
    return np.where(slots < size, slots, NOTHING).reshape(-1, fields)
