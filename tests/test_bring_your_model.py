"""Every block of docs/bring_your_model.md runs as it stands, behind the first one, all of a section together."""

from __future__ import annotations

import re
import sys
from types import ModuleType

import pytest
import torch

from tests.conftest import ROOT

HEAD, *SECTIONS = re.split(r"^## ", (ROOT / "docs" / "bring_your_model.md").read_text(), flags=re.MULTILINE)
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda text: text.splitlines()[0])
def test_blocks_run(section: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ModuleType("bring_your_model")
    monkeypatch.setitem(sys.modules, page.__name__, page)  # dataclasses look there
    torch.manual_seed(0)
    blocks = FENCE.findall(HEAD) + FENCE.findall(section)
    assert blocks and "```python" in section
    for block in blocks:
        exec(compile(block, "bring_your_model.md", "exec", dont_inherit=True), vars(page))
