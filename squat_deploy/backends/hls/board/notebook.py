"""Notebooks as text: cells in percent format, as editors write them, to the JSON of Jupyter."""

from __future__ import annotations

import json
import re
from typing import Any

_CELL = re.compile(r"^# %%( \[markdown\])?\n", re.MULTILINE)


def notebook_of(text: str) -> str:
    """A notebook of format 4.5 out of cells that begin with `# %%` or `# %% [markdown]`; equal text, equal bytes."""
    parts = _CELL.split(text)[1:]
    cells = [_cell(index, bool(parts[2 * index]), parts[2 * index + 1]) for index in range(len(parts) // 2)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    document = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(document, indent=1) + "\n"


def _cell(index: int, markdown: bool, source: str) -> dict[str, Any]:
    lines = source.strip("\n").splitlines(keepends=True)
    common: dict[str, Any] = {"id": f"cell-{index}", "metadata": {}}
    if markdown:
        return {"cell_type": "markdown", **common, "source": [re.sub("^# ?", "", line) for line in lines]}
    return {"cell_type": "code", **common, "execution_count": None, "outputs": [], "source": lines}
