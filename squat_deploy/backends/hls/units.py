"""Hardware units as C++: which template prints each."""

from __future__ import annotations

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


def template_of(unit: AnyUnit) -> str:
    """The file in templates/hls/parts that prints a unit."""
    match unit:
        case Scatter():
            return "synapses.h.jinja"
        case Fire():
            return "neurons.h.jinja"
        case PoolEvents():
            return "pool_events.h.jinja"
        case PoolSums():
            return "pool_sums.h.jinja"
        case AddEvents():
            return "add_events.h.jinja"
        case AddSums():
            return "add_sums.h.jinja"
        case ConcatEvents():
            return "concat_events.h.jinja"
        case ConcatSums():
            return "concat_sums.h.jinja"
        case DelayEvents():
            return "delay.h.jinja"
        case PlaceEvents():
            return "place.h.jinja"
        case ListSums():
            return "listing.h.jinja"
        case _:
            assert_never(unit)
