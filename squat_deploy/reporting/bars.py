"""A chart of what runs when: a row an instance or a stage, a bar a time step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from bokeh.models import ColumnDataSource

from squat_deploy.hardware.pipeline import Times
from squat_deploy.reporting.blocks import Chart
from squat_deploy.reporting.charts import BLUE, RED, ROW, SKY, chart, hover, name_rows

_STEPS = 32  # that are drawn


@dataclass(frozen=True, eq=False)
class Bars:
    """What is drawn of one sequence.

    Attributes:
        ends, cycles: (T,) cycle at which each step ends, and how many it took, a row of bars each.
        longest: the row that the others wait for.
    """

    names: tuple[str, ...]
    ends: list[Times]
    cycles: list[Times]
    longest: int


def chart_of(bars: Bars, sequence: str) -> Chart:
    """One sequence: a bar a row and step, from where it starts to where it ends."""
    whole = len(bars.ends[0])
    steps = min(_STEPS, whole)
    cells = [(row, step) for row in range(len(bars.names)) for step in range(steps)]
    end, cycles = (np.array([values[row][step] for row, step in cells]) for values in (bars.ends, bars.cycles))
    source = ColumnDataSource(
        {
            "row": [row for row, _ in cells],
            "step": [step for _, step in cells],
            "stage": [bars.names[row] for row, _ in cells],
            "start": end - cycles,
            "end": end,
            "cycles": cycles,
            "colour": [RED if row == bars.longest else (BLUE, SKY)[step % 2] for row, step in cells],
            "alpha": [1.0 if step % 2 else 0.75 for _, step in cells],
        }
    )
    drawn = chart(ROW * len(bars.names), "cycle", tools="xbox_zoom,xpan,reset")
    name_rows(drawn, bars.names)
    made = drawn.hbar(
        "row", height=0.7, left="start", right="end", source=source, color="colour", alpha="alpha", line_color=None
    )
    tips = [("stage", "@stage"), ("step", "@step"), ("starts", "@start{0,0}"), ("ends", "@end{0,0}")]
    hover(drawn, [*tips, ("cycles", "@cycles{0,0}")], made)
    part = "" if steps == whole else f", the first {steps} steps"
    title = f"{sequence}{part}: one bar a time step; {bars.names[bars.longest]}, in orange, takes longest"
    return Chart(title, "timeline of all stages of one sequence", drawn)
