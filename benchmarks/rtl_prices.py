"""Synthesises small cores of many foldings, and fits prices of their features: `python -m benchmarks.rtl_prices`.

Some minutes of one CPU a target. Without `--synthesise` the stored runs are fitted anew.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import nnls

import squat_deploy as sd
from squat_deploy.backends.rtl.project import plan_for
from squat_deploy.exploration.features import NAMES, features_of
from squat_deploy.exploration.prices import KINDS, STORED, Run, runs
from squat_deploy.hardware.vectors import default_stimulus
from squat_deploy.lab.models import dense_lif_net
from squat_deploy.network.simulator import simulate
from squat_deploy.synthesis.netlist import netlist
from squat_deploy.synthesis.routing import packed
from squat_deploy.synthesis.targets import TARGETS, resources_of


class Core(NamedTuple):
    """A small network and its folding; `direct` inputs are integers of 4 bits, the others spikes."""

    sizes: tuple[int, ...]
    bits: int
    pe: int
    simd: int
    direct: bool = False

    @property
    def about(self) -> str:
        inputs = ", direct inputs" * self.direct
        return f"{'-'.join(map(str, self.sizes))}, {self.bits}-bit states, PE {self.pe}, SIMD {self.simd}{inputs}"

    @property
    def config(self) -> sd.RtlConfig:
        return sd.RtlConfig(pe=self.pe, simd=self.simd, vectors=4)

    @property
    def network(self) -> sd.Network:
        """Untrained."""
        torch.manual_seed(0)
        model = dense_lif_net(self.sizes, state_bits=self.bits, input_bits=4 if self.direct else None)
        spec = sd.InputSpec((self.sizes[0],), 0, 15, 2.0**-4) if self.direct else None
        return sd.lower(model, spec or sd.InputSpec((self.sizes[0],), 0, 1, encoding="sequence"), 5)


CORES = (
    Core((64, 16, 10), 2, 1, 1),
    Core((64, 16, 10), 4, 4, 1),
    Core((128, 32, 10), 2, 8, 1),
    Core((128, 32, 10), 4, 8, 2),
    Core((128, 64, 10), 2, 64, 1),
    Core((256, 128, 10), 2, 128, 2),
    Core((128, 64, 32, 10), 3, 8, 1),
    Core((200, 64, 10), 2, 16, 2),
    Core((200, 64, 10), 4, 32, 1),
    Core((300, 64, 10), 2, 64, 4),
    Core((784, 128, 10), 2, 1, 1),
    Core((784, 128, 10), 4, 8, 1),
    Core((784, 128, 10), 2, 32, 1),
    Core((784, 128, 10), 2, 128, 1),
    Core((128, 32, 10), 2, 8, 1, direct=True),
    Core((128, 64, 10), 2, 64, 2, direct=True),
    Core((200, 64, 10), 2, 32, 4, direct=True),
)
_LUTS = {"ecp5": "TRELLIS_COMB"}  # nextpnr's name for a LUT's place
TARGET_NAMES = ("ecp5", "xc7")
ROUTED = Path(__file__).parent.parent / "docs" / "hardware"
# What each kind of resource is made of: more would fit noise.
COUNTED = {
    "lut": ("instances", "sums", "added", "middling"),
    "ff": ("instances", "sums", "added", "multiplied", "compared"),
    "bram": ("blocks",),
}
COUNTED_OF = {  # of small memories yosys makes LUTs for xc7
    "ecp5": COUNTED | {"lut": ("instances", "sums", "added", "compared"), "bram": ("all blocks",)},
    "xc7": COUNTED,
}
FLOOR = {"lut": 100, "ff": 100, "bram": 4}  # errors are relative to no less


def synthesised(target: str) -> Iterator[Run]:
    """Every core on a target."""
    for core in CORES:
        network = core.network
        with tempfile.TemporaryDirectory() as folder:
            inputs, work = default_stimulus(network, 4), Path("build")
            project = sd.emit_rtl(network, Path(folder) / "p", core.config, stimulus=inputs)
            (project / work).mkdir()
            cells, _ = netlist(TARGETS[target], project, work, lambda what, done, total: None)
            found = resources_of(TARGETS[target], cells)
            lut = _packed(target, project, work) if target in _LUTS else found.lut + found.lut_ram
        counts = {"lut": lut, "ff": found.ff, "bram": found.bram}
        print(target, core.about, counts, flush=True)
        yield Run(target, core.about, (), counts)


def _packed(target: str, project: Path, work: Path) -> int:
    """LUTs as they are placed, which yosys's cells do not say where carry chains take some."""
    device = TARGETS[target].device(None)
    assert device is not None
    return packed(TARGETS[target], device, project, work)[_LUTS[target]]


