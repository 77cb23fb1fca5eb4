"""Pictures of stored cells, as SVG: accuracy against bits, level tables, membranes around the threshold, spikes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from squat_deploy.lab.study.config import Method
from squat_deploy.lab.study.estimates import Estimate, Result, Results, accuracies, grouped
from squat_deploy.snn.fitting import bin_widths

_AROUND = 6  # thresholds on either side that a histogram shows
INK, _FIRES = "#333333", "#d55e00"
_STYLES = {  # Okabe and Ito's colours, and a marker for each, so that no picture needs colour
    "learned": ("#0072b2", "o"),
    "rest": ("#e69f00", "s"),
    "threshold-centred": ("#009e73", "^"),
    "uniform": ("#cc79a7", "D"),
    "fixed-point": ("#56b4e9", "v"),
    "ternary": ("#d55e00", "P"),
    "zero-centred": ("#000000", "*"),
}
_COLLAPSED = "collapsed: below twice chance"
METHODS: tuple[Method, ...] = ("PTQ", "QAT", "SQUAT", "QAT+SQUAT")


def pictures(results: Results) -> dict[str, bytes]:
    """All that the main cells of a study have data for, by the name of what they show."""
    main = [(cell, result) for cell, result in results if not cell.group]
    floats = [result for cell, result in main if cell.method == "float" and result.get("membranes")]
    trained = _trained(main)
    found = {}
    if any(cell.method != "float" for cell, _ in main):
        found["accuracy"] = accuracy_picture(main)
    if trained:
        found |= {"levels": levels_picture(trained), "spikes": spikes_picture(trained)}
    if floats:
        found["membranes"] = membranes_picture(floats[0]["membranes"])
    return found


def accuracy_picture(results: Results) -> bytes:
    """`accuracy_axes` as a file."""
    return _svg(accuracy_axes(results))


def accuracy_axes(results: Results) -> Figure:
    """Accuracy against bits, a panel a method that was run: every seed, medians as lines, intervals of means.

    Where a quarter of the runs lie far below the rest, the axis is broken: these have a lower part of their own.
    """
    floats = accuracies([(cell, result) for cell, result in results if cell.method == "float"])
    own = [(cell, result) for cell, result in results if cell.method != "float"]
    methods = [method for method in METHODS if any(cell.method == method for cell, _ in own)]
    widths = sorted({cell.state_bits for cell, _ in own})
    split = _split([100 * float(result["accuracy"]) for _, result in results])
    figure = Figure(figsize=(max(5.0, 2.0 * len(methods) + 1.6), 4.2), layout="constrained")
    heights = [1] if split is None else [2, 1]
    rows = figure.subplots(len(heights), len(methods), sharex=True, sharey="row", squeeze=False, height_ratios=heights)
    for row, part in zip(rows, ((split or 0.0, 101.0), (0.0, split or 0.0)), strict=False):
        for panel, method in zip(row, methods, strict=True):
            _draw_method(panel, [(cell, result) for cell, result in own if cell.method == method], widths, part)
            if floats:
                panel.axhline(100 * Estimate.of(floats).mean, linestyle=":", color=INK, label="float")
            panel.grid(axis="y", alpha=0.3)
    for panel, method in zip(rows[0], methods, strict=True):
        panel.set_title(method)
    for panel in rows[-1]:
        panel.set_xticks(range(len(widths)), map(str, widths))
        panel.set_xlim(-0.5, len(widths) - 0.5)
    best = max(100 * float(result["accuracy"]) for _, result in results)
    _break(rows, split, best)
    figure.supxlabel("bits of weights and states" if _alike(own) else "bits of states", fontsize=10)
    figure.supylabel("test accuracy, %", fontsize=10)
    _legend(figure, [panel for row in rows for panel in row])
    return figure


def _alike(results: Results) -> bool:
    return all(cell.state_bits == cell.weight_bits for cell, _ in results)


def _split(values: Sequence[float]) -> float | None:
    """Where the axis is broken: below three quarters of the runs, if the others would take more than half of it."""
    low, quarter, high = np.quantile(values, (0, 0.25, 1))
    return float(np.floor(quarter)) if high - quarter < (high - low) / 2 else None


def _break(rows: NDArray[Any], split: float | None, best: float) -> None:
    """Up to a little above the best run; where the axis is broken, its two parts, with a dashed line between them."""
    for panel in rows[0]:
        low = panel.get_ylim()[0] if split is None else split
        panel.set_ylim(low, best + 0.08 * (best - low))
    if split is None:
        return
    for upper, lower in zip(*rows, strict=True):
        lower.set_ylim(0, split)
        lower.yaxis.set_major_locator(MaxNLocator(4))
        upper.spines.bottom.set_visible(False)
        lower.spines.top.set_linestyle((0, (4, 4)))
        upper.tick_params(axis="x", length=0)


def _draw_method(panel: Axes, results: Results, widths: Sequence[int], part: tuple[float, float]) -> None:
    """A kind of levels a colour and a marker, side by side at each width; runs of this part of the axis, in percent."""
    kinds = sorted(grouped(results, lambda cell: cell.levels).items())
    for number, (kind, own) in enumerate(kinds):
        colour, marker = _STYLES[kind]
        aside = 0.16 * (number - (len(kinds) - 1) / 2)
        found = sorted(grouped(own, lambda cell: cell.state_bits).items())
        places = [widths.index(bits) + aside for bits, _ in found]
        medians = [100 * median(accuracies(runs)) for _, runs in found]
        panel.plot(places, medians, color=colour, linewidth=1.2)
        for place, (_, runs) in zip(places, found, strict=True):
            low, high = interval(accuracies(runs))
            panel.vlines(place, low, high, color=colour, alpha=0.3, linewidth=4)
            for collapsed, label, sign in ((False, kind, marker), (True, _COLLAPSED, "x")):
                if values := [value for value, fell in _runs(runs) if fell == collapsed and part[0] <= value < part[1]]:
                    at = [place] * len(values)
                    panel.plot(at, values, sign, color=colour, markersize=5, label=label, clip_on=False, zorder=3)


def _runs(results: Results) -> list[tuple[float, bool]]:
    """Accuracy of every run in percent, and whether it has collapsed: below twice what guessing gives."""
    guessed = 1 / results[0][0].training.config.sizes[-1]
    return [(100 * value, value < 2 * guessed) for value in accuracies(results)]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean in percent, cut at 0 and 100; of one run, that run."""
    estimate = Estimate.of(values)
    half = estimate.half or 0.0
    return max(0.0, 100 * (estimate.mean - half)), min(100.0, 100 * (estimate.mean + half))


