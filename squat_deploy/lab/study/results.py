"""The form of a stored result: what `cell_task` measures, and what tables and pictures of it rely on."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from squat_deploy.lab.study.config import Cell

Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Numbers = Annotated[list[Number], Field(max_length=4096)]
Name = Annotated[str, Field(max_length=256)]


class _Form(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Layer(_Form):
    """A row of `measuring.layers_measured`."""

    name: Name
    rate: Share
    dead: Share
    flips: Share
    levels: Annotated[list[Number], Field(min_length=2, max_length=256)] | None
    raster: list[Annotated[list[Annotated[int, Field(ge=0, lt=4096)]], Field(max_length=4096)]]


class _Membranes(_Form):
    """A row of `measuring.membranes_measured`."""

    name: Name
    centres: Annotated[Numbers, Field(min_length=2)]
    density: Numbers
    cost: Numbers
    level_density: Numbers
    fitted: dict[str, Numbers]
    expected: dict[str, dict[Name, Number]]


class _Result(_Form):
    """What every cell has."""

    accuracy: Share
    layers: Annotated[list[_Layer], Field(min_length=1, max_length=1024)]
    seconds: Number


class _Float(_Result):
    membranes: list[_Membranes] = []


class _Lowered(_Result):
    gradient_cosine: dict[str, float] | None = None  # not a number where a gradient vanishes
    digest: str
    proven: bool
    values: Annotated[int, Field(ge=0)]
    mismatches: Annotated[int, Field(ge=0)]


def check_result(cell: Cell, result: Any) -> None:
    """Raises: ValueError for a result that is not of this form."""
    if cell.method == "float":
        for row in _Float.model_validate(result).membranes:
            if {len(row.centres)} != {len(row.density), len(row.cost), len(row.level_density)}:
                raise ValueError(f"membranes of {row.name}: columns of unequal length")
            if set(row.fitted) != {"2", "3", "4"} or set(row.expected) != {"2", "3", "4"}:
                raise ValueError(f"membranes of {row.name}: expected tables of 2, 3 and 4 bits")
            if len({tuple(by_kind) for by_kind in row.expected.values()}) != 1:
                raise ValueError(f"membranes of {row.name}: other kinds of tables at other bits")
        return
    for layer in _Lowered.model_validate(result).layers:
        if layer.levels is None:
            raise ValueError(f"{layer.name}: no levels")
