"""What a part has too little of for a core: by how much, which layer takes it, and what to change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass

from squat_deploy.hardware.budget import OFFERS, RESOURCES, Budget, budget_of
from squat_deploy.hardware.design import Design
from squat_deploy.hardware.units import Firing, Unit
from squat_deploy.hardware.units.scatter import Scatter


@dataclass(frozen=True)
class Shortage:
    """A core that a part has no room for.

    Attributes:
        excess: amounts, and how many times those of the part they are, in words.
        layer: that takes most of what is shortest, and its share of that.
        options: changes of the options, each of which makes it fit by estimate.
        larger: the smallest known part that it fits as it is, or None.
        model: changes of the model that make the layer smaller.
    """

    part: str
    excess: str
    layer: str
    share: float
    options: tuple[str, ...]
    larger: str | None
    model: str

    @property
    def remedies(self) -> str:
        """What to change, in words."""
        larger = () if self.larger is None else (f"the part {self.larger}",)
        fitting = " or ".join((*self.options, *larger))
        return f"it fits with {fitting}; smaller with {self.model}" if fitting else f"smaller with {self.model}"


def shortage_of(design: Design, part: str, options: tuple[str, ...] = ()) -> Shortage | None:
    """What is short on a part, or None where it fits, or where nobody knows what the part has.

    Args:
        options: changes of the options that make it fit.
    """
    budget = budget_of(design, part)
    if budget.offer is None or budget.fits:
        return None
    times = [taken / there for taken, there in zip(astuple(budget.total), budget.offer.amounts, strict=True)]
    worst = times.index(max(times))
    units = (design.entry, *design.parts, design.readout)
    unit = max(units, key=lambda unit: astuple(unit.usage)[worst])
    share = astuple(unit.usage)[worst] / astuple(budget.total)[worst]
    larger = next((name for name, offer in OFFERS.items() if budget.within(offer)), None)
    model = ", ".join(_changes(unit))
    return Shortage(budget.offer.name, " and ".join(_excess(budget)), unit.name, share, options, larger, model)


def _excess(budget: Budget) -> Iterator[str]:
    assert budget.offer is not None
    for name, taken, there in zip(RESOURCES, astuple(budget.total), budget.offer.amounts, strict=True):
        if taken > there:
            yield f"{taken:,} {name}, {taken / there:.1f} times the {there:,} that there are"


def _changes(unit: Unit) -> Iterator[str]:
    """What would make a unit smaller."""
    if isinstance(unit, Firing):
        if unit.spread != "shared":
            yield f"one table for the whole layer, in place of {unit.machines}"
        yield f"fewer state bits ({unit.states} states)"
    elif isinstance(unit, Scatter) and unit.rom.bits > 1:
        yield f"fewer weight bits ({unit.rom.bits} now)"
    yield "fewer channels" if unit.signal.positions > 1 else "fewer neurons"
