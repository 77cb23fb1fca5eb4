"""What the resources of a core are made of: counts of its instances' bits, to which measured runs give a price."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from squat_deploy.backends.rtl.instance import Instance
from squat_deploy.backends.rtl.plan import RtlPlan

NAMES = ("instances", "wires", "sums", "products", "compared", "listed", "small memories", "blocks")
BLOCK = 16384  # bits of a block RAM that is a few bits wide
SMALL = 2048  # bits of a memory that yosys makes of LUTs rather than of block RAM
Features = NDArray[np.float64]


def features_of(plan: RtlPlan) -> Features:
    """(len(NAMES),) of a whole core."""
    total: Features = np.sum([_of(instance) for instance in plan.instances], axis=0)
    return total


def _of(instance: Instance) -> Features:
    sizes = {name: int(value) for name, value in instance.parameters.items() if isinstance(value, int)}
    lanes = sizes.get("PE", 0)
    compared = sizes.get("KEY", 0) * _comparisons(instance, sizes)
    small, blocks = _memories(instance)
    return np.array(
        [
            1,
            sum(bits for bundle in instance.gives for bits in bundle.wires.values()),
            lanes * sizes.get("SUM", 0),
            lanes * sizes.get("SIMD", 0) * sizes.get("SUM", 0),
            lanes * compared,
            sizes.get("FIELDS", 0) * (1 + sizes.get("INDEX", 0)),
            small + sizes.get("WIDTH", 0) * sizes.get("DEPTH", 0),
            blocks,
        ],
        dtype=np.float64,
    )


def _comparisons(instance: Instance, sizes: dict[str, int]) -> int:
    """Of one neuron: of all thresholds at once, or one a bit of the level."""
    if "LEVEL" not in sizes:
        return 0
    searched = instance.parameters.get("KEYS", "1'b1") == "1'b1" or sizes["LEVEL"] > 2
    return sizes["LEVEL"] if searched else 2 ** sizes["LEVEL"] - 1


def _memories(instance: Instance) -> tuple[int, int]:
    """Bits of its constants that become LUTs, and blocks of block RAM for the others."""
    sizes = list(_sizes(instance))
    return sum(size for size in sizes if size <= SMALL), sum(-(-size // BLOCK) for size in sizes if size > SMALL)


def _sizes(instance: Instance) -> Iterator[int]:
    """Of each file; words of weights are as wide as a block RAM of their depth has them."""
    column = instance.parameters.get("COLUMN")
    for name, text in instance.memories.items():
        words = text.split()
        digits = 4 * len(words[0]) if words else 0
        yield len(words) * (int(column) if column is not None and "_weights_" in name else digits)
