"""Sections to one HTML page that needs nothing else: the library of the charts, its data and the styles are inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bokeh.embed import components
from bokeh.resources import Resources
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from squat_deploy.errors import printable
from squat_deploy.reporting.blocks import Chart, Section

_PACKAGE = Path(__file__).resolve().parents[1]
_ROOTS = (_PACKAGE / "templates", _PACKAGE.parent / "templates")


@dataclass(frozen=True)
class Head:
    """What stands above the sections."""

    title: str
    subtitle: str
    footer: str


def page(head: Head, sections: Sequence[Section]) -> str:
    """The page; every text of a model is escaped by the templates, and by bokeh in what it draws."""
    charts = [block for section in sections for block in section.blocks if isinstance(block, Chart)]
    script, divisions = components(tuple(chart.figure for chart in charts)) if charts else ("", ())
    drawn = {id(chart): Markup(division) for chart, division in zip(charts, divisions, strict=True)}
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            head=head,
            sections=sections,
            drawing_of=lambda chart: drawn[id(chart)],
            library=Markup(Resources(mode="inline", components=["bokeh"]).render_js()),
            script=Markup(script),
        )
    )


def _shown(value: object) -> object:
    """What a template prints: names may hold what no page, or no encoding, can."""
    return printable(value) if type(value) is str else value


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader([root / "report" for root in _ROOTS]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
        finalize=_shown,
    )
