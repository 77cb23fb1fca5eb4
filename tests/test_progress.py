"""How far lowering is: told to those who ask, shown on terminals, silent otherwise."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

import squat_deploy as sd
from squat_deploy.cli.console import Answers
from squat_deploy.cli.progress import Line, hidden, progress
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
    with progress("lower", as_json=False):  # no terminal
        sd.lower(wide_model(), SPEC, 3, allow_unproven=True)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def terminal() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=True, width=100), out


def waited(out: io.StringIO, text: str) -> None:
    until = time.monotonic() + 20
    while text not in out.getvalue():
        assert time.monotonic() < until, (text, out.getvalue()[-500:])
        time.sleep(0.02)


def test_the_line_comes_by_itself_says_what_is_left_and_goes() -> None:
    console, out = terminal()
    line = Line(console, "verify", patience=0.3)
    line.begin()
    line.say("lif1 [bold]: proof", 0, 10)
    assert out.getvalue() == ""
    waited(out, "lif1 [bold]: proof")
    for done in range(2, 10, 2):
        time.sleep(0.12)  # ten times a second
        line.say("lif1 [bold]: proof", done, 10)
    waited(out, "8/10")
    waited(out, " left")
    line.say("lif2: tables", 0, 3)
    waited(out, "0/3")
    line.say("model.py: factory()", 0, 0)
    waited(out, " so far")
    line.end()
    shown = out.getvalue()
    assert shown.rstrip().endswith("\x1b[2K")  # erased
    line.say("lif2: tables", 1, 3)
    assert out.getvalue() == shown
    brief = Line(*terminal()[:1], "check", patience=60.0)
    brief.begin()
    brief.end()


def test_nothing_is_printed_over_the_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is said, and what is asked, takes the line away; it comes back, for commands that go on."""
    console, out = terminal()
    monkeypatch.setattr("squat_deploy.cli.progress.Console", lambda **_: console)
    monkeypatch.setattr("squat_deploy.cli.progress._PATIENCE", 0.05)
    with progress("demo", as_json=False):
        waited(out, "demo")
        Answers().print("a table")
        assert out.getvalue().rstrip().endswith("\x1b[2K")
        before = len(out.getvalue())
        report("torch: sequences", 3, 8)
        waited(out, "torch: sequences")
        with hidden():
            assert out.getvalue()[before:].rstrip().endswith("\x1b[2K")
    assert capsys.readouterr().out == "a table\n"
    with progress("demo", as_json=True):
        shown = out.getvalue()
        time.sleep(0.2)
        assert out.getvalue() == shown
