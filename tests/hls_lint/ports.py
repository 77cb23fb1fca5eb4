"""Accesses a cycle of every memory: what the iterations of a pipelined loop ask of its two ports.

Unrolled loops multiply an access by their iterations, unless its address does not depend on them (one access serves
all) or they choose between memories of their own (`array_partition`), or parts of one word (`array_reshape`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

from clang.cindex import Cursor, CursorKind, TypeKind

from tests.hls_lint.source import (
    LOOPS,
    Loop,
    bare,
    children,
    constant,
    loop_of,
    loops_in,
    operator_of,
    place_of,
    pragma_of,
    text_of,
)

Names: TypeAlias = frozenset[str]  # variables of unrolled loops
Asked: TypeAlias = dict[str, dict[tuple[object, ...], int]]  # memory -> access -> how many a cycle
REGISTERS = 0  # dimension of a memory of which every element is one


@dataclass(frozen=True, eq=False)
class Scope:
    """A function as it was called.

    Attributes:
        arrays: memories by the name that they have here.
        depends: variables of unrolled loops that a parameter depends on.
        site: texts of the calls that led here.
        settled: parameters that are constants once loops are unrolled.
        divided: dimensions of a memory, from 1, that are memories or words of their own.
    """

    function: Cursor
    arrays: dict[str, str]
    depends: dict[str, Names]
    site: tuple[str, ...] = ()
    settled: frozenset[str] = frozenset()
    divided: dict[str, set[int]] = field(default_factory=dict)

    def memory(self, name: str) -> str:
        return self.arrays.get(name, name)


@dataclass(frozen=True, eq=False)
class Pipeline:
    """A pipelined loop, in a function as it was called; or one of a single iteration, which needs no pipeline."""

    loop: Loop
    scope: Scope

    def overloaded(self, functions: dict[str, Cursor], settled: set[tuple[str, str]]) -> Iterator[str]:
        """Memories of which it asks for more than two accesses a cycle; adds the divisions that are no hardware."""
        reader = _Reader(self.scope, functions, divisions=settled)
        for memory, accesses in reader.asked(self.loop.body).items():
            if self.loop.interval is not None and (ports := sum(accesses.values())) > 2 * self.loop.interval:
                yield f"{self.loop}: {ports} accesses of {memory} in {self.loop.interval} cycles"


def pipelines(function: Cursor, functions: dict[str, Cursor], scope: Scope | None = None) -> Iterator[Pipeline]:
    """All pipelined loops of a function and of what it calls."""
    scope = scope or Scope(function, {}, {})
    learn(function, scope)
    yield from _pipelines(function, functions, scope)


def _pipelines(cursor: Cursor, functions: dict[str, Cursor], scope: Scope) -> Iterator[Pipeline]:
    for child in children(cursor):
        if child.kind in LOOPS and _is_whole(loop := loop_of(child)):
            yield Pipeline(loop, scope)
        elif child.kind == CursorKind.CALL_EXPR and (called := definition(child, functions)) is not None:
            yield from pipelines(called, functions, _Reader(scope, functions).entered(called, child))
        else:
            yield from _pipelines(child, functions, scope)


def _is_whole(loop: Loop) -> bool:
    """Whether all of a loop's iterations are one pipeline."""
    return loop.interval is not None or (loop.trips == 1 and not any(inner.interval for inner in loops_in(loop.body)))


def definition(call: Cursor, functions: dict[str, Cursor]) -> Cursor | None:
    """What is called, if it is emitted too."""
    return None if call.referenced is None else functions.get(call.referenced.get_usr())


def _is_array(cursor: Cursor) -> bool:
    kinds = TypeKind.CONSTANTARRAY, TypeKind.POINTER, TypeKind.INCOMPLETEARRAY
    return cursor.referenced.type.get_canonical().kind in kinds


def learn(function: Cursor, scope: Scope) -> None:
    """Takes note of what the pragmas of a function say of its memories."""
    for cursor in function.walk_preorder():
        text = pragma_of(cursor) or ""
        if text.startswith(("array_partition", "array_reshape")):
            words = dict(word.split("=") for word in text.split() if "=" in word)
            scope.divided.setdefault(scope.memory(words["variable"]), set()).add(int(words["dim"]))
        elif text.startswith("aggregate") or (text.startswith("bind_storage") and "rom_np" in text):
            words = dict(word.split("=") for word in text.split() if "=" in word)
            scope.divided.setdefault(scope.memory(words["variable"]), set()).add(REGISTERS)


def _merged(parts: list[Asked]) -> Asked:
    """All of them; an access that stands in two is one."""
    found: Asked = {}
    for part in parts:
        for memory, accesses in part.items():
            found.setdefault(memory, {}).update(accesses)
    return found


