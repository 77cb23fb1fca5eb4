"""Where an array of the C++ stands, as pragmas: what the plan says of its memory; and where a lane reads a table."""

from __future__ import annotations

from collections.abc import Iterator

from squat_deploy.backends import cpp
from squat_deploy.hardware.memories import Memory
from squat_deploy.hardware.units import Firing, Scatter, Unit

_BY_LANE = {"channel": "[group][lane]", "neuron": "[row][lane]"}
_ROWS = {"channel": ", const unsigned group", "neuron": ", const unsigned row"}


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


def forwarded(part: Scatter) -> str:
    """The sums of a row that was updated so lately that its memory may not have them, each with its condition."""
    return "".join(f"row == row_{ago} ? sums_{ago}[lane] : " for ago in part.near)


def table(part: Firing, name: str, type_: str) -> str:
    """The declaration of a constant array."""
    contents = part.constants[name]
    sizes = "".join(f"[{size}]" for size in contents.shape)
    return f"static const {type_} {name}{sizes} = {cpp.initializer(contents, indent='    ')};"


def table_at(part: Firing, name: str) -> str:
    """The first indices with which a lane reads a table; none of what is one number."""
    memory = next((memory for memory in part.memories if memory.name == name), None)
    if memory is None or memory.style == "logic":
        return ""
    return _BY_LANE.get(part.spread, "[lane / 2]")


def lane_parameters(part: Firing) -> str:
    """Parameters of what reads tables in a lane: those of `table_at`."""
    tables = [memory for memory in part.memories if memory.contents is not None]
    used = part.spread != "shared" or any(memory.style != "logic" for memory in tables)
    return f"{_ROWS.get(part.spread, '')}, const unsigned lane" if used else ""


def tables_stored(part: Firing) -> str:
    """Pragmas of all tables."""
    tables = (memory for memory in part.memories if memory.contents is not None)
    return "\n".join(f"SQUAT_HLS({pragma})" for memory in tables for pragma in _pragmas(part, memory))


def _pragmas(part: Firing, memory: Memory) -> Iterator[str]:
    assert memory.contents is not None
    if memory.style == "logic":
        yield f"array_partition variable={memory.name} complete dim=0"
        return
    yield f"array_partition variable={memory.name} complete dim={1 if part.spread == 'shared' else 2}"
    if memory.fields > 1:
        yield f"array_reshape variable={memory.name} complete dim={memory.contents.ndim}"
    if memory.style == "distributed" and memory.depth > 1:
        yield f"bind_storage variable={memory.name} type=rom_{memory.reads}p impl=lutram"
