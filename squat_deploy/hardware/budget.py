"""Resource estimate of a design, unit by unit, and what a device offers."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from functools import cached_property

from squat_deploy.hardware.design import Design
from squat_deploy.hardware.memories import Usage

RESOURCES = ("BRAM18", "LUT", "FF", "DSP")


@dataclass(frozen=True)
class Offer:
    """What a device has: block RAMs of 36 Kbit, LUTs, flip-flops, DSPs."""

    name: str
    bram36: int
    lut: int
    ff: int
    dsp: int

    @property
    def amounts(self) -> tuple[int, int, int, int]:
        """In the order of a `Usage`."""
        return 2 * self.bram36, self.lut, self.ff, self.dsp


OFFERS = {  # by the beginning of their names; AMD's product tables DS180, DS190, DS890, DS891
    "xc7z007s": Offer("Zynq-7007S", 50, 14_400, 28_800, 66),
    "xc7z010": Offer("Zynq-7010", 60, 17_600, 35_200, 80),
    "xc7a35t": Offer("Artix-7 35T", 50, 20_800, 41_600, 90),
    "xc7a50t": Offer("Artix-7 50T", 75, 32_600, 65_200, 120),
    "xc7z020": Offer("Zynq-7020", 140, 53_200, 106_400, 220),
    "xc7a100t": Offer("Artix-7 100T", 135, 63_400, 126_800, 240),
    "xczu3eg": Offer("Zynq UltraScale+ ZU3EG", 216, 70_560, 141_120, 360),
    "xc7z030": Offer("Zynq-7030", 265, 78_600, 157_200, 400),
    "xck26": Offer("Kria K26", 144, 117_120, 234_240, 1248),
    "xc7a200t": Offer("Artix-7 200T", 365, 134_600, 269_200, 740),
    "xc7k325t": Offer("Kintex-7 325T", 445, 203_800, 407_600, 840),
    "xc7z045": Offer("Zynq-7045", 545, 218_600, 437_200, 900),
    "xczu7ev": Offer("Zynq UltraScale+ ZU7EV", 312, 230_400, 460_800, 1728),
    "xczu9eg": Offer("Zynq UltraScale+ ZU9EG", 912, 274_080, 548_160, 2520),
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
        return self.offer is None or self.within(self.offer)

    def within(self, offer: Offer) -> bool:
        """Whether a device has enough of everything."""
        return all(taken <= there for taken, there in zip(astuple(self.total), offer.amounts, strict=True))


def offer_of(device: str) -> Offer | None:
    """What a device has, if that is known."""
    return next((offer for prefix, offer in OFFERS.items() if device.lower().startswith(prefix)), None)


def budget_of(design: Design, device: str) -> Budget:
    """Estimate of a design on a device."""
    offer = offer_of(device)
    units = (design.entry, *design.parts, design.readout)
    return Budget(tuple((unit.name, unit.usage) for unit in units), offer)
