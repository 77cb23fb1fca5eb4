"""Modules of the library by their rules: files of properties, one a module, put before the module's end.

A file says in comments what it shows, and where it is asked:

    // shows: no word is lost, doubled or reordered
    // case: WIDTH=2 DEPTH=4 cycles=12 induction=4 twins=10
    // memory tiny.hex: 1 2 3

A parameter of a case that is a text names a memory of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from squat_deploy.proofs.core import UNITS
from squat_deploy.proofs.library import folder, with_parameters
from squat_deploy.proofs.solving import Claim, Failure, put
from squat_deploy.proofs.table import Row
from squat_deploy.proofs.twins import twins_of

_SHOWS = re.compile(r"^// shows: (.+)$", re.MULTILINE)
_CASE = re.compile(r"^// case: (.+)$", re.MULTILINE)
_MEMORY = re.compile(r"^// memory (\S+): (.+)$", re.MULTILINE)
_NUMBER = re.compile(r"-?\d+")
_LIMITS = ("cycles", "induction", "twins")
_END = re.compile(r"\bendmodule\b(?!.*\bendmodule\b)", re.DOTALL)


def claims_of(project: Path) -> Iterator[Claim]:
    """What is asked about the modules of a project's library."""
    for path in sorted(folder().glob("squat_*.sv")):
        if (project / "rtl/lib" / path.name).is_file():
            yield from claims(path, project)


def claims(path: Path, project: Path) -> Iterator[Claim]:
    """All cases of a file of properties."""
    text = path.read_text()
    shows = " ".join(_SHOWS.findall(text))
    memories = {name: words.replace(" ", "\n") + "\n" for name, words in _MEMORY.findall(text)}
    for case in _CASE.findall(text):
        values = dict(part.split("=", 1) for part in case.split())
        limits = {name: int(values.pop(name, 0)) for name in _LIMITS}
        parameters = {name: int(value) if _NUMBER.fullmatch(value) else value for name, value in values.items()}
        about = " ".join(f"{name}={value}" for name, value in parameters.items() if isinstance(value, int))
        claim = Claim(
            unit=f"{path.stem} {about}".strip(),
            text=shows,
            top=path.stem,
            sources=_sources(path, project, parameters),
            files=memories,
            cycles=limits["cycles"],
            induction=limits["induction"],
        )
        yield claim
        if limits["twins"]:
            yield twins_of(claim, limits["twins"])


def _sources(path: Path, project: Path, parameters: Mapping[str, int | str]) -> dict[str, str]:
    """All modules of the project's library; this one with its properties and parameters."""
    sources = {found.name: found.read_text() for found in sorted((project / "rtl/lib").glob("*.sv"))}
    module = with_parameters(path.stem, sources[path.name], parameters)
    sources[path.name] = _END.sub(lambda _: f"{path.read_text()}endmodule", module, count=1)
    return sources


def answered(claim: Claim) -> Row:
    """The answer of the solver."""
    answer = put(claim)
    if not isinstance(answer, Failure):
        return answer
    last = answer.trace[-1] if answer.trace else {}
    values = ", ".join(f"{name} {value}" for name, value in last.items() if name.startswith(("in_", "out_", "proof_")))
    how = f"`{answer.name}` does not hold in cycle {len(answer.trace) - 1}: {values}"
    return Row(claim.unit, claim.text, "failed", None, how)


def uncovered(project: Path) -> tuple[str, ...]:
    """Modules of a project's library that have no properties of their own."""
    own = {path.stem for path in folder().glob("*.sv")} | set(UNITS)
    return tuple(path.stem for path in sorted((project / "rtl/lib").glob("*.sv")) if path.stem not in own)
