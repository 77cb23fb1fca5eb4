"""Foldings as a picture: time against LUTs, those that no other beats joined by a line."""

from __future__ import annotations

import io

from squat_deploy.errors import ToolError
from squat_deploy.exploration.search import Exploration


def drawn(found: Exploration) -> bytes:
    """SVG. Raises: ToolError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ToolError("pictures need matplotlib: pip install 'squat_deploy[study]'") from error
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter([one.us for one in found.tried], [one.lut for one in found.tried], s=18, color="0.7", label="tried")
    front = found.front
    axes.plot([one.us for one in front], [one.lut for one in front], "o-", color="C0", label="no other beats it")
    if found.chosen is not None:
        axes.plot(found.chosen.us, found.chosen.lut, "D", color="C1", markersize=9, label="chosen")
    axes.set(
        xscale="log", yscale="log", xlabel="microseconds a sequence", ylabel=f"LUT on {found.wanted.target}, estimated"
    )
    axes.grid(alpha=0.3)
    axes.legend()
    with io.BytesIO() as stream:
        figure.savefig(stream, format="svg", metadata={"Date": None})
        return stream.getvalue()
