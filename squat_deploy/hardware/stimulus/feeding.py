"""What a core is fed: frames, whole sequences of them, or intensities in front of an encoder; and random ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network import IntArray, Network
from squat_deploy.network.encoders import AnyEncoder, frames_of, takes_intensities
from squat_deploy.network.layers.base import Stage
from squat_deploy.network.simulator import Result, run, stages_of

Mask = NDArray[np.bool_]
_MUTATIONS = 5  # places in which a sequence is changed at once, at most


@dataclass(frozen=True, eq=False)
class Feeding:
    """The inputs of a core; a block of them is (frames, B, size), in which `frames` is 1 where one is a sequence."""

    network: Network
    encoder: AnyEncoder | None

    @cached_property
    def ends(self) -> tuple[int, int]:
        """Lowest and highest number."""
        spec = self.network.input
        return (0, 2**self.encoder.bits - 1) if takes_intensities(self.encoder) else (spec.low, spec.high)

    @property
    def frames(self) -> int:
        """Of a sequence."""
        return 1 if takes_intensities(self.encoder) or self.network.input.encoding == "direct" else self.network.steps

    @property
    def size(self) -> int:
        """Numbers of a frame."""
        return self.network.input.size

    def taken(self, block: IntArray) -> IntArray:
        """A block in the shape in which it is given: (B, *shape) where a frame is a sequence, else (T, B, *shape)."""
        shaped = block.reshape(*block.shape[:2], *self.network.input.shape)
        return shaped[0] if self.frames == 1 and self._single else shaped

    def entering(self, block: IntArray) -> IntArray:
        """What enters the network, as for `simulate`."""
        return np.asarray(frames_of(self.encoder, self.taken(block), self.network.steps))

    def traced(self, block: IntArray) -> tuple[IntArray, Result]:
        """What enters the network, and its whole trace."""
        entering = self.entering(block)
        return entering, run(self.network, self._stages, entering, trace=True)

    @cached_property
    def _stages(self) -> list[Stage]:
        return stages_of(self.network)

    @property
    def _single(self) -> bool:
        return takes_intensities(self.encoder) or self.network.input.encoding == "direct"

    def specials(self) -> IntArray:
        """What a sequence may be at its edges: all high, and then all low; something in one step, or in all but one."""
        low, high = self.ends
        rest = min(max(low, 0), high)
        kinds = [np.full((self.frames, 1, self.size), end, dtype=np.int64) for end in dict.fromkeys((high, rest, low))]
        for frame in (0, -1) if self.frames > 1 else ():
            kinds.append(np.full_like(kinds[0], rest))
            kinds[-1][frame] = high
        if self.frames > 2:
            kinds.append(np.full_like(kinds[0], high))
            kinds[-1][self.frames // 2] = rest
        return np.concatenate(kinds, axis=1)

    def random(self, rng: np.random.Generator, count: int) -> IntArray:
        """Sequences of every kind: few and many inputs, whole areas, frames that stay, and steps without any."""
        return np.concatenate([self._one(rng) for _ in range(count)], axis=1)

    def _one(self, rng: np.random.Generator) -> IntArray:
        low, high = self.ends
        held = self.frames == 1 or rng.integers(4) == 0
        frames = 1 if held else self.frames
        on = rng.integers(0, self.size, (frames, self.size)) < _share(rng, self.size, 1 if rng.integers(2) else frames)
        if len(self.network.input.shape) == 3 and rng.integers(3) == 0:
            on &= self._area(rng)
        values = self._values(rng, on.shape)
        block = np.broadcast_to(np.where(on, values, min(max(low, 0), high)), (self.frames, self.size)).copy()
        if self.frames > 1 and rng.integers(4) == 0:
            first, last = np.sort(rng.integers(0, self.frames + 1, 2))
            block[:first], block[last:] = min(max(low, 0), high), min(max(low, 0), high)
        return block[:, None]

    def _values(self, rng: np.random.Generator, shape: tuple[int, ...]) -> IntArray:
        low, high = self.ends
        kind = rng.integers(3)
        if kind == 0:
            return rng.integers(low, high + 1, shape)
        return np.full(shape, high if kind == 1 else int(rng.integers(low, high + 1)), dtype=np.int64)

    def _area(self, rng: np.random.Generator) -> Mask:
        """A rectangle of some channels."""
        channels, height, width = self.network.input.shape
        (top, below), (left, right) = (np.sort(rng.integers(0, size + 1, 2)) for size in (height, width))
        area = np.zeros((channels, height, width), dtype=bool)
        area[:, top : below + 1, left : right + 1] = True
        return (area & (rng.integers(0, 2, (channels, 1, 1)) == 0) | (channels == 1) & area).reshape(-1)

    def driven(self, rng: np.random.Generator, worth: NDArray[np.float64], count: int) -> IntArray:
        """Sequences of inputs that are worth most, more and fewer of them, and some that are worth nothing."""
        low, high = self.ends
        rest, best = min(max(low, 0), high), np.argsort(-worth, kind="stable")
        block = np.full((self.frames, count, self.size), rest, dtype=np.int64)
        for sequence in range(count):
            most = int(_share(rng, max(1, int(np.count_nonzero(worth > 0))), 1)[0, 0])
            on = best[:most]
            if rng.integers(2):
                on = on[rng.integers(0, 4, on.size) > 0]
            block[:, sequence, on] = high if rng.integers(2) else int(rng.integers(max(low, 1), high + 1))
            if low < 0:
                block[:, sequence, worth < 0] = low
            if self.frames > 1 and rng.integers(2):
                block[rng.integers(0, 2, self.frames) == 0, sequence] = rest
        return block

    def mutated(self, rng: np.random.Generator, parents: IntArray, count: int) -> IntArray:
        """Sequences (frames, count, size) that differ in a few places from (frames, P, size), half of which were on."""
        low, high = self.ends
        rest, places = min(max(low, 0), high), self.frames * self.size
        children = parents[:, rng.integers(0, parents.shape[1], count)].transpose(1, 0, 2).reshape(count, -1)
        rows, on = np.nonzero(children != rest)
        counts = np.bincount(rows, minlength=count)
        starts = np.cumsum(counts) - counts
        for _ in range(int(rng.integers(1, _MUTATIONS + 1))):
            place = rng.integers(0, places, count)
            some = (rng.integers(0, 2, count) == 1) & (counts > 0)
            place[some] = on[(starts + (rng.random(count) * counts).astype(np.int64))[some]]
            drawn = self._values(rng, (count,))
            children[np.arange(count), place] = np.where(rng.integers(0, 2, count) == 1, rest, drawn)
        return children.reshape(count, self.frames, self.size).transpose(1, 0, 2)

    def varied(self, rng: np.random.Generator, parents: IntArray, count: int) -> IntArray:
        """Sequences that differ in some places from earlier ones (frames, P, size), or are halves of two."""
        children = parents[:, rng.integers(0, parents.shape[1], count)].copy()
        others = parents[:, rng.integers(0, parents.shape[1], count)]
        for child in range(count):
            if rng.integers(4) == 0:
                cut = int(rng.integers(0, self.size))
                children[:, child, :cut] = others[:, child, :cut]
            places = rng.integers(0, self.size * self.frames, int(_share(rng, min(64, self.size), 1)[0, 0]))
            flat = children[:, child].copy().reshape(-1)
            drawn = self._values(rng, places.shape)
            flat[places] = np.where(flat[places] == drawn, min(max(self.ends[0], 0), self.ends[1]), drawn)
            children[:, child] = flat.reshape(self.frames, self.size)
        return children


def _share(rng: np.random.Generator, size: int, frames: int) -> IntArray:
    """(frames, 1) numbers up to `size`, small ones as often as large ones."""
    power = rng.integers(0, max(1, math.ceil(math.log2(size + 1))), (frames, 1))
    return np.minimum(size, rng.integers(0, 2**power) + 2**power)
