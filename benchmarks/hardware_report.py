"""docs/hardware.md, from stored runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil
from typing import Any

from benchmarks.hardware_beside import beside_hls, folding, table
from benchmarks.hardware_cells import FEW_SEEDS, SEEDS
from benchmarks.hardware_latency import below

Run = Mapping[str, Any]

HEAD = """# What SystemVerilog cores cost, measured

Made by `python -m benchmarks.hardware report` from the runs in `docs/hardware/`; `python -m benchmarks.hardware run`
makes those that are missing or of an older RTL (each has a digest of the SystemVerilog and the memories that it was
made of), with nothing but the wheels of `squat_deploy[rtl]` and a C++ compiler. Tools: {tools}.

- **784-128-10**: 4-bit weights, {steps} time steps, random spikes at 11 % ({spikes:.1f} a step on average),
  threshold-centred states of 2 or 4 bits; the weights are drawn, not trained. **784-256-10** is the bundled
  Fashion-MNIST model, fed with its test images.
- **xc7** is `synth_xilinx` of yosys: synthesis only, so no timing. LUT are LUT1 to LUT6 as mapped, before two share a
  site; LUTRAM are those that are memories or shift registers; BRAM are RAMB36, halves counted.
- **ECP5** is LFE5U-85F, speed grade 6, with about 105 registers in place of pins, placed and routed for 150 MHz with
  {seeds} seeds, or {few} where that is long (`squat-deploy synth --seeds`, with nextpnr's
  `--placer-heap-timingweight 100`): the fastest counts, the slowest stands beside it. COMB counts every LUT4, two for
  each two bits of a carry chain, and those that are memories.
- **Cycles** are simulated, bit for bit: of one inference alone, and a step where one sequence
  follows another. The bound is spikes x ceil(neurons / PE) / SIMD of the first layer, for each step.
- A neuron unit serves as many lanes as keep up with the spikes (`--share 0`).
"""
OTHERS = """
## Beside others

On 784-128-10 with 2-bit states, at PE 128 and SIMD 1, LUT x cycles a step is {product}. Spiker+ 2.0.3
for this net (8-bit weights, 12-bit neurons; its VHDL through GHDL and yosys 0.23, weight ROMs left out) takes 8,284 LUT
and 919 cycles a step, whatever the activity: 7.61 million. With PE 1 the same net is {small} LUT.
"""
TITLES = {
    "dense2": "784-128-10, 2-bit states",
    "dense4": "784-128-10, 4-bit states",
    "fashion": "784-256-10, bundled model",
    "fashion_conv": "Convolutions on Fashion-MNIST, examples/trained",
    "nmnist_conv": "Convolutions on N-MNIST, examples/trained",
}


def page(runs: Sequence[Run], missing: Sequence[str]) -> str:
    """The whole document; `missing` names the runs that are planned and not there."""
    first = next(run for run in runs if run["spikes"] is not None)
    tools = ", ".join(sorted({f"{name} {version}" for run in runs for name, version in run["tools"].items()}))
    parts = [HEAD.format(tools=tools, steps=first["steps"], spikes=first["spikes"], seeds=SEEDS, few=FEW_SEEDS)]
    for network, title in TITLES.items():
        own = [run for run in runs if run["cell"]["network"] == network and not run["cell"]["share"]]
        if own:
            parts += [f"## {title}\n", *_xc7(own), *_ecp5(own)]
    bundled = [run for run in runs if run["cell"]["network"] == "fashion" and run["target"] == "ecp5"]
    xc7 = [run for run in runs if run["target"] == "xc7"]
    parts += [*_others(runs), *below(bundled), *beside_hls(xc7), *_missing(missing)]
    return "\n".join(parts).rstrip("\n") + "\n"


def _of(runs: Iterable[Run], target: str) -> list[Run]:
    chosen = [run for run in runs if run["target"] == target]
    return sorted(chosen, key=lambda run: (run["cell"]["simd"], run["cell"]["pe"]))


def _xc7(runs: Sequence[Run]) -> list[str]:
    found = _of(runs, "xc7")
    if not found:
        return []
    head = ("PE", "SIMD", "LUT", "LUTRAM", "FF", "BRAM", "DSP", "cycles a step", "of the bound", "LUT x cycles a step")
    return ["xc7:\n", *table(head, [[*folding(run), *_resources(run), *_steps(run)] for run in found])]


def _resources(run: Run) -> list[str]:
    found = run["resources"]
    return [f"{found['lut']:,}", f"{found['lut_ram']:,}", f"{found['ff']:,}", f"{found['bram']:g}", str(found["dsp"])]


def cycles_of(run: Run) -> float:
    """Of a step, one sequence close upon another."""
    return float(run["cycles"]["apart"] / run["steps"])


def _steps(run: Run) -> list[str]:
    cycles = cycles_of(run)
    bound = "" if run["spikes"] is None else f"{cycles / bound_of(run):.2f}"
    return [f"{cycles:,.1f}", bound, f"{run['resources']['lut'] * cycles:,.0f}"]


def bound_of(run: Run) -> float:
    """Cycles of a step in which the first layer does nothing but add."""
    return float(run["spikes"] * ceil(128 / run["cell"]["pe"]) / run["cell"]["simd"])


def _ecp5(runs: Sequence[Run]) -> list[str]:
    found = _of(runs, "ecp5")
    if not found:
        return []
    head = (
        "PE",
        "SIMD",
        "COMB",
        "FF",
        "EBR",
        "Fmax MHz",
        "slowest",
        "cycles an inference",
        "us an inference",
        "inferences a second",
        "longest path",
    )
    return ["ECP5:\n", *table(head, [_routed(run) for run in found])]


def _routed(run: Run) -> list[str]:
    used = {name: count for name, (count, _) in run["routed"]["used"].items()}
    placed = [f"{used.get(name, 0):,}" for name in ("TRELLIS_COMB", "TRELLIS_FF", "DP16KD")]
    slowest = f"{min(run['routed']['clocks'].values()):.1f}"
    speed = [f"{run['mhz']:.1f}", slowest, f"{run['cycles']['latency']:,.0f}", f"{run['latency_us']:,.2f}"]
    path = [cell.removeprefix("core.").split("_TRELLIS")[0] for cell in run["routed"].get("path", ())]
    return [*folding(run), *placed, *speed, f"{run['inferences_per_second']:,.0f}", " to ".join(path)]


def _others(runs: Sequence[Run]) -> list[str]:
    def run_of(pe: int) -> Run | None:
        cell = {"network": "dense2", "pe": pe, "simd": 1, "share": 0, "last": 0}
        return next((run for run in runs if run["cell"] == cell and run["target"] == "xc7"), None)

    wide, small = run_of(128), run_of(1)
    if wide is None or small is None:
        return []
    product = wide["resources"]["lut"] * cycles_of(wide)
    return [OTHERS.format(product=f"{product / 1e6:.2f} million", small=small["resources"]["lut"])]


def _missing(names: Sequence[str]) -> Iterator[str]:
    if names:
        yield f"## Not reached\n\nPlanned, and not made with this RTL: {', '.join(f'`{name}`' for name in names)}."
