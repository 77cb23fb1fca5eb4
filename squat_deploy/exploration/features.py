"""What the resources of a core are made of: counts of its instances' bits, to which measured runs give a price."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from squat_deploy.backends.rtl.instance import Instance
from squat_deploy.backends.rtl.plan import RtlPlan
from squat_deploy.backends.rtl.sums import multiplies, terms_of
from squat_deploy.hardware.memories import Memory

NAMES = (
    "instances",
    "wires",
    "sums",
    "added",
    "multiplied",
    "compared",
    "listed",
    "small memories",
    "middling",
    "blocks",
    "all blocks",
)
SMALL = 2700  # bits of a memory below which yosys makes LUTs for every target
LARGE = 4096  # from here on the RTL asks for block RAM, as `squat_rom` does
Features = NDArray[np.float64]


def features_of(plan: RtlPlan) -> Features:
    """(len(NAMES),) of a whole core."""
    total: Features = np.sum([_of(instance) for instance in plan.instances], axis=0)
    return total


def _of(instance: Instance) -> Features:
    sizes = {name: int(value) for name, value in instance.parameters.items() if isinstance(value, int)}
    lanes, value = sizes.get("PE", 0), sizes.get("VALUE", 0)
    compared = sizes.get("KEY", 0) * _comparisons(instance, sizes)
    little, middling, blocks, small = _memories(instance, sizes)
    return np.array(
        [
            1,
            sum(bits for bundle in instance.gives for bits in bundle.wires.values()),
            lanes * sizes.get("SUM", 0),
            lanes * _added(sizes, signed=instance.parameters.get("VALUE_SIGNED") == "1'b1"),
            lanes * sizes.get("SIMD", 1) * sizes.get("WEIGHT", 0) * (value if value > 1 else 0),
            lanes * compared,
            sizes.get("FIELDS", 0) * (1 + sizes.get("INDEX", 0)),
            little + sizes.get("WIDTH", 0) * sizes.get("DEPTH", 0),
            middling,
            blocks,
            blocks + small,
        ],
        dtype=np.float64,
    )


def _added(sizes: dict[str, int], *, signed: bool) -> int:
    """Bits of the adders behind the weights of a lane, as `squat_dot` has them: for products, and their tree."""
    if "WEIGHT" not in sizes:
        return 0
    value, simd = sizes["VALUE"], sizes.get("SIMD", 1)
    terms = terms_of(value, signed, simd)
    wide = min(sizes["WEIGHT"] + value + 2 + (simd - 1).bit_length(), sizes["SUM"])
    return (terms - 1) * wide + (terms * (sizes["WEIGHT"] + 2) if multiplies(value, signed) else 0)


def _comparisons(instance: Instance, sizes: dict[str, int]) -> int:
    """Of one neuron: of all thresholds at once, or one a bit of the level."""
    if "LEVEL" not in sizes:
        return 0
    if sizes.get("SHIFT", -1) >= 0:
        return 1
    searched = instance.parameters.get("KEYS", "1'b1") == "1'b1" or sizes["LEVEL"] > 2
    return sizes["LEVEL"] if searched else 2 ** sizes["LEVEL"] - 1


def _memories(instance: Instance, sizes: dict[str, int]) -> tuple[int, int, int, int]:
    """Bits of constants that become LUTs, and those of memories too small for a block; blocks of RAM, large and small.

    What neurons compare with are LUTs, whatever their size; a memory of one word is wires.
    """
    roms = list(_roms(instance))
    if instance.module == "neurons":
        return sum(depth * width for depth, width in roms), 0, *_blocks(_rams(instance, sizes))
    large, small = _blocks([*((depth, width) for depth, width in roms if depth > 1), *_rams(instance, sizes)])
    bits = [depth * width for depth, width in roms]
    little = sum(size for size in bits if size < SMALL)
    return little, sum(size for size in bits if SMALL <= size < LARGE), large, small


def _blocks(memories: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Block RAMs of those that must be such, and of those that some tools make so."""
    found = {True: 0, False: 0}
    for depth, width in memories:
        if depth * width >= SMALL:
            found[depth * width >= LARGE] += Memory("", depth, (width,)).usage.bram18
    return found[True], found[False]


def _rams(instance: Instance, sizes: dict[str, int]) -> Iterator[tuple[int, int]]:
    """(depth, width) of memories that are written, one a port to read."""
    rows, width = sizes.get("GROUPS", 1) * sizes.get("POSITIONS", 1), sizes.get("PE", 1) * sizes.get("SUM", 0)
    pages = 1 if instance.parameters.get("HELD") == "1'b1" else 2
    if instance.module == "neurons":
        yield rows, sizes["PE"] * sizes["STATE"]
    elif instance.module == "scatter" and rows > 1 and sizes.get("APART", 0) > 1:
        yield from [(pages * rows, width)] * (1 + sizes["READERS"])
    elif instance.module == "scatter_plane":
        yield from [(rows, width)] * pages


def _roms(instance: Instance) -> Iterator[tuple[int, int]]:
    """(depth, width) of each file; words of weights are as wide as a block RAM of their depth has them."""
    column = instance.parameters.get("COLUMN")
    for name, text in instance.memories.items():
        words = text.split()
        digits = 4 * len(words[0]) if words else 0
        yield len(words), int(column) if column is not None and "_weights_" in name else digits
