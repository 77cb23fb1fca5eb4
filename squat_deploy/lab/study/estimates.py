"""Means over seeds with their 95 % intervals, and differences of two settings, seed by seed."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from scipy.stats import t

from squat_deploy.errors import ConfigError
from squat_deploy.lab.study.config import Cell

Result = tuple[Cell, Mapping[str, Any]]
Results = Sequence[Result]
Verdict = Literal["holds", "does not hold", "undecided"]
Key = TypeVar("Key", bound=Hashable)


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

    def above(self, least: float = 0.0) -> Verdict:
        """Whether the measured thing is greater than `least`: only an interval on one side of it decides."""
        if self.half is None or abs(self.mean - least) <= self.half:
            return "undecided"
        return "holds" if self.mean > least else "does not hold"


def accuracies(results: Results) -> list[float]:
    """Of every cell. Raises: ConfigError for two of one seed, which are not of one setting."""
    seeds = [cell.seed for cell, _ in results]
    if len(set(seeds)) < len(seeds):
        name = results[0][0].group or results[0][0].method
        raise ConfigError(f"study: {name}: two cells of one row have one seed; put what differs under vary")
    return [float(result["accuracy"]) for _, result in results]


def grouped(results: Results, key: Callable[[Cell], Key]) -> dict[Key, list[Result]]:
    """Results by a property of their cells, in the order of their first appearance."""
    groups: dict[Key, list[Result]] = defaultdict(list)
    for cell, result in results:
        groups[key(cell)].append((cell, result))
    return dict(groups)


def difference(first: Results, second: Results) -> Estimate | None:
    """Accuracy of the first minus that of the second, over the seeds that both have; None without any."""
    own, other = ({cell.seed: float(result["accuracy"]) for cell, result in part} for part in (first, second))
    shared = sorted(set(own) & set(other))
    return Estimate.of([own[seed] - other[seed] for seed in shared]) if shared else None
