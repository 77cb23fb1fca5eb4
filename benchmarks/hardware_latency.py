"""How few cycles an inference of the bundled model can take, folding by folding, and what each costs by estimate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.hardware_beside import folding, table
from benchmarks.hardware_cells import IMAGES as ROUTED_IMAGES
from benchmarks.hardware_cells import network_of, stimulus_of
from squat_deploy.exploration import Wanted, explore

STORED = Path(__file__).parents[1] / "docs" / "hardware" / "latency" / "fashion.json"
IMAGES = 8
LIMIT = 5.0  # microseconds
TEXT = """## Below {limit:g} us an inference

The bundled model on ECP5, on the mean of {images} test images: foldings that no other beats (`squat-deploy explore`),
with the exact cycles of an inference alone, the clock at which that is {limit:g} us, and LUT and BRAM by estimate:

{table}
{routed}
Every pixel that is not 0 is listed once and added to all neurons, SIMD of them a cycle, at best {pixels} / SIMD cycles;
then every step waits for its spikes in the second layer and for its pipelines. Doubling SIMD or PE halves the first
part alone, and doubles multipliers, adders and banks of weights: the last halving of cycles, down to {fewest:,}, is the
dearest. A wider core also routes at a lower clock.
"""


def make() -> None:
    """Writes the stored front."""
    inputs = stimulus_of("fashion")[:IMAGES]
    found = explore(network_of("fashion"), inputs, Wanted("ecp5"))
    STORED.parent.mkdir(parents=True, exist_ok=True)
    STORED.write_text(json.dumps({"front": [one.to_dict() for one in found.front]}, indent=1) + "\n")


def below(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The section; `runs` are those of the bundled model that were routed."""
    if not STORED.exists():
        return []
    front = json.loads(STORED.read_text())["front"]
    fast = [one for one in front if one["latency"] <= LIMIT * 400]
    rows = [[*_folding(one), *_figures(one)] for one in sorted(fast, key=lambda one: -one["latency"])]
    head = ("PE", "SIMD", "cycles", "MHz for that", "LUT", "BRAM")
    text = {"limit": LIMIT, "images": IMAGES, "pixels": 784, "fewest": min(round(one["latency"]) for one in front)}
    return [TEXT.format(**text, routed=_routed(runs), table="\n".join(table(head, rows)))]


def _routed(runs: Sequence[Mapping[str, Any]]) -> str:
    if not runs:
        return "None of them has been placed and routed with this RTL: no time here is measured.\n"
    slowest_first = sorted(runs, key=lambda run: -float(run["latency_us"]))
    rows = [[*folding(run), *_measured(run)] for run in slowest_first]
    head = ("PE", "SIMD", "cycles", "MHz", "us", "COMB", "EBR", "COMB x us")
    best = float(slowest_first[-1]["latency_us"])
    reached = "below" if best < LIMIT else "not below"
    said = (
        f"Cores of this model, placed and routed, {reached} {LIMIT:g} us, on the mean of {ROUTED_IMAGES} images; where"
    )
    return "\n".join(
        [said, "COMB x us stays, a halving of the time costs a doubling of the core:\n", *table(head, rows)]
    )


def _measured(run: Mapping[str, Any]) -> list[str]:
    used, time = run["routed"]["used"], float(run["latency_us"])
    comb = used["TRELLIS_COMB"][0]
    cycles = f"{run['cycles']['latency']:,.0f}"
    return [cycles, f"{run['mhz']:.1f}", f"{time:.2f}", f"{comb:,}", f"{used['DP16KD'][0]}", f"{comb * time:,.0f}"]


def _folding(one: Mapping[str, Any]) -> list[str]:
    return [", ".join(str(lanes) for lanes in one["pe"].values()), str(one["simd"])]


def _figures(one: Mapping[str, Any]) -> list[str]:
    figures = (one["latency"], one["latency"] / LIMIT, one["lut"], one["bram"])
    return [f"{number:,.0f}" for number in figures]
