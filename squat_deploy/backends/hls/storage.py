"""Where an array of the C++ stands, as pragmas: what the plan says of its memory."""

from __future__ import annotations

from squat_deploy.hardware.units import Unit


def storage(part: Unit, name: str, variable: str = "") -> str:
    """Pragmas of a variable [rows][lanes], of this or another name, that is the memory `name` of a unit."""
    memory = next(memory for memory in part.memories if memory.name == name)
    variable = variable or name
    if memory.style == "registers":
        return f"SQUAT_HLS(array_partition variable={variable} complete dim=0)"
    form = "array_reshape" if len(memory.widths) == 1 else "array_partition"
    line = f"SQUAT_HLS({form} variable={variable} complete dim=2)"
    if memory.style == "distributed":
        return f"{line}\nSQUAT_HLS(bind_storage variable={variable} type=ram_2p impl=lutram)"
    return line
