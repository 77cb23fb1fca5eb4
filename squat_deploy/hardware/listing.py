"""The lister: words of spikes become pairs of events, two spikes a cycle across the bounds of words.

It holds a word and looks one ahead. Words without spikes never reach it, but for the last one of a time step, by which
it knows the end. Two events wait until more come, so that every pair but the last of a step is whole, and none is empty
where others are there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network import IntArray

FIRST = 1  # iterations in which the first word of a step comes


def listing_rounds(counts: NDArray[Any]) -> IntArray:
    """(...) iterations of the lister in a time step, by the spikes of every word (..., words)."""
    given = counts.reshape(-1, counts.shape[-1]).astype(np.int64)
    here, ahead, words, last = np.zeros(len(given), dtype=np.int64), *_sent(given)
    rounds, final = np.zeros((2, len(given)), dtype=np.int64)
    at, open_ = np.zeros(len(given), dtype=np.int64), np.arange(len(given))
    while len(open_):
        one, there = here[open_], np.where(at[open_] <= last[open_], ahead[open_], 0)
        taken_here = np.minimum(one, 2)
        taken = taken_here + np.minimum(2 - taken_here, there)
        rest, left = one - taken_here, there - (taken - taken_here)
        rounds[open_] += 1
        over = (rest == 0) & ((at[open_] > last[open_]) | ((at[open_] == last[open_]) & (left == 0)))
        shifts = (rest == 0) & ~over
        here[open_] = np.where(shifts, left, rest)
        at[open_] += shifts
        ahead[open_] = np.where(shifts, words[open_, np.minimum(at[open_], words.shape[1] - 1)], left)
        final[open_[over]] = taken[over]
        open_ = open_[~over]
    waits = left_over(given.sum(axis=1), final)
    return np.asarray((rounds + FIRST + waits).reshape(counts.shape[:-1]))


def left_over(events: IntArray, final: IntArray) -> NDArray[np.bool_]:
    """Whether more than a pair is there at the end, of so many events, the `final` ones of which come at last."""
    before = events - final
    return np.asarray(np.where(before > 2, 2 - before % 2, before) + final > 2)


def _sent(counts: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Spikes of the first word that is sent of every row, those of all of them in order, and the place of the last."""
    sent = counts > 0
    sent[:, -1] = True
    words = np.take_along_axis(counts, np.argsort(~sent, axis=1, kind="stable"), axis=1)
    return words[:, 0].copy(), words, sent.sum(axis=1) - 1
