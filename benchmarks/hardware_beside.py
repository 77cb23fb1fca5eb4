"""Tables of docs/hardware.md, and the section on estimates of the HLS back end beside measured cores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.hardware_estimates import KINDS, measured

Run = Mapping[str, Any]
HLS = """## Estimates of HLS beside measured RTL

The same networks at the same folding and with the same inputs: what the HLS back end expects (`hardware/budget.py`,
`hardware/schedule.py`; two events a cycle at most, so SIMD 4 stands beside 2) before what yosys made of the RTL for
xc7, LUTs that are memories among its LUT, and their ratio. Cycles are those of one inference alone.
"""
WHY = """LUT by what they are for. HLS counts a control unit of 250 LUT and 300 FF a process, as Bambu writes it;
that of the RTL stands in its modules. HLS has a neuron unit a lane, which only the cores with share 1 have, too.
"""


FOLLOWS = """What follows for `budget.py`: {shared}. Products of inputs were priced at two thirds of what yosys makes of
them (4 bits by 4 bits: 24 LUT, not 16), and a search had registers for one of its steps; both are counted now. Control
stays at what Bambu writes, since this RTL has none of its kind, and the estimate stays for a neuron unit a lane.
"""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Of numbers."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---:"] * len(head), *rows)]
    return [*lines, ""]


def folding(run: Run) -> list[str]:
    """PE and SIMD."""
    cell = run["cell"]
    return [f"{cell['pe']}, {cell['last']}" if cell["last"] else str(cell["pe"]), str(cell["simd"])]


def beside_hls(runs: Sequence[Run]) -> list[str]:
    """The section, of the runs for xc7."""
    if not runs:
        return []
    runs = sorted(runs, key=lambda run: [run["cell"][name] for name in ("network", "share", "simd", "pe")])
    place = ("network", "PE", "SIMD", "share")
    whole = [[*_place(run), *(_pair(run, what) for what in ("lut", "ff", "bram", "cycles"))] for run in runs]
    parts = [[*_place(run), *_parts(run)] for run in runs if run["parts"]]
    return [
        HLS,
        *table((*place, "LUT", "FF", "BRAM", "cycles"), whole),
        WHY,
        *table((*place, *KINDS[:3], "control"), parts),
        FOLLOWS.format(shared=_shared([run for run in runs if run["cell"]["share"] == 1])),
    ]


def _shared(runs: Sequence[Run]) -> str:
    """Cores that HLS would make alike, without its control."""
    if not runs:
        return "no core with a neuron unit a lane was measured with this RTL"
    found = [(run["estimate"]["lut"] - run["estimate"]["parts"]["control"]) / _measured(run, "lut") for run in runs]
    least, most = (f"{limit:.2f}" for limit in (min(found), max(found)))
    span = least if least == most else f"{least} to {most}"
    return (
        f"with a neuron unit a lane and without control the estimate is {span} times\nthe LUT of RTL, whose modules "
        "for synapses and events hold their own control"
    )


def ratio(run: Run, what: str) -> float:
    """The estimate as a multiple of what was measured."""
    return float(run["estimate"][what] / _measured(run, what))


def _place(run: Run) -> list[str]:
    share = run["cell"]["share"]
    return [run["cell"]["network"], *folding(run), str(share) if share else "auto"]


def _measured(run: Run, what: str) -> float:
    if what == "cycles":
        return float(run["cycles"]["latency"])
    found = run["resources"]
    return float(found["lut"] + found["lut_ram"] if what == "lut" else found[what])


def _pair(run: Run, what: str) -> str:
    return f"{run['estimate'][what]:,.7g} / {_measured(run, what):,.7g} = {ratio(run, what):.2f}"


def _parts(run: Run) -> list[str]:
    wanted, found = run["estimate"]["parts"], measured(run["parts"])
    return [*(f"{wanted[kind]:,} / {found[kind]:,.0f}" for kind in KINDS[:3]), f"{wanted['control']:,}"]
