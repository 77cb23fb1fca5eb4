"""How far lowering is: told to those who ask, shown on terminals, silent otherwise."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

import squat_deploy as sd
from squat_deploy.cli.progress import Line, progress
from squat_deploy.hardware.vectors import golden_inputs
from squat_deploy.progress import listening, report
from tests.test_extraction import wide_model

SPEC = sd.InputSpec((12,), 0, 15, 2.0**-4)


def test_every_stage_is_told_and_ends_before_its_total() -> None:
    heard: list[tuple[str, int, int]] = []
    with listening(lambda *told: heard.append(told)):
        sd.lower(wide_model(), SPEC, 3, allow_unproven=True)
    stages = list(dict.fromkeys(what for what, _, _ in heard))
    for word in ("states", "tables", "proof", "in batches of 255"):
        assert any(word in stage for stage in stages), (word, stages)
    assert all(0 <= done <= total for _, done, total in heard)
    count = len(heard)
    report("nobody listens", 0, 1)
    assert len(heard) == count


def test_golden_sequences_are_told_too(small: sd.Network) -> None:
    heard: list[tuple[str, int, int]] = []
    with listening(lambda *told: heard.append(told)):
        golden_inputs.__wrapped__(small, 60)
    assert {"golden sequences for fc1", "golden sequences tried", "golden sequences for fc2"} == {
        told[0] for told in heard
    }
    assert all(0 <= done <= total for _, done, total in heard)


def test_lower_is_silent_unless_asked(capfd: pytest.CaptureFixture[str]) -> None:
    sd.lower(wide_model(), SPEC, 3, allow_unproven=True)
    with progress(as_json=False):  # no terminal
        sd.lower(wide_model(), SPEC, 3, allow_unproven=True)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_the_line_comes_after_two_seconds_and_goes() -> None:
    out, now = io.StringIO(), [0.0]
    line = Line(Console(file=out, force_terminal=True, width=80), lambda: now[0])
    line.say("lif1 [bold]: proof", 0, 10)
    now[0] = 1.9
    line.say("lif1 [bold]: proof", 1, 10)
    assert out.getvalue() == ""
    now[0] = 2.0
    line.say("lif1 [bold]: proof", 2, 10)
    assert "lif1 [bold]: proof" in out.getvalue() and "2/10" in out.getvalue()
    now[0] = 2.05
    line.say("lif1 [bold]: proof", 3, 10)
    assert "3/10" not in out.getvalue()  # ten times a second
    line.end()
    assert out.getvalue().rstrip().endswith("\x1b[2K")  # erased
    Line(Console(file=io.StringIO())).end()
