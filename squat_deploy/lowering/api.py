"""`lower`: walks the trained model once, collects every fault, and proves every layer."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import torch
from torch import nn

from squat_deploy.activity import warnings_of
from squat_deploy.agreement import compare_torch, traces_of
from squat_deploy.certificate import Certificate, LayerProof
from squat_deploy.errors import ConfigError, Fault, InternalError, LoweringError, NotProvenError, SquatWarning
from squat_deploy.lowering.extract import extract_layer
from squat_deploy.lowering.hints import unproven_hint
from squat_deploy.lowering.walk import PendingNeuron, Walk
from squat_deploy.lowering.walking import walk_program
from squat_deploy.network import InputSpec, Network, Neuron
from squat_deploy.origin import Origin
from squat_deploy.quantizers import StateQuantizer
from squat_deploy.readout import Readout
from squat_deploy.rules import broken_readout, broken_rule
from squat_deploy.simulator import simulate
from squat_deploy.training.copying import frozen_copy
from squat_deploy.training.identity import digest_of_frozen
from squat_deploy.training.sequence import run_model

MAX_STEPS = 65_535
_SELF_TEST_BATCHES = (1, 255)
_SELF_TEST_STEPS = 8


def lower(
    model: nn.Module,
    spec: InputSpec,
    steps: int,
    *,
    readout: Readout = "count",
    allow_unproven: bool = False,
    name: str = "network",
) -> Network:
    """Turns a trained model into a Network of integers that equals it on every input.

    Args:
        model: `nn.Sequential` of QuantLinear, QuantConv2d, snn.Leaky(state_quant=...), Flatten, Dropout,
            BatchNorm1d and InputQuantizer; it is not changed.
        spec: the integers that enter; those of the model's InputQuantizer if it has one.
        steps: time steps of one sequence.
        readout: how the last neurons become a class: "count" (most spikes), "first" (first to fire),
            "highest-membrane" or "last-membrane"; ties go to the lowest class, as torch's argmax.
        allow_unproven: carry layers that float32 rounding might decide otherwise, marked in the certificate.

    Raises:
        LoweringError: the model cannot be lowered; lists every fault.
        NotProvenError: it can, but some layer is not proven, and `allow_unproven` is not set.

    Warns: SquatWarning of layers that never fire, or at every step, whatever comes in.
    """
    if not isinstance(steps, int) or not 1 <= steps <= MAX_STEPS:
        raise ConfigError(f"lower: steps must be 1 to {MAX_STEPS}; got {steps}")
    stale = stale_tables(model)
    model = frozen_copy(model)
    digest = digest_of_frozen(model)
    walk = walk_program(model, spec, steps)
    walk.faults += stale
    found = _extract(walk) if not walk.faults else {}
    if walk.faults:
        raise LoweringError(tuple(walk.faults))
    certificate = Certificate(tuple(proof for _, proof in found.values()))
    if not certificate.proven and not allow_unproven:
        unproven = ((proof, walk.odd_step(index)) for index, (_, proof) in found.items() if not proof.proven)
        raise NotProvenError(tuple(_unproven_fault(*pair) for pair in unproven))
    layers = tuple(found[i][0] if isinstance(x, PendingNeuron) else x for i, x in enumerate(walk.layers))
    origin = Origin(model=digest)
    network = Network(spec, layers, steps, certificate, name, tuple(walk.wires), readout, origin)
    if (rule := broken_readout(readout, network.neurons[-1])) is not None:
        hint = 'use reset_delay=True and neurons with one state, or readout="count"'
        raise LoweringError((Fault("readout", "the class follows from states and spikes", rule, hint),))
    if (rule := broken_rule(network)) is not None:
        raise LoweringError((Fault("model", "a network keeps the rules of every back end", rule, "change that layer"),))
    if certificate.proven:
        _self_test(network, model)
    for text in warnings_of(network):
        warnings.warn(text, SquatWarning, stacklevel=2)
    return network


def _extract(walk: Walk) -> dict[int, tuple[Neuron, LayerProof]]:
    """The table and the proof of every neuron layer by its position."""
    found: dict[int, tuple[Neuron, LayerProof]] = {}
    for index, layer in enumerate(walk.layers):
        if isinstance(layer, PendingNeuron):
            result = extract_layer(layer)
            if isinstance(result, Fault):
                walk.faults.append(result)
            else:
                found[index] = result
    return found


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
            "use another beta or fewer state bits, or pass allow_unproven=True (--allow-unproven)",
        )
    return Fault(
        proof.layer,
        f"not proven: rule '{proof.rule}' bounds the float32 rounding of the input current by {proof.error_bound:.3g}",
        f"{proof.at_risk} (state, sum) combinations within it of a decision, {place}",
        f"{unproven_hint(odd_step)}, or pass allow_unproven=True (--allow-unproven)",
    )


def _self_test(network: Network, model: nn.Module) -> None:
    """Compares random inputs with the trained model, spikes and membranes: catches what no rule can foresee."""
    rng = np.random.default_rng(0)
    spec, short = network.input, dataclasses.replace(network, steps=min(network.steps, _SELF_TEST_STEPS))
    direct = spec.encoding == "direct"
    for batch in _SELF_TEST_BATCHES:
        lead = (batch,) if direct else (short.steps, batch)
        inputs = rng.integers(spec.low, spec.high + 1, lead + spec.shape)
        with torch.no_grad():
            real = torch.from_numpy((inputs * spec.step).astype(np.float32))
            traces = run_model(model, real, short.steps, direct=direct)
        result = simulate(short, inputs, trace=True)
        for neuron, layer, trace in zip(network.neurons, result.trace or (), traces_of(network, traces), strict=True):
            spikes, membranes = torch.stack(trace.spikes).numpy(), torch.stack(trace.membranes).numpy()
            wrong, where = compare_torch(neuron, layer, slice(None), spikes, membranes)
            if wrong:
                raise InternalError(f"the integers differ from the trained model at {where}; please report this")
