"""Values of signals in a trace of the solver (VCD), cycle by cycle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

PERIOD = 10  # time units of a cycle, as yosys-smtbmc writes them

Values = Mapping[str, int]


def cycles_of(text: str, top: str) -> list[Values]:
    """What the signals of the top module were in each cycle; unknown bits are 0."""
    names = dict(_names(text, top))
    found = list[Values]()
    now = dict[str, int]()
    for line in text[text.index("$enddefinitions") :].splitlines()[1:]:
        if line.startswith("#"):
            if int(line[1:]) % PERIOD == 0 and int(line[1:]):
                found.append(dict(now))
        elif line:
            value, code = line.split() if line[0] == "b" else (line[0], line[1:])
            if code in names:
                now[names[code]] = int(value.lstrip("b").replace("x", "0").replace("z", "0"), 2)
    return found


def _names(text: str, top: str) -> Iterator[tuple[str, str]]:
    """(code, name) of all signals that stand right in the top module."""
    scope = list[str]()
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["$scope"]:
            scope.append(words[2])
        elif words[:1] == ["$upscope"]:
            scope.pop()
        elif words[:1] == ["$var"] and scope == [top]:
            yield words[3], words[4]


def signed(value: int, bits: int) -> int:
    """Two's complement."""
    return value - (value >> (bits - 1) << bits)
