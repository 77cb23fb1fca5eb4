"""What people see of objects: a title, a table and notes, as text or as escaped HTML for notebooks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from squat_deploy.errors import printable

if TYPE_CHECKING:
    from squat_deploy.network.certificate import Certificate
    from squat_deploy.network.network import Network
    from squat_deploy.network.simulator import Result

_SHOWN = 20  # sequences


@dataclass(frozen=True)
class Tabled:
    """Names are their makers': they are shown, never obeyed."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Columns of plain text."""
        rows = [self.head, *(tuple(map(printable, row)) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join((printable(self.title), *(line.rstrip() for line in lines), *map(printable, self.notes)))

    @property
    def html(self) -> str:
        """A table that takes the colours of the page it stands on."""
        head = _row("th", self.head)
        body = "".join(_row("td", row) for row in self.rows)
        notes = "".join(f"<p>{_safe(note)}</p>" for note in self.notes)
        table = f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"
        return f"<div><p><b>{_safe(self.title)}</b></p>{table}{notes}</div>"


def _row(tag: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{_safe(cell)}</{tag}>' for cell in cells)}</tr>"


def _safe(text: str) -> str:
    return escape(printable(text))


def of_network(network: Network) -> Tabled:
    """A layer a row: what it takes, its sizes, and its tables."""
    title = f"{network.name}: {network.steps} steps, {network.input.encoding} input, {network.digest[:12]}"
    rows = []
    for index, (layer, wire) in enumerate(zip(network.layers, network.wires, strict=True)):
        takes = ", ".join(_source(network, source, late=source >= index) for source in wire)
        rows.append((layer.name, type(layer).__name__, takes, *layer.about()))
    return Tabled(title, ("layer", "kind", "takes", "sizes", "values"), tuple(rows), (inputs_line(network),))


def inputs_line(network: Network) -> str:
    """The grid of the inputs, and where it was seen."""
    origin = network.origin
    seen = "" if origin.highest is None else f" (seen in calibration: {origin.lowest}..{origin.highest})"
    return f"inputs: {network.input.described}{seen}"


def _source(network: Network, source: int, *, late: bool) -> str:
    name = "input" if source < 0 else network.layers[source].name
    return f"{name} (last step)" if late else name


def of_certificate(certificate: Certificate) -> Tabled:
    """A layer a row: what is proven and why."""
    rows = [
        (
            row.layer,
            "yes" if row.proven else "NO",
            row.rule,
            f"{row.sum_low}..{row.sum_high}",
            str(row.accumulator_bits),
            str(row.states),
            "none" if row.margin is None else f"{row.margin:.1e}",
            f"{row.enumerated:,}" if row.exhaustive else f"{row.enumerated:,}*",
            str(row.at_risk),
        )
        for row in certificate.layers
    ]
    notes = [f"{row.layer}: {row.note}" for row in certificate.layers if row.note]
    if not all(row.exhaustive for row in certificate.layers):
        notes.append("* both sides of every threshold, and a sample")
    notes += [row.told for row in certificate.searched]
    notes += [witness.told for witness in certificate.witnesses]
    head = ("layer", "proven", "rule", "sums", "bits", "states", "margin", "checked", "risk")
    return Tabled("certificate", head, tuple(rows), tuple(notes))


def of_result(result: Result) -> Tabled:
    """A sequence a row."""
    classes, scores = result.classes.tolist(), result.scores.tolist()
    rows = [(str(at), str(classes[at]), " ".join(map(str, scores[at]))) for at in range(min(_SHOWN, len(scores)))]
    notes = [f"the first {_SHOWN} of {len(scores)}"] if len(scores) > _SHOWN else []
    notes += [f"trace of {len(result.trace)} layers"] if result.trace else []
    return Tabled("result", ("sequence", "class", "scores"), tuple(rows), tuple(notes))
