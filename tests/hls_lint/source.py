"""The emitted C++ as a tree: functions, loops, what the pragmas say of both, and integers that are constant."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from clang.cindex import Cursor, CursorKind, Index

# Pragmas become statements, which stand in the tree where the pragmas stand in the text.
FLAGS = ("-std=c++14", "-DSQUAT_NATIVE", "-DSQUAT_HLS(text)=static_cast<void>(#text);")
LOOPS = (CursorKind.FOR_STMT, CursorKind.WHILE_STMT, CursorKind.DO_STMT)
ARITHMETIC = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "<<": lambda a, b: a << b,
    ">>": lambda a, b: a >> b,
}


@cache
def _compiler_headers() -> str:
    return subprocess.run(
        ["g++", "-print-file-name=include"], text=True, capture_output=True, check=True
    ).stdout.strip()


@dataclass(frozen=True, eq=False)
class Loop:
    """A loop, and what its pragmas say.

    Attributes:
        trips: iterations, where they are known; None where the data decides.
        variable: what counts them, if it is declared by the loop.
    """

    cursor: Cursor
    body: Cursor
    pragmas: tuple[str, ...]
    trips: int | None
    variable: Cursor | None

    @property
    def interval(self) -> int | None:
        """Initiation interval, if it is pipelined."""
        found = (re.match(r"pipeline II=(\d+)", text) for text in self.pragmas)
        return next((int(match[1]) for match in found if match), None)

    @property
    def unrolled(self) -> bool:
        return any(text.startswith("unroll") for text in self.pragmas)

    def __str__(self) -> str:
        return place_of(self.cursor)


def functions_of(project: Path) -> dict[str, Cursor]:
    """Definitions in `src/` by their unified names; what follows from g++'s headers is left out."""
    top = project / "src" / "squat_top.cpp"
    unit = Index.create().parse(str(top), args=[*FLAGS, "-isystem", _compiler_headers()])
    assert not [found for found in unit.diagnostics if found.severity >= 3], list(unit.diagnostics)
    return {found.get_usr(): found for found in _definitions(unit.cursor, project / "src")}


def _definitions(cursor: Cursor, folder: Path) -> Iterator[Cursor]:
    for child in cursor.get_children():
        if child.location.file is None or Path(child.location.file.name).parent != folder:
            continue
        if child.kind == CursorKind.NAMESPACE:
            yield from _definitions(child, folder)
        elif child.kind == CursorKind.FUNCTION_DECL and child.is_definition():
            yield child


def children(cursor: Cursor) -> list[Cursor]:
    """What stands below a place, a wrapper that says nothing left out."""
    return list(cursor.get_children())


def bare(cursor: Cursor) -> Cursor:
    """Without conversions and parentheses."""
    wrappers = (CursorKind.UNEXPOSED_EXPR, CursorKind.PAREN_EXPR, CursorKind.CXX_STATIC_CAST_EXPR)
    while cursor.kind in wrappers:
        below = [child for child in children(cursor) if child.kind.is_expression()]
        if len(below) != 1:
            break
        cursor = below[0]
    return cursor


def pragma_of(cursor: Cursor) -> str | None:
    """What a pragma says, if this is one."""
    if cursor.kind != CursorKind.CXX_STATIC_CAST_EXPR or cursor.type.spelling != "void":
        return None
    return next(c.spelling.strip('"') for c in cursor.walk_preorder() if c.kind == CursorKind.STRING_LITERAL)


def pragmas_of(body: Cursor) -> tuple[str, ...]:
    """Those that stand in a block itself."""
    found = (pragma_of(child) for child in children(body))
    return tuple(text for text in found if text is not None)


def place_of(cursor: Cursor) -> str:
    """File and line."""
    return f"{Path(cursor.location.file.name).name}:{cursor.location.line}"


def text_of(cursor: Cursor) -> str:
    """As it is written."""
    return " ".join(token.spelling for token in cursor.get_tokens())


def operator_of(cursor: Cursor) -> str:
    """The sign of a binary operator or an assignment."""
    end = children(cursor)[0].extent.end.offset
    return next(token.spelling for token in cursor.get_tokens() if token.extent.start.offset >= end)


def constant(cursor: Cursor) -> int | None:
    """The integer that an expression always is, if that can be read from the text."""
    cursor = bare(cursor)
    if cursor.kind == CursorKind.INTEGER_LITERAL:
        token = next(iter(cursor.get_tokens()), None)
        return None if token is None else int(token.spelling.rstrip("uUlL"), 0)
    if cursor.kind == CursorKind.DECL_REF_EXPR:
        return _constant_variable(cursor.referenced)
    if cursor.kind == CursorKind.BINARY_OPERATOR:
        left, right = map(constant, children(cursor))
        sign = operator_of(cursor)
        return None if left is None or right is None or sign not in ARITHMETIC else ARITHMETIC[sign](left, right)
    return None


def _constant_variable(declared: Cursor) -> int | None:
    if declared.kind != CursorKind.VAR_DECL or not declared.type.is_const_qualified():
        return None
    values = [child for child in children(declared) if child.kind.is_expression()]
    return constant(values[-1]) if values else None


def loop_of(cursor: Cursor) -> Loop:
    """What a loop is."""
    *head, body = children(cursor)
    first = head[0] if head else None
    variable = children(first)[0] if first is not None and first.kind == CursorKind.DECL_STMT else None
    return Loop(cursor, body, pragmas_of(body), _trips(head, variable), variable)


def _trips(head: list[Cursor], variable: Cursor | None) -> int | None:
    """Of `for (unsigned i = a; i < b; ++i)`, and of the same backwards."""
    if variable is None or len(head) != 3 or head[2].kind != CursorKind.UNARY_OPERATOR:
        return None
    ends = constant(children(variable)[-1]), constant(children(head[1])[1])
    return None if None in ends else abs(ends[0] - ends[1])  # type: ignore[operator]


def loops_in(cursor: Cursor) -> Iterator[Loop]:
    """All loops below a place, outer ones first."""
    for child in children(cursor):
        if child.kind in LOOPS:
            yield loop_of(child)
        yield from loops_in(child)
