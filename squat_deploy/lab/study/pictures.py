"""Pictures of stored cells, as SVG: accuracy against bits, level tables, membranes around the threshold, spikes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from squat_deploy.lab.study.config import Method
from squat_deploy.lab.study.estimates import Estimate, Result, Results, accuracies, grouped

_AROUND = 6  # thresholds on either side that a histogram shows
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
    """Accuracy against bits, one panel a method, one line a level table, intervals as bars."""
    floats = accuracies([(cell, result) for cell, result in results if cell.method == "float"])
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    panels = figure.subplots(1, len(METHODS), sharey=True)
    for panel, method in zip(panels, METHODS, strict=True):
        panel.set_title(method)
        panel.set_xlabel("bits of weights and states")
        own = [(cell, result) for cell, result in results if cell.method == method]
        for kind, part in sorted(grouped(own, lambda cell: cell.levels).items()):
            widths = sorted(grouped(part, lambda cell: cell.state_bits).items())
            estimates = [Estimate.of(accuracies(found)) for _, found in widths]
            bars = [100 * (estimate.half or 0.0) for estimate in estimates]
            bits, means = [width for width, _ in widths], [100 * estimate.mean for estimate in estimates]
            panel.errorbar(bits, means, yerr=bars, marker="o", capsize=3, label=kind)
        if floats:
            panel.axhline(100 * Estimate.of(floats).mean, linestyle=":", color="black", label="float")
    panels[0].set_ylabel("test accuracy, %")
    panels[-1].legend()
    return _svg(figure)


def levels_picture(trained: dict[str, Result]) -> bytes:
    """The level tables of the narrowest states, one line a kind and layer, fired levels filled."""
    rows = [
        (f"{kind}, {layer['name']}", layer["levels"])
        for kind, (_, result) in trained.items()
        for layer in result["layers"]
    ]
    figure = Figure(figsize=(8, 0.5 + 0.35 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, (_, levels) in enumerate(rows):
        fired = [level > 1 for level in levels]
        face = ["C3" if fires else "none" for fires in fired]
        axes.scatter(levels, [place] * len(levels), edgecolors=["C3" if x else "C0" for x in fired], facecolors=face)
    axes.axvline(1, linestyle=":", color="C3")
    axes.axvline(0, linestyle=":", color="grey")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_xlabel("membrane, thresholds; filled: fires")
    return _svg(figure)


def membranes_picture(layers: list[dict[str, Any]]) -> bytes:
    """Histogram of the float network's membranes, what rounding there costs, and the levels that follow."""
    figure = Figure(figsize=(5.5 * len(layers), 4), layout="constrained")
    for panel, layer in zip(figure.subplots(1, len(layers), squeeze=False)[0], layers, strict=True):
        centres = layer["centres"]
        for key, label in (
            ("density", "p, share of membranes"),
            ("cost", "g, later flips an error of one"),
            ("level_density", "sqrt(p g), density of many levels"),
        ):
            values = np.asarray(layer[key]) / (1.0 if key == "cost" else np.gradient(centres))  # bins differ in width
            panel.plot(centres, values / (values.max() or 1.0), label=label)  # no cost far from the threshold
        for bits, height in (("2", -0.06), ("3", -0.13), ("4", -0.2)):
            panel.plot(layer["fitted"][bits], [height] * len(layer["fitted"][bits]), "|", color="black", markersize=10)
            panel.annotate(f"{bits} bits", (max(centres[0], -_AROUND), height), fontsize=7, va="center")
        panel.axvline(1, linestyle=":", color="C3")
        panel.set_xlim(max(centres[0], -_AROUND), min(centres[-1], _AROUND + 1))
        panel.set_title(layer["name"])
        panel.set_xlabel("membrane, thresholds; ticks: levels that flip the fewest spikes")
        panel.set_yticks([])
    figure.axes[0].legend(fontsize=8)
    return _svg(figure)


def spikes_picture(trained: dict[str, Result]) -> bytes:
    """Which of the first neurons fire on the first test sample, every layer, one row a kind of levels."""
    layers = len(next(iter(trained.values()))[1]["layers"])
    figure = Figure(figsize=(4 * layers, 1.6 * len(trained)), layout="constrained")
    panels = figure.subplots(len(trained), layers, squeeze=False, sharex=True)
    for row, (kind, (_, result)) in zip(panels, trained.items(), strict=True):
        for panel, layer in zip(row, result["layers"], strict=True):
            times = [step for step, fired in enumerate(layer["raster"]) for _ in fired]
            panel.plot(times, [neuron for fired in layer["raster"] for neuron in fired], "|", markersize=3)
            panel.set_title(f"{kind}, {layer['name']}", fontsize=8)
            panel.tick_params(labelsize=7)
    for panel in panels[-1]:
        panel.set_xlabel("time step", fontsize=8)
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
