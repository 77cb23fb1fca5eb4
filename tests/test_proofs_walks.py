"""Walks of convolutions and pooled lists, followed by the memories of a project: what is changed there is found."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import squat_deploy as sd
from squat_deploy.backends.rtl import RtlConfig
from squat_deploy.errors import ExportError
from squat_deploy.hardware.graph import graph_of
from squat_deploy.network import Network
from squat_deploy.proofs import core, walks
from squat_deploy.proofs.table import Row
from tests.test_proofs import solver  # noqa: F401 (a fixture)
from tests.test_rtl_planes import PE, everything


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Path]:
    network = everything()
    return network, sd.emit_rtl(network, tmp_path_factory.mktemp("planes") / "p", RtlConfig(pe=PE, vectors=1))


@pytest.fixture(scope="module")
def cells(planes: tuple[Network, Path], solver: None) -> dict[str, core.Cell]:  # noqa: F811
    return dict(core.core_of(planes[1]).cells)


def rows(network: Network, project: Path, cells: dict[str, core.Cell]) -> list[Row]:
    return [proof() for _, proof in walks.proofs_of(cells, network, graph_of(network), project)]


def test_every_input_meets_its_weights(planes: tuple[Network, Path], cells: dict[str, core.Cell]) -> None:
    found = rows(*planes, cells)
    assert len(found) >= 5 and all(row.verdict == "proven" and row.how.startswith("all ") for row in found)


@pytest.mark.parametrize("name", ["layer2_weights", "layer5_line", "layer8_channel", "layer12_column", "pool1_column"])
def test_a_changed_memory_is_found(
    name: str, planes: tuple[Network, Path], cells: dict[str, core.Cell], tmp_path: Path
) -> None:
    project = shutil.copytree(planes[1], tmp_path / "p")
    path = project / f"memories/{name}.hex"
    first, *others = path.read_text().split()
    path.write_text("\n".join([f"{int(first, 16) ^ 1:x}", *others]))
    (failed,) = (row for row in rows(planes[0], project, cells) if row.verdict == "failed")
    told = r"input \d+, output \d+: expected -?\d+, got -?\d+|input \d+: a visit leads nowhere"
    assert re.fullmatch(told, failed.how)


def test_a_changed_step_is_found(planes: tuple[Network, Path], cells: dict[str, core.Cell]) -> None:
    walk = cells["walk5"]
    steps = {**walk.parameters, "PLACE_DOWN": int(walk.parameters["PLACE_DOWN"]) + 1}
    wrong = {**cells, "walk5": replace(walk, parameters=steps)}
    (failed,) = (row for row in rows(*planes, wrong) if row.verdict == "failed")
    assert failed.unit == "conv4: walk of its events"


def test_every_walk_of_the_plan_is_there(planes: tuple[Network, Path], cells: dict[str, core.Cell]) -> None:
    """None is left out silently, whatever is missing, of another name, or of no name of a module."""
    network, project = planes
    walks_of = [name for name, cell in cells.items() if cell.kind in ("squat_walk", "squat_windows")]
    assert sorted(walks_of) == ["walk12", "walk2", "walk5", "walk8", "windows1", "windows11", "windows4"]
    for name in [*walks_of, *(f"scatter{name[4:]}" for name in walks_of if name.startswith("walk"))]:
        others = {key: cell for key, cell in cells.items() if key != name}
        for wrong in (others, {**others, name: replace(cells[name], kind="")}):
            with pytest.raises(ExportError, match=f"the network has {name}, the core has not; write it anew"):
                rows(network, project, wrong)
        with pytest.raises(ExportError, match="the core has other, the network has not; write it anew"):
            rows(network, project, {**others, "other": cells[name]})
    with pytest.raises(ExportError, match="the core has windows2, the network has not"):
        rows(network, project, {**cells, "windows2": cells["windows1"]})  # which is no pool


@pytest.mark.parametrize("text", ["0 0", "none\n" * 6])
def test_what_is_no_memory_is_refused(
    text: str, planes: tuple[Network, Path], cells: dict[str, core.Cell], tmp_path: Path
) -> None:
    project = shutil.copytree(planes[1], tmp_path / "p")
    (project / "memories/layer2_line.hex").write_text(text)
    with pytest.raises(ExportError, match=r"memories/layer2_line.hex has not \d words of a memory; write the project"):
        rows(planes[0], project, cells)
