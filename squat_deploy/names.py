"""Names of models and files, made harmless and unique."""

from __future__ import annotations

import re


def plain(text: str) -> str:
    """A model's name as harmless text: letters, digits, `_`, `.`, `-`; anything else becomes `_`."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text)[:64] or "_"


def unique_name(name: str, taken: dict[str, int]) -> str:
    """`name`, or with the next number behind it; `taken` counts how often each was asked for."""
    while True:
        taken[name] = number = taken.get(name, 0) + 1
        if number == 1:
            return name
        name = f"{name}_{number}"
