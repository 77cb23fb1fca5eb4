"""The words in which a sequence enters a core, whatever core that is."""

from __future__ import annotations

from dataclasses import dataclass

from squat_deploy.hardware.words import Fields
from squat_deploy.network import InputSpec
from squat_deploy.network.encoders import AnyEncoder, EventEncoder, takes_intensities


@dataclass(frozen=True)
class InputWords:
    """Words of 32 bits that carry the inputs of a network, or what an encoder makes them of."""

    spec: InputSpec
    encoder: AnyEncoder | None = None

    @property
    def fields(self) -> Fields:
        """One frame."""
        bits = self.encoder.bits if takes_intensities(self.encoder) else self.spec.bits
        return Fields(self.spec.size, bits)

    @property
    def once(self) -> bool:
        """Whether one frame is a whole sequence."""
        return takes_intensities(self.encoder) or self.spec.encoding == "direct"

    @property
    def described(self) -> str:
        """The law in words."""
        if isinstance(self.encoder, EventEncoder):
            return (
                f"one word an event, ticks since the start of the sequence in the upper half, address in the lower, in "
                f"the order of time; {self.encoder.window} ticks a time step; 0xffffffff ends the sequence"
            )
        fields = f"{self.fields.per_word} integers of {self.fields.bits} bit a word, lowest bits first"
        often = "a sequence" if self.once else "a time step"
        range_ = f"range {self.spec.low}..{self.spec.high}"
        if takes_intensities(self.encoder):
            range_ = f"intensities 0..{self.fields.mask}"
        return f"{self.fields.words} words {often}, {fields}, {range_}"
