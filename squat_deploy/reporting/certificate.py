"""The certificate as a section: what is proven of each layer, and what every rule means."""

from __future__ import annotations

from collections.abc import Iterator

from squat_deploy.network.certificate import Certificate, LayerProof
from squat_deploy.reporting.blocks import Block, Cell, Items, Paragraph, Section, table

RULES = {  # a rule in a certificate is one of these, or several joined by " + "
    "exact grid": "weights, inputs and bias are multiples of powers of two, and all sums stay below 2**24 of them: "
    "every partial sum of the trained model is exact in float32, in any order.",
    "int-then-scale": "the trained model sums integers, exactly, and multiplies and adds once afterwards: one known "
    "rounding, whatever the scale.",
    "error bound": "float32 may round the trained model's sum, by batch size or BLAS; the error is bounded, and the "
    "layer is proven where no reachable current lies within that bound of a decision.",
    "scale and shift": "one multiplication and one addition stand in place of a batch norm; they are run as trained.",
    "batch norm": "a batch norm follows, whose roundings are counted in the error.",
}
_COLUMNS = {
    "margin": "smallest distance of a reachable current from a decision, in membrane units",
    "error": "largest rounding of the trained model's current near a decision",
    "checked": "combinations of state and sum on which the trained neuron itself was run; * both sides of every "
    "threshold and a sample, else all of them",
    "at risk": "reachable combinations within the error of a decision",
}


def certificate_section(certificate: Certificate) -> Section:
    """Verdict, a layer a row, meanings, witnesses, and what is taken for granted."""
    return Section("certificate", "Certificate", tuple(_blocks(certificate)))


def _blocks(certificate: Certificate) -> Iterator[Block]:
    if not certificate.layers:
        yield Paragraph("This network carries no certificate: nothing of it is proven against a trained model.", "bad")
        return
    yield _verdict(certificate)
    head = ("layer", "proven", "rule", "sums", "bits", "states", "margin", "error", "checked", "at risk")
    yield table(head, [_row(row) for row in certificate.layers], words=(0, 1, 2))
    met = [part for row in certificate.layers for part in row.rule.split(" + ")]
    yield Items(tuple(f"{rule}: {RULES[rule]}" for rule in dict.fromkeys(met) if rule in RULES))
    yield Items(tuple(f"{name}: {meaning}." for name, meaning in _COLUMNS.items()))
    notes = [f"{row.layer}: {row.note}" for row in certificate.layers if row.note]
    notes += [certificate.looked_for, *(row.told for row in certificate.searched)]
    notes += [witness.told for witness in certificate.witnesses]
    if any(notes):
        yield Items(tuple(note for note in notes if note))
    if certificate.assumptions:
        yield Paragraph("The proof takes for granted:")
        yield Items(certificate.assumptions)


def _verdict(certificate: Certificate) -> Paragraph:
    if certificate.proven:
        return Paragraph("Proven: the integers equal the trained model on every input.", "good")
    names = ", ".join(row.layer for row in certificate.layers if not row.proven)
    return Paragraph(f"Not proven: {names}. On some inputs the trained model may decide otherwise.", "bad")


def _row(row: LayerProof) -> list[str | Cell]:
    return [
        row.layer,
        Cell("yes", "good") if row.proven else Cell("NO", "bad"),
        row.rule,
        f"{row.sum_low:,} .. {row.sum_high:,}",
        str(row.accumulator_bits),
        f"{row.states:,}",
        "none" if row.margin is None else f"{row.margin:.1e}",
        f"{row.error_bound:.1e}" if row.error_bound else "0",
        f"{row.enumerated:,}" + "*" * (not row.exhaustive),
        Cell(f"{row.at_risk:,}", "bad" if row.at_risk else ""),
    ]
