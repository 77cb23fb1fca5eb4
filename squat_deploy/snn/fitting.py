"""Levels that flip the fewest spikes, from the membranes that a float network really has.

Why levels belong near the threshold. Rounding the membrane u to v flips a spike at once where v is on the other side
of the threshold, and later where the error e = v - u still matters: k steps later the membrane is off by beta**k * e,
and a spike flips where the membrane comes that close to the threshold. So an error of a small size |e| costs, in
expected flipped spikes,

    |e| * g(u),   g(u) = sum over k >= 1 of beta**k * f_k(u),

where f_k(u) is the density at the threshold of the membrane k steps later, given that it is u now. The whole cost of a
table v is the weighted distance

    sum over u of p(u) * ([v(u) on the other side] + |v(u) - u| * g(u))

with p the histogram of membranes: a one-dimensional median problem. With many levels its solution has the closed form
(Bennett's integral for absolute errors) density of levels ~ sqrt(p(u) * g(u)). Threshold-centred tables are the right
shape wherever g is greatest near the threshold, that is, wherever currents are small against it; uniform ones wherever
p * g is flat. `best_levels` solves it exactly for any number of levels on a grid, by dynamic programming over pairs of
neighbouring levels, between which the nearest-level rule decides in the middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import ConfigError
from squat_deploy.snn.levels import FloatArray, check_levels

RealArray = NDArray[np.float64]
BINS = 512
_FINE = 2, 4  # thresholds below and above zero with narrow bins
_NEAR = 0.1  # thresholds on either side that count as being at the threshold
_CANDIDATES = 256  # levels that a search may choose from
_TAIL = 1e-4  # share of the membranes left out at either end


@dataclass(frozen=True, eq=False)
class MembraneHistogram:
    """Where the membranes of one layer are, and what rounding them there costs.

    Attributes:
        centres: (B,) of the bins, in membrane units.
        density: (B,) share of the membranes in every bin, p.
        cost: (B,) expected later flips for an error of one membrane unit, g.
        threshold: in membrane units.
    """

    centres: RealArray
    density: RealArray
    cost: RealArray
    threshold: float

    @property
    def level_density(self) -> RealArray:
        """(B,) share of many levels in every bin, sqrt(p * g) by the closed form; zero where no rounding costs."""
        density = np.sqrt(self.density * self.cost * bin_widths(self.centres))  # p and g are for one membrane unit
        return density / max(density.sum(), np.finfo(float).tiny)


def bin_widths(centres: RealArray) -> RealArray:
    """(B,) widths of bins by their centres, where neighbours are alike but for a few places (`_edges`)."""
    gaps = np.diff(centres)
    left, right = np.append(np.nan, gaps), np.append(gaps, np.nan)
    alike = np.isclose(left, np.append(np.nan, left[:-1]), rtol=0.02)  # so that this gap is no mean of two widths
    widths = np.where(alike, left, right)
    if len(centres) > 2:
        widths[0], widths[-1] = 2 * gaps[0] - widths[1], 2 * gaps[-1] - widths[-2]
    return np.where(np.isfinite(widths), widths, gaps[-1])


def membrane_histogram(
    before: FloatArray, beta: float, threshold: float, *, resets: bool = False, bins: int = BINS
) -> MembraneHistogram:
    """Measures p and g.

    Args:
        before: (T, N) membranes before rounding, one column a trajectory (a neuron on a sample).
        beta: membrane decay a step.
        resets: whether a spike sets the membrane to zero, which ends every earlier error; subtraction keeps it.

    Raises: ConfigError for NaN or membranes that never move.
    """
    if not np.isfinite(before).all():
        raise ConfigError("levels: membranes must be finite; got NaN or infinity")
    low, high = np.quantile(before, (_TAIL, 1 - _TAIL))
    low, high = min(low, 0.0), max(high, 1.05 * threshold)
    if not low < high:
        raise ConfigError(f"levels: membranes stay at {low:g}: nothing to fit")
    edges = _edges(low, high, threshold, bins)
    place = np.clip(np.digitize(before, edges) - 1, 0, bins - 1)
    counts = np.bincount(place.reshape(-1), minlength=bins).astype(np.float64)
    near = (np.abs(before - threshold) < (width := _NEAR * threshold)) / (2 * width)
    later, total = np.zeros_like(near), np.zeros(bins)
    fired = before > threshold
    for step in reversed(range(len(before))):
        total += np.bincount(place[step], weights=later[step], minlength=bins)
        if step:
            passed = near[step] + later[step]
            later[step - 1] = beta * np.where(fired[step - 1] & resets, 0.0, passed)
    return MembraneHistogram((edges[1:] + edges[:-1]) / 2, counts / counts.sum(), _smooth(total, counts), threshold)


def _edges(low: float, high: float, threshold: float, bins: int) -> RealArray:
    """Bins in two widths: membranes may spread over a hundred thresholds, while what matters happens near one."""
    inner = max(low, -_FINE[0] * threshold), min(high, _FINE[1] * threshold)
    outside = np.array([inner[0] - low, high - inner[1]])
    counts = np.ceil(bins / 2 * outside / max(outside.sum(), 1e-12)).astype(int)
    below = np.linspace(low, inner[0], counts[0], endpoint=False)
    above = np.linspace(high, inner[1], counts[1], endpoint=False)[::-1]
    return np.concatenate([below, np.linspace(*inner, bins + 1 - counts.sum()), above])


def _smooth(total: RealArray, counts: RealArray) -> RealArray:
    """Mean of a bin, with bins that hold little drawn to their neighbours'."""
    window = np.exp(-0.5 * (np.arange(-16, 17) / 6) ** 2)
    weight = np.convolve(counts, window, mode="same")
    return np.convolve(total, window, mode="same") / np.maximum(weight, 1e-12)


