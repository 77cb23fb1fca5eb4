"""Tables for people; to be printed without markup, since names are what their makers chose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from squat_deploy.agreement import Agreement
from squat_deploy.errors import printable
from squat_deploy.network import Network
from squat_deploy.network.certificate import Certificate
from squat_deploy.network.simulator import Result
from squat_deploy.network.tabled import of_certificate, of_network

_SHOWN = 20  # sequences

if TYPE_CHECKING:
    from squat_deploy.backends.qonnx.cost import StepCost
    from squat_deploy.backends.qonnx.description import Port
    from squat_deploy.exploration import Exploration
    from squat_deploy.lowering.checking import CheckedLayer
    from squat_deploy.proofs.table import Certificate as Proofs


def _plain(title: str | None = None) -> Table:
    return Table(title=title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)


def columns(title: str, names: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Plain text in columns."""
    table = _plain(printable(title))
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(printable(str(cell)) for cell in row))
    return table


def _with_notes(table: Table, notes: Iterable[str]) -> Group:
    """Lines below a table, as wide as the page and not as the table."""
    return Group(table, *(Text(printable(note)) for note in notes))


def scores_table(result: Result, title: str, note: str) -> Group:
    """A sequence a row."""
    rows = zip(result.classes[:_SHOWN].tolist(), result.scores[:_SHOWN].tolist(), strict=True)
    shown = [(index, chosen, " ".join(map(str, scores))) for index, (chosen, scores) in enumerate(rows)]
    first = [f"the first {_SHOWN} of {len(result.scores)} sequences"] * (len(result.scores) > _SHOWN)
    return _with_notes(columns(title, ("sequence", "class", "scores"), shown), [*first, note])


def two_columns(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    """Names, and numbers that stand to the right."""
    table = _plain(title)
    table.add_column("what", overflow="fold")
    table.add_column("how much", justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def exploration_table(found: Exploration) -> Table:
    """A folding that no other beats a row, the smallest first."""
    table = _plain(f"foldings on {found.wanted.target}")
    table.add_column("PE", overflow="fold")
    for name in ("SIMD", "cycles", "us", "a second", "LUT", "FF", "BRAM"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for one in found.front:
        pe = one.config.pe if isinstance(one.config.pe, dict) else {}
        table.add_row(
            printable(" ".join(f"{name}={lanes}" for name, lanes in pe.items())),
            str(one.config.simd),
            f"{one.latency:,.0f}",
            f"{one.us:,.2f}",
            f"{one.fps:,.0f}",
            f"{one.lut:,.0f}",
            f"{one.ff:,.0f}",
            f"{one.bram:.1f}",
            "chosen" if one is found.chosen else "",
        )
    return table


def folding_table(processes: Sequence[Mapping[str, Any]]) -> Table:
    """A process of an RTL core a row, as its manifest has them."""
    table = _plain("folding")
    table.add_column("process", overflow="fold")
    for name in ("PE", "of at most", "events", "cycles a step", "PE by"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in processes:
        by = "option" if one["given"] else "balance" if one["widest"] > 1 else ""
        numbers = (str(one[name]) for name in ("pe", "widest", "events"))
        table.add_row(printable(one["process"]), *numbers, f"{one['cycles']:,.1f}", by)
    return table


def proofs_table(certificate: Proofs) -> Table:
    """A claim a row: of what, whether it is proven, and how the claim begins; the whole of it stands in the project."""
    table = _plain("proofs")
    table.add_column("of", overflow="fold")
    table.add_column("proven", no_wrap=True)
    table.add_column("what", overflow="fold")
    for row in certificate.rows:
        table.add_row(
            printable(row.unit),
            Text(row.text, style="green" if row.holds else "red"),
            printable(row.claim.split(";")[0]),
        )
    return table


def certificate_table(certificate: Certificate) -> Group:
    """A layer a row: what is proven and why."""
    shown = of_certificate(certificate)
    table = _plain(shown.title)
    for name in shown.head:
        if name in ("layer", "rule"):
            table.add_column(name, overflow="fold", min_width=_LONGEST_WORD)
        else:  # a number that is cut says something else
            table.add_column(name, justify="left" if name == "proven" else "right", no_wrap=True)
    for layer, proven, rule, *numbers in shown.rows:
        style = "green" if proven == "yes" else "red"
        table.add_row(printable(layer), Text(proven, style=style), printable(rule), *numbers)
    return _with_notes(table, shown.notes)


_LONGEST_WORD = 5  # of a rule
LEGEND = (
    "certificate: sums that can occur, bits that hold them, states of a neuron (its levels, rest, and what a reset "
    "leaves), margin of the nearest decision, pairs of state and sum on which the trained neuron was run, and those "
    "that rounding could decide"
)


def assumption_lines(certificate: Certificate) -> list[str]:
    """What the proof takes for granted, a sentence a line."""
    lines = [printable(f"- {sentence}") for sentence in certificate.assumptions]
    return ["takes for granted:", *lines] if lines else []


_COLOURS = {"supported": "green", "proven": "green", "not proven": "yellow", "refused": "red"}


def checked_table(rows: Sequence[CheckedLayer]) -> Table:
    """A layer a row: what becomes of it, why, and what would work."""
    table = _plain()
    for name in ("layer", "verdict", "why"):
        table.add_column(name, overflow="fold")
    for row in rows:
        why = f"{row.why}; {row.hint}" if row.hint else row.why
        table.add_row(printable(row.layer), Text(row.verdict, style=_COLOURS[row.verdict]), printable(why))
    return table


def trials_table(trials: Sequence[Mapping[str, Any]]) -> Table:
    """A trial of a bit search a row, in order: the bits of every layer, what it scored, whether it was kept."""
    table = _plain("bits a layer")
    for name in ("weights", "states"):
        table.add_column(name, overflow="fold")
    table.add_column("accuracy", justify="right")
    table.add_column("kept")
    for row in trials:
        bits = (" ".join(f"{name}={n}" for name, n in row[key].items()) for key in ("weight_bits", "state_bits"))
        table.add_row(*(printable(text) for text in bits), f"{row['score']:.2%}", "yes" if row["kept"] else "no")
    return table


def agreement_table(agreement: Agreement) -> Table:
    """An executor a row; all of them are compared with the NumPy trace."""
    shown = agreement.table()
    table = _plain(shown.title)
    table.add_column(shown.head[0], no_wrap=True)
    for name in shown.head[1:]:
        table.add_column(name, justify="right")
    for label, samples, values, mismatches, *rest in shown.rows:
        style = "red" if mismatches != "0" else "green"
        table.add_row(label, samples, values, Text(mismatches, style=style), *rest)
    return table


def network_table(network: Network) -> Group:
    """A layer a row: what it takes, its sizes, and its tables."""
    shown = of_network(network)
    table = _plain(printable(shown.title))
    for name in shown.head:
        table.add_column(name)
    for row in shown.rows:
        table.add_row(*map(printable, row))
    return _with_notes(table, shown.notes)


def ports_table(ports: Sequence[Port], title: str) -> Table:
    """Inputs and outputs of an ONNX graph."""
    table = _plain(printable(title))
    for name in ("", "tensor", "shape", "container", "datatype"):
        table.add_column(name)
    for port in ports:
        table.add_row(port.direction, printable(port.name), printable(port.shape), port.container, port.datatype)
    return table


def cost_line(cost: StepCost) -> str:
    """One time step in numbers."""
    return (
        f"one step: {cost.macs:,} MACs = {cost.bit_operations:,} bit operations; "
        f"weights {cost.weight_bits:,} bits, thresholds {cost.threshold_bits:,} bits"
    )
