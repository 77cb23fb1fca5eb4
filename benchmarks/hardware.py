"""What SystemVerilog cores cost, measured by open tools.

python -m benchmarks.hardware run       makes what is missing of docs/hardware/*.json: an hour or two
python -m benchmarks.hardware report    makes docs/hardware.md of what is there
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

import squat_deploy as sd
from benchmarks.hardware_report import page
from squat_deploy.backends.rtl import RtlConfig
from squat_deploy.lab import bundled
from squat_deploy.lab.models import dense_lif_net
from squat_deploy.network import IntArray
from squat_deploy.synthesis import synthesize

STORE = Path(__file__).parents[1] / "docs" / "hardware"
STEPS, RATE, SEQUENCES = 25, 0.11, 4


@dataclass(frozen=True)
class Cell:
    """One core: a network (`dense2` and `dense4`: 784-128-10 with so many bits of state) and its folding."""

    network: str
    pe: int
    simd: int

    @property
    def name(self) -> str:
        return f"{self.network}-pe{self.pe}-simd{self.simd}"


# what matters most comes first
CELLS = (
    *(Cell("dense2", pe, 1) for pe in (128, 1)),
    Cell("dense4", 128, 1),
    *(Cell("dense2", pe, 1) for pe in (32, 8)),
    Cell("dense4", 1, 1),
    Cell("fashion", 256, 1),
    Cell("dense2", 128, 4),
    *(Cell("dense4", pe, 1) for pe in (32, 8)),
    *(Cell("dense2", pe, 4) for pe in (32, 8, 1)),
    *(Cell("dense4", pe, 4) for pe in (128, 32, 8, 1)),
)
TARGETS = ("xc7", "ecp5")


@cache
def network_of(name: str) -> sd.Network:
    """The network of a cell."""
    if name == "fashion":
        return sd.lower(bundled.model(), bundled.input_spec(), bundled.STEPS, name=name)
    torch.manual_seed(1)
    model = dense_lif_net((784, 128, 10), state_bits=int(name.removeprefix("dense")), input_bits=None)
    return sd.lower(model, sd.InputSpec((784,), 0, 1, 1.0, encoding="sequence"), STEPS, name=name)


def stimulus_of(name: str) -> IntArray | None:
    """Random spikes (T, sequences, 784), or None: the golden sequences of the network's own."""
    if name == "fashion":
        return None
    drawn = np.random.default_rng(0).random((STEPS, SEQUENCES, 784)) < RATE
    return drawn.astype(np.int64)


def run() -> None:
    """Makes what is not there yet, and says what failed."""
    STORE.mkdir(exist_ok=True)
    for cell in CELLS:
        missing = [target for target in TARGETS if not _path(cell, target).exists()]
        if not missing:
            continue
        with tempfile.TemporaryDirectory(prefix="squat-hardware-") as scratch:
            project = Path(scratch) / "core"
            stimulus = stimulus_of(cell.network)
            sd.emit_rtl(network_of(cell.network), project, RtlConfig(pe=cell.pe, simd=cell.simd), stimulus=stimulus)
            for target in missing:
                _store(cell, target, project, stimulus)


def _store(cell: Cell, target: str, project: Path, stimulus: IntArray | None) -> None:
    try:
        report = synthesize(project, target)
    except sd.SquatError as error:
        print(f"{cell.name} {target}: {error}", flush=True)
        return
    spikes = None if stimulus is None else float(stimulus.sum() / STEPS / SEQUENCES)
    found = {"cell": vars(cell), "steps": network_of(cell.network).steps, "spikes": spikes, **report.to_dict()}
    _path(cell, target).write_text(json.dumps(found, indent=1) + "\n")
    print(f"{cell.name} {target}: {report.resources}, {report.mhz} MHz, {report.cycles}", flush=True)


def _path(cell: Cell, target: str) -> Path:
    return STORE / f"{cell.name}-{target}.json"


def stored() -> Iterator[dict[str, Any]]:
    """All that is there."""
    for path in sorted(STORE.glob("*.json")):
        yield json.loads(path.read_text())


if __name__ == "__main__":
    if sys.argv[1:] == ["run"]:
        run()
    elif sys.argv[1:] == ["report"]:
        STORE.with_suffix(".md").write_text(page(list(stored())))
    else:
        sys.exit(__doc__)
