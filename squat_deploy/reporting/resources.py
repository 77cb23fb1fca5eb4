"""What a core takes of its part: resources by unit, and every memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple

import numpy as np
from bokeh.models import ColumnDataSource

from squat_deploy.errors import printable
from squat_deploy.hardware.budget import RESOURCES, Budget
from squat_deploy.hardware.measured import ERRORS
from squat_deploy.hardware.memories import Usage
from squat_deploy.hardware.units import Unit
from squat_deploy.reporting.blocks import Block, Cell, Chart, Key, Paragraph, Section, count, share, table
from squat_deploy.reporting.charts import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    ROW,
    SKY,
    YELLOW,
    chart,
    hover,
    name_rows,
    short,
)
from squat_deploy.reporting.material import Core, Material, RtlProject, Synthesis

_COLOURS = (BLUE, ORANGE, GREEN, SKY, PURPLE, YELLOW, RED)  # of the largest units; the others are grey together


def resources_section(material: Material) -> Section:
    """By estimate; and what an RTL project says of its layers."""
    blocks = [] if material.core is None else [*_blocks(material.core)]
    if material.core is None:
        blocks.append(Paragraph(f"No HLS core: {material.no_core}", "doubt"))
    if material.rtl is not None:
        blocks += _rtl(material.rtl)
    return Section("resources", "Resources", tuple(blocks))


def _blocks(core: Core) -> Iterator[Block]:
    budget, short = core.folding.budget, core.folding.shortage
    part = budget.offer.name if budget.offer else core.config.part
    if short is not None:
        yield Paragraph(
            f"Does not fit a {short.part}, by estimate: {short.excess}. What helps: {short.remedies}.", "bad"
        )
    elif budget.offer is None:
        yield Paragraph(f"What {part} offers is not known here, so that nobody says whether the core fits.", "doubt")
    else:
        yield Paragraph(f"Fits a {part}, by estimate.", "good")
        yield _chart(budget)
    if short is not None:
        yield _chart(budget)
    yield _table(budget)
    yield Paragraph(ERRORS)
    yield Paragraph("Every memory of the core; ROMs hold weights and tables, RAMs sums, states and lists of events.")
    yield _memories(core)


def _chart(budget: Budget) -> Chart:
    """A bar a resource, of shares of the part; the units that take most have colours."""
    assert budget.offer is not None
    there = np.array(budget.offer.amounts)
    drawn = chart(ROW * len(RESOURCES), "share of the part, %")
    name_rows(drawn, RESOURCES)
    start, legend = np.zeros(len(RESOURCES)), tuple[Key, ...]()
    for (name, amounts), colour in zip(_largest(budget), (*_COLOURS, GREY), strict=False):
        legend = (*legend, Key(short(name), colour))
        end = start + 100 * amounts / there
        source = ColumnDataSource(
            {
                "row": list(range(len(RESOURCES))),
                "left": start,
                "right": end,
                "amount": amounts,
                "name": [name] * len(RESOURCES),
            }
        )
        bars = drawn.hbar(
            "row",
            height=0.7,
            left="left",
            right="right",
            source=source,
            color=colour,
            line_color=None,
        )
        hover(drawn, [("unit", "@name"), ("takes", "@amount{0,0}")], bars)
        start = end
    drawn.x_range.start, drawn.x_range.end = 0, max(100.0, 1.05 * float(start.max()))
    drawn.vspan(x=[100], line_color=RED, line_dash="dashed")
    return Chart(f"Of a {budget.offer.name}", "shares of the part's resources by unit", drawn, legend)


def _largest(budget: Budget) -> list[tuple[str, np.ndarray]]:
    """Units by their share of the part, largest first; those without a colour of their own together."""
    assert budget.offer is not None
    there = np.array(budget.offer.amounts)
    rows = [(printable(name), np.array(astuple(usage))) for name, usage in budget.rows]
    rows.sort(key=lambda row: -float((row[1] / there).sum()))
    if len(rows) <= len(_COLOURS):
        return rows
    return [*rows[: len(_COLOURS)], ("all others", np.sum([amounts for _, amounts in rows[len(_COLOURS) :]], axis=0))]


def _table(budget: Budget) -> Block:
    rows: list[list[str | Cell]] = [[name, *_amounts(usage)] for name, usage in budget.rows]
    rows.append(["all", *_amounts(budget.total)])
    if budget.offer is not None:
        pairs = list(zip(astuple(budget.total), budget.offer.amounts, strict=True))
        rows.append([f"of {budget.offer.name}", *(Cell(share(a, b), "bad" if a > b else "") for a, b in pairs)])
    return table(("layer", *RESOURCES), rows)


def _amounts(usage: Usage) -> list[str | Cell]:
    return [count(number) for number in astuple(usage)]


def _memories(core: Core) -> Block:
    design = core.folding.design
    rows = [row for unit in (design.entry, *design.parts, design.readout) for row in _rows(unit)]
    return table(("layer", "memory", "kind", "words", "bits a word", "banks", "BRAM18", "LUT"), rows, words=(0, 1, 2))


def _rows(unit: Unit) -> Iterator[list[str | Cell]]:
    for memory in unit.memories:
        kind = f"{'RAM' if memory.contents is None else 'ROM'}, {memory.style}"
        bits = sorted(set(memory.widths))
        width = str(bits[0]) if len(bits) == 1 else f"{bits[0]} to {bits[-1]}"
        usage = memory.usage
        numbers = (f"{memory.depth:,}", width, str(len(memory.widths)), count(usage.bram18), count(usage.lut))
        yield [unit.name, memory.name, kind, *numbers]


def _rtl(project: RtlProject) -> Iterator[Block]:
    keys = list(dict.fromkeys(key for layer in project.layers for key in layer if key != "name"))
    rows = [[str(layer.get("name", "")), *(str(layer.get(key, "")) for key in keys)] for layer in project.layers]
    yield Paragraph(f"The SystemVerilog project {project.folder}, a layer a row:")
    yield table(("layer", *(key.replace("_", " ") for key in keys)), rows)
    if project.measured:
        yield Paragraph("What yosys and nextpnr made of it (squat-deploy synth), and cycles that Verilator counted:")
        yield _measured(project.measured)


def _measured(found: Sequence[Synthesis]) -> Block:
    keys = list(dict.fromkeys(key for one in found for key in one.resources))
    head = ("target", "device", *(key.replace("_", " ") for key in keys), "MHz", "cycles a sequence", "us")
    rows = [
        [
            one.target,
            one.device or "synthesis only",
            *(f"{one.resources[key]:,g}" if key in one.resources else "" for key in keys),
            *("" if number is None else f"{number:,.1f}" for number in (one.mhz, one.latency, one.latency_us)),
        ]
        for one in found
    ]
    return table(head, rows, words=(0, 1))
