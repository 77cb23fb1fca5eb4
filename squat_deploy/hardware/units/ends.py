"""Both ends of a core: words of a stream into events, with or without an encoder, and events into scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from squat_deploy.hardware.input_words import InputWords
from squat_deploy.hardware.listing import left_over, listing_rounds
from squat_deploy.hardware.logic import lister
from squat_deploy.hardware.memories import Memory, Usage
from squat_deploy.hardware.pipeline import DOUBLE
from squat_deploy.hardware.units.base import (
    LOOP_OVERHEAD_CYCLES,
    Cycles,
    Events,
    Flow,
    Kept,
    Unit,
    at_start,
    loop,
    one_array,
    one_list,
    pairs,
)
from squat_deploy.hardware.words import STREAM_BITS, Fields, signed
from squat_deploy.network import InputSpec, IntArray, int_bits
from squat_deploy.network.encoders import (
    END_OF_EVENTS,
    AnyEncoder,
    EventEncoder,
    LatencyEncoder,
    RateEncoder,
    takes_intensities,
)
from squat_deploy.network.readout import OF_MEMBRANES, Readout, updated


@dataclass(frozen=True, eq=False)
class ReadInput(Unit):
    """Lists what enters in a step.

    It takes nothing but words, as events where they are address events: several of one address are one event here.

    Attributes:
        steps: of a sequence.
        repeats: the list of a direct input is handed over in every step, not only in the first.
    """

    spec: InputSpec
    encoder: AnyEncoder | None
    steps: int
    repeats: bool
    kind: ClassVar[str] = "input"

    @property
    def about(self) -> str:
        return self.spec.described

    @property
    def words(self) -> InputWords:
        """What the stream carries."""
        return InputWords(self.spec, self.encoder)

    @property
    def fields(self) -> Fields:
        """One frame in the words of the stream."""
        return self.words.fields

    @property
    def once(self) -> bool:
        """Whether one frame is a whole sequence."""
        return self.words.once

    @property
    def spikes(self) -> bool:
        """Whether nothing but 0 and 1 enters."""
        return self.signal.unit

    @property
    def lists_words(self) -> bool:
        """Whether words with spikes are listed beside the loop that reads them."""
        return self.streamed and self.spikes and self.encoder is None

    def stream(self, frames: IntArray) -> list[IntArray]:
        """The words that arrive in each step, for frames (T, size), or (1, size) where one is a sequence."""
        words = self.fields.pack(frames).astype(np.int64)
        return [*words, *[np.zeros(0, dtype=np.int64)] * (self.steps - len(words))]

    def run(self, kept: Kept, *taken: Flow) -> Events:
        """Takes the words that have arrived; what is left waits for the next step."""
        step = kept["step"] = kept.get("step", -1) + 1
        kept["waiting"] = np.concatenate([kept.get("waiting", np.zeros(0, dtype=np.int64)), one_array(taken[0])])
        encoder = self.encoder
        if isinstance(encoder, EventEncoder):
            return self._counted(kept, (step + 1) * encoder.window)
        if takes_intensities(encoder):
            return Events.of(self._fires(encoder, self._frame(kept, step), step).astype(np.int64), self.signal.grid)
        if step >= self.listed_steps:
            return Events.none()
        frame = self._frame(kept, step)
        values = signed(frame, self.fields.bits) if self.spec.low < 0 else frame
        return Events.of(values, self.signal.grid)

    def _frame(self, kept: Kept, step: int) -> IntArray:
        """The bits (size,) of the numbers of this step."""
        if step == 0 or not self.once:
            words, kept["waiting"] = np.split(kept["waiting"], [self.fields.words])
            kept["frame"] = self.fields.unpack(words.astype(np.uint64))
        return np.asarray(kept["frame"])

    def _fires(self, encoder: RateEncoder | LatencyEncoder, frame: IntArray, step: int) -> IntArray:
        if isinstance(encoder, LatencyEncoder):
            return encoder.times(self.steps)[frame] == step
        return frame > encoder.thresholds(self.steps, self.size)[step]

    def _counted(self, kept: Kept, end: int) -> Events:
        """Address events before `end`, each word `time << 16 | address`."""
        counts, used = dict[int, int](), 0
        for word in kept["waiting"].tolist():
            if word == END_OF_EVENTS or word >> 16 >= end:
                break
            used, address = used + 1, word & 0xFFFF
            if address < self.size:
                counts[address] = min(counts.get(address, 0) + 1, self.spec.high)
        kept["waiting"] = kept["waiting"][used:]
        index, value = (np.fromiter(numbers, dtype=np.int64) for numbers in (counts.keys(), counts.values()))
        return Events(self.signal.grid.coded(index), value)

    @property
    def listed_steps(self) -> int:
        """Steps in which what enters is handed over: a direct input once, unless somebody takes it again."""
        return 1 if self.spec.encoding == "direct" and not self.repeats else self.steps

    def _cycles(self, taken: Sequence[Cycles], given: Cycles) -> Cycles:
        overhead, size = LOOP_OVERHEAD_CYCLES, self.size
        first = np.arange(given.shape[1]) == 0
        if isinstance(self.encoder, EventEncoder):  # counts cleared, what was left dropped; events counted, then listed
            return first * (size + 2 * overhead) + 2 * taken[0] + 2 * np.ceil(given / 2) + 2 * overhead
        if takes_intensities(self.encoder):
            return first * (self.scan + overhead) + -(-size // 2) + np.zeros_like(given) + overhead
        scan = 0 if self.spikes else self._fresh(given) * self.scan + overhead
        return np.zeros_like(given) + scan + (given + overhead if self.repeats else 0)

    def loops(self, events: Mapping[int, Cycles]) -> list[Cycles]:
        """Words of spikes are read beside the list of them; numbers, and what an encoder gives, are listed at once."""
        rounds = self.listed_rounds(events)
        if takes_intensities(self.encoder):
            return [rounds + at_start(self.scan + LOOP_OVERHEAD_CYCLES, rounds)]
        fresh = self._fresh(rounds)
        return [fresh * float(self.fields.words) + 0 * rounds] * self.spikes + [fresh * rounds]

    @property
    def scan(self) -> int:
        """Iterations over a frame, two numbers of a word at a time."""
        fields = self.fields
        if self.encoder is not None and fields.per_word % 2:
            return self.size
        return (fields.words - 1) * -(-fields.per_word // 2) + -(-self._in_last_word // 2)

    @property
    def _in_last_word(self) -> int:
        return self.fields.count - (self.fields.words - 1) * self.fields.per_word

    @property
    def in_rounds(self) -> bool:
        return self.streamed or (self.encoder is None and self.spikes)

    def rounds(self, listed: NDArray[Any]) -> IntArray:
        """Two spikes at a time of a word of the stream; or two numbers, and one more iteration if three are left."""
        if self.encoder is not None or not self.spikes:
            size = self.size if self.encoder is not None else self._in_last_word
            events, final = (np.sum(part != 0, axis=2) for part in (listed, listed[..., -2 + size % 2 :]))
            scanned = -(-self.size // 2) if self.encoder is not None else self.scan
            return np.asarray(scanned + left_over(events, final))
        missing = self.fields.words * STREAM_BITS - self.size
        bits = np.pad(listed != 0, [(0, 0), (0, 0), (0, missing)])
        counts = bits.reshape(*bits.shape[:2], -1, STREAM_BITS).sum(axis=3)
        return listing_rounds(counts) if self.streamed else np.asarray(pairs(counts).sum(axis=2))

    def _listing(self, rounds: Cycles) -> Cycles:
        return self._fresh(rounds) * rounds + LOOP_OVERHEAD_CYCLES

    def _fresh(self, like: Cycles) -> NDArray[np.bool_]:
        """(T,) whether words arrive."""
        return np.asarray((np.arange(like.shape[1]) == 0) | (self.spec.encoding == "sequence"))

    def _memories(self) -> Sequence[Memory]:
        if takes_intensities(self.encoder):
            return (Memory("frame", -(-self.size // 2), (2 * self.encoder.bits,)),)
        if self.encoder is None:
            word = STREAM_BITS + self.signal.index_bits + 1
            return (Memory("words", DOUBLE * self.fields.words, (word,)),) if self.lists_words else ()
        return Memory("counts", self.size, (self.spec.bits,)), Memory("touched", self.size, (16,))

    def _logic(self) -> Usage:
        return lister(STREAM_BITS) if self.lists_words else Usage()


@dataclass(frozen=True, eq=False)
class ReadOut(Unit):
    """A score a class, in sequences of so many `steps`; `worth` is what every state adds to a sum of membranes."""

    readout: Readout
    steps: int
    worth: tuple[int, ...] = ()
    kind: ClassVar[str] = "readout"
    registers: ClassVar[int] = 16  # scores up to here
    settling: ClassVar[int] = 3  # cycles after which a score in a memory may be met again

    @property
    def about(self) -> str:
        return f"{self.size} scores"

    @property
    def reads_states(self) -> bool:
        """Whether it takes the states of the output neurons, in place of their spikes."""
        return self.readout in OF_MEMBRANES

    def run(self, kept: Kept, *taken: Flow) -> IntArray:
        """Spikes, or the states (classes,) if it takes them, to scores (classes,); `kept["scores"]` are the last."""
        spikes = None if self.reads_states else one_list(taken[0]).dense(self.takes[0].grid)[None] != 0
        states = one_array(taken[0])[None] if self.reads_states else None
        before = kept.get("scores", np.zeros((1, self.size), dtype=np.int64))
        kept["scores"] = updated(self.readout, before, spikes, states, self.worth)
        return np.asarray(kept["scores"][0])

    def _cycles(self, taken: Sequence[Cycles], given: Cycles) -> Cycles:
        walked = loop(self.size)
        listed = 0 if self.reads_states else taken[0] + LOOP_OVERHEAD_CYCLES
        return listed + (walked if self.reads_states else 0) + self._both_ends

    @property
    def _both_ends(self) -> Cycles:
        """(T,) cycles in which scores are cleared, and sent, sums in two words."""
        ends = np.zeros(self.steps)
        ends[0] += loop(self.size)
        ends[-1] += loop(2 * self.size if self.worth else self.size)
        return ends

    @property
    def in_registers(self) -> bool:
        """Whether scores are registers, which may be met again in the next cycle."""
        return self.size <= (self.settling if self.reads_states else self.registers)

    @property
    def idle(self) -> int:
        """Iterations after the last event of a step, streamed: its neuron may spike first in the next."""
        return 0 if self.in_registers or self.reads_states else self.settling

    def loops(self, events: Mapping[int, Cycles]) -> list[Cycles]:
        """An event a cycle, or the state of a neuron."""
        rounds = float(self.size) if self.reads_states else np.maximum(events[self.sources[0]], 1) + self.idle
        return [np.asarray(rounds + self._both_ends)]

    def _memories(self) -> Sequence[Memory]:
        if not self.worth:
            return (Memory("scores", self.size, (32,)),)
        worth = Memory("worth", len(self.worth), (int_bits(0, max(self.worth)),), np.array(self.worth))
        return Memory("scores", self.size, (64,)), worth
