"""`make fuzz`: random networks until COUNT of them are proven; all executors must agree on every value.

The C++ counts its cycles meanwhile, which must be those of the estimate in every process and step. And every ONNX form
must withstand qonnx's transformations, with the same bits, and read back to the same Network. With RTL=N one seed in N
also runs as SystemVerilog (some 20 seconds), its network and a graph, with gaps in the streams, in parts, cut off,
after a reset, and with their cycles and sums; `--rtl-alone`: in nothing but that.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from tests.graphs import check_every_form
from tests.law import assert_law, drawn_for, frames, lowered
from tests.rtl import assert_both_agree
from tests.verilated import share_runtime

_MOST = 4  # seeds for each network that is to be proven; of 80 seeds 60 are


@dataclass(frozen=True)
class Outcome:
    """What became of one seed: "agrees", "unproven" (refused as it must be), or the failure."""

    seed: int
    verdict: str
    values: int
    options: str


def check(seed: int, rtl: int = 0, *, alone: bool = False) -> Outcome:
    """Draws, lowers and verifies one network; as SystemVerilog too where `rtl` divides the seed, or `alone` as that."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    drawn = drawn_for(seed)
    try:
        network = lowered(drawn)
        if network is None:
            return Outcome(seed, "unproven", 0, drawn.options)
        values = 0 if alone else assert_law(drawn, network)
        with tempfile.TemporaryDirectory() as folder:
            values += 0 if alone else check_every_form(network, frames(drawn), Path(folder))
            if rtl and seed % rtl == 0:
                assert_both_agree(drawn, network, seed, Path(folder))
    except Exception as error:  # noqa: BLE001 (a fuzzer reports them all)
        return Outcome(seed, f"FAILED {type(error).__name__}: {error}", 0, drawn.options)
    return Outcome(seed, "agrees", values, drawn.options)


def main() -> int:
    """Exit code 1 if any network failed, or if too many are refused."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rtl", type=int, default=0, help="one seed in so many runs as SystemVerilog; 0: none")
    parser.add_argument("--rtl-alone", action="store_true", help="in no other form")
    arguments = parser.parse_args()
    began, agreed, unproven, values, failures = time.time(), 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as runtime, ProcessPoolExecutor(arguments.jobs) as pool:
        if arguments.rtl:
            share_runtime(Path(runtime))
        seed, last = arguments.seed, arguments.seed + _MOST * arguments.count
        while agreed + failures < arguments.count and seed < last:
            wanted = arguments.count - agreed - failures
            for outcome in pool.map(
                partial(check, rtl=arguments.rtl, alone=arguments.rtl_alone), range(seed, seed + wanted)
            ):
                agreed += outcome.verdict == "agrees"
                unproven += outcome.verdict == "unproven"
                values += outcome.values
                if outcome.verdict.startswith("FAILED"):
                    failures += 1
                    print(f"seed {outcome.seed}: {outcome.verdict}\n    {outcome.options}", flush=True)
            seed += wanted
            print(f"{agreed} agree, {unproven} refused as unproven, {failures} failed, {time.time() - began:.0f} s")
    compared = "" if arguments.rtl_alone else f"{values:,} values compared, "
    print(f"seeds {arguments.seed}..{seed - 1}: {compared}{failures} networks differ")
    return 1 if agreed < arguments.count else 0


if __name__ == "__main__":
    sys.exit(main())
