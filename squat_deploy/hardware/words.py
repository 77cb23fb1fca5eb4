"""Numbers side by side in words: in a weight ROM, in the words of the input stream, in those of a trace."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squat_deploy.network import IntArray

STREAM_BITS = 32  # of a word of every stream


@dataclass(frozen=True)
class Fields:
    """`count` numbers of `bits` each, the first in the lowest bits of the first word; none lies across two words."""

    count: int
    bits: int
    word_bits: int = STREAM_BITS

    @property
    def per_word(self) -> int:
        """Numbers in a word."""
        return self.word_bits // self.bits

    @property
    def words(self) -> int:
        """Words of all numbers."""
        return -(-self.count // self.per_word)

    @property
    def mask(self) -> int:
        """The bits of one number."""
        return 2**self.bits - 1

    def pack(self, numbers: IntArray) -> NDArray[np.uint64]:
        """(..., count) numbers, of which the lowest bits count, to (..., words)."""
        codes = np.zeros((*numbers.shape[:-1], self.words * self.per_word), dtype=np.uint64)
        codes[..., : self.count] = numbers & self.mask
        spread = codes.reshape(*numbers.shape[:-1], self.words, self.per_word)
        return (spread << self._shifts).sum(axis=-1, dtype=np.uint64)

    def unpack(self, words: NDArray[np.uint64]) -> IntArray:
        """(..., words) to the bits of every number, unsigned, (..., count)."""
        codes = (words[..., None] >> self._shifts) & np.uint64(self.mask)
        return codes.reshape(*words.shape[:-1], -1)[..., : self.count].astype(np.int64)

    @property
    def _shifts(self) -> NDArray[np.uint64]:
        return (np.arange(self.per_word) * self.bits).astype(np.uint64)


def signed(codes: IntArray, bits: int) -> IntArray:
    """Numbers of which `codes` are the two's complement in so many bits."""
    half = 2 ** (bits - 1)
    return (codes ^ half) - half