def counted(rows: Sequence[Run]) -> list[Run]:
    """The runs with the features of their cores as they are counted now."""
    found = dict[str, tuple[float, ...]]()
    for core in CORES:
        network = core.network
        inputs = default_stimulus(network, 4)
        plan = plan_for(network, core.config, inputs, simulate(network, inputs, trace=True))
        found[core.about] = tuple(features_of(plan).tolist())
    return [replace(run, features=found[run.about]) for run in rows]


def fitted(rows: Sequence[Run]) -> dict[str, object]:
    """Prices of each feature, none below zero, and their relative errors on runs that are left out one by one."""
    each, error, counts = list[list[float]](), dict[str, list[float]](), COUNTED_OF[rows[0].target]
    for kind in KINDS:
        used = [NAMES.index(name) for name in counts[kind]]
        features = np.array([run.features for run in rows])[:, used]
        wanted = np.array([run.found[kind] for run in rows])
        prices = np.zeros(len(NAMES))
        prices[used] = _prices(features, wanted, FLOOR[kind])
        each.append(prices.tolist())
        kept = [np.delete(np.arange(len(rows)), index) for index in range(len(rows))]
        guessed = [
            float(features[i] @ _prices(features[some], wanted[some], FLOOR[kind])) for i, some in enumerate(kept)
        ]
        off = np.abs(np.array(guessed) - wanted) / np.maximum(wanted, FLOOR[kind])
        error[kind] = [round(float(np.median(off)), 3), round(float(off.max()), 3)]
    return {"each": each, "error": error}


def _prices(features: np.ndarray, wanted: np.ndarray, floor: int) -> np.ndarray:
    """Relative errors count: a small core is as good a witness as a large one."""
    weight = 1 / np.maximum(wanted, floor)
    return nnls(features * weight[:, None], wanted * weight)[0]


def slowest(target: str) -> dict[str, float] | None:
    """MHz of the slowest placements of `benchmarks.hardware` without planes and with; None where none was routed."""
    found = dict[str, list[float]]()
    for run in (json.loads(path.read_text()) for path in ROUTED.glob(f"*-{target}.json")):
        kind = "planes" if run["cell"]["network"].endswith("_conv") else "dense"
        if run["mhz"]:
            found.setdefault(kind, []).extend(round(mhz, 1) for mhz in run["routed"]["clocks"].values())
    return {kind: min(clocks) for kind, clocks in sorted(found.items())} or None


def main() -> None:
    """Writes measured.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--synthesise", action="store_true")
    given = parser.parse_args()
    rows = [run for target in TARGET_NAMES for run in synthesised(target)] if given.synthesise else runs()
    rows = counted(rows)
    prices = {
        target: {
            **fitted([run for run in rows if run.target == target]),
            "mhz": slowest(target),
            "most": max(((one.lut, one.bram) for one in TARGETS[target].devices), default=None),
        }
        for target in TARGET_NAMES
    }
    text = {"features": NAMES, "prices": prices, "runs": [vars(run) for run in rows]}
    STORED.write_text(json.dumps(text, indent=1) + "\n")


if __name__ == "__main__":
    main()
