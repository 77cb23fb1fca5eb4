"""What commands answer: a document for programs, or tables and lines for people."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import RenderableType

from squat_deploy.agreement import Agreement
from squat_deploy.cli.console import Answers, answer, told
from squat_deploy.cli.tables import agreement_table
from squat_deploy.errors import SquatWarning
from squat_deploy.network import InputSpec, Network

console = Answers()


def emit(document: Mapping[str, Any], as_json: bool, *tables: RenderableType) -> None:
    """The answer of a command that went well, after the document's warnings."""
    if as_json:
        answer({"ok": True, **document})
        return
    warn(document.get("warnings", ()))
    for table in tables:
        console.print(table)


def warn(texts: Iterable[str]) -> None:
    """Prints what is exact and yet probably not what the user wants, on stderr."""
    for text in texts:
        told("warning:", text, "bold yellow")


def following(*words: object) -> str:
    """A line with the command that comes next."""
    return f"next: {shlex.join(str(word) for word in words)}"


def words_of(**options: object) -> list[str]:
    """Options as they are typed; those that are None or False are not."""
    given = {f"--{name.replace('_', '-')}": value for name, value in options.items() if value not in (None, False)}
    return [word for name, value in given.items() for word in ([name] if value is True else [name, str(value)])]


def finish(agreement: Agreement, as_json: bool, document: Mapping[str, Any], lines: Iterable[str] = ()) -> None:
    """Prints an agreement; exits 1 with the first difference if there is none."""
    if as_json:
        answer({"ok": agreement.agrees, **document, **agreement.to_dict()})
    else:
        warn(agreement.warnings)
        console.print(agreement_table(agreement), *lines, *(f"not run: {reason}" for reason in agreement.not_run))
    if not agreement.agrees:
        if not as_json:
            first = next(row for row in agreement.rows if row.mismatches)
            told(f"{first.label} differs first at", str(first.first))
        raise typer.Exit(1)


@contextmanager
def gathered() -> Iterator[list[str]]:
    """Collects every SquatWarning of the block; others go their way."""
    texts: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", SquatWarning)
        shown = warnings.showwarning

        def keep(message: Warning | str, category: type[Warning], *rest: Any) -> None:
            if issubclass(category, SquatWarning):
                texts.append(str(message))
            else:
                shown(message, category, *rest)

        warnings.showwarning = keep  # type: ignore[assignment]
        yield texts


def summary(network: Network) -> dict[str, Any]:
    """What a document says of a network."""
    return {
        "name": network.name,
        "digest": network.digest,
        "steps": network.steps,
        **grid(network.input),
        "origin": network.origin.to_dict(),
        **network.certificate.to_dict(),
    }


def grid(spec: InputSpec) -> dict[str, Any]:
    """What a document says of the inputs."""
    return {"input": spec.to_dict()}
