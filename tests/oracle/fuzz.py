"""`python -m tests.oracle.fuzz`: drawn models against a plain loop of stock snnTorch and Brevitas.

Prints every difference with its seed and the model's description, and why models were refused.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

from tests.oracle.judge import Verdict, judge, judge_nir, judge_spelling


def histogram(verdicts: Iterable[Verdict]) -> str:
    """Refusals by their first rule, the most frequent first."""
    rules = Counter(verdict.rule for verdict in verdicts if verdict.kind == "refused")
    return "\n".join(f"{count:6}  {rule[:110]}" for rule, count in rules.most_common())


def tally(verdicts: list[Verdict], seconds: float) -> str:
    """One line: how many of each kind."""
    kinds = Counter(verdict.kind for verdict in verdicts)
    plain = [verdict for verdict in verdicts if verdict.plain]
    wrong = sum(verdict.kind != "equal" for verdict in plain)
    values = sum(verdict.values for verdict in verdicts)
    return (
        f"{len(verdicts)} models: {kinds['equal']} proven and equal, {kinds['differs']} proven and DIFFERENT, "
        f"{kinds['refused']} refused, {kinds['broken']} broken; {wrong} of {len(plain)} plain ones not proven; "
        f"{values:,} values, {seconds:.0f} s"
    )


def main() -> int:
    """Exit code 1 if any model differs, breaks the product, or is refused though it is plain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long; go on with --seed")
    parser.add_argument("-v", "--verbose", action="store_true", help="describe every model")
    options = parser.parse_args()
    began, verdicts = time.time(), []
    with ProcessPoolExecutor(options.jobs) as pool:
        stop = options.seed + options.count
        for first in range(options.seed, stop, 200):
            for verdict in pool.map(judge, range(first, min(first + 200, stop)), chunksize=5):
                verdicts.append(verdict)
                if verdict.wrong or options.verbose:
                    print(f"{verdict.kind}: {verdict.rule}\n  {verdict.text}", flush=True)
            print(tally(verdicts, time.time() - began), flush=True)
            if time.time() - began > options.seconds:
                break
        spelled = list(pool.map(judge_spelling, range(options.seed, options.seed + len(verdicts)), chunksize=5))
        graphs = list(pool.map(judge_nir, range(options.seed, options.seed + len(verdicts) // 5), chunksize=5))
    for verdict in (*spelled, *graphs):
        if verdict.wrong or options.verbose:
            print(f"{verdict.kind}: {verdict.rule}\n  seed {verdict.seed}: {verdict.text}")
    print(f"spelled forwards: {tally(spelled, time.time() - began)}\n{histogram(spelled)}")
    print(f"NIR graphs: {tally(graphs, time.time() - began)}\n{histogram(graphs)}")
    print(f"refused, by the first rule:\n{histogram(verdicts)}")
    print(f"seeds {options.seed}..{verdicts[-1].seed}: {tally(verdicts, time.time() - began)}")
    return 1 if any(verdict.wrong for verdict in (*verdicts, *spelled, *graphs)) else 0


if __name__ == "__main__":
    sys.exit(main())
