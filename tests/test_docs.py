"""Every page of docs/ does what it says: Python runs, commands print what is shown, files are those that are shown."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from sybil import Example, Sybil
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser
from typer.testing import CliRunner

from squat_deploy.cli.app import app
from squat_deploy.cli.documents import console
from tests.conftest import ROOT

DOCS = ROOT / "docs"
SHOWN = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _said(command: str) -> str:
    """What a command prints, which must be all is well unless an error is shown."""
    program, *words = shlex.split(command)
    if program == "squat-deploy":
        ended = CliRunner().invoke(app, words, prog_name="squat-deploy")
        return ended.output
    ended_there = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    return ended_there.stdout + ended_there.stderr


def _converse(example: Example) -> None:
    """A block of `$ command` lines, each followed by what it prints; `...` stands for anything."""
    for part in f"\n{example.parsed}".split("\n$ ")[1:]:
        lines = part.split("\n")
        ends = next(place for place, line in enumerate(lines) if not line.endswith("\\"))
        command = "\n".join(lines[: ends + 1]).replace("\\\n", " ")
        wanted = "\n".join(lines[ends + 1 :]).strip() + "\n"
        said = _said(command).strip() + "\n"
        assert doctest.OutputChecker().check_output(wanted, said, SHOWN), f"$ {command}\n{said}\nis not\n{wanted}"


def _kept(example: Example) -> None:
    """A file that is shown, with `# file: NAME` as its first line."""
    first, text = str(example.parsed).split("\n", 1)
    Path(first.removeprefix("# file: ")).write_text(text)


class _File(CodeBlockParser):
    """Blocks whose first line is `# file: NAME`."""

    def __call__(self, document: Any) -> Any:
        return (region for region in super().__call__(document) if str(region.parsed).startswith("# file: "))


class _Python(PythonCodeBlockParser):
    def __call__(self, document: Any) -> Any:
        return (region for region in super().__call__(document) if not str(region.parsed).startswith("# file: "))


PARSERS = (
    _Python(),
    CodeBlockParser("console", _converse),
    *(_File(language, _kept) for language in ("python", "yaml", "c", "cpp", "toml")),
)
ELSEWHERE = {"board.md", "testbench.md"}  # run by test_board.py and test_testbench*.py, on projects of their own
RUN = re.compile("^```(python|console)", re.MULTILINE)
PAGES = sorted(it for it in DOCS.rglob("*.md") if RUN.search(it.read_text()) and it.name not in ELSEWHERE)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_pages_run(path: Path, compiler: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ModuleType("page")
    monkeypatch.setitem(sys.modules, page.__name__, page)  # dataclasses look there
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.setattr(console, "_width", 100)  # it looks at the terminal once
    torch.manual_seed(0)
    document = Sybil(PARSERS).parse(path)
    document.namespace = vars(page)
    before = set(sys.modules)
    for example in document.examples():
        example.evaluate()
    for name in set(sys.modules) - before:  # modules of this page, which another may have too
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
