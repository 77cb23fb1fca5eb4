"""How tables stand in hardware, so that none is read more than twice a cycle.

A table that all neurons share is logic up to `LOGIC_ENTRIES`, and a memory for every two lanes beyond; others are a
memory a lane. A search in a memory compares with all of a word at once, up to `AT_ONCE_BITS` and where there is not a
row of them for each state, or reads a memory for each of its comparisons, of which the next has twice the entries.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from squat_deploy.network import IntArray

LOGIC_ENTRIES = 512
AT_ONCE_BITS = 4
How = Literal["logic", "at once", "by level"]


def is_logic(table: IntArray, *, shared: bool) -> bool:
    """Whether a table is logic, which all lanes read at once."""
    return shared and table.size <= LOGIC_ENTRIES


def how(table: IntArray, bits: int, *, shared: bool) -> How:
    """How a table of 2**bits - 1 entries, in its last dimension, is searched."""
    if is_logic(table, shared=shared):
        return "logic"
    by_state = table.ndim == (2 if shared else 4)  # wide words of few rows would waste block RAM
    return "by level" if by_state or bits > AT_ONCE_BITS else "at once"


def comparisons(bits: int, how: How) -> int:
    """Of a search through 2**bits - 1 entries."""
    return 2**bits - 1 if how == "at once" else bits


def searched(name: str, table: IntArray, bits: int, *, shared: bool) -> dict[str, IntArray]:
    """The arrays of a search: one, or one a comparison, each by how many of those before found the key above."""
    if how(table, bits, shared=shared) != "by level":
        return {name: table}
    steps = [2 ** (bits - level) for level in range(bits)]
    return {f"{name}{level}": table[..., step // 2 - 1 :: step] for level, step in enumerate(steps)}


def copies_of(table: IntArray, pe: int, *, shared: bool) -> int:
    """Memories that hold the same, one for two lanes; 0 where that is not how the table stands."""
    return (pe + 1) // 2 if shared and not is_logic(table, shared=shared) else 0


def copied(tables: dict[str, IntArray], pe: int, *, shared: bool) -> dict[str, IntArray]:
    """Tables as they are indexed: those that stand more than once by [lane / 2] first."""
    copies = {name: copies_of(table, pe, shared=shared) for name, table in tables.items()}
    return {
        name: np.broadcast_to(table, (copies[name], *table.shape)).copy() if copies[name] else table
        for name, table in tables.items()
    }
