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
from squat_deploy.synthesis.targets import TARGETS, resources_of

# Layers, bits of a state, PE, SIMD.
CORES: tuple[tuple[tuple[int, ...], int, int, int], ...] = (
    ((64, 16, 10), 2, 1, 1),
    ((64, 16, 10), 4, 4, 1),
    ((128, 32, 10), 2, 8, 1),
    ((128, 32, 10), 4, 8, 2),
    ((128, 64, 10), 2, 64, 1),
    ((256, 128, 10), 2, 128, 2),
    ((128, 64, 32, 10), 3, 8, 1),
    ((200, 64, 10), 2, 16, 2),
    ((200, 64, 10), 4, 32, 1),
    ((300, 64, 10), 2, 64, 4),
    ((784, 128, 10), 2, 1, 1),
    ((784, 128, 10), 4, 8, 1),
    ((784, 128, 10), 2, 32, 1),
    ((784, 128, 10), 2, 128, 1),
)
TARGET_NAMES = ("ecp5", "xc7")
ROUTED = Path(__file__).parent.parent / "docs" / "hardware"
# What each kind of resource is made of: more would fit noise.
COUNTED = {
    "lut": ("instances", "wires", "sums", "compared"),
    "ff": ("instances", "sums", "products", "compared"),
    "bram": ("blocks",),
}
FLOOR = {"lut": 100, "ff": 100, "bram": 4}  # errors are relative to no less


def network_of(sizes: tuple[int, ...], bits: int) -> sd.Network:
    """Untrained, spikes in."""
    torch.manual_seed(0)
    model = dense_lif_net(sizes, state_bits=bits, input_bits=None)
    return sd.lower(model, sd.InputSpec((sizes[0],), 0, 1, encoding="sequence"), 5)


def synthesised(target: str) -> Iterator[Run]:
    """Every core on a target."""
    for sizes, bits, pe, simd in CORES:
        network, config = network_of(sizes, bits), sd.RtlConfig(pe=pe, simd=simd, vectors=4)
        inputs = default_stimulus(network, 4)
        with tempfile.TemporaryDirectory() as folder:
            project, work = sd.emit_rtl(network, Path(folder) / "p", config, stimulus=inputs), Path("build")
            (project / work).mkdir()
            cells, _ = netlist(TARGETS[target], project, work, lambda what, done, total: None)
        found = resources_of(TARGETS[target], cells)
        about = _about(sizes, bits, pe, simd)
        counts = {"lut": found.lut + found.lut_ram, "ff": found.ff, "bram": found.bram}
        print(target, about, counts, flush=True)
        yield Run(target, about, (), counts)


def counted(rows: Sequence[Run]) -> list[Run]:
    """The runs with the features of their cores as they are counted now."""
    found = dict[str, tuple[float, ...]]()
    for core in CORES:
        sizes, bits, pe, simd = core
        network, config = network_of(sizes, bits), sd.RtlConfig(pe=pe, simd=simd, vectors=4)
        inputs = default_stimulus(network, 4)
        plan = plan_for(network, config, inputs, simulate(network, inputs, trace=True))
        found[_about(*core)] = tuple(features_of(plan).tolist())
    return [replace(run, features=found[run.about]) for run in rows]


def _about(sizes: tuple[int, ...], bits: int, pe: int, simd: int) -> str:
    return f"{'-'.join(map(str, sizes))}, {bits}-bit states, PE {pe}, SIMD {simd}"


def fitted(rows: Sequence[Run]) -> dict[str, object]:
    """Prices of each feature, none below zero, and their relative errors on runs that are left out one by one."""
    each, error = list[list[float]](), dict[str, list[float]]()
    for kind in KINDS:
        used = [NAMES.index(name) for name in COUNTED[kind]]
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


def slowest(target: str) -> float | None:
    """MHz of the slowest of the runs of `benchmarks.hardware` that were routed; None where none was."""
    found = [json.loads(path.read_text()).get("mhz") for path in ROUTED.glob(f"*-{target}.json")]
    return min((round(mhz, 1) for mhz in found if mhz), default=None)


def main() -> None:
    """Writes measured.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--synthesise", action="store_true")
    given = parser.parse_args()
    rows = [run for target in TARGET_NAMES for run in synthesised(target)] if given.synthesise else runs()
    rows = counted(rows)
    prices = {
        target: {**fitted([run for run in rows if run.target == target]), "mhz": slowest(target)}
        for target in TARGET_NAMES
    }
    text = {"features": NAMES, "prices": prices, "runs": [vars(run) for run in rows]}
    STORED.write_text(json.dumps(text, indent=1) + "\n")


if __name__ == "__main__":
    main()
