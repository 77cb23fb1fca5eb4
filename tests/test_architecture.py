"""The arrows of the house: which package may rest on which, and what an import must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from squat_deploy.network.layers import KINDS
from tests.conftest import ROOT

PACKAGE = ROOT / "squat_deploy"
# what everybody may rest on
BASE = {
    "arrays",
    "configs",
    "containers",
    "errors",
    "files",
    "hdf5_file",
    "interrupts",
    "names",
    "onnx_file",
    "progress",
    "toolchain",
}
MAY = {
    "network": set[str](),
    "snn": {"network"},
    "lowering": {"network", "snn"},
    "readers": {"network", "snn", "lowering"},
    "hardware": {"network"},
    "backends": {"network", "hardware"},
    "engines": {"network", "snn", "lowering", "hardware", "backends"},
    "agreement": {"network", "snn", "hardware", "backends", "engines"},
    "lab": {"network", "snn", "lowering", "readers", "hardware", "backends", "engines", "agreement"},
}
MAY["synthesis"] = set()  # of projects, by their files
MAY["proofs"] = {"network", "hardware", "backends", "synthesis"}  # of projects, by the network that lies in them
MAY["exploration"] = {"network", "hardware", "backends"}
MAY["reporting"] = {"network", "hardware", "backends", "agreement"}
MAY["cli"] = MAY["lab"] | {"lab", "loading", "reading", "synthesis", "reporting", "proofs", "exploration"}
EDGE = {"__init__", "__main__", "loading", "moved", "reading"}  # the names that users see
MOST_ARROWS = 125  # some of them to `progress`, from whatever takes long


def imported(path: Path) -> Iterator[str]:
    """The modules of this package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: says `from .`"
            yield node.module or ""
            if node.module == "squat_deploy":
                yield from (f"squat_deploy.{alias.name}" for alias in node.names)


def arrows() -> dict[tuple[str, str], list[str]]:
    """Files that import, by (who, whom) at the top of the tree."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        who = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for module in imported(path):
            parts = module.split(".")
            if parts[0] == "squat_deploy" and len(parts) > 1 and parts[1] != who and not parts[1].startswith("__"):
                found.setdefault((who, parts[1]), []).append(str(path.relative_to(PACKAGE)))
    return found


def test_every_arrow_is_allowed() -> None:
    wrong = [
        f"{who} -> {whom}: {files[0]}"
        for (who, whom), files in arrows().items()
        if who not in EDGE and whom not in BASE | MAY.get(who, set())
    ]
    assert not wrong, "\n".join(wrong)


def test_every_package_is_in_the_drawing() -> None:
    tops = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert tops - {"py.typed"} == set(MAY) | BASE | EDGE


def test_there_are_few_arrows() -> None:
    assert len(arrows()) < MOST_ARROWS


def test_base_rests_on_base() -> None:
    assert not [(who, whom) for who, whom in arrows() if who in BASE and whom not in BASE]


def test_every_layer_is_made_while_lowering() -> None:
    nodes = (node for path in (PACKAGE / "lowering").glob("*.py") for node in ast.walk(ast.parse(path.read_text())))
    made = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert set(KINDS) <= made, "a layer has no handler"


@pytest.mark.parametrize("family", ["hls", "qonnx", "testbench"])
def test_back_ends_do_not_import_each_other(family: str) -> None:
    others = {path.name for path in (PACKAGE / "backends").iterdir() if path.is_dir()} - {family, "__pycache__"}
    for path in (PACKAGE / "backends" / family).rglob("*.py"):
        found = [module.split(".") for module in imported(path)]
        assert not [parts for parts in found if parts[1:2] == ["backends"] and others & {*parts[2:3]}], path


LIGHT = """
import sys
import squat_deploy
from squat_deploy.network import simulator, storage
simulator.simulate(storage.load(sys.argv[1]), __import__("numpy").zeros((1, 784), dtype=int))
print(sorted({"jinja2", "onnx", "onnxruntime", "qonnx", "torch", "snntorch", "brevitas"} & set(sys.modules)))
"""


def test_running_a_saved_network_loads_numpy_alone(tmp_path: Path) -> None:
    from squat_deploy.lab import bundled
    from squat_deploy.lowering import lower
    from squat_deploy.network.storage import save

    save(lower(bundled.model(), bundled.input_spec(), 2), tmp_path / "net.safetensors")
    command = [sys.executable, "-c", LIGHT, str(tmp_path / "net.safetensors")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
