"""Addresses as C++: the laws of the plan, applied to terms instead of numbers."""

from __future__ import annotations

from dataclasses import dataclass

from squat_deploy.backends.cpp import Term
from squat_deploy.hardware.lanes import Lanes
from squat_deploy.hardware.plane import Axis, Plane
from squat_deploy.hardware.weights import WeightRom


def at(lanes: Lanes, element: str) -> str:
    """Where an element lies in an array of sums."""
    row, lane = lanes.at(Term(element))
    return f"[{row}][{lane}]"


@dataclass(frozen=True)
class AxisTerms:
    """What an event at `place` meets along one axis: `rest` is None where every output has the same first tap."""

    along: Term
    rest: Term | None
    first: Term
    out: Term
    tap: Term
    at: Term


@dataclass(frozen=True)
class PlaneTerms:
    """What an event at `place` meets; the names of both axes end in their letters."""

    channel: Term
    y: AxisTerms
    x: AxisTerms
    position: Term
    window: Term
    inside: str


def plane_terms(plane: Plane) -> PlaneTerms:
    """By the variables of the loops over the taps of one event."""
    places = plane.coordinates(Term("place"))
    channel, y, x = (place if isinstance(place, Term) else Term(str(place)) for place in places)
    output_y, output_x = (Term(f"static_cast<unsigned>(at_{letter})") for letter in "yx")
    terms = _axis_terms(plane.y, "y", y, Term("down")), _axis_terms(plane.x, "x", x, Term("right"))
    position, window = plane.position(output_y, output_x), plane.window(Term("channel"), output_y, output_x)
    taps = " && ".join(f"tap_{letter} < {axis.kernel}" for letter, axis in (("y", plane.y), ("x", plane.x)))
    outputs = (f"at_{letter} >= 0 && at_{letter} < {axis.outputs}" for letter, axis in (("y", plane.y), ("x", plane.x)))
    return PlaneTerms(channel, *terms, position, window, " && ".join([taps, *outputs]))


def _axis_terms(axis: Axis, letter: str, place: Term, visit: Term) -> AxisTerms:
    along, rest, first, out = (Term(f"{name}_{letter}") for name in ("along", "rest", "first", "out"))
    return AxisTerms(
        along=axis.along(place),
        rest=along % axis.stride if axis.stride > 1 else None,
        first=axis.first_tap(rest),
        out=axis.first_output(along, first),
        tap=axis.tap(first, visit),
        at=axis.output(out, visit),
    )


def weight_row(rom: WeightRom) -> Term:
    """The row of the weights of a channel, a tap and a group."""
    return rom.row(Term("channel"), Term("tap_y"), Term("tap_x"), Term("group"))
