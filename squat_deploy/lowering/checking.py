"""`check`: what becomes of every layer of a model, before anybody trains it for a day."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from torch import nn

from squat_deploy.errors import Fault, LoweringError, SquatWarning
from squat_deploy.lowering.api import built, drafted, extracted, refuse_readout
from squat_deploy.lowering.draft import Draft, plain_name
from squat_deploy.lowering.drafting import finished
from squat_deploy.lowering.hints import unproven_hint
from squat_deploy.lowering.program import Call, Program
from squat_deploy.lowering.selftest import self_test
from squat_deploy.network import AnyNeuron, InputSpec
from squat_deploy.network.activity import warnings_of
from squat_deploy.network.certificate import LayerProof
from squat_deploy.network.readout import Readout
from squat_deploy.network.tabled import Tabled
from squat_deploy.snn.copying import undisturbed
from squat_deploy.snn.environment import read_environment, refuse_environment

_Proven: TypeAlias = tuple[AnyNeuron, LayerProof, float | None]  # and the step of its inputs, if that is odd
Verdict = Literal["supported", "proven", "not proven", "refused"]


@dataclass(frozen=True)
class CheckedLayer:
    """One layer of a model.

    Attributes:
        verdict: "supported" layers are integers already; neurons are "proven" or "not proven" with these weights.
        why: the rule behind the verdict; hint: the nearest thing that works, where it is needed.
    """

    layer: str
    verdict: Verdict
    why: str
    hint: str = ""


class Checked(tuple[CheckedLayer, ...]):
    """What becomes of every layer; printed it is a table, a layer a row."""

    __slots__ = ()

    def __str__(self) -> str:
        return self._tabled.text

    def _repr_html_(self) -> str:
        """In notebooks."""
        return self._tabled.html

    @property
    def _tabled(self) -> Tabled:
        rows = ((row.layer, row.verdict, f"{row.why}; {row.hint}" if row.hint else row.why) for row in self)
        return Tabled("what becomes of every layer", ("layer", "verdict", "why"), tuple(rows))


def check(
    model: nn.Module, spec: InputSpec, steps: int, *, readout: Readout = "count", initial_state: Any = None
) -> Checked:
    """Every layer of a model in the order in which they run, with what `lower` would say of it.

    What is refused in no layer is also run against the model itself, as `lower` does: `lower` refuses a model exactly
    if a row is "refused", or "not proven" and it does not take that. The model is not changed. Warns: as `lower`.
    Raises: ConfigError where its loop has another number of steps.
    """
    rows, texts = _checked(model, spec, steps, readout, initial_state)
    for text in texts:
        warnings.warn(text, SquatWarning, stacklevel=2)
    return Checked(rows)


def _checked(
    model: nn.Module, spec: InputSpec, steps: int, readout: Readout, initial_state: Any
) -> tuple[tuple[CheckedLayer, ...], tuple[str, ...]]:
    """The rows, and what is to be said of the neurons of a network."""
    with undisturbed():
        try:
            refuse_environment(read_environment())
            pristine, program, draft = drafted(model, spec, steps, initial_state)
        except LoweringError as error:
            return _refused(error.faults, set()), ()
        done = finished(draft)
        before = len(draft.faults)
        found = extracted(done)
        proofs = {id(neuron.module): (*found[i], done.odd_step(i)) for i, neuron in done.neurons.items() if i in found}
        calls = [call for call in program.calls() if call.kind in ("module", "function")]
        rows = [row for call in calls for row in _rows(done, draft.faults[before:], proofs, program, call)]
        if draft.faults:
            return (*rows, *_refused(draft.faults, {row.layer for row in rows})), ()
        try:
            refuse_readout(program, readout)
            network = built(done, found, steps, readout)
            self_test(network, pristine, program)
        except LoweringError as error:
            return _told_apart(rows, error.faults), ()
    return tuple(rows), warnings_of(network)


def _told_apart(rows: list[CheckedLayer], faults: tuple[Fault, ...]) -> tuple[CheckedLayer, ...]:
    """The rows, those of refused layers replaced."""
    named = {fault.layer: fault for fault in faults}
    kept = [row for row in rows if plain_name(row.layer) not in named]
    return (*kept, *_refused(faults, set()))


def _refused(faults: tuple[Fault, ...] | list[Fault], told: set[str]) -> tuple[CheckedLayer, ...]:
    return tuple(
        CheckedLayer(fault.layer, "refused", f"{fault.rule}; got {fault.got}", fault.hint)
        for fault in faults
        if fault.layer not in told
    )


def _rows(
    draft: Draft,
    later: list[Fault],
    proofs: dict[int, tuple[AnyNeuron, LayerProof, float | None]],
    program: Program,
    call: Call,
) -> tuple[CheckedLayer, ...]:
    """What becomes of one call; `later`: faults of extraction."""
    faults = [fault for fault in draft.faults if fault.layer == call.label]
    if faults:
        return _refused(faults, set())
    if not any(call is neurons for neurons in program.neurons):
        return (CheckedLayer(call.label, "supported", "integers"),)
    if id(call.module) in proofs:
        return (_proven_row(call.label, *proofs[id(call.module)]),)
    if faults := [fault for fault in later if fault.layer == plain_name(call.label)]:
        return _refused(faults, set())
    if any(neuron.module is call.module for neuron in draft.neurons.values()) or not draft.faults:
        return (CheckedLayer(call.label, "supported", "left out: nothing that is returned comes from it"),)
    return (CheckedLayer(call.label, "supported", "not proven yet: a layer before it is refused"),)


def _proven_row(label: str, neuron: AnyNeuron, proof: LayerProof, odd_step: float | None) -> CheckedLayer:
    size = f"{neuron.states} states, {neuron.level_count} levels, {neuron.tables} tables"
    if proof.proven:
        return CheckedLayer(label, "proven", f"{proof.rule}; {size}")
    why = f"{proof.rule}: {proof.at_risk} (state, sum) combinations could round across a decision; {size}"
    return CheckedLayer(label, "not proven", why, unproven_hint(odd_step))
