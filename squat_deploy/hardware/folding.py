"""Folding by balance: how many lanes each process gets, so that none waits for another and the part has room."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from squat_deploy.errors import ConfigError, ExportError
from squat_deploy.hardware.balancing import Balance, Bound, Chosen, Fold
from squat_deploy.hardware.budget import OFFERS, Budget, budget_of
from squat_deploy.hardware.design import Design, Outline, outline_of
from squat_deploy.hardware.options import HlsConfig
from squat_deploy.hardware.schedule import Schedule, estimate
from squat_deploy.hardware.shortage import Shortage, shortage_of
from squat_deploy.hardware.units.base import Cycles


@dataclass(frozen=True)
class Share:
    """What one process was given.

    Attributes:
        widest: the most lanes that it could have.
        events: that its synapses take a cycle.
        given: it was by the options.
        cycles: a step, mean over some sequences.
    """

    process: str
    pe: int
    widest: int
    events: Literal[1, 2]
    given: bool
    cycles: float


@dataclass(frozen=True, eq=False)
class Folding:
    """A folded core.

    Attributes:
        shares: of all processes, in order.
        bound: what keeps it from being faster.
        shortage: what the part has too little of, if it has.
    """

    design: Design
    schedule: Schedule
    budget: Budget
    shares: tuple[Share, ...]
    bound: Bound
    shortage: Shortage | None

    @property
    def pe(self) -> dict[str, int]:
        """PE of every neuron layer, as `HlsConfig.pe` takes it."""
        return {part.name: part.lanes.pe for part in self.design.neurons}

    @property
    def events(self) -> dict[str, Literal[1, 2]]:
        """Events a cycle of the synapses before every neuron layer, as `HlsConfig.events` takes them."""
        process_of, shares = self.design.graph.process_of, self.shares
        return {part.name: shares[process_of[part.number] - 1].events for part in self.design.neurons}


def fold_core(outline: Outline, events: dict[int, Cycles]) -> Folding:
    """The folding that the options ask for, by the events of some sequences (`event_counts`).

    Raises: ExportError where a goal is out of reach, with the nearest that is not; ConfigError for a part to fit that
    is not known.
    """
    balance, config = Balance(outline, events), outline.config
    if config.fit is not None and balance.offer is None:
        known = ", ".join(OFFERS)
        text = f"fit: what {config.fit} offers is not known here; known are names that begin with {known}"
        raise ConfigError(f"{text}; of another, name it as part, and give a target")
    start = balance.start()
    if config.fit is not None or config.target is not None:
        _check_fits(_made(balance, start), outline, events)
    reached, bound = balance.faster(start)
    if config.target is not None and balance.cycles(reached) > config.target:
        raise ExportError(_out_of_reach(config, balance.cycles(reached), bound))
    return _folding(balance, balance.slimmer(reached), bound)


def refold(outline: Outline, events: dict[int, Cycles], folds: Sequence[Fold]) -> Folding:
    """A folding that was chosen before, or is thought of: lanes and events of every process, in order.

    Raises: ExportError where a process cannot be made so.
    """
    balance = Balance(outline, events)
    chosen = dict(zip(balance.processes, folds, strict=True))
    return _folding(balance, chosen, balance.longest(chosen))


def _folding(balance: Balance, chosen: Chosen, bound: Bound) -> Folding:
    outline, events = balance.outline, balance.events
    design = _made(balance, chosen)
    budget, short = budget_of(design, outline.config.part), _shortage(design, outline, events)
    return Folding(design, estimate(design, events), budget, _shares(balance, chosen), bound, short)


def _made(balance: Balance, chosen: Chosen) -> Design:
    return balance.outline.design({number: balance.option(number, chosen).units for number in chosen})


def _shares(balance: Balance, chosen: Chosen) -> tuple[Share, ...]:
    return tuple(
        Share(
            process=process.name,
            pe=chosen[number].pe,
            widest=balance.outline.widest(process),
            events=2 if min(chosen[number].events, balance.outline.most_events(process)) == 2 else 1,
            given=balance.asked[number] is not None,
            cycles=balance.option(number, chosen).mean,
        )
        for number, process in balance.processes.items()
    )


def _check_fits(design: Design, outline: Outline, events: dict[int, Cycles]) -> None:
    """Raises: ExportError where the fewest lanes are too many for a part."""
    short = _shortage(design, outline, events)
    if short is not None:
        told = f"{short.excess}, most of it in {short.layer}; {short.remedies}"
        raise ExportError(f"{outline.config.part}: with the fewest lanes {told}; without a goal it is written as it is")


def _shortage(design: Design, outline: Outline, events: dict[int, Cycles]) -> Shortage | None:
    short = shortage_of(design, outline.config.part)
    return short and replace(short, options=tuple(_remedies(outline, events)))


def _remedies(outline: Outline, events: dict[int, Cycles]) -> Iterator[str]:
    """Changes of options with which it fits by estimate."""
    config = outline.config
    pe, form, one = {"pe": None}, {"form": "auto"}, {"events": None}
    every: tuple[tuple[str, dict[str, Any]], ...] = (
        ("pe left open", {**pe}),
        ("form auto", {**form}),
        ("events left open", {**one}),
        ("pe left open, form auto and events left open", {**pe, **form, **one}),
    )
    for told, change in every:
        other = config.model_copy(update=change)
        if other != config and _fits(Balance(outline_of(outline.network, other), events)):
            yield told
            return


def _fits(balance: Balance) -> bool:
    """Whether a folding that fits can be found: that of the fewest lanes."""
    return budget_of(_made(balance, balance.start()), balance.config.part).fits


def _out_of_reach(config: HlsConfig, cycles: float, bound: Bound) -> str:
    nearest, why = math.ceil(cycles), f"{bound.name} {bound.why}"
    if config.target_us is None:
        return f"target_cycles: {config.target_cycles} cycles are out of reach: {why}; the nearest is {nearest}"
    told = math.ceil(nearest * config.clock_ns / 100) / 10
    return f"target_us: {config.target_us:g} us are out of reach: {why}; the nearest is {told:g}"
