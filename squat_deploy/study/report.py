"""Tables and pictures of stored cells: means over seeds with their 95 % intervals."""

from __future__ import annotations

import io
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from scipy.stats import t

from squat_deploy.errors import ConfigError
from squat_deploy.files import write_file
from squat_deploy.study.config import Cell
from squat_deploy.study.running import read_cells

Results = Sequence[tuple[Cell, dict[str, Any]]]
_METHODS = ("PTQ", "QAT", "SQUAT", "QAT+SQUAT")


@dataclass(frozen=True)
class Estimate:
    """Mean of a measurement over seeds, with half the width of its 95 % interval (Student's t); None for one seed."""

    mean: float
    half: float | None
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """From at least one value."""
        count = len(values)
        if count < 2:
            return cls(values[0], None, count)
        half = float(t.ppf(0.975, count - 1)) * statistics.stdev(values) / count**0.5
        return cls(statistics.fmean(values), half, count)

    def __str__(self) -> str:
        return f"{self.mean:.2%}" if self.half is None else f"{100 * self.mean:.2f} ± {100 * self.half:.2f} %"


def write_report(store: Path, target: Path) -> None:
    """Markdown beside its pictures (SVG). Raises: ConfigError for an empty store."""
    results = read_cells(store)
    if not results:
        raise ConfigError(f"{store}: no cells in it; run the study first")
    target.parent.mkdir(parents=True, exist_ok=True)
    picture = target.with_suffix(".accuracy.svg")
    write_file(picture, accuracy_picture(results))
    text = [f"![Accuracy against bits]({picture.name})", "", *accuracy_table(results)]
    write_file(target, ("\n".join(text) + "\n").encode())


def accuracy_table(results: Results) -> list[str]:
    """Lines of Markdown: bits and method down, level tables across."""
    kinds = sorted({cell.levels for cell, _ in results if cell.method != "float"})
    lines = ["| bits | method | " + " | ".join(kinds) + " | seeds | proven, differences |"]
    lines.append("|---" * (len(kinds) + 4) + "|")
    grouped = _grouped(results)
    reference = grouped.get(("float", 32, "threshold-centred"))
    if reference:
        estimate = Estimate.of([result["accuracy"] for result in reference])
        lines.append(f"| 32 | float | {' | '.join([str(estimate)] * len(kinds))} | {estimate.seeds} | |")
    for bits in sorted({key[1] for key in grouped if key[0] != "float"}, reverse=True):
        for method in _METHODS:
            found = {kind: grouped.get((method, bits, kind), []) for kind in kinds}
            if not any(found.values()):
                continue
            cells = [str(Estimate.of([r["accuracy"] for r in found[kind]])) if found[kind] else "" for kind in kinds]
            every = [result for kind in kinds for result in found[kind]]
            seeds = max(len(found[kind]) for kind in kinds)
            proven, wrong = sum(r["proven"] for r in every), sum(r["mismatches"] for r in every)
            agreement = f"{proven} of {len(every)}, {wrong} of {sum(r['values'] for r in every):,} values"
            lines.append(f"| {bits} | {method} | {' | '.join(cells)} | {seeds} | {agreement} |")
    return lines


def accuracy_picture(results: Results) -> bytes:
    """Accuracy against bits, one panel a method, one line a level table, intervals as bars; SVG."""
    grouped = _grouped(results)
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    panels = figure.subplots(1, len(_METHODS), sharey=True)
    for panel, method in zip(panels, _METHODS, strict=True):
        panel.set_title(method)
        panel.set_xlabel("bits of weights and states")
        for kind in sorted({key[2] for key in grouped if key[0] == method}):
            widths = sorted(key[1] for key in grouped if key[0] == method and key[2] == kind)
            estimates = [Estimate.of([r["accuracy"] for r in grouped[method, bits, kind]]) for bits in widths]
            bars = [estimate.half or 0.0 for estimate in estimates]
            panel.errorbar(widths, [e.mean for e in estimates], yerr=bars, marker="o", capsize=3, label=kind)
        if reference := grouped.get(("float", 32, "threshold-centred")):
            panel.axhline(Estimate.of([r["accuracy"] for r in reference]).mean, linestyle=":", label="float")
    panels[0].set_ylabel("test accuracy")
    panels[-1].legend()
    return _svg(figure)


def _svg(figure: Figure) -> bytes:
    """Bytes that depend on the figure alone."""
    import matplotlib

    stream = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "squat_deploy"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def _grouped(results: Iterable[tuple[Cell, dict[str, Any]]]) -> dict[tuple[str, int, str], list[dict[str, Any]]]:
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = defaultdict(list)
    for cell, result in results:
        groups[cell.method, cell.state_bits, cell.levels].append(result)
    return groups
