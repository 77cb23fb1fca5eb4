"""What a report is made of: sections of paragraphs, tables, charts and one drawing; plain data that templates print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure

Mark = Literal["", "good", "bad", "doubt"]


@dataclass(frozen=True)
class Cell:
    """Text of a table, and what a reader should make of it."""

    text: str
    mark: Mark = ""


@dataclass(frozen=True)
class Paragraph:
    """Some sentences."""

    text: str
    mark: Mark = ""
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class Tiles:
    """Few numbers that matter most: what each is, and the number."""

    rows: tuple[tuple[str, Cell], ...]
    kind: ClassVar[str] = "tiles"


@dataclass(frozen=True)
class Table:
    """Rows below a head; the first column names them.

    Attributes:
        words: columns of text, which are not aligned as numbers are.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: tuple[int, ...] = (0,)
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Items:
    """A list of sentences."""

    texts: tuple[str, ...]
    kind: ClassVar[str] = "items"


@dataclass(frozen=True)
class Key:
    """What a colour or a sign of a chart means; `shape` is "area", "ring", "dot" or "diamond"."""

    text: str
    colour: str
    shape: str = "area"


@dataclass(frozen=True, eq=False)
class Chart:
    """A chart below its title and its legend; `alt` says in words what it shows."""

    title: str
    alt: str
    figure: Figure
    legend: tuple[Key, ...] = ()
    kind: ClassVar[str] = "chart"


@dataclass(frozen=True)
class Box:
    """A layer in the drawing: its middle, and lines of text."""

    x: float
    y: float
    style: str
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Arrow:
    """A wire in the drawing, as the path of an SVG; `style` is "near", "far" or "late"."""

    path: str
    style: str
    title: str


@dataclass(frozen=True)
class Drawing:
    """The network as a graph, in units of one pixel."""

    width: float
    height: float
    box_width: float
    box_height: float
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    kind: ClassVar[str] = "drawing"


Block = Paragraph | Tiles | Table | Items | Chart | Drawing


@dataclass(frozen=True)
class Section:
    """A part of a report; `key` is its anchor."""

    key: str
    title: str
    blocks: tuple[Block, ...]


def table(head: Sequence[str], rows: Sequence[Sequence[str | Cell]], words: Sequence[int] = (0,)) -> Table:
    """A table of texts and cells."""
    made = tuple(tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in row) for row in rows)
    return Table(tuple(head), made, tuple(words))


def count(number: float) -> str:
    """A whole number as people read it."""
    return f"{round(number):,}"


def share(part: float, whole: float) -> str:
    """Percent."""
    return f"{100 * part / whole:.1f} %" if whole else ""
