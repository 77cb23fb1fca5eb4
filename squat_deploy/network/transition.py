"""Two hardware forms of a neuron's transition table: thresholds (the specification) and offset/boundary.

Offset/boundary form: level = number of `boundaries[k]` that are <= `offset[k, state] + (S << fraction_bits)`.
It is exact iff for every state i and boundary j
`(T[i, j] - 1) * 2**F < M[j] - D[i] <= T[i, j] * 2**F`, a system of difference constraints (Bellman 1958, Ford 1956).
Where levels lie a power of two of a sum's step apart, M[j] can be (j + 1) * 2**k: then the count is a shift and a clip.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

import numpy as np

from squat_deploy.errors import InternalError
from squat_deploy.network import IntArray, Neuron

MAX_FRACTION_BITS = 12
MAX_REGULAR_BITS = 4  # fractional bits of boundaries at multiples of a power of two
_UNBOUNDED = 2**60
_ENUMERATION_LIMIT = 2**24


@dataclass(frozen=True, eq=False)
class OffsetForm:
    """Offsets (K, states), ascending boundaries (K, levels - 1), and the number of fractional bits."""

    offset: IntArray
    boundaries: IntArray
    fraction_bits: int

    def level(self, table: int, state: IntArray | int, synaptic_sum: IntArray) -> IntArray:
        """Level index of every (state, synaptic sum), broadcast."""
        key = self.offset[table, state] + (synaptic_sum << self.fraction_bits)
        return np.searchsorted(self.boundaries[table], key, side="right").astype(np.int64)


def threshold_level(thresholds: IntArray, state: int, synaptic_sum: IntArray) -> IntArray:
    """Level index by the specification: `thresholds` is (states, levels - 1) of one table."""
    return np.searchsorted(thresholds[state], synaptic_sum, side="right").astype(np.int64)


def reachable_states(neuron: Neuron, table: int, low: int, high: int, *, steps: int | None = None) -> IntArray:
    """States that a neuron can ever be in when its synaptic sum stays in low..high, ascending.

    Args: steps: only those that it can be in before the last of so many steps.
    """
    edges = np.concatenate(
        [
            np.full((neuron.states, 1), low, dtype=np.int64),
            neuron.thresholds[table],
            np.full((neuron.states, 1), high + 1, dtype=np.int64),
        ],
        axis=1,
    ).clip(low, high + 1)
    hit = edges[:, 1:] > edges[:, :-1]  # (states, levels): some sum leads there
    seen, frontier = np.zeros((2, neuron.states), dtype=bool)
    frontier[neuron.initial_state] = True
    while frontier.any() and steps != 0:
        steps = None if steps is None else steps - 1
        seen |= frontier
        after = np.zeros(neuron.states, dtype=bool)
        after[neuron.successor[table, frontier][hit[frontier]]] = True
        frontier = after & ~seen
    return np.flatnonzero(seen)


@lru_cache(maxsize=32)  # a design is made for the project and again for its estimate
def offset_form(neuron: Neuron, low: int, high: int) -> OffsetForm | None:
    """The offset/boundary form with the fewest fractional bits for sums in low..high, or None where none exists.

    Only reachable states constrain it. All tables of a layer share the number of fractional bits. A solution with some
    bits is one with more of them too, doubled, so that the fewest are found by bisection.
    """
    bounds = [_difference_bounds(neuron, table, low, high) for table in range(len(neuron.thresholds))]
    bits = 0
    for lower, upper in bounds:
        if _solve(lower, upper, bits) is None:
            wider = range(bits + 1, MAX_FRACTION_BITS + 1)
            bits += 1 + bisect_left(wider, True, key=lambda some: _solve(lower, upper, some) is not None)
            if bits > MAX_FRACTION_BITS:
                return None
    solutions = [solution for lower, upper in bounds if (solution := _solve(lower, upper, bits)) is not None]
    form = OffsetForm(np.stack([d for d, _ in solutions]), np.stack([m for _, m in solutions]), bits)
    check_offset_form(form, neuron, low, high)
    return form


def key_form(neuron: Neuron, low: int, high: int) -> OffsetForm | None:
    """The form of keys: with boundaries at multiples of a power of two where they can be, else as they come."""
    return regular_form(neuron, low, high) or offset_form(neuron, low, high)


@lru_cache(maxsize=32)
def regular_form(neuron: Neuron, low: int, high: int) -> OffsetForm | None:
    """The form with boundaries 1, 2, ... times a power of two, so that a level is a shift and a clip, or None.

    With the boundaries known, every state has bounds of its own for its offset. A solution with some fractional bits is
    one with more of them, doubled, so that each distance in sums is tried from few bits on.
    """
    bounds = [_difference_bounds(neuron, table, low, high) for table in range(len(neuron.thresholds))]
    for bits in range(MAX_REGULAR_BITS + 1):
        for step in range(bits + max(1, high - low).bit_length() + 1):
            boundaries = np.arange(1, neuron.level_count, dtype=np.int64) << step
            found = (_offsets(lower, upper, boundaries, bits) for lower, upper in bounds)
            offsets = list(takewhile(lambda offset: offset is not None, found))  # no further than the first without
            if len(offsets) == len(bounds):
                form = OffsetForm(np.array(offsets), np.tile(boundaries, (len(bounds), 1)), bits)
                check_offset_form(form, neuron, low, high)
                return form
    return None


def _offsets(lower: IntArray, upper: IntArray, boundaries: IntArray, bits: int) -> IntArray | None:
    """Offsets as in `_solve`, each as near to zero as it can be."""
    least = np.where(upper == _UNBOUNDED, -_UNBOUNDED, boundaries - (upper << bits)).max(axis=1)
    most = np.where(lower == -_UNBOUNDED, _UNBOUNDED, boundaries - (lower << bits) - 1).min(axis=1)
    return None if (least > most).any() else np.clip(np.zeros_like(least), least, most)


def _difference_bounds(neuron: Neuron, table: int, low: int, high: int) -> tuple[IntArray, IntArray]:
    """Per (state, boundary): the last sum that must stay below it, and the first that must reach it."""
    thresholds = neuron.thresholds[table]
    live = np.zeros((neuron.states, 1), dtype=bool)
    live[reachable_states(neuron, table, low, high)] = True
    lower = np.where(live & (thresholds > low), np.minimum(thresholds - 1, high), -_UNBOUNDED)
    upper = np.where(live & (thresholds <= high), thresholds, _UNBOUNDED)
    return lower, upper


def _solve(lower: IntArray, upper: IntArray, bits: int) -> tuple[IntArray, IntArray] | None:
    """Offsets D and boundaries M with `lower * 2**bits < M[j] - D[i] <= upper * 2**bits`, M ascending, or None."""
    most = np.where(upper == _UNBOUNDED, _UNBOUNDED, upper << bits)
    least = np.where(lower == -_UNBOUNDED, -_UNBOUNDED, (lower << bits) + 1)
    offset = np.zeros(lower.shape[0], dtype=np.int64)
    boundaries = np.zeros(lower.shape[1], dtype=np.int64)
    for _ in range(sum(lower.shape) + 1):
        new_boundaries = np.minimum(boundaries, (offset[:, None] + most).min(axis=0))
        new_boundaries = np.minimum.accumulate(new_boundaries[::-1])[::-1]
        new_offset = np.minimum(offset, (new_boundaries - least).min(axis=1))
        if (new_offset == offset).all() and (new_boundaries == boundaries).all():
            shift = int(boundaries[(boundaries.size - 1) // 2])  # keep the numbers small around zero
            return offset - shift, boundaries - shift
        offset, boundaries = new_offset, new_boundaries
    return None


def check_offset_form(form: OffsetForm, neuron: Neuron, low: int, high: int) -> int:
    """Compares the form with the thresholds on every reachable (state, sum); returns how many were compared.

    Both are step functions of the sum, so where the range is too wide to list, the sums at and next to every step
    of either are compared instead, which is the same proof.

    Raises: InternalError at the first difference.
    """
    compared = 0
    for table in range(len(neuron.thresholds)):
        states = reachable_states(neuron, table, low, high)
        for state, sums in _sums_to_compare(form, neuron, table, states, low, high):
            want = threshold_level(neuron.thresholds[table], state, sums)
            wrong = np.flatnonzero(want != form.level(table, state, sums))
            if wrong.size:
                raise InternalError(f"{neuron.name}: offset form differs at state {state}, sum {sums[wrong[0]]}")
            compared += sums.size
    return compared


def _sums_to_compare(
    form: OffsetForm, neuron: Neuron, table: int, states: IntArray, low: int, high: int
) -> Iterator[tuple[int, IntArray]]:
    whole = (high - low + 1) * states.size * len(neuron.thresholds) <= _ENUMERATION_LIMIT
    every = np.arange(low, high + 1) if whole else np.zeros(0, dtype=np.int64)
    for state in states.tolist():
        if whole:
            yield state, every
            continue
        steps = (form.boundaries[table] - form.offset[table, state]) >> form.fraction_bits
        near = np.concatenate([steps - 1, steps, steps + 1, neuron.thresholds[table, state] - 1])
        near = np.concatenate([near, neuron.thresholds[table, state], [low, high]])
        yield state, np.unique(near.clip(low, high))
