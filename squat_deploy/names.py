"""Names that are taken once."""

from __future__ import annotations


def unique_name(name: str, taken: dict[str, int]) -> str:
    """`name`, or with the next number behind it; `taken` counts how often each was asked for."""
    taken[name] = number = taken.get(name, 0) + 1
    return name if number == 1 else unique_name(f"{name}_{number}", taken)
