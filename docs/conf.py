"""The documentation site: `make docs`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from typer.cli import get_docs_for_click
from typer.main import get_command

from squat_deploy.cli.app import app

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

project = "squat_deploy"
author = "the authors of squat_deploy"
release = version = PROJECT["version"]
copyright = "MIT licence"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["results/**"]
source_suffix = {".md": "markdown"}

html_theme = "furo"
html_title = f"squat_deploy {version}"
_CODE = {"code-font-size": "74%"}  # a hundred columns, as commands print them, fit the page
html_theme_options = {"light_css_variables": _CODE, "dark_css_variables": _CODE}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # support.md and results.md are made by commands

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
add_module_names = False
default_role = "code"
napoleon_use_ivar = True


def _star_shapes(_: Sphinx, kind: str, name: str, item: Any, options: Any, lines: list[str]) -> None:
    """`(B, *shape)` in a docstring is no emphasis."""
    lines[:] = [re.sub(r"(?<![*\w])\*(?=\w)", r"\\*", line) for line in lines]


def setup(sphinx: Sphinx) -> None:
    """The manual of the command line is typer's own."""
    import typer

    command = get_command(app)
    commands = ROOT / "build" / "commands.md"
    commands.parent.mkdir(exist_ok=True)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="squat-deploy")
    commands.write_text(text.split("\n", 2)[2])  # without its title
    sphinx.connect("autodoc-process-docstring", _star_shapes)
