"""Tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from squat_deploy.agreement import Agreement
from squat_deploy.certificate import Certificate
from squat_deploy.network import Network
from squat_deploy.synapses import Conv2d, Dense

if TYPE_CHECKING:
    from squat_deploy.backends.qonnx.cost import StepCost
    from squat_deploy.backends.qonnx.description import Port


def certificate_table(certificate: Certificate) -> Table:
    """A layer a row: what is proven and why."""
    table = Table(title="certificate", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("layer", "proven", "rule"):
        table.add_column(name)
    for name in ("sums", "bits", "states", "margin", "checked", "risk"):
        table.add_column(name, justify="right")
    for row in certificate.layers:
        table.add_row(
            escape(row.layer),
            "[green]yes[/]" if row.proven else "[red]NO[/]",
            escape(row.rule + (f" ({row.note})" if row.note else "")),
            f"{row.sum_low}..{row.sum_high}",
            str(row.accumulator_bits),
            str(row.states),
            "none" if row.margin is None else f"{row.margin:.1e}",
            f"{row.enumerated:,}" if row.exhaustive else f"{row.enumerated:,}*",
            str(row.at_risk),
        )
    if not all(row.exhaustive for row in certificate.layers):
        table.caption = "* both sides of every threshold, and a sample"
    return table


def agreement_table(agreement: Agreement) -> Table:
    """An executor a row; all of them are compared with the NumPy trace."""
    table = Table(title="agreement", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("executor", no_wrap=True)
    for name in ("samples", "values", "mismatches", "accuracy", "samples/s"):
        table.add_column(name, justify="right")
    for row in agreement.rows:
        table.add_row(
            row.label,
            f"{row.samples:,}",
            f"{row.values:,}",
            f"[green]{row.mismatches}[/]" if row.mismatches == 0 else f"[red]{row.mismatches:,}[/]",
            "" if row.accuracy is None else f"{row.accuracy:.2%}",
            "" if row.samples_per_second is None else f"{row.samples_per_second:,.0f}",
        )
    return table


def network_table(network: Network) -> Table:
    """A layer pair a row: sizes and tables."""
    title = f"{escape(network.name)}: {network.steps} steps, {network.input.encoding} input, {network.digest[:12]}"
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("layer", "synapses", "weight range", "neurons", "states", "levels", "tables"):
        table.add_column(name)
    for dense, neuron, _, _ in network.pairs():
        table.add_row(
            escape(neuron.name),
            f"{dense.inputs} x {dense.outputs}" if isinstance(dense, Dense) else _convolution(dense),
            f"{dense.weight.min()}..{dense.weight.max()}",
            str(neuron.neurons),
            str(neuron.states),
            str(neuron.level_count),
            str(len(neuron.thresholds)),
        )
    return table


def _convolution(layer: Conv2d) -> str:
    sizes = ("x".join(map(str, part)) for part in (layer.input_shape, layer.kernel, layer.output_shape))
    return "{} * {} = {}".format(*sizes)


def ports_table(ports: Sequence[Port], title: str) -> Table:
    """Inputs and outputs of an ONNX graph."""
    table = Table(title=escape(title), box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("", "tensor", "shape", "container", "datatype"):
        table.add_column(name)
    for port in ports:
        table.add_row(port.direction, port.name, port.shape, port.container, port.datatype)
    return table


def cost_line(cost: StepCost) -> str:
    """One time step in numbers."""
    return (
        f"one step: {cost.macs:,} MACs = {cost.bit_operations:,} bit operations; "
        f"weights {cost.weight_bits:,} bits, thresholds {cost.threshold_bits:,} bits"
    )
