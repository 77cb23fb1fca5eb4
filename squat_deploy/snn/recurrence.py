"""Recurrent neurons that add their two currents before the membrane sees them."""

from __future__ import annotations

import snntorch as snn
from torch import Tensor


class CurrentsFirstRLeaky(snn.RLeaky):
    """`snn.RLeaky` with `beta * mem + (input + recurrent)`.

    snnTorch computes `(beta * mem + input) + recurrent`, which float32 rounds by both currents and not by their sum;
    here equal sums make equal membranes.
    """

    stands_for: str = ""

    def _base_state_function(self, input_: Tensor) -> Tensor:
        membrane: Tensor = self.beta.clamp(0, 1) * self.mem + (input_ + self.recurrent(self.spk))
        return membrane


class CurrentsFirstRSynaptic(snn.RSynaptic):
    """`snn.RSynaptic` with `alpha * syn + (input + recurrent)`, for the same reason."""

    stands_for: str = ""

    def _base_state_function(self, input_: Tensor) -> tuple[Tensor, Tensor]:
        current = self.alpha.clamp(0, 1) * self.syn + (input_ + self.recurrent(self.spk))
        return current, self.beta.clamp(0, 1) * self.mem + current

    def _base_state_reset_zero(self, input_: Tensor) -> tuple[int, Tensor]:
        return 0, self._base_state_function(input_)[1]