def _legend(figure: Figure, panels: Sequence[Axes], inches: float = 1.5) -> None:
    """One for all panels, over no data, each entry so wide."""
    found: dict[str, Any] = {}
    for panel in panels:
        handles, labels = panel.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    if _COLLAPSED in found:  # in the colour of none
        found[_COLLAPSED] = Line2D([], [], linestyle="", marker="x", color=INK)
    order = (*_STYLES, "float", _COLLAPSED)
    found = dict(sorted(found.items(), key=lambda one: order.index(one[0]) if one[0] in order else 0))
    columns = int(figure.get_figwidth() / inches)
    figure.legend(found.values(), found.keys(), loc="outside upper center", ncols=columns, fontsize=9, frameon=False)


def levels_picture(trained: dict[str, Result]) -> bytes:
    """The level tables of the narrowest states, one line a kind and layer, fired levels filled."""
    rows = [
        (f"{kind}, {layer['name']}", layer["levels"])
        for kind, (_, result) in trained.items()
        for layer in result["layers"]
    ]
    figure = Figure(figsize=(7, 1.2 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(1, linestyle="--", color=_FIRES, label="threshold")
    axes.axvline(0, linestyle=":", color="grey", label="rest")
    for place, (_, levels) in enumerate(rows):
        axes.axhline(place, color=INK, alpha=0.15, linewidth=0.8, zorder=0)
        for fires, label in ((False, "level"), (True, "level that fires")):
            own = [level for level in levels if (level > 1) == fires]
            colour = _FIRES if fires else _STYLES["learned"][0]
            axes.plot(own, [place] * len(own), "o", color=colour, fillstyle="full" if fires else "none",
                      label=label if place == 0 else None)  # fmt: skip
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("membrane, in thresholds")
    figure.legend(loc="outside upper center", ncols=4, fontsize=9, frameon=False)
    return _svg(figure)


def membranes_picture(layers: list[dict[str, Any]]) -> bytes:
    """Histogram of the float network's membranes, what rounding there costs, and the levels that follow."""
    figure = Figure(figsize=(3.6 * len(layers) + 0.4, 4), layout="constrained")
    panels = figure.subplots(1, len(layers), squeeze=False)[0]
    for panel, layer in zip(panels, layers, strict=True):
        centres = np.asarray(layer["centres"])
        share, cost = np.asarray(layer["density"]) / bin_widths(centres), np.asarray(layer["cost"])
        curves = (
            (share, "p, membranes a unit", "-"),
            (cost, "g, later flips of an error of one", "--"),
            (np.sqrt(share * cost), "sqrt(p g), density of many levels", "-."),
        )
        for (values, label, line), colour in zip(curves, ("#0072b2", "#d55e00", "#009e73"), strict=True):
            panel.plot(centres, values / (values.max() or 1.0), line, color=colour, label=label)  # each by its largest
        panel.axvline(1, linestyle=":", color=INK, label="threshold")
        heights = (-0.08, -0.17, -0.26)
        for bits, height in zip(("2", "3", "4"), heights, strict=True):
            panel.plot(layer["fitted"][bits], [height] * len(layer["fitted"][bits]), "|", color=INK, markersize=8)
        panel.set_yticks([*heights, 0, 1], ["2 bits", "3 bits", "4 bits", "0", "1"])
        panel.set_xlim(max(centres[0], -_AROUND), min(centres[-1], _AROUND + 1))
        panel.set_title(layer["name"])
        panel.set_xlabel("membrane, in thresholds")
    for panel in panels[1:]:
        panel.tick_params(labelleft=False)
    _legend(figure, panels, 2.7)
    return _svg(figure)


def spikes_picture(trained: dict[str, Result]) -> bytes:
    """Which of the first neurons fire on the first test sample, a column a layer, a row a kind of levels."""
    names = [layer["name"] for layer in next(iter(trained.values()))[1]["layers"]]
    rasters = {kind: [layer["raster"] for layer in result["layers"]] for kind, (_, result) in trained.items()}
    figure = Figure(figsize=(2.9 * len(names) + 0.6, 1.5 * len(rasters) + 0.5), layout="constrained")
    panels = figure.subplots(len(rasters), len(names), squeeze=False, sharex=True, sharey="col")
    for row, (kind, found) in zip(panels, rasters.items(), strict=True):
        for panel, raster in zip(row, found, strict=True):
            at = [(step, neuron) for step, fired in enumerate(raster) for neuron in fired]
            panel.hlines([neuron for _, neuron in at], [step - 0.4 for step, _ in at], [step + 0.4 for step, _ in at],
                         color="#0072b2", linewidth=1.6)  # fmt: skip
        row[0].set_ylabel(f"{kind}\nneuron", fontsize=9)
    for place, (panel, name) in enumerate(zip(panels[0], names, strict=True)):
        panel.set_title(name)
        most = max((neuron for found in rasters.values() for fired in found[place] for neuron in fired), default=0)
        panel.set_ylim(-0.8, most + 0.8)
        panel.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    for panel in panels[-1]:
        panel.set_xlabel("time step")
    return _svg(figure)


def _trained(results: Results) -> dict[str, Result]:
    """By kind of levels, the first seed of QAT+SQUAT at the fewest bits."""
    own = [(cell, result) for cell, result in results if cell.method == "QAT+SQUAT" and result.get("layers")]
    fewest = min((cell.state_bits for cell, _ in own), default=0)
    found: dict[str, Result] = {}
    for cell, result in sorted(own, key=lambda pair: (pair[0].levels, pair[0].seed)):
        if cell.state_bits == fewest:
            found.setdefault(cell.levels, (cell, result))
    return found


def _svg(figure: Figure) -> bytes:
    """Bytes that depend on the figure alone."""
    stream = io.BytesIO()
    with rc_context({"svg.hashsalt": "squat_deploy", "text.parse_math": False}):  # names with $ are names
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
