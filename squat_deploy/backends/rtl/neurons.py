"""Instances of neurons, and the readout behind the last ones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_lowercase, digits
from typing import ClassVar

import numpy as np

from squat_deploy.backends.rtl.instance import Instance, Parameters, file, flag
from squat_deploy.backends.rtl.memories import comparisons, hex_lines, lane_files
from squat_deploy.backends.rtl.streams import Bundle, Page, SpikeRows, Stream
from squat_deploy.hardware.pair_tables import Search
from squat_deploy.hardware.units import Fire, FirePairs, Firing, ReadOut
from squat_deploy.names import plain
from squat_deploy.network import IntArray

Tables = dict[str, tuple[IntArray, int]]  # arrays of a layer and the bits of their numbers, by parameter


@dataclass(frozen=True, eq=False)
class Neurons(Instance):
    """A layer of neurons."""

    source: Page
    out: SpikeRows
    module: ClassVar[str] = "neurons"

    @property
    @abstractmethod
    def layer(self) -> Firing:
        """The unit."""

    @property
    @abstractmethod
    def membrane(self) -> tuple[int, int]:
        """(bits, states) of a membrane, in the lowest bits of what is kept."""

    @property
    @abstractmethod
    def tables(self) -> Tables: ...

    @property
    @abstractmethod
    def searched(self) -> frozenset[str]:
        """Those that are searched, a comparison a cycle."""

    @property
    @abstractmethod
    def latency(self) -> int:
        """Cycles from a row of sums to one of spikes."""

    @property
    @abstractmethod
    def law(self) -> Parameters:
        """Parameters of one neuron."""

    @property
    def about(self) -> str:
        return f"{plain(self.layer.name)}: {self.layer.about}"

    @property
    def parameters(self) -> Parameters:
        unit, lanes = self.layer, self.layer.lanes
        files = {name: file(f"layer{unit.number}_{name.lower()}_") for name in self.tables}
        return {
            "PE": lanes.pe,
            "GROUPS": lanes.groups,
            "POSITIONS": lanes.positions,
            "CHANNELS": lanes.channels,
            "SUM": self.source.bits,
            "READ": self.source.reading,
            "OWNERS": {"shared": 1, "channel": lanes.groups, "neuron": lanes.rows}[unit.spread],
            "OWN": flag(unit.spread != "shared"),
            **self.law,
            **files,
        }

    @property
    def ports(self) -> Mapping[str, str]:
        name = self.out.name
        spikes = {f"out_{wire}": f"{name}_{wire}" for wire in ("valid", "ready", "last", "flags")}
        own = {"out_spikes": f"{name}_fields", "out_states": self.out.states}
        return {**self.source.ports("in"), **spikes, **own}

    @property
    def gives(self) -> tuple[Bundle, ...]:
        return (self.out,)

    @property
    def memories(self) -> Mapping[str, str]:
        lanes = None if self.layer.spread == "shared" else self.layer.lanes.pe
        prefix = f"layer{self.layer.number}"
        found = dict[str, str]()
        for name, (array, bits) in self.tables.items():
            start = f"{prefix}_{name.lower()}"
            if name not in self.searched:
                found |= {f"{start}_{lane:03}.hex": text for lane, text in lane_files(array, bits, lanes)}
                continue
            for digit, met in zip(_DIGITS, comparisons(array), strict=False):
                files = lane_files(met, bits, lanes, together=met.shape[-1])
                found |= {f"{start}_{lane:03}_{digit}.hex": text for lane, text in files}
        return found

    @property
    def modules(self) -> tuple[str, ...]:
        return (self.module, "neuron", "pair", "ram", "search")


_DIGITS = digits + ascii_lowercase  # names of comparisons, as `squat_search` counts them


@dataclass(frozen=True, eq=False)
class SingleNeurons(Neurons):
    """By tables of one state."""

    unit: Fire

    @property
    def layer(self) -> Firing:
        return self.unit

    @property
    def membrane(self) -> tuple[int, int]:
        return self.unit.state_bits, self.unit.states

    @property
    def tables(self) -> Tables:
        tables = self.unit.tables
        padding = [(0, 0)] * (tables.searched.ndim - 1) + [(0, 1)]  # to a power of two: addresses are side by side
        found = {
            "TABLE": np.pad(tables.searched, padding, mode="edge"),
            "OFFSET": tables.keys,
            "SUCCESSOR": tables.successor,
            "FIRE": tables.fire_level,
        }
        if tables.shift is not None:
            del found["TABLE"]
        bits = {"SUCCESSOR": self.unit.state_bits, "FIRE": tables.search_bits + 1}
        arrays = {name: np.asarray(array) for name, array in found.items() if array is not None}
        return {name: (array, bits.get(name, tables.key_bits)) for name, array in arrays.items()}

    @property
    def searched(self) -> frozenset[str]:
        return frozenset({"TABLE"} if self.unit.tables.searches else ())

    @property
    def latency(self) -> int:
        tables = self.unit.tables
        return 2 + tables.searches * tables.search_bits

    @property
    def law(self) -> Parameters:
        unit, tables = self.unit, self.unit.tables
        return {
            "STATE": unit.state_bits,
            "STATES": unit.states,
            "LEVEL": tables.search_bits,
            "KEY": tables.key_bits,
            "KEYS": flag(tables.form == "offset"),
            "FRACTION": tables.fraction_bits,
            "SHIFT": -1 if tables.shift is None else tables.shift,
            "TOP": tables.levels - 1,
            "CARRIED": flag(tables.successor is None),
            "REST": unit.rest,
        }


@dataclass(frozen=True, eq=False)
class PairNeurons(Neurons):
    """By offsets of two states; what is kept is a code, the membrane in the lowest bits."""

    unit: FirePairs

    @property
    def layer(self) -> Firing:
        return self.unit

    @property
    def membrane(self) -> tuple[int, int]:
        count = self.unit.tables.neuron.membrane_state_count
        return max(1, (count - 1).bit_length()), count

    @property
    def _current_bits(self) -> int:
        return max(1, (self.unit.tables.neuron.current_states - 1).bit_length())

    @property
    def code_bits(self) -> int:
        """Of both states."""
        return self.membrane[0] + self._current_bits

    @property
    def tables(self) -> Tables:
        tables = self.unit.tables
        key, after = tables.reached.key_bits, tables.following.key_bits
        found: Tables = {
            "OFFSET": (tables.membrane_offset, key),
            "CURRENT_OFFSET": (tables.current_offset, key),
            "TABLE": (_searched(tables.reached), key),
            "NEXT_OFFSET": (tables.next_offset, after),
            "NEXT_BOUNDS": (_searched(tables.following), after),
            "FIRE": (np.asarray(tables.fire_level), _bits(tables.reached) + 1),
        }
        if tables.follows is not None:
            found["FOLLOWS"] = tables.follows.astype(np.int64), 1
        if tables.successor is not None:
            missing = 2 ** _bits(tables.reached) - tables.successor.shape[-1]
            padding = [(0, 0)] * (tables.successor.ndim - 1) + [(0, missing)]
            found["SUCCESSOR"] = np.pad(tables.successor, padding, mode="edge"), self.membrane[0]
        return found

    @property
    def searched(self) -> frozenset[str]:
        return frozenset({"TABLE", "NEXT_BOUNDS"})

    @property
    def latency(self) -> int:
        return 2 + max(_bits(self.unit.tables.reached), _bits(self.unit.tables.following))

    @property
    def law(self) -> Parameters:
        tables, neuron = self.unit.tables, self.unit.tables.neuron
        current, membrane = divmod(self.unit.rest, neuron.membrane_state_count)
        return {
            "PAIR": flag(True),
            "STATE": self.code_bits,
            "STATES": neuron.membrane_state_count,
            "MEMBRANE": self.membrane[0],
            "CURRENTS": neuron.current_states,
            "LEVEL": _bits(tables.reached),
            "KEY": tables.reached.key_bits,
            "FRACTION": neuron.fraction_bits,
            "NEXT_LEVEL": _bits(tables.following),
            "NEXT_KEY": tables.following.key_bits,
            "NEXT_FRACTION": neuron.next_fraction_bits,
            "SOME": flag(tables.follows is not None),
            "CARRIED": flag(tables.successor is None),
            "REST": current << self.membrane[0] | membrane,
        }


def _bits(search: Search) -> int:
    """Of what is found: at least one, so that there is something to compare with."""
    return max(1, search.bits)


def _searched(search: Search) -> IntArray:
    """Boundaries, padded to a power of two."""
    missing = 2 ** _bits(search) - search.boundaries.shape[-1]
    padding = [(0, 0)] * (search.boundaries.ndim - 1) + [(0, missing)]
    return np.pad(search.boundaries, padding, constant_values=search.high)


@dataclass(frozen=True, eq=False)
class Scores(Instance):
    """The readout, of the rows of the last neurons, by the handshake of `source`."""

    unit: ReadOut
    neurons: Neurons
    source: Stream
    module: ClassVar[str] = "scores"

    @property
    def words(self) -> int:
        """Of all scores."""
        return self.unit.size * (2 if self.unit.worth else 1)

    @property
    def parameters(self) -> Parameters:
        lanes, (bits, states) = self.neurons.layer.lanes, self.neurons.membrane
        return {
            "PE": lanes.pe,
            "GROUPS": lanes.groups,
            "POSITIONS": lanes.positions,
            "CLASSES": lanes.size,
            "STATE": bits,
            "STATES": states,
            "CODE": self.neurons.out.state,
            "MODE": _MODES[self.unit.readout],
            "WORTH": '"memories/worth.hex"',
        }

    @property
    def ports(self) -> Mapping[str, str]:
        rows, own = self.neurons.out.name, ("m_axis_tvalid", "m_axis_tready", "m_axis_tdata", "m_axis_tlast")
        numbers = {"last": "last", "flags": "flags", "spikes": "fields", "states": "states"}
        taken = {f"in_{port}": f"{rows}_{wire}" for port, wire in numbers.items()}
        return {**self.source.handshake("in"), **taken, **dict.fromkeys(own, "")}

    @property
    def gives(self) -> tuple[Bundle, ...]:
        return ()

    @property
    def memories(self) -> Mapping[str, str]:
        worth = self.unit.worth
        return {"worth.hex": hex_lines(np.array(worth)[:, None], 64)} if worth else {}


_MODES = {"count": 0, "first": 1, "highest-membrane": 2, "last-membrane": 3, "mean-membrane": 4}