def best_levels(histogram: MembraneHistogram, bits: int) -> FloatArray:
    """The 2**bits levels with the least expected flips, ascending, float32; the last one is above the threshold.

    Exact among the centres of bins, of which it takes 256 at most, or twice the levels: a table's cost is a sum over
    neighbouring levels.
    """
    levels, centres = 2**bits, histogram.centres
    candidates = np.unique(
        np.linspace(0, len(centres) - 1, min(len(centres), max(_CANDIDATES, 2 * levels))).round().astype(int)
    )
    values = centres[candidates]
    pair = _pair_costs(histogram, values)
    best = _end_costs(histogram, values, first=True)
    came: list[NDArray[np.int64]] = []
    for _ in range(levels - 1):
        through = best[:, None] + pair
        came.append(through.argmin(axis=0))
        best = through.min(axis=0)
    best = best + _end_costs(histogram, values, first=False)
    best[values <= histogram.threshold] = np.inf
    chosen = [int(best.argmin())]
    for back in reversed(came):
        chosen.append(int(back[chosen[-1]]))
    return check_levels(values[chosen[::-1]].astype(np.float32), histogram.threshold)


def expected_flips(histogram: MembraneHistogram, levels: FloatArray) -> float:
    """Flipped spikes a neuron and step that rounding to this table costs, by the model above."""
    nearest = np.abs(levels[None, :] - histogram.centres[:, None]).argmin(axis=1)
    return float(_cost(histogram, histogram.centres, levels[nearest]).sum())


def _cost(histogram: MembraneHistogram, membranes: RealArray, level: RealArray | FloatArray | float) -> RealArray:
    """Per bin: at once, and later."""
    flipped = (membranes > histogram.threshold) != (np.asarray(level) > histogram.threshold)
    later = np.abs(level - membranes) * histogram.cost
    return histogram.density * np.minimum(flipped + later, 1.0)


def _pair_costs(histogram: MembraneHistogram, values: RealArray) -> RealArray:
    """(V, V) cost of the membranes between two neighbouring levels; infinite unless the first is lower."""
    centres = histogram.centres
    of_level = np.array([_cost(histogram, centres, value) for value in values])  # (V, B)
    running = np.concatenate([np.zeros((len(values), 1)), np.cumsum(of_level, axis=1)], axis=1)
    at = np.searchsorted(centres, values)
    middle = np.searchsorted(centres, (values[:, None] + values[None, :]) / 2, side="right")
    rows = np.arange(len(values))
    lower = running[rows[:, None], middle] - running[rows, at][:, None]
    upper = running[rows, at][None, :] - running[rows[None, :], middle]
    return np.where(rows[:, None] < rows[None, :], lower + upper, np.inf)


def _end_costs(histogram: MembraneHistogram, values: RealArray, *, first: bool) -> RealArray:
    """(V,) cost of the membranes below the lowest, or above the highest level."""
    centres = histogram.centres
    outside = centres[None, :] < values[:, None] if first else centres[None, :] >= values[:, None]
    costs = np.array([_cost(histogram, centres, value) for value in values])
    return np.where(outside, costs, 0.0).sum(axis=1)
