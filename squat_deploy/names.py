"""Names that are taken once."""

from __future__ import annotations


def unique_name(name: str, taken: dict[str, int]) -> str:
    """`name`, or with the next number behind it; `taken` counts how often each was asked for."""
    while True:
        taken[name] = number = taken.get(name, 0) + 1
        if number == 1:
            return name
        name = f"{name}_{number}"
