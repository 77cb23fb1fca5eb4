"""Resource estimate of a design, unit by unit, and what a device offers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from squat_deploy.hardware.design import Design
from squat_deploy.hardware.memories import Usage


@dataclass(frozen=True)
class Offer:
    """What a device has: block RAMs of 36 Kbit, LUTs, flip-flops, DSPs."""

    name: str
    bram36: int
    lut: int
    ff: int
    dsp: int


_OFFERS = {
    "xc7z010": Offer("Zynq-7010", 60, 17_600, 35_200, 80),
    "xc7z020": Offer("Zynq-7020", 140, 53_200, 106_400, 220),
    "xc7z045": Offer("Zynq-7045", 545, 218_600, 437_200, 900),
    "xc7a35t": Offer("Artix-7 35T", 50, 20_800, 41_600, 90),
    "xc7a100t": Offer("Artix-7 100T", 135, 63_400, 126_800, 240),
    "xczu3eg": Offer("Zynq UltraScale+ ZU3EG", 216, 70_560, 141_120, 360),
    "xczu7ev": Offer("Zynq UltraScale+ ZU7EV", 312, 230_400, 460_800, 1_728),
}


@dataclass(frozen=True)
class Budget:
    """What every unit takes, by name, and what the device offers, if that is known."""

    rows: tuple[tuple[str, Usage], ...]
    offer: Offer | None

    @cached_property
    def total(self) -> Usage:
        """All rows together."""
        return Usage.total(usage for _, usage in self.rows)

    @property
    def fits(self) -> bool:
        """Whether the device, if known, has enough of everything."""
        total, offer = self.total, self.offer
        return offer is None or (
            math.ceil(total.bram18 / 2) <= offer.bram36
            and total.lut <= offer.lut
            and total.ff <= offer.ff
            and total.dsp <= offer.dsp
        )


def budget_of(design: Design, device: str) -> Budget:
    """Estimate of a design on a device."""
    offer = next((offer for prefix, offer in _OFFERS.items() if device.lower().startswith(prefix)), None)
    units = (design.entry, *design.parts, design.readout)
    return Budget(tuple((unit.name, unit.usage) for unit in units), offer)
