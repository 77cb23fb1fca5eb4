"""What SystemVerilog cores cost, measured by open tools.

python -m benchmarks.hardware run [NAME ...]   makes what is missing, or of an older RTL, of docs/hardware/*.json: some
                                               hours; of the cores or runs with these names alone
python -m benchmarks.hardware clean            takes away what is of an older RTL
python -m benchmarks.hardware estimates        makes the estimates in them anew
python -m benchmarks.hardware latency          searches foldings of the bundled model for few cycles
python -m benchmarks.hardware report           makes docs/hardware.md of what is there
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import squat_deploy as sd
from benchmarks.hardware_cells import CELLS, Cell, network_of, stimulus_of
from benchmarks.hardware_estimates import digest_of, expected, parts_of
from benchmarks.hardware_latency import make
from benchmarks.hardware_report import page
from squat_deploy.synthesis import synthesize

STORE = Path(__file__).parents[1] / "docs" / "hardware"
PAGE = STORE.with_suffix(".md")


def run(names: Sequence[str]) -> None:
    """Makes what is not there yet, or of an older RTL, and says what failed."""
    STORE.mkdir(exist_ok=True)
    for cell in CELLS:
        targets = [target for target in cell.targets if not names or {cell.name, f"{cell.name}-{target}"} & {*names}]
        if targets:
            _with_core(cell, lambda project, cell=cell, targets=targets: _make(cell, targets, project))


def clean(names: Sequence[str]) -> None:
    """Takes away what is of an older RTL."""
    for cell in CELLS:
        if any(_path(cell, target).exists() for target in cell.targets):
            _with_core(cell, lambda project, cell=cell: _drop(cell, project))
    known = {_path(cell, target) for cell in CELLS for target in cell.targets}
    for path in sorted({*STORE.glob("*.json")} - known):
        path.unlink()


def estimates(names: Sequence[str]) -> None:
    """Makes the estimates anew, of all that is there."""
    for cell in CELLS:
        for path in (path for target in cell.targets if (path := _path(cell, target)).exists()):
            found = expected(network_of(cell.network), stimulus_of(cell.network), cell)
            _write(path, json.loads(path.read_text()) | {"estimate": found})


def latency(names: Sequence[str]) -> None:
    """Searches foldings of the bundled model."""
    make()


def report(names: Sequence[str]) -> None:
    """Makes the page."""
    PAGE.write_text(page(list(stored()), missing()))


def stored() -> Iterator[dict[str, Any]]:
    """All that is there."""
    for path in sorted(STORE.glob("*.json")):
        yield json.loads(path.read_text())


def missing() -> list[str]:
    """Names of the runs that are not there."""
    return [f"{cell.name}-{target}" for cell in CELLS for target in cell.targets if not _path(cell, target).exists()]


def _with_core(cell: Cell, use: Callable[[Path], object]) -> None:
    with tempfile.TemporaryDirectory(prefix="squat-hardware-") as scratch:
        project = Path(scratch) / "core"
        sd.emit_rtl(network_of(cell.network), project, cell.config, stimulus=stimulus_of(cell.network))
        use(project)


def _make(cell: Cell, targets: Sequence[str], project: Path) -> None:
    for target in targets:
        if not _current(_path(cell, target), project):
            _store(cell, target, project)


def _drop(cell: Cell, project: Path) -> None:
    for path in (_path(cell, target) for target in cell.targets):
        if path.exists() and not _current(path, project):
            print(f"{path.stem}: of an older RTL", flush=True)
            path.unlink()


def _current(path: Path, project: Path) -> bool:
    return path.exists() and json.loads(path.read_text()).get("rtl") == digest_of(project)


def _store(cell: Cell, target: str, project: Path) -> None:
    network, stimulus = network_of(cell.network), stimulus_of(cell.network)
    try:
        found = synthesize(project, target, seeds=1 if target == "xc7" else cell.seeds)
    except sd.SquatError as error:
        print(f"{cell.name} {target}: {error}", flush=True)
        return
    spikes = float(stimulus.sum() / network.steps / stimulus.shape[1]) if cell.network.startswith("dense") else None
    about = {"cell": cell.facts, "steps": network.steps, "spikes": spikes, "rtl": digest_of(project)}
    parts = parts_of(project / "build" / "synth" / target / "cells.json") if target == "xc7" else {}
    beside = {"estimate": expected(network, stimulus, cell), "parts": parts}
    _write(_path(cell, target), {**about, **found.to_dict(), **beside})
    print(f"{cell.name} {target}: {found.resources}, {found.mhz} MHz, {found.cycles}", flush=True)


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n")


def _path(cell: Cell, target: str) -> Path:
    return STORE / f"{cell.name}-{target}.json"


if __name__ == "__main__":
    commands = {"run": run, "clean": clean, "estimates": estimates, "latency": latency, "report": report}
    what = commands.get(" ".join(sys.argv[1:2]))
    if what is None:
        sys.exit(__doc__)
    what(sys.argv[2:])
