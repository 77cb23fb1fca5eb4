"""`lower`: goes through the trained model once, collects every fault, and proves every layer."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from squat_deploy.errors import ConfigError, Fault, LoweringError, NotProvenError, SquatWarning
from squat_deploy.lowering.assumptions import assumptions_of
from squat_deploy.lowering.draft import Draft, PendingNeuron
from squat_deploy.lowering.drafting import draft_of, finished, program_of
from squat_deploy.lowering.extract import extract_layer
from squat_deploy.lowering.hints import unproven_hint
from squat_deploy.lowering.program import Program, label_of
from squat_deploy.lowering.selftest import of_libraries, self_test
from squat_deploy.lowering.trial import apart
from squat_deploy.lowering.witnesses import with_witnesses
from squat_deploy.network import AnyNeuron, InputSpec, Network
from squat_deploy.network.activity import warnings_of
from squat_deploy.network.certificate import Certificate, LayerProof
from squat_deploy.network.layers.conv2d import Convolution
from squat_deploy.network.limits import MAX_STEPS
from squat_deploy.network.origin import Origin
from squat_deploy.network.readout import OF_MEMBRANES, Readout
from squat_deploy.network.rules import broken_readout, broken_rule
from squat_deploy.snn.adopting import adopted, warn_of_unregistered
from squat_deploy.snn.batch_first import time_first
from squat_deploy.snn.calling import Calling
from squat_deploy.snn.copying import check_model, deep_copy, frozen_copy, undisturbed
from squat_deploy.snn.environment import read_environment, refuse_changes, refuse_environment
from squat_deploy.snn.identity import digest_of_frozen
from squat_deploy.snn.layers import is_exact_form
from squat_deploy.snn.quantizers import StateQuantizer
from squat_deploy.snn.states import made_state
from squat_deploy.snn.wrappers import warn_of_wrappers, wrappers_looked_at


def lower(
    model: nn.Module,
    spec: InputSpec,
    steps: int,
    *,
    readout: Readout = "count",
    allow_unproven: bool = False,
    name: str = "network",
    initial_state: Any = None,
) -> Network:
    """Turns a trained model into a Network of integers that equals it on every input.

    It equals sequences of `steps` steps that start at rest: a model of one step a call is called `steps` times and
    keeps its states meanwhile; one that loops over time is called once, its neurons at rest before. Whoever calls a
    model that does not reset itself has to reset it. Whole sequences of the model as it stands are compared at the end
    (`selftest.py`); what else a proof takes for granted stands in the certificate.

    Args:
        model: `nn.Sequential` of QuantLinear, QuantConv2d, snn.Leaky(state_quant=...), Flatten, Dropout,
            BatchNorm1d and InputQuantizer; it is not changed.
        spec: the integers that enter; those of the model's InputQuantizer if it has one.
        steps: time steps of one sequence.
        readout: how the last neurons become a class: "count" (most spikes), "first" (first to fire),
            "highest-membrane", "last-membrane" or "mean-membrane"; ties go to the lowest class, as torch's argmax.
            What membranes are worth, `Network.values` says.
        allow_unproven: carry layers that float32 rounding might decide otherwise, marked in the certificate, which also
            says whether inputs that reach the first of these combinations were found, and what the model does on them.
        initial_state: of a `forward(x, state)` that returns `(out, state)`: what the first call of a sequence is given,
            zeros in any container, or a function of no arguments that returns them. None where it takes None.

    Raises:
        LoweringError: the model cannot be lowered; lists every fault.
        NotProvenError: it can, but some layer is not proven, and `allow_unproven` is not set.
        InternalError: a model of library modules only, and yet it differs.

    Warns: SquatWarning where a second call of a model goes on from the states of the first, and of layers that never
    fire, or at every step, whatever comes in.
    """
    check_model(model)
    environment = read_environment(model)
    refuse_environment(environment)
    with undisturbed():
        pristine, program, draft = drafted(model, spec, steps, initial_state)
        draft = finished(draft)
        found = {} if draft.faults else extracted(draft)
        if draft.faults:
            raise LoweringError(tuple(draft.faults))
        if not allow_unproven and (unproven := unproven_faults(draft, found)):
            raise NotProvenError(unproven)
        refuse_readout(program, readout)
        network = built(draft, found, steps, readout, name)
        certificate = granted(network, pristine, environment, states_passed=program.start is not None)
        network = replace(network, certificate=certificate, origin=Origin(model=digest_of_frozen(pristine)))
        self_test(network, pristine, program)
        if not network.certificate.proven:
            network = with_witnesses(network, pristine, Calling(program.looped, program.start))
        refuse_changes(environment, read_environment(model))
    for text in warnings_of(network):
        warnings.warn(text, SquatWarning, stacklevel=2)
    return network


def unproven_faults(draft: Draft, found: dict[int, tuple[AnyNeuron, LayerProof]]) -> tuple[Fault, ...]:
    """Why layers are not proven."""
    proofs = ((index, proof) for index, (_, proof) in found.items() if not proof.proven)
    return tuple(_unproven_fault(proof, draft.odd_step(index)) for index, proof in proofs)


def _check_spec(spec: object) -> None:
    if not isinstance(spec, InputSpec):
        raise ConfigError(f"lower: spec is an InputSpec, such as InputSpec((784,), 0, 1); got {spec!r:.100}")


def drafted(
    model: nn.Module, spec: InputSpec, steps: int, initial_state: Any = None
) -> tuple[nn.Module, Program, Draft]:
    """A copy of a model as it is before it runs, and the program and layers of another, whose calls were followed.

    Raises: ConfigError for steps out of range or other than those of the model's loop; LoweringError where its calls
    cannot be followed.
    """
    if not isinstance(steps, int) or not 1 <= steps <= MAX_STEPS:
        raise ConfigError(f"lower: steps must be 1 to {MAX_STEPS}; got {steps}")
    _check_spec(spec)
    check_model(model)
    warn_of_wrappers(model)
    warn_of_unregistered(model)
    model = adopted(model)
    refuse_unmade(model)
    refuse_wrappers(model)
    stale = stale_tables(model)
    first = made_state(initial_state)
    pristine = apart(time_first(frozen_copy(model), spec), spec, steps, first)
    followed = deep_copy(pristine)
    try:
        program = program_of(followed, spec, steps, first)
    except LoweringError as error:
        raise LoweringError((*stale, *error.faults)) from error
    draft = draft_of(followed, program, spec)
    draft.faults += stale
    return pristine, program, draft


def extracted(draft: Draft) -> dict[int, tuple[AnyNeuron, LayerProof]]:
    """The table and the proof of every neuron layer by its position; what cannot be is added to the faults."""
    found: dict[int, tuple[AnyNeuron, LayerProof]] = {}
    for index, layer in draft.neurons.items():
        try:
            result = extract_layer(layer)
        except LoweringError as error:
            draft.faults += error.faults
            continue
        if isinstance(result, Fault):
            draft.faults.append(result)
        else:
            found[index] = result
    return found


def refuse_readout(program: Program, readout: Readout) -> None:
    """Raises: LoweringError where a model returns membranes alone, and the readout is of spikes."""
    if program.asks and readout not in OF_MEMBRANES:
        fits = " or ".join(f'"{name}"' for name in program.asks)
        got, hint = f"membranes and no spikes, with readout={readout!r}", f"say which: readout={fits}"
        raise LoweringError((Fault("readout", "the readout is of what the model returns", got, hint),))


def built(
    draft: Draft,
    found: dict[int, tuple[AnyNeuron, LayerProof]],
    steps: int,
    readout: Readout = "count",
    name: str = "network",
) -> Network:
    """The network of a finished draft. Raises: LoweringError where it breaks a rule of all networks."""
    certificate = Certificate(tuple(proof for _, proof in found.values()))
    layers = tuple(found[i][0] if isinstance(x, PendingNeuron) else x for i, x in enumerate(draft.layers))
    network = Network(draft.spec, layers, steps, certificate, name, tuple(draft.wires), readout)
    if (rule := broken_readout(readout, network.neurons[-1], steps)) is not None:
        hint = 'use reset_delay=True and neurons with one state, or readout="count"'
        if "a mean of membranes" in rule:
            hint = 'or use readout="last-membrane"'
        raise LoweringError((Fault("readout", "the class follows from states and spikes", rule, hint),))
    if (rule := broken_rule(network)) is not None:
        raise LoweringError((Fault("model", "a network keeps the rules of every back end", rule, "change that layer"),))
    return network


def granted(
    network: Network, model: nn.Module, environment: dict[str, str], *, states_passed: bool = False
) -> Certificate:
    """The certificate of a network, with all that it takes for granted."""
    proofs = network.certificate.layers
    convolutions = any(isinstance(layer, Convolution) for layer in network.layers)
    code = {"own_code": not of_libraries(model), "states_passed": states_passed, "exact_form": is_exact_form(model)}
    told = assumptions_of(environment, network.input, proofs, convolutions=convolutions, **code)
    return Certificate(proofs, environment, told)


def refuse_unmade(model: nn.Module) -> None:
    """Raises: LoweringError for lazy modules that have seen no input, and so have no weights yet."""
    rule, hint = "layers have their weights", "call model(inputs) once, or load a checkpoint"
    faults = [
        Fault(label_of(name or "model", module), rule, f"{key}, which is made at the first call", hint)
        for name, module in model.named_modules()
        for key, value in (*module._parameters.items(), *module._buffers.items())
        if is_lazy(value)
    ]
    if faults:
        raise LoweringError(tuple(faults))


def refuse_wrappers(model: nn.Module) -> None:
    """Raises: LoweringError where code of the model looks at a wrapper inside of it, which is taken off."""
    rule, hint = "nothing in forward looks at wrappers, which are taken off", "lower the model without it: "
    faults = [
        Fault(where, rule, f"{found!r} beside the wrapper of {name}", f"{hint}put what is inside into {name}")
        for name, where, found in wrappers_looked_at(model)
    ]
    if faults:
        raise LoweringError(tuple(dict.fromkeys(faults)))


def stale_tables(model: nn.Module) -> list[Fault]:
    """Quantizers whose levels were changed in place: the trained model still decides by the old boundaries.

    Not those that learn their levels and are still in training mode: leaving it, as a copy does, settles them.
    """
    rule, got = "levels do not change in place", "boundaries of other levels"
    return [
        Fault(f"{name} (StateQuantizer)", rule, got, "make a new StateQuantizer of the levels")
        for name, module in model.named_modules()
        if isinstance(module, StateQuantizer)
        and not (module.learned and module.training)
        and not module.is_consistent()
    ]


def _unproven_fault(proof: LayerProof, odd_step: float | None) -> Fault:
    first = proof.examples[0]
    place = f"the first: neuron {first.neuron}, state {first.state}, sum {first.synaptic_sum}"
    if not proof.error_bound:
        return Fault(
            proof.layer,
            "not proven: the trained neuron adds its input and recurrent currents one after the other",
            f"{proof.at_risk} (state, sum) combinations in which that rounds across a decision, {place}",
            "lower sd.exact(model, spec, steps) (--exact), use another beta or fewer state bits, or pass "
            "allow_unproven=True (--allow-unproven)",
        )
    return Fault(
        proof.layer,
        f"not proven: rule '{proof.rule}' bounds the float32 rounding of the input current by {proof.error_bound:.3g}",
        f"{proof.at_risk} (state, sum) combinations within it of a decision, {place}",
        f"{unproven_hint(odd_step)}, or pass allow_unproven=True (--allow-unproven)",
    )
