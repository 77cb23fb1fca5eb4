"""Hardware units as C++: which template prints each, and which its call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from squat_deploy.hardware.units import (
    AddEvents,
    AddSums,
    AnyUnit,
    ConcatEvents,
    ConcatSums,
    DelayEvents,
    Fire,
    ListSums,
    PlaceEvents,
    PoolEvents,
    PoolSums,
    Scatter,
)


@dataclass(frozen=True)
class Printed:
    """Templates of a unit: of its functions, in `parts/`, and of its call, in `top/`."""

    functions: str
    call: str


def printed(unit: AnyUnit) -> Printed:
    """How a unit is printed."""
    match unit:
        case Scatter():
            return Printed("synapses", "scatter")
        case Fire():
            return Printed("neurons", "fire")
        case PoolEvents():
            return Printed("pool_events", "join")
        case PoolSums():
            return Printed("pool_sums", "join")
        case AddEvents():
            return Printed("add_events", "join")
        case AddSums():
            return Printed("add_sums", "join")
        case ConcatEvents():
            return Printed("concat_events", "join")
        case ConcatSums():
            return Printed("concat_sums", "join")
        case DelayEvents():
            return Printed("delay", "delay")
        case PlaceEvents():
            return Printed("place", "scatter")
        case ListSums():
            return Printed("listing", "join")
        case _:
            assert_never(unit)
