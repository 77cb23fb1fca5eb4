"""How charts look: one style, one palette that the colour-blind tell apart, nothing that a page cannot scroll over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bokeh.models import FixedTicker, HoverTool
from bokeh.models.text import PlainText
from bokeh.plotting import figure

from squat_deploy.errors import printable

# Okabe and Ito, their yellow darkened: in the dark, the page inverts lightness, and it must not become black
BLUE, ORANGE, GREEN, RED, SKY, PURPLE, YELLOW = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#a89400",
)  # fmt: skip
GREY, INK = "#9a9a9a", "#333333"
ROW = 28  # pixels of a row in a chart of rows
_AXIS, _ABOVE = 55, 34  # pixels of an axis with its label, and of a toolbar
Tips = Sequence[tuple[str, str]]
Plot = Any  # a figure of bokeh, whose annotations know less of its parts than its code


def chart(height: int, x: str, y: str = "", *, tools: str = "", **more: Any) -> Plot:
    """An empty chart as wide as the page, with so many pixels for its data; without tools it has no toolbar."""
    drawn: Plot = figure(
        height=height + _AXIS + (_ABOVE if tools else 8), sizing_mode="stretch_width", min_width=240, tools=tools,
        toolbar_location="above" if tools else None,
        x_axis_label=x, y_axis_label=y, background_fill_color=None, border_fill_color=None, outline_line_color=None,
        **more,
    )  # fmt: skip
    drawn.toolbar.logo = drawn.toolbar.active_drag = None
    for axis in drawn.axis:
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_color = axis.major_label_text_color = INK
        axis.axis_label_text_font_size = axis.major_label_text_font_size = "12px"
        axis.minor_tick_line_color = None
        axis.axis_line_color = axis.major_tick_line_color = INK
        axis.formatter.use_scientific = False
    drawn.grid.grid_line_color, drawn.grid.grid_line_alpha = INK, 0.12
    return drawn


def hover(drawn: Plot, tips: Tips, *renderers: Any) -> None:
    """What is told of the thing below the pointer; names are escaped by bokeh."""
    drawn.add_tools(HoverTool(tooltips=list(tips), renderers=list(renderers) or "auto", visible=False))


def name_rows(drawn: Plot, names: Sequence[str]) -> None:
    """Names on the vertical axis, the first one on top; they are text, whatever signs of TeX are in them."""
    drawn.yaxis.ticker = FixedTicker(ticks=list(range(len(names))))
    drawn.yaxis.major_label_overrides = {row: PlainText(text=short(printable(name))) for row, name in enumerate(names)}
    drawn.ygrid.grid_line_color = None
    drawn.y_range.start, drawn.y_range.end = len(names) - 0.4, -0.6


def short(name: str, most: int = 16) -> str:
    """A name that leaves room for the chart."""
    return name if len(name) <= most else name[: most - 1] + "…"
