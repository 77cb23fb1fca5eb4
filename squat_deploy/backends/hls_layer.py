"""What the HLS templates need to know of one layer: folding, packed ROMs, widths. Numbers only, no text of C++."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squat_deploy.backends.cpp import packed_rows
from squat_deploy.errors import ExportError
from squat_deploy.network import IntArray, Neuron, int_bits
from squat_deploy.synapses import Dense
from squat_deploy.transition import OffsetForm, offset_form

WORD_BITS = 64  # of a weight ROM word; wider folding reads several ROMs side by side
MAX_PE = 64  # spikes of the neurons updated together travel in one 64-bit mask
MAX_TABLE_ENTRIES = 2**22
_SMALL_LEVELS = 4  # up to here thresholds cost no more logic than the offset form


@dataclass(frozen=True, eq=False)
class HlsLayer:
    """One synapse and neuron layer, folded.

    Attributes:
        index: position, from 1; files and identifiers are numbered, never named after the model.
        pe: neurons updated in parallel; `groups` of them make the layer.
        weight_words: (limbs, inputs * groups) ROM words; `lanes` weights of `weight_bits` in each.
        bipolar: weights are -1 or +1, stored as one bit.
        keys: OFFSET of the offset form, shaped as `tables`, or None in the threshold form.
        sorted_table: what the binary search runs over, padded to 2**search_bits - 1 entries.
        per_neuron: tables differ between neurons; leading dimensions are then (groups, PE).
    """

    index: int
    dense: Dense
    neuron: Neuron
    input_low: int
    input_high: int
    held_sums: bool
    pe: int
    groups: int
    weight_bits: int
    bipolar: bool
    lanes: int
    weight_words: tuple[tuple[int, ...], ...]
    sum_bits: int
    bias: IntArray | None
    form: str
    fraction_bits: int
    key_low: int
    key_high: int
    keys: IntArray | None
    sorted_table: IntArray
    search_bits: int
    successor: IntArray | None
    fire_level: IntArray
    per_neuron: bool

    @property
    def key_bits(self) -> int:
        """Width of the number that is searched for, signed."""
        return int_bits(min(self.key_low, -1), self.key_high)

    @property
    def spikes_in(self) -> bool:
        """Whether the inputs are 0 or 1, so that no multiplier is needed."""
        return (self.input_low, self.input_high) == (0, 1)

    @property
    def trace_field_bits(self) -> int:
        """Width of one neuron in a trace word: state index and spike."""
        return self.neuron.state_bits + 1

    @property
    def word_bits(self) -> int:
        """Bits used of a weight ROM word."""
        return min(self.lanes, self.pe) * self.weight_bits

    @property
    def constants(self) -> dict[str, IntArray]:
        """The constant arrays of the layer by their names in the source."""
        searched = "BOUNDARIES" if self.form == "offset" else "THRESHOLDS"
        arrays = {
            "WEIGHTS": np.array(self.weight_words, dtype=np.uint64).view(np.int64),
            "BIAS": self.bias,
            "OFFSET": self.keys,
            searched: self.sorted_table,
            "SUCCESSOR": self.successor,
            "FIRE_LEVEL": self.fire_level if self.per_neuron else None,
        }
        return {name: array for name, array in arrays.items() if array is not None}

    @property
    def rom_bits(self) -> int:
        """Bits of all weights as stored, unused lanes of the last group included."""
        return len(self.weight_words[0]) * self.pe * self.weight_bits

    @property
    def table_bits(self) -> int:
        """Bits of the transition tables."""
        entries = self.sorted_table.size + (0 if self.keys is None else self.keys.size)
        return entries * self.key_bits + (0 if self.successor is None else self.successor.size * self.neuron.state_bits)


def fold_layer(
    index: int, dense: Dense, neuron: Neuron, low: int, high: int, *, pe: int, form: str, held_sums: bool
) -> HlsLayer:
    """Folds a layer to `pe` neurons in parallel. Raises: ExportError naming the layer and the rule."""
    if not 1 <= pe <= min(MAX_PE, max(dense.outputs, 1)):
        raise ExportError(f"{neuron.name}: PE must be 1 to {min(MAX_PE, dense.outputs)}; got {pe}")
    groups = -(-dense.outputs // pe)
    bits, bipolar, codes = _codes(dense.weight)
    lanes = WORD_BITS // bits
    lows, highs = dense.sum_range(low, high)
    low_sum, high_sum = int(lows.min()), int(highs.max())
    chosen = _choose_form(neuron, low_sum, high_sum, form)
    per_neuron = len(neuron.thresholds) > 1
    key_low, key_high = _key_range(neuron, chosen, low_sum, high_sum)
    keys, searched, search_bits = _search_arrays(neuron, chosen, groups, pe, key_high)
    if searched.size > MAX_TABLE_ENTRIES:
        raise ExportError(
            f"{neuron.name}: its tables have {searched.size} entries, the limit is {MAX_TABLE_ENTRIES}; "
            "use fewer state bits, or one scale for the whole layer instead of one a neuron"
        )
    bottom, top = dense.partial_range(low, high)
    return HlsLayer(
        index=index,
        dense=dense,
        neuron=neuron,
        input_low=low,
        input_high=high,
        held_sums=held_sums,
        pe=pe,
        groups=groups,
        weight_bits=bits,
        bipolar=bipolar,
        lanes=lanes,
        weight_words=_weight_words(codes, pe, groups, bits, lanes),
        sum_bits=int_bits(min(bottom, -1), top),
        bias=_by_lane(dense.bias, groups, pe) if dense.bias.any() else None,
        form="threshold" if chosen is None else "offset",
        fraction_bits=0 if chosen is None else chosen.fraction_bits,
        key_low=key_low,
        key_high=key_high,
        keys=keys,
        sorted_table=searched,
        search_bits=search_bits,
        successor=None if neuron.carries_level else _spread(neuron.successor, neuron, groups, pe),
        fire_level=_spread(neuron.fire_level, neuron, groups, pe),
        per_neuron=per_neuron,
    )


def _codes(weight: IntArray) -> tuple[int, bool, IntArray]:
    """(bits, bipolar, unsigned codes) of the narrowest encoding: +-1 in one bit, else two's complement."""
    if weight.size and (np.abs(weight) == 1).all():
        return 1, True, (weight > 0).astype(np.int64)
    bits = int_bits(min(int(weight.min()), -1), max(int(weight.max()), 0))
    return bits, False, weight & (2**bits - 1)


