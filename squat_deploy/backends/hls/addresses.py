"""Addresses as C++: the laws of the plan, applied to terms instead of numbers."""

from __future__ import annotations

from dataclasses import dataclass

from squat_deploy.backends.terms import Term
from squat_deploy.hardware.grid import Grid, Number
from squat_deploy.hardware.lanes import Lanes
from squat_deploy.hardware.plane import Axis, Plane
from squat_deploy.hardware.signals import Signal
from squat_deploy.hardware.weights import WeightRom


def at(lanes: Lanes, element: str) -> str:
    """Where an element lies in an array of sums."""
    return _placed(lanes.at(Term(element, lanes.size)))


def at_code(lanes: Lanes, grid: Grid, taken: Grid, code: str) -> str:
    """Where the element of a code in a list over `taken` lies in an array of sums over `grid`."""
    channel, y, x = (_term(place) for place in grid.of(taken, Term(code, taken.codes)))
    position = y * grid.width + x if grid.width > 1 and grid.height > 1 else x if grid.width > 1 else y
    return _placed(lanes.where(channel, position))


def where(lanes: Lanes, position: str) -> str:
    """Where the channel `group` of a position lies in an array of sums."""
    return _placed(lanes.where(Term("group", lanes.channels), Term(position, lanes.positions)))


def _placed(place: tuple[Number, Number]) -> str:
    return "".join(f"[{part}]" for part in place)


def element_of(signal: Signal, code: str) -> Term:
    """The number of an element, by its code in a list."""
    return _term(signal.grid.element(Term(code, signal.grid.codes)))


def code_of(signal: Signal, element: str) -> Term:
    """The code of an element, by its number."""
    return _term(signal.grid.coded(Term(element, signal.size)))


def recoded(signal: Signal, taken: Signal, code: str, first: int = 0) -> Term:
    """The code in one list of what has another in the list that is taken, where its elements begin at `first`."""
    return _term(signal.grid.recoded(taken.grid, Term(code, taken.grid.codes), first))


def onward(grid: Grid, code: str) -> str:
    """From the code of an element to that of the next: what is to be added."""
    ends = (f"({code} & {mask}u) == {end}u ? {jump}u : " for mask, end, jump in grid.jumps)
    choices = "".join(ends)
    return f"({choices}1u)" if choices else "1u"


@dataclass(frozen=True)
class AxisTerms:
    """What a visit finds along one axis."""

    tap: Term
    output: Term


@dataclass(frozen=True)
class WalkTerms:
    """An event with the code `place`, and its visit `down`, `right`; `inside`: one more condition, if any."""

    channel: Term
    place_y: Term
    place_x: Term
    y: AxisTerms
    x: AxisTerms
    position: Term
    inside: str


def walk_terms(plane: Plane, taken: Signal) -> WalkTerms:
    """By the variables of the loop over the visits of events."""
    channel, y, x = (_term(place) for place in plane.grid.of(taken.grid, Term("place", taken.grid.codes)))
    axes = {"y": plane.y, "x": plane.x}
    outputs = (Term(f"at_{letter}", axis.outputs) for letter, axis in axes.items())
    inside = "".join(f" && at_{letter} < {axis.outputs}" for letter, axis in axes.items() if axis.gaps)
    terms = _axis_terms(plane.y, "y", "down"), _axis_terms(plane.x, "x", "right")
    return WalkTerms(channel, y, x, *terms, _term(plane.position(*outputs)), inside)


def _axis_terms(axis: Axis, letter: str, visit: str) -> AxisTerms:
    table, number = f"MEETS_{letter.upper()}[{letter}]", Term(visit, axis.taps)
    first, output = Term(f"{table}[0]", axis.kernel), Term(f"{table}[1]", axis.outputs + 1)
    return AxisTerms(axis.tap(first, number), axis.output(output, number))


def window_of(signal: Signal, told: str) -> Term:
    """The window that a visit reaches: its "element", or its "code" in a list."""
    grid = signal.grid
    names = ("channel", grid.channels), ("at_y", grid.height), ("at_x", grid.width)
    place = (Term(*name) for name in names)
    return _term(grid.code(*place) if told == "code" else grid.joined(*place))


def weight_row(rom: WeightRom) -> Term:
    """The row of the weights of a channel, a tap and a group."""
    names = (("channel", rom.plane.grid.channels), ("tap_y", rom.plane.y.kernel), ("tap_x", rom.plane.x.kernel))
    return _term(rom.row(*(Term(*name) for name in (*names, ("group", rom.span)))))


def first_group(rom: WeightRom, lanes: Lanes) -> str:
    """The group of lanes that a channel reaches first, to be added to; nothing where it is always the first."""
    last = lanes.groups - rom.span
    if last == 0:
        return ""
    reached = Term("channel", rom.plane.grid.channels) // rom.channels_in * rom.channels_out // lanes.pe
    return f"({reached} < {last} ? {reached} : {last}) + "


def _term(number: Number) -> Term:
    return number if isinstance(number, Term) else Term(str(number), int(number) + 1)
