"""The support matrix in docs/ is that of the code."""

from __future__ import annotations

from squat_deploy.cli.support import support_matrix
from tests.conftest import ROOT


def test_the_matrix_is_up_to_date(update_golden: bool) -> None:
    path = ROOT / "docs" / "support.md"
    if update_golden:
        path.write_text(support_matrix())
    assert path.read_text() == support_matrix()