def _weight_words(codes: IntArray, pe: int, groups: int, bits: int, lanes: int) -> tuple[tuple[int, ...], ...]:
    """Row `input * groups + group` holds the weights of one group of PE neurons from one input."""
    outputs, inputs = codes.shape
    padded = np.pad(codes, [(0, groups * pe - outputs), (0, 0)], mode="edge")  # idle lanes repeat the last neuron
    rows = padded.reshape(groups, pe, inputs).transpose(2, 0, 1).reshape(inputs * groups, pe)
    return tuple(tuple(limb) for limb in packed_rows(rows, bits, lanes))


def _by_lane(values: IntArray, groups: int, pe: int) -> IntArray:
    """(N, ...) to (groups, PE, ...); lanes beyond the last neuron repeat it."""
    padding = [(0, groups * pe - len(values))] + [(0, 0)] * (values.ndim - 1)
    return np.pad(values, padding, mode="edge").reshape(groups, pe, *values.shape[1:])


def _spread(tables: IntArray, neuron: Neuron, groups: int, pe: int) -> IntArray:
    """(K, ...) as it stands in hardware: the one shared table, or one a neuron, banked by lane."""
    return tables[0] if len(neuron.thresholds) == 1 else _by_lane(tables[neuron.table], groups, pe)


def _choose_form(neuron: Neuron, low: int, high: int, wanted: str) -> OffsetForm | None:
    if wanted == "threshold" or (wanted == "auto" and neuron.level_count <= _SMALL_LEVELS):
        return None
    found = offset_form(neuron, low, high)
    if found is None and wanted == "offset":
        raise ExportError(
            f"{neuron.name}: no offset/boundary form exists: rounding ties of its thresholds contradict each other; "
            "use form='threshold' or 'auto'"
        )
    return found


def _search_arrays(
    neuron: Neuron, form: OffsetForm | None, groups: int, pe: int, above: int
) -> tuple[IntArray | None, IntArray, int]:
    searched = neuron.thresholds if form is None else form.boundaries
    bits = (neuron.level_count - 1).bit_length()
    missing = 2**bits - 1 - searched.shape[-1]
    padding = [(0, 0)] * (searched.ndim - 1) + [(0, missing)]
    searched = np.pad(searched, padding, constant_values=above)  # one more than any key
    keys = None if form is None else _spread(form.offset, neuron, groups, pe)
    return keys, _spread(searched, neuron, groups, pe), bits


def _key_range(neuron: Neuron, form: OffsetForm | None, low: int, high: int) -> tuple[int, int]:
    if form is None:
        return min(low, int(neuron.thresholds.min())), max(high, int(neuron.thresholds.max())) + 1
    scale = 2**form.fraction_bits
    lowest = int(form.offset.min()) + min(low * scale, 0)
    highest = int(form.offset.max()) + max(high * scale, 0)
    return min(lowest, int(form.boundaries.min())), max(highest, int(form.boundaries.max())) + 1
