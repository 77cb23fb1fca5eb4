"""Estimates as text: cycles of every process, resources of every layer."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from squat_deploy.backends import cpp
from squat_deploy.hardware.budget import Budget, Offer
from squat_deploy.hardware.folding import Folding
from squat_deploy.hardware.measured import ERRORS
from squat_deploy.hardware.options import HlsConfig
from squat_deploy.hardware.schedule import Schedule
from squat_deploy.hardware.units.base import LOOP_OVERHEAD_CYCLES


@dataclass(frozen=True)
class Estimate:
    """Both estimates.

    Attributes:
        overhead: cycles to fill and drain a loop.
        averaged: sequences over which the mean is taken.
        mean, worst: cycles of one inference, and its time.
        bound: what keeps it from being faster.
        part: its short name, if `offer` is known, else as it was given.
        offer: what the part has.
        fits: whether that is enough.
        shortage: what is not, and what to change.
        errors: of the resources.
    """

    clock_ns: float
    overhead: int
    averaged: str
    steps: int
    mean: str
    worst: str
    cycles_table: str
    folding_table: str
    bound: str
    budget_table: str
    part: str
    offer: str | None
    fits: str
    shortage: str | None
    errors: str


def estimate_of(folding: Folding, config: HlsConfig, averaged: str) -> Estimate:
    """What `estimate.txt` prints."""
    budget, schedule = folding.budget, folding.schedule
    offer, mean, worst = budget.offer, schedule.mean_cycles, schedule.worst_cycles
    return Estimate(
        clock_ns=config.clock_ns,
        overhead=LOOP_OVERHEAD_CYCLES,
        averaged=f"over {averaged}",
        steps=folding.design.network.steps,
        mean=f"{mean:.0f} cycles = {microseconds(mean, config)}",
        worst=f"{worst} cycles = {microseconds(worst, config)}",
        cycles_table=schedule_table(schedule),
        folding_table=folding_table(folding),
        bound=bound_of(folding),
        budget_table=budget_table(budget),
        part=config.part if offer is None else offer.name,
        offer=None if offer is None else _offered(offer),
        fits="fits" if budget.fits else "DOES NOT FIT",
        shortage=shortage_text(folding),
        errors=ERRORS,
    )


def _offered(offer: Offer) -> str:
    return f"{offer.bram36 * 2} BRAM18, {offer.lut} LUT, {offer.ff} FF, {offer.dsp} DSP"


def microseconds(cycles: float, config: HlsConfig) -> str:
    """Time of so many cycles."""
    return f"{cycles * config.clock_ns / 1000:.1f} us"


def schedule_table(schedule: Schedule) -> str:
    """Cycles of every process as text."""
    rows = [("process", "mean cycles/step", "worst cycles/step")]
    rows += [(cpp.plain(row.name), f"{row.mean:.1f}", str(row.worst)) for row in schedule.processes]
    return "\n".join(f"{name:<20}{mean:>20}{worst:>20}" for name, mean, worst in rows)


def bound_of(folding: Folding) -> str:
    """What keeps it from being faster."""
    return f"{cpp.plain(folding.bound.name)} {folding.bound.why}"


def shortage_text(folding: Folding) -> str | None:
    """What the part has too little of, in sentences, or None."""
    short = folding.shortage
    if short is None:
        return None
    share = f"{cpp.plain(short.layer)} takes {100 * short.share:.0f} % of what is shortest"
    return (
        f"The design DOES NOT FIT a {short.part}, by estimate: {short.excess}. {share}. What helps: {short.remedies}."
    )


def folding_table(folding: Folding) -> str:
    """Lanes of every process as text, of those that have any."""
    rows = [("process", "PE", "of at most", "events", "PE chosen by")]
    for share in folding.shares:
        by = "option" if share.given else "balance" if share.widest > 1 else ""
        rows.append((cpp.plain(share.process), str(share.pe), str(share.widest), str(share.events), by))
    return "\n".join(
        f"{name:<20}" + f"{pe:>8}{most:>12}{events:>8}{by:>14}".rstrip() for name, pe, most, events, by in rows
    )


def budget_table(budget: Budget) -> str:
    """Resources of every layer as text, and the share of the part, if it is known."""
    rows: list[tuple[str, ...]] = [("layer", "BRAM18", "LUT", "FF", "DSP")]
    for name, usage in (*budget.rows, ("total", budget.total)):
        rows.append((cpp.plain(name), *map(str, astuple(usage))))
    total, offer = budget.total, budget.offer
    if offer is not None:
        shares = (total.bram18 / offer.bram36 / 2, total.lut / offer.lut, total.ff / offer.ff, total.dsp / offer.dsp)
        rows.append((f"of {offer.name}", *(f"{100 * share:.1f} %" for share in shares)))
    return "\n".join(f"{name:<24}" + "".join(f"{cell:>10}" for cell in cells) for name, *cells in rows)
