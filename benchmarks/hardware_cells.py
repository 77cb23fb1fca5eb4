"""The cores that are measured: a network, what it is fed, and its folding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

import squat_deploy as sd
from squat_deploy.backends.rtl import RtlConfig
from squat_deploy.hardware.design import design_of
from squat_deploy.hardware.options import HlsConfig
from squat_deploy.lab import bundled
from squat_deploy.lab.loop import trained_model
from squat_deploy.lab.models import dense_lif_net
from squat_deploy.network import IntArray

STEPS, RATE, SEQUENCES = 25, 0.11, 4
SEEDS, FEW_SEEDS = 4, 2  # placements, of which the fastest counts
IMAGES = 32


@dataclass(frozen=True)
class Cell:
    """One core.

    Attributes:
        network: `dense2` and `dense4` (784-128-10 with so many bits of state), `fashion` (bundled), or one of
            examples/trained.
        pe: of every layer, up to its width.
        share: lanes of a neuron unit; 0 for as many as keep up.
        last: PE of the last layer; 0 for `pe`.
        targets: that it is made for.
    """

    network: str
    pe: int
    simd: int
    share: int = 0
    last: int = 0
    targets: tuple[str, ...] = ("xc7", "ecp5")

    @property
    def name(self) -> str:
        last, share = f"-{self.last}" * bool(self.last), f"-share{self.share}" * bool(self.share)
        return f"{self.network}-pe{self.pe}{last}-simd{self.simd}{share}"

    @property
    def seeds(self) -> int:
        """Placements."""
        return SEEDS if self.network.startswith("dense") else FEW_SEEDS

    @property
    def facts(self) -> dict[str, str | int]:
        """As it is stored."""
        return {"network": self.network, "pe": self.pe, "simd": self.simd, "share": self.share, "last": self.last}

    @property
    def lanes(self) -> int | dict[str, int]:
        """PE, as both back ends take it."""
        if not self.last:
            return self.pe
        names = [neurons.name for neurons in design_of(network_of(self.network), HlsConfig(pe=1)).neurons]
        return {**dict.fromkeys(names, self.pe), names[-1]: self.last}

    @property
    def config(self) -> RtlConfig:
        """Options of the core."""
        return RtlConfig(pe=self.lanes, simd=self.simd, share=self.share)


# what matters most comes first
CELLS = (
    *(Cell("dense2", pe, 1) for pe in (128, 1)),
    Cell("dense4", 128, 1),
    Cell("fashion", 128, 4, last=10),
    Cell("dense2", 128, 4),
    *(Cell("dense2", pe, 1) for pe in (32, 8)),
    *(Cell("dense4", pe, 1) for pe in (1, 32, 8)),
    Cell("dense4", 128, 4),
    *(Cell("dense2", pe, 1, share=1, targets=("xc7",)) for pe in (128, 32)),
    Cell("dense4", 32, 1, share=1, targets=("xc7",)),
    Cell("fashion_conv", 16, 1),
    Cell("fashion", 64, 8, last=10, targets=("ecp5",)),
    Cell("fashion", 64, 4, last=4, targets=("ecp5",)),
    Cell("fashion", 16, 1),
    Cell("nmnist_conv", 16, 1, targets=("xc7",)),
    *(Cell("dense2", pe, 4) for pe in (32, 8, 1)),
    *(Cell("dense4", pe, 4) for pe in (32, 8, 1)),
)


@cache
def network_of(name: str) -> sd.Network:
    """The network of a cell."""
    if name == "fashion":
        return sd.lower(bundled.model(), bundled.input_spec(), bundled.STEPS, name=name)
    if not name.startswith("dense"):
        model, config = trained_model(bundled.folder().parent / "trained" / f"{name}.safetensors")
        return sd.lower(model, config.input, config.steps, name=name)
    torch.manual_seed(1)
    dense = dense_lif_net((784, 128, 10), state_bits=int(name.removeprefix("dense")), input_bits=None)
    return sd.lower(dense, sd.InputSpec((784,), 0, 1, 1.0, encoding="sequence"), STEPS, name=name)


@cache
def stimulus_of(name: str) -> IntArray:
    """Checked integers: test images of the bundled model, or random spikes (T, sequences, ...) at `RATE`."""
    spec = network_of(name).input
    if spec.encoding == "direct":
        images = bundled.images()[0][: IMAGES if name == "fashion" else SEQUENCES]
        return spec.quantize(images.reshape(-1, *spec.shape))
    drawn = np.random.default_rng(0).random((network_of(name).steps, SEQUENCES, *spec.shape)) < RATE
    return drawn.astype(np.int64)
