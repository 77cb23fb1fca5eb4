"""Templates read as the files that they make: few statements, shallow blocks, lines that fit a screen."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from jinja2 import Environment, FileSystemLoader

from squat_deploy.backends import hls, printing, rtl, testbench
from squat_deploy.backends.hls import project
from squat_deploy.backends.hls.project import template_of
from squat_deploy.hardware.boards import BOARDS
from squat_deploy.hardware.serial_boards import SERIAL_BOARDS
from squat_deploy.hardware.units import ReadInput, ReadOut, Unit
from squat_deploy.network.encoders import AnyEncoder, EventEncoder, LatencyEncoder, RateEncoder
from squat_deploy.network.readout import Readout
from tests.conftest import ROOT
from tests.graph_drawing import draw_graph
from tests.test_hardware import dense, network_of

FOLDER = ROOT / "templates"
TEMPLATES = {  # of code; those of reports are lists of HTML, and all drawn by test_report.py
    path.relative_to(FOLDER).as_posix(): path
    for path in sorted(FOLDER.rglob("*.jinja"))
    if path.relative_to(FOLDER).parts[0] != "report"
}
OPENING = {"autoescape", "block", "call", "filter", "for", "if", "macro", "raw", "with"}


class Figures(NamedTuple):
    """Jinja statements a line, depth of their blocks, characters of the longest line."""

    statements: float
    nesting: int
    longest: int


LIMITS = Figures(0.25, 2, 120)
ABOVE = {  # still above a limit: their figures may fall, not rise
    "hls/Makefile.jinja": Figures(0.03, 1, 181),
    "hls/README.md.jinja": Figures(0.08, 1, 121),
    "hls/macros.jinja": Figures(0.7, 3, 242),
    "hls/parts/add_events.h.jinja": Figures(0.43, 1, 130),
    "hls/parts/add_sums.h.jinja": Figures(0.56, 2, 213),
    "hls/parts/concat_events.h.jinja": Figures(0.43, 1, 122),
    "hls/parts/concat_sums.h.jinja": Figures(0.54, 2, 216),
    "hls/parts/fire.h.jinja": Figures(0.52, 2, 167),
    "hls/parts/fire_pairs.h.jinja": Figures(0.31, 2, 139),
    "hls/parts/fire_step.h.jinja": Figures(0.13, 1, 147),
    "hls/parts/search.jinja": Figures(0.35, 3, 132),
    "hls/parts/scatter_rows.h.jinja": Figures(1.0, 1, 90),
    "hls/parts/weights.jinja": Figures(0.5, 1, 262),
    "hls/run_hls.tcl.jinja": Figures(0.0, 0, 123),
    "hls/top/give.jinja": Figures(0.5, 4, 107),
    "hls/top/lists.cpp.jinja": Figures(0.44, 2, 100),
    "hls/top/read_head.cpp.jinja": Figures(0.37, 1, 105),
    "hls/top/scores.cpp.jinja": Figures(0.36, 1, 81),
    "hls/top/send.cpp.jinja": Figures(0.38, 2, 113),
    "hls/top/stream_count.cpp.jinja": Figures(0.31, 1, 120),
    "hls/top/streams.cpp.jinja": Figures(0.38, 2, 120),
    "rtl/board/pins.cst.jinja": Figures(0.34, 1, 60),
    "rtl/board/pins.lpf.jinja": Figures(0.29, 1, 60),
    "rtl/board/pins.pcf.jinja": Figures(0.4, 1, 50),
    "rtl/squat_core.sv.jinja": Figures(0.37, 3, 120),
}
# Seeds of `draw_graph`, an encoder and a readout: together they need every template.
DRAWN: list[tuple[int, AnyEncoder | None, Readout]] = [
    (6, None, "count"),
    (24, None, "count"),
    (58, None, "first"),
    (17, None, "last-membrane"),
    (1, None, "highest-membrane"),
    (6, None, "mean-membrane"),
    (0, RateEncoder(), "count"),
    (0, LatencyEncoder(), "count"),
    (0, EventEncoder(window=9), "count"),
]


def measure(source: str) -> Figures:
    """Figures of one template."""
    words: list[list[str]] = []
    for _, kind, text in Environment().lex(source):
        if kind == "block_begin":
            words.append([])
        elif words and kind in ("name", "operator"):
            words[-1].append(text)
    depth = deepest = 0
    for first, *others in words:
        if first in OPENING or (first == "set" and "=" not in others):
            depth += 1
        depth -= first.startswith("end")
        deepest = max(deepest, depth)
    assert depth == 0
    lines = source.splitlines()
    return Figures(len(words) / len(lines), deepest, max(map(len, lines)))


def test_measuring() -> None:
    nested = "{% for x in y %}\n{% if x %}\n{% set z %}\n{{ x if y else z }}\n{% endset %}\n{% endif %}\n{% endfor %}\n"
    assert measure(nested) == (6 / 7, 3, 19)
    assert measure("{% set a = 1 %}\n{# {% if #}\n{% include 'x' %}\n\n") == (0.5, 0, 17)


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_stay_readable(name: str) -> None:
    found, most = measure(TEMPLATES[name].read_text()), ABOVE.get(name, LIMITS)
    for what, figure, ceiling, limit in zip(Figures._fields, found, most, LIMITS, strict=True):
        assert figure <= max(ceiling, limit), f"{name}: {what} {figure:.3f}, at most {max(ceiling, limit)}"


def test_the_list_names_only_templates_above_a_limit() -> None:
    for name in ABOVE:
        assert any(figure > limit for figure, limit in zip(measure(TEMPLATES[name].read_text()), LIMITS, strict=True))


def kinds_of(unit: type[Unit]) -> set[type[Unit]]:
    """A class and all that follow it, those that can be made."""
    found = {one for kind in unit.__subclasses__() for one in kinds_of(kind)}
    return found if inspect.isabstract(unit) else found | {unit}


def test_every_unit_has_a_template() -> None:
    """A layer's unit is printed by the template of its name; both ends of a core are printed by `squat_top`."""
    units = kinds_of(Unit) - {ReadInput, ReadOut}
    assert {f"hls/{template_of(unit)}" for unit in units} <= set(TEMPLATES) and len(units) >= 11


def test_every_template_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    used = set()
    load: Callable[..., Any] = FileSystemLoader.get_source

    def loaded(loader: FileSystemLoader, environment: Environment, name: str) -> object:
        found = load(loader, environment, name)
        used.add(Path(found[1]).relative_to(FOLDER).as_posix())
        return found

    monkeypatch.setattr(FileSystemLoader, "get_source", loaded)
    printing.environment.cache_clear()
    project._environment.cache_clear()
    for seed, encoder, readout in DRAWN:
        network = dataclasses.replace(draw_graph(seed), readout=readout)
        hls.render(network, hls.HlsConfig(encoder=encoder, vectors=1))
    hls.render(network_of((1,), dense(*[8] * 70)), hls.HlsConfig(pe=70, vectors=1))
    states = dataclasses.replace(network_of((1,), dense(8)), readout="last-membrane")
    hls.render(states, hls.HlsConfig(encoder=RateEncoder(), vectors=1))
    for board in BOARDS:
        hls.render(draw_graph(6), hls.HlsConfig(board=board, vectors=1))
    for constants in (False, True):
        testbench.render(draw_graph(6), vectors=1, constants=constants)
    for serial in (None, *SERIAL_BOARDS):
        rtl.project.render(network_of((1,), dense(8, 8)), rtl.RtlConfig(vectors=1, board=serial))
    assert {name for name in used if name.endswith(".jinja")} == set(TEMPLATES)
