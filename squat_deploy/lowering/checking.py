"""`check`: what becomes of every layer of a model, before anybody trains it for a day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from squat_deploy.errors import Fault, LoweringError
from squat_deploy.lowering.api import lower, stale_tables
from squat_deploy.lowering.extract import extract_layer
from squat_deploy.lowering.hints import unproven_hint
from squat_deploy.lowering.program import Call, Program
from squat_deploy.lowering.walk import PendingNeuron, Walk
from squat_deploy.lowering.walking import program_of, walk_calls
from squat_deploy.network import InputSpec
from squat_deploy.readout import Readout
from squat_deploy.training.copying import frozen_copy

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


def check(model: nn.Module, spec: InputSpec, steps: int, *, readout: Readout = "count") -> tuple[CheckedLayer, ...]:
    """Every layer of a model in the order in which they run, with what `lower` would say of it.

    The model is not changed. `lower` refuses it exactly if a row is "refused", or "not proven" and it does not take
    that. Warns: as `lower`. Raises: ConfigError where its loop has another number of steps.
    """
    stale = stale_tables(model)
    copy = frozen_copy(model)
    try:
        program = program_of(copy, spec, steps)
    except LoweringError as error:
        return _refused((*stale, *error.faults), set())
    walk = walk_calls(copy, program, spec)
    walk.faults += stale
    rows = [
        row for call in program.calls() if call.kind in ("module", "function") for row in _rows(walk, program, call)
    ]
    rows += _refused(walk.faults, {row.layer for row in rows})
    if any(row.verdict == "refused" for row in rows):
        return tuple(rows)
    try:  # the layers are fine: what of them as a whole?
        lower(model, spec, steps, readout=readout, allow_unproven=True)
    except LoweringError as error:
        rows += _refused(error.faults, set())
    return tuple(rows)


def _refused(faults: tuple[Fault, ...] | list[Fault], told: set[str]) -> tuple[CheckedLayer, ...]:
    return tuple(
        CheckedLayer(fault.layer, "refused", f"{fault.rule}; got {fault.got}", fault.hint)
        for fault in faults
        if fault.layer not in told
    )


def _rows(walk: Walk, program: Program, call: Call) -> tuple[CheckedLayer, ...]:
    faults = [fault for fault in walk.faults if fault.layer == call.label]
    if faults:
        return _refused(faults, set())
    pending = next((x for x in walk.layers if isinstance(x, PendingNeuron) and x.module is call.module), None)
    if pending is None:
        if any(call is neurons for neurons in program.neurons):
            return (CheckedLayer(call.label, "supported", "not proven yet: a layer before it is refused"),)
        return (CheckedLayer(call.label, "supported", "integers"),)
    try:
        result = extract_layer(pending)
    except LoweringError as error:
        return _refused(error.faults, set())
    if isinstance(result, Fault):
        return _refused([result], set())
    neuron, proof = result
    size = f"{neuron.states} states, {neuron.level_count} levels, {len(neuron.thresholds)} tables"
    if proof.proven:
        return (CheckedLayer(call.label, "proven", f"{proof.rule}; {size}"),)
    why = f"{proof.rule}: {proof.at_risk} (state, sum) combinations could round across a decision; {size}"
    return (CheckedLayer(call.label, "not proven", why, unproven_hint(walk.odd_step(walk.layers.index(pending)))),)
