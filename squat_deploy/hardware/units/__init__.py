"""Hardware units, one frozen class each; what differs by unit elsewhere is a `match` that ends in `assert_never`."""

from __future__ import annotations

from squat_deploy.hardware.units.base import Events, Flow, Kept, Lister, Port, Ports, Unit
from squat_deploy.hardware.units.delay import DelayEvents
from squat_deploy.hardware.units.ends import ReadInput, ReadOut
from squat_deploy.hardware.units.fire import Fire
from squat_deploy.hardware.units.forms import ListSums, PlaceEvents
from squat_deploy.hardware.units.joins import AddEvents, AddSums, ConcatEvents, ConcatSums
from squat_deploy.hardware.units.pool import PoolEvents, PoolSums
from squat_deploy.hardware.units.scatter import Scatter

__all__ = [
    "AddEvents",
    "AddSums",
    "AnyUnit",
    "ConcatEvents",
    "ConcatSums",
    "DelayEvents",
    "Events",
    "Fire",
    "Flow",
    "Kept",
    "ListSums",
    "Lister",
    "PlaceEvents",
    "PoolEvents",
    "PoolSums",
    "Port",
    "Ports",
    "ReadInput",
    "ReadOut",
    "Scatter",
    "Unit",
]

Joins = PoolEvents | PoolSums | AddEvents | AddSums | ConcatEvents | ConcatSums
AnyUnit = Scatter | Fire | Joins | PlaceEvents | ListSums | DelayEvents
