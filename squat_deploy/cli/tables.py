"""Tables for people; to be printed without markup, since names are what their makers chose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from squat_deploy.agreement import Agreement
from squat_deploy.errors import printable
from squat_deploy.network import INPUT, Network
from squat_deploy.network.certificate import Certificate

if TYPE_CHECKING:
    from squat_deploy.backends.qonnx.cost import StepCost
    from squat_deploy.backends.qonnx.description import Port
    from squat_deploy.exploration import Exploration
    from squat_deploy.lowering.checking import CheckedLayer
    from squat_deploy.proofs.table import Certificate as Proofs


def _plain(title: str | None = None) -> Table:
    return Table(title=title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)


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


def proofs_table(certificate: Proofs) -> Table:
    """A claim a row: of what, and whether it is proven."""
    table = _plain("proofs")
    table.add_column("of", overflow="fold")
    table.add_column("proven", no_wrap=True)
    table.add_column("what", overflow="fold")
    for row in certificate.rows:
        table.add_row(printable(row.unit), Text(row.text, style="green" if row.holds else "red"), printable(row.claim))
    return table


def certificate_table(certificate: Certificate) -> Table:
    """A layer a row: what is proven and why."""
    table = _plain("certificate")
    table.add_column("layer", overflow="fold")
    table.add_column("proven", no_wrap=True)
    table.add_column("rule", overflow="fold")
    for name in ("sums", "bits", "states", "margin", "checked", "risk"):
        table.add_column(name, justify="right", no_wrap=True)  # a number that is cut says something else
    for row in certificate.layers:
        table.add_row(
            printable(row.layer),
            Text("yes", style="green") if row.proven else Text("NO", style="red"),
            printable(row.rule),
            f"{row.sum_low}..{row.sum_high}",
            str(row.accumulator_bits),
            str(row.states),
            "none" if row.margin is None else f"{row.margin:.1e}",
            f"{row.enumerated:,}" if row.exhaustive else f"{row.enumerated:,}*",
            str(row.at_risk),
        )
    notes = [printable(f"{row.layer}: {row.note}") for row in certificate.layers if row.note]
    if not all(row.exhaustive for row in certificate.layers):
        notes.append("* both sides of every threshold, and a sample")
    notes += [printable(row.told) for row in certificate.searched]
    notes += [printable(witness.told) for witness in certificate.witnesses]
    table.caption = Text("\n".join(notes)) if notes else None
    table.caption_justify = "left"
    return table


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
    title = f"agreement on {agreement.inputs}" if agreement.inputs else "agreement"
    table = _plain(title)
    table.add_column("executor", no_wrap=True)
    for name in ("samples", "values", "mismatches", "accuracy", "samples/s"):
        table.add_column(name, justify="right")
    for row in agreement.rows:
        table.add_row(
            row.label,
            f"{row.samples:,}",
            f"{row.values:,}",
            Text(f"{row.mismatches:,}", style="red" if row.mismatches else "green"),
            "" if row.accuracy is None else f"{row.accuracy:.2%}",
            "" if row.samples_per_second is None else f"{row.samples_per_second:,.0f}",
        )
    return table


def network_table(network: Network) -> Table:
    """A layer a row: what it takes, its sizes, and its tables."""
    title = f"{printable(network.name)}: {network.steps} steps, {network.input.encoding} input, {network.digest[:12]}"
    table = _plain(title)
    for name in ("layer", "kind", "takes", "sizes", "values"):
        table.add_column(name)
    for index, (layer, wire) in enumerate(zip(network.layers, network.wires, strict=True)):
        takes = ", ".join(_source(network, source, late=source >= index) for source in wire)
        table.add_row(printable(layer.name), type(layer).__name__, printable(takes), *layer.about())
    table.caption, table.caption_justify = Text(inputs_line(network)), "left"
    return table


def inputs_line(network: Network) -> str:
    """The grid of the inputs, and where it was seen."""
    origin = network.origin
    seen = "" if origin.highest is None else f" (seen in calibration: {origin.lowest}..{origin.highest})"
    return f"inputs: {network.input.described}{seen}"


def _source(network: Network, source: int, *, late: bool) -> str:
    name = "input" if source == INPUT else network.layers[source].name
    return f"{name} (last step)" if late else name


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