class _Reader:
    """Reads the body of a pipelined loop; `depends` says what unrolled loops its variables depend on."""

    def __init__(
        self,
        scope: Scope,
        functions: dict[str, Cursor],
        trips: dict[str, int] | None = None,
        divisions: set[tuple[str, str]] | None = None,
    ) -> None:
        self.scope, self.functions = scope, functions
        self.settled, self.divisions = set(scope.settled), set() if divisions is None else divisions
        self.known, self.trips = dict(scope.depends), dict(trips or {})

    def entered(self, called: Cursor, call: Cursor) -> Scope:
        """The scope of a call: arrays keep their identity, other parameters what they depend on."""
        arrays, numbers, settled = {}, {}, set()
        for parameter, argument in zip(called.get_arguments(), call.get_arguments(), strict=True):
            inner = bare(argument)
            if inner.kind == CursorKind.DECL_REF_EXPR and _is_array(inner):
                arrays[parameter.spelling] = self.scope.memory(inner.spelling)
            else:
                numbers[parameter.spelling] = self.depends(argument)
                settled |= {parameter.spelling} if self.is_settled(argument) else set()
        return Scope(called, arrays, numbers, (*self.scope.site, text_of(call)), frozenset(settled), self.scope.divided)

    def is_settled(self, cursor: Cursor) -> bool:
        """Whether a value is a constant once loops are unrolled."""
        if cursor.kind == CursorKind.DECL_REF_EXPR:
            return cursor.spelling in self.settled or constant(cursor) is not None
        below = [child for child in children(cursor) if child.kind.is_expression()]
        return cursor.kind not in (CursorKind.CALL_EXPR, CursorKind.ARRAY_SUBSCRIPT_EXPR) and all(
            map(self.is_settled, below)
        )

    def asked(self, cursor: Cursor) -> Asked:
        """What is asked of each memory below a place."""
        if cursor.kind in LOOPS:
            return self._unrolled(loop_of(cursor))
        if cursor.kind == CursorKind.IF_STMT:
            return self._chosen(cursor)
        if cursor.kind == CursorKind.ARRAY_SUBSCRIPT_EXPR:
            return self._access(cursor, "read")
        if cursor.kind in (CursorKind.BINARY_OPERATOR, CursorKind.COMPOUND_ASSIGNMENT_OPERATOR):
            return self._assigned(cursor)
        if cursor.kind == CursorKind.CALL_EXPR and (called := definition(cursor, self.functions)) is not None:
            inside = _Reader(self.entered(called, cursor), self.functions, self.trips, self.divisions)
            return _merged([self._all(list(cursor.get_arguments())), inside.asked(children(called)[-1])])
        if cursor.kind == CursorKind.VAR_DECL:
            self.known[cursor.spelling] = self._declared(cursor)
            if cursor.type.is_const_qualified() and all(map(self.is_settled, children(cursor))):
                self.settled.add(cursor.spelling)
        return self._all(children(cursor))

    def _all(self, cursors: list[Cursor]) -> Asked:
        return _merged([self.asked(cursor) for cursor in cursors])

    def _unrolled(self, loop: Loop) -> Asked:
        assert loop.unrolled and loop.trips is not None and loop.variable is not None, f"{loop}: not unrolled"
        name = loop.variable.spelling
        self.known[name], self.trips[name] = frozenset([name]), loop.trips
        self.settled.add(name)
        self._learn_assignments(loop.body)
        return self.asked(loop.body)

    def _learn_assignments(self, body: Cursor) -> None:
        """A variable that is changed in every iteration depends on it."""
        for cursor in body.walk_preorder():
            if cursor.kind == CursorKind.VAR_DECL:
                self.known[cursor.spelling] = self._declared(cursor)
            kinds = CursorKind.BINARY_OPERATOR, CursorKind.COMPOUND_ASSIGNMENT_OPERATOR
            if cursor.kind in kinds and operator_of(cursor).endswith("=") and operator_of(cursor) not in _COMPARED:
                target, value = children(cursor)
                if bare(target).kind == CursorKind.DECL_REF_EXPR:
                    name = bare(target).spelling
                    self.known[name] = self.known.get(name, frozenset()) | self.depends(value)

    def _declared(self, cursor: Cursor) -> Names:
        return frozenset().union(*map(self.depends, children(cursor)))

    def _chosen(self, cursor: Cursor) -> Asked:
        """Of two branches, the one that asks for more."""
        condition, *branches = map(self.asked, children(cursor))
        most: Asked = {}
        for branch in branches:
            for memory, accesses in branch.items():
                most[memory] = max(most.get(memory, {}), accesses, key=lambda asked: sum(asked.values()))
        return _merged([condition, most])

    def _assigned(self, cursor: Cursor) -> Asked:
        target, value = children(cursor)
        sign = operator_of(cursor)
        if sign in ("/", "%") and self.is_settled(target) and self.is_settled(value):
            self.divisions.add((place_of(cursor), text_of(cursor)))
        if not sign.endswith("=") or sign in _COMPARED or bare(target).kind != CursorKind.ARRAY_SUBSCRIPT_EXPR:
            return self._all([target, value])
        kinds = ["write"] if sign == "=" else ["read", "write"]
        return _merged([self.asked(value), *(self._access(bare(target), kind) for kind in kinds)])

    def _access(self, cursor: Cursor, kind: str) -> Asked:
        base, indices = cursor, []
        while base.kind == CursorKind.ARRAY_SUBSCRIPT_EXPR:
            below = children(base)
            indices.insert(0, below[1])
            base = bare(below[0])
        if base.kind == CursorKind.MEMBER_REF_EXPR:  # an array in a struct is part of that
            base = bare(children(base)[0])
        found = self._all(indices)
        memory = self.scope.memory(base.spelling)
        divided = self.scope.divided.get(memory, set())
        if REGISTERS in divided or len(divided) == len(indices):
            return found
        apart = [self.depends(index) for number, index in enumerate(indices, 1) if number in divided]
        shared = [self.depends(index) for number, index in enumerate(indices, 1) if number not in divided]
        address = frozenset[str]().union(*shared)
        times = prod(self.trips[name] for name in address.difference(*apart))
        where = (kind, *self.scope.site, *map(text_of, indices), address)
        return _merged([found, {memory: {where: times}}])

    def depends(self, cursor: Cursor) -> Names:
        """The variables of unrolled loops that a value depends on."""
        if cursor.kind == CursorKind.DECL_REF_EXPR:
            return self.known.get(cursor.spelling, frozenset())
        return frozenset().union(*map(self.depends, children(cursor)))


_COMPARED = ("==", "!=", "<=", ">=")
