"""What Vitis HLS wants of a project, and no compiler here checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod
from pathlib import Path

from clang.cindex import Cursor, CursorKind

from tests.hls_lint.ports import definition, pipelines
from tests.hls_lint.source import (
    bare,
    children,
    constant,
    functions_of,
    loops_in,
    operator_of,
    place_of,
    pragmas_of,
    text_of,
)


def faults(project: Path) -> list[str]:
    """Everything that is against a rule, by file and line."""
    functions = functions_of(project)
    top = next(cursor for cursor in functions.values() if cursor.spelling == "squat_top")
    found = [fault for cursor in functions.values() for fault in _of_loops(cursor)]
    found += [fault for cursor in functions.values() for fault in _of_streams(cursor)]
    found += _of_channels(top, functions)
    settled = set[tuple[str, str]]()
    for pipeline in pipelines(top, functions):
        found += pipeline.overloaded(functions, settled)
    found += [fault for cursor in functions.values() for fault in _of_divisions(cursor, settled)]
    return list(dict.fromkeys(found))


def _of_loops(function: Cursor) -> Iterator[str]:
    """A pipelined loop of one iteration loses its pragma in clang; bounds of the data need a trip count for reports."""
    for loop in loops_in(function):
        if loop.interval is not None and loop.trips is not None and loop.trips < 2:
            yield f"{loop}: a pipelined loop of {loop.trips} iterations"
        counted = any(text.startswith("loop_tripcount") for text in loop.pragmas)
        if loop.trips is None and not counted and "dataflow" not in loop.pragmas:
            yield f"{loop}: no trip count"


def _of_divisions(function: Cursor, settled: set[tuple[str, str]]) -> Iterator[str]:
    """A division by what is no power of two takes some 20 cycles; of `settled` ones nothing is left."""
    for cursor in function.walk_preorder():
        kinds = CursorKind.BINARY_OPERATOR, CursorKind.COMPOUND_ASSIGNMENT_OPERATOR
        if cursor.kind in kinds and operator_of(cursor).rstrip("=") in ("/", "%") and constant(cursor) is None:
            divisor = constant(children(cursor)[1])
            if (divisor is None or divisor & (divisor - 1)) and (place_of(cursor), text_of(cursor)) not in settled:
                yield f"{place_of(cursor)}: divides by {divisor or 'a variable'}"


def _of_channels(top: Cursor, functions: dict[str, Cursor]) -> Iterator[str]:
    """In a dataflow region every channel has one writer, before its one reader."""
    bodies = (*(children(one)[-1] for one in functions.values()), *(loop.body for loop in loops_in(top)))
    region = next(body for body in bodies if "dataflow" in pragmas_of(body))
    variables = (one for child in children(region) for one in children(child) if one.kind == CursorKind.VAR_DECL)
    channels = [one.spelling for one in variables]
    calls = [(call, called) for call in children(region) if (called := definition(call, functions)) is not None]
    for channel in channels:
        written = [number for number, ends in enumerate(calls) if _gives(*ends, channel, functions)]
        read = [number for number, ends in enumerate(calls) if _takes(*ends, channel, functions)]
        if not (len(written) == len(read) == 1 and written[0] < read[0]):
            writers, readers = ([calls[number][0].spelling for number in ends] for ends in (written, read))
            yield f"channel {channel}: written by {writers}, read by {readers}"


def _parameters(call: Cursor, called: Cursor, name: str) -> list[Cursor]:
    """The parameters that stand for a variable in what is called."""
    pairs = zip(called.get_arguments(), call.get_arguments(), strict=True)
    return [parameter for parameter, argument in pairs if bare(argument).spelling == name]


def _gives(call: Cursor, called: Cursor, name: str, functions: dict[str, Cursor]) -> bool:
    return any(_used(called, parameter.spelling, functions)[0] for parameter in _parameters(call, called, name))


def _takes(call: Cursor, called: Cursor, name: str, functions: dict[str, Cursor]) -> bool:
    return any(_used(called, parameter.spelling, functions)[1] for parameter in _parameters(call, called, name))


def _used(function: Cursor, name: str, functions: dict[str, Cursor]) -> tuple[bool, bool]:
    """Whether a variable, or an element of it, is written and read in a function and in what that calls."""
    inner, apart = [], set[int]()  # what calls do with it; places where it stands and is not read
    for cursor in function.walk_preorder():
        if cursor.kind == CursorKind.BINARY_OPERATOR and operator_of(cursor) == "=":
            target = _base(children(cursor)[0])
            if target.spelling == name:
                apart.add(target.extent.start.offset)
                inner.append((True, False))
        elif cursor.kind == CursorKind.CALL_EXPR and (end := _end_of(cursor)) is not None and end[1].spelling == name:
            inner.append((end[0] == "write", end[0] == "read"))
            apart.add(end[1].extent.start.offset)
        elif cursor.kind == CursorKind.CALL_EXPR and (called := definition(cursor, functions)) is not None:
            inner += [_used(called, parameter.spelling, functions) for parameter in _parameters(cursor, called, name)]
            apart |= {bare(one).extent.start.offset for one in cursor.get_arguments() if bare(one).spelling == name}
    references = (cursor for cursor in function.walk_preorder() if cursor.kind == CursorKind.DECL_REF_EXPR)
    read = any(one.spelling == name and one.extent.start.offset not in apart for one in references)
    return any(written for written, _ in inner), read or any(found for _, found in inner)


def _end_of(call: Cursor) -> tuple[str, Cursor] | None:
    """("read" or "write", the stream) where one is taken from or given to; also where events are `put` to it."""
    if call.spelling == "put" and len(list(call.get_arguments())) > 3:
        return "write", bare(list(call.get_arguments())[-1])
    below = children(call)
    if call.spelling in ("read", "write") and below and below[0].kind == CursorKind.MEMBER_REF_EXPR:
        return call.spelling, bare(children(below[0])[0])
    return None


def _of_streams(function: Cursor) -> Iterator[str]:
    """A stream is read, and written, once a cycle."""
    for loop in (loop for loop in loops_in(function) if loop.interval is not None):
        found = Counter[tuple[str, str]]()
        for cursor in loop.body.walk_preorder():
            if cursor.kind == CursorKind.CALL_EXPR and (end := _end_of(cursor)) is not None:
                around = (inner for inner in loops_in(loop.body) if _within(cursor, inner.body))
                found[end[0], end[1].spelling] += prod(inner.trips or 1 for inner in around)
        for (what, stream), times in found.items():
            if times > loop.interval:
                yield f"{loop}: {times} times {what} of {stream} in {loop.interval} cycles"


def _within(cursor: Cursor, body: Cursor) -> bool:
    return bool(body.extent.start.offset <= cursor.extent.start.offset < body.extent.end.offset)


def _base(cursor: Cursor) -> Cursor:
    cursor = bare(cursor)
    while cursor.kind == CursorKind.ARRAY_SUBSCRIPT_EXPR:
        cursor = bare(children(cursor)[0])
    return cursor
