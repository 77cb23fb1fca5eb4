"""Combinations at risk are looked for, and both sides are run on what is found: the witnesses of a certificate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice, zip_longest
from typing import Any

import numpy as np
import torch
from torch import nn

from squat_deploy.lowering.reaching import LOOKED_FOR, Found, Search
from squat_deploy.network import IntArray, Network
from squat_deploy.network.certificate import MAX_WITNESS_VALUES, LayerProof, Searched, Witness
from squat_deploy.network.observed import Observed, compare
from squat_deploy.network.simulator import Result, run, stages_of
from squat_deploy.network.tally import Tally
from squat_deploy.snn.calling import Calling
from squat_deploy.snn.copying import deep_copy
from squat_deploy.snn.model_traces import bytes_a_sample, observed_of
from squat_deploy.snn.running import own_run

TOGETHER = 64  # sequences in one batch of the trained model: it may round otherwise than alone
_BYTES = 2**28  # of their traces
_STEPS_ALONE = 128  # of the sequences of one layer that are run alone, all of them together
_MOST_ALONE = 8


def with_witnesses(network: Network, model: nn.Module, calling: Calling) -> Network:
    """The same network, its certificate with what was found of combinations at risk of every layer, and how many
    were looked for.

    Args: model: as it was before it was recorded; copies of it are run. calling: how.
    """
    steps = network.steps if network.input.encoding == "sequence" else 1
    risky = [(place, row) for place, row in enumerate(network.certificate.layers) if not row.proven]
    found: list[Witness] = []
    searched: list[Searched] = []
    trials = Trials(network, model, calling)
    for place, row in risky:
        if steps * network.input.size > MAX_WITNESS_VALUES:
            searched.append(Searched(row.layer, row.at_risk, 0, _too_long(steps * network.input.size)))
            continue
        search = Search(network, place, trials.stages)
        told = trials.judged(search, list(search.found(row)))
        found += told
        searched.append(Searched(row.layer, row.at_risk, len(told), _why_no_more(row, len(told))))
    certificate = replace(network.certificate, witnesses=tuple(found), searched=tuple(searched))
    return replace(network, certificate=certificate)


def _too_long(values: int) -> str:
    return f"a sequence has {values:,} integers, and a search takes sequences of at most {MAX_WITNESS_VALUES:,}"


def _why_no_more(row: LayerProof, count: int) -> str:
    if count >= row.at_risk:
        return ""
    if count < LOOKED_FOR and count < len(row.examples):
        return f"of the {len(row.examples)} nearest a decision, no more can be reached"
    return f"a search ends after {LOOKED_FOR} of a layer" if count == LOOKED_FOR else "a certificate lists no more"


@dataclass(frozen=True, eq=False)
class _Chosen:
    """One sequence and what its combination is."""

    combination: int
    inputs: IntArray


class Trials:
    """The trained model and the network on the same sequences. The model is copied once for each size of batch."""

    def __init__(self, network: Network, model: nn.Module, calling: Calling) -> None:
        self.network, self.model, self.calling = network, model, calling
        self.stages = stages_of(network)
        self.direct = network.input.encoding == "direct"
        self.axis = 0 if self.direct else 1
        self.size = max(4, min(TOGETHER, _BYTES // bytes_a_sample(network)))
        self._copies: dict[int, nn.Module] = {}

    def judged(self, search: Search, found: Sequence[Found]) -> list[Witness]:
        """What was found of one layer, with the first sequences on which the model differs, or the first of all."""
        chosen = [_Chosen(i, one) for i, (_, candidates) in enumerate(found) for one in candidates]
        differing: dict[int, IntArray] = {}
        for start in range(0, len(chosen), self.size):
            part = chosen[start : start + self.size]
            self._note(differing, part, self.differ([one.inputs for one in part], self.size))
        for one in self._alone(chosen, differing):
            if one.combination not in differing:
                self._note(differing, [one], self.differ([one.inputs], 1))
        return [self._told(search, *one, differing.get(i)) for i, one in enumerate(found)]

    def _note(self, differing: dict[int, IntArray], part: Sequence[_Chosen], verdicts: Sequence[bool]) -> None:
        for one, verdict in zip(part, verdicts, strict=True):
            if verdict:
                differing.setdefault(one.combination, one.inputs)

    def _alone(self, chosen: Sequence[_Chosen], differing: dict[int, IntArray]) -> Sequence[_Chosen]:
        """Sequences of combinations on which nothing differed in a batch: the first of each, the second, and so on."""
        left: dict[int, list[_Chosen]] = {}
        for one in chosen:
            if one.combination not in differing:
                left.setdefault(one.combination, []).append(one)
        ranked = (one for turn in zip_longest(*left.values()) for one in turn if one is not None)
        return list(islice(ranked, max(1, min(_MOST_ALONE, _STEPS_ALONE // self.network.steps))))

    def _told(self, search: Search, witness: Witness, candidates: Sequence[IntArray], on: IntArray | None) -> Witness:
        if not candidates:
            return witness
        inputs = candidates[0] if on is None else on
        values, step = tuple(inputs.reshape(-1).tolist()), search.step_of(witness, inputs)
        return replace(witness, inputs=values, step=step, differs=on is not None)

    @torch.no_grad()
    def differ(self, sequences: Sequence[IntArray], size: int) -> list[bool]:
        """Whether the model differs from the network anywhere on each sequence, all of them in one batch.

        Args: size: of the batch, at least as many as there are sequences, which fill it in turn.
        """
        rows = [row % len(sequences) for row in range(size)]
        values = np.concatenate([sequences[row] for row in rows], axis=self.axis)
        if size not in self._copies:
            self._copies[size] = deep_copy(self.model)
        real = torch.from_numpy((values * self.network.input.step).astype(np.float32))
        options: dict[str, Any] = {"looped": self.calling.looped, "start": self.calling.start, "direct": self.direct}
        own = own_run(self._copies[size], real, self.network.steps, **options)
        observed = observed_of(self.network, own, (), size)
        reference = run(self.network, self.stages, values, trace=True)
        if not self._mismatches(reference, observed):
            return [False] * len(sequences)
        differing = {rows[row] for row in range(size) if self._mismatches(reference, observed.only(row))}
        return [place in differing for place in range(len(sequences))]

    def _mismatches(self, reference: Result, observed: Observed) -> int:
        tally = Tally()
        compare(tally, self.network, reference, observed)
        return tally.mismatches
